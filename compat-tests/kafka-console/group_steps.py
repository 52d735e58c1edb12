"""The steps of groups with console consumers, and with kafka-consumer-groups, which alone says who owns what."""
import time

from groups import GROUP_ID_NOT_FOUND, GROUP_SUBSCRIBED_TO_TOPIC, NON_EMPTY_GROUP, SESSION_TIMEOUT_MS
from steps import DEADLINE_S, PARTITIONS, Record, Wrong, end_of, equal, refused, until
from tool import Reader, groups, table


class ConsoleGroups:
    def group_steps(self):
        self.parting = []
        yield "group-consume", self.group_consume
        yield "group-resume", self.group_resume
        yield "group-commit-metadata", None
        yield "group-seek-time", None
        yield "group-join", self.group_join
        yield "group-describe", self.group_describe
        yield "group-leave", self.group_leave
        yield "group-crash", self.crash
        yield "group-static", None
        yield "group-pattern", self.pattern
        yield "group-alter-offsets", self.alter_offsets_of_a_group
        yield "group-delete-offsets", self.delete_offsets_of_a_group
        yield "group-delete", self.group_delete
        yield "error-no-offset", self.no_offset
        yield "error-fenced-member", None
        yield "group-next-generation", self.next_generation

    def say(self, topic, label, count=30):
        # The keys deal the lines out over the partitions.
        values = [f"{label} {i}".encode() for i in range(count)]
        self.produce(topic, [Record(0, None, b"%d" % i, value, []) for i, value in enumerate(values)])
        return values

    def exactly(self, what, readers, expected):
        """Together they print what is expected, all of it and nothing twice."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            read = sorted(value for reader in readers for value in reader.values())
            if len(read) >= len(expected) or time.monotonic() > deadline:
                equal(what, sorted(expected), read)
                return
            time.sleep(0.1)

    def owners(self):
        """{client id: its partitions}"""
        rows = table(groups("--describe", "--group", self.group, "--members", "--verbose") or "GROUP ")
        assigned = {row["CLIENT-ID"]: row["CURRENT-ASSIGNMENT"].rpartition(":")[2] for row in rows}
        return {client: {int(p) for p in text.split(",") if p != "-"} for client, text in assigned.items()}

    def await_owners(self, *clients):
        def shared():
            owners = self.owners()
            return (sorted(owners), sorted(p for owned in owners.values() for p in owned), all(owners.values()))
        until("owners", (sorted(clients), list(range(PARTITIONS)), True), shared)

    def committed(self, group, topic):
        rows = table(groups("--describe", "--group", group))
        return {int(row["PARTITION"]): int(row["CURRENT-OFFSET"]) for row in rows
                if row["TOPIC"] == topic and row["CURRENT-OFFSET"] != "-"}

    def all_committed(self):
        ends = {partition: end_of(self.place, partition) for partition in range(PARTITIONS)}
        until("committed offsets", ends, lambda: self.committed(self.group, self.place))

    def group_consume(self):
        self.place, self.group = self.make("group", PARTITIONS, {}), self.run_id + "-group"
        said = self.say(self.place, "first", 300)
        self.one = Reader(self.group, self.place, "one")
        self.exactly("reading in a group", [self.one], said)
        self.all_committed()

    def group_resume(self):
        self.one.stop()
        said = self.say(self.place, "resumed")
        self.one = Reader(self.group, self.place, "one")
        self.exactly("reading on where the group stopped", [self.one], said)
        self.all_committed()

    def join_another(self):
        self.two = Reader(self.group, self.place, "two")
        self.await_owners("one", "two")

    def group_join(self):
        self.said = self.one.values()
        self.join_another()
        self.said += self.say(self.place, "joined")
        self.exactly("reading with two members", [self.one, self.two], self.said)
        self.all_committed()

    def group_describe(self):
        (state,) = [row for row in table(groups("--list", "--state")) if row["GROUP"] == self.group]
        (kind,) = [row for row in table(groups("--list", "--type")) if row["GROUP"] == self.group]
        equal("state and type in the list", ("Stable", "Classic"), (state["STATE"], kind["TYPE"]))
        (row,) = table(groups("--describe", "--group", self.group, "--state"))
        equal("state", ("range", "Stable", "2"), (row["ASSIGNMENT-STRATEGY"], row["STATE"], row["#MEMBERS"]))
        rows = table(groups("--describe", "--group", self.group, "--members"))
        equal("members", [("one", "/127.0.0.1"), ("two", "/127.0.0.1")], sorted((row["CLIENT-ID"], row["HOST"]) for row in rows))
        rows = table(groups("--describe", "--group", self.group))
        equal("lag", {str(partition): "0" for partition in range(PARTITIONS)}, {row["PARTITION"]: row["LAG"] for row in rows})

    def alone_again(self, label):
        gone = len(self.two.values())
        self.await_owners("one")
        more = self.say(self.place, label)
        self.said += more
        equal("what the other one printed since", gone, len(self.two.values()))
        self.exactly("reading alone again", [self.one, self.two], self.said)
        self.said = self.one.values()

    def group_leave(self):
        self.two.stop()
        self.alone_again("left")

    def crash(self):
        self.all_committed()
        self.join_another()
        started = time.monotonic()
        self.two.kill()
        self.alone_again("crashed")
        if (time.monotonic() - started) * 1000 < SESSION_TIMEOUT_MS / 2:
            raise Wrong("a crashed member lost its partitions before its session was over")

    def pattern(self):
        topic = self.make("like-a", 1, {})
        said = self.say(topic, "like")
        reader = Reader(self.run_id + "-pattern", None, "pattern", include=f"{self.run_id}-like-.*")
        self.exactly("reading by a pattern", [reader], said)
        said += self.say(self.make("like-b", 1, {}), "later")
        self.exactly("reading the topic that came later", [reader], said)
        reader.stop()

    def alter(self, offset):
        return groups("--reset-offsets", "--group", self.group, "--topic", self.place, "--to-offset", offset, "--execute")

    def alter_offsets_of_a_group(self):
        self.all_committed()
        refused(NON_EMPTY_GROUP, "alter offsets of an active group", self.alter, 5)
        refused(GROUP_SUBSCRIBED_TO_TOPIC, "delete offsets of an active group", self.delete_offsets)
        refused(NON_EMPTY_GROUP, "delete an active group", groups, "--delete", "--group", self.group)
        self.one.stop()
        self.alter(5)
        equal("altered offsets", {partition: 5 for partition in range(PARTITIONS)}, self.committed(self.group, self.place))
        self.one = Reader(self.group, self.place, "one")
        ends = [end_of(self.place, partition) for partition in range(PARTITIONS)]
        self.all_committed()
        equal("lines read from the altered offsets", sum(ends) - 5 * PARTITIONS, len(self.one.values()))
        self.one.stop()

    def delete_offsets(self):
        return groups("--delete-offsets", "--group", self.group, "--topic", f"{self.place}:0")

    def delete_offsets_of_a_group(self):
        self.delete_offsets()
        equal("offsets left", {1, 2}, set(self.committed(self.group, self.place)))

    def group_delete(self):
        groups("--delete", "--group", self.group)
        refused(GROUP_ID_NOT_FOUND, "delete a deleted group", groups, "--delete", "--group", self.group)
        equal("the group is listed", False, self.group in groups("--list").split())

    def no_offset(self):
        topic = self.make("nowhere", 1, {})
        self.say(topic, "nowhere", 1)
        reader = Reader(self.run_id + "-nowhere", topic, "nowhere", reset="none")
        until("the console consumer ends", True, lambda: reader.process.poll() is not None)
        equal("what it read", [], reader.values())

    def next_generation(self):
        topic, group = self.make("next", PARTITIONS, {}), self.run_id + "-next"
        said = self.say(topic, "first")
        reader = Reader(group, topic, "one", protocol="consumer")
        self.exactly("reading alone", [reader], said)
        (kind,) = [row for row in table(groups("--list", "--type")) if row["GROUP"] == group]
        equal("type in the list", "Consumer", kind["TYPE"])
        reader.stop()
        said = self.say(topic, "resumed")
        reader = Reader(group, topic, "one", protocol="consumer")
        self.exactly("reading on where the group stopped", [reader], said)
        reader.stop()
