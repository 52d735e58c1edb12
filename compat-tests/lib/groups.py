"""The steps of consumer groups (../README.md) for the clients driven from Python.

Steps that mostly wait (for a session to end, for metadata to age) have groups of their own and run while the others do; each
is reported when its turn comes.
"""
import concurrent.futures
import time
from typing import NamedTuple, Optional

import wire
from checks import BOOTSTRAP, PARTITIONS, Record, Wrong, end_of, equal, refused, until
from members import Member, Victim, exactly, read_by, shared, wait_for
from report import wanted

ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, GROUP_SUBSCRIBED_TO_TOPIC = 22, 25, 68, 69, 86
SESSION_TIMEOUT_MS, HEARTBEAT_MS = 6_000, 1_000
METADATA_MAX_AGE_MS = 1_000
ALL = frozenset(range(PARTITIONS))


class Described(NamedTuple):
    state: str
    protocol: Optional[str]
    members: list  # of (client id, host, {(topic, partition)})


class GroupSteps:
    # The protocol that the client's members agree on by default.
    assignor = "range"
    # Whether the client commits in its own time, and a step waits for it instead of asking.
    commits_by_itself = False
    # Whether ListGroups as the client shows it has states and types.
    lists_states = lists_types = True

    # What a client brings; each raises Refused with the broker's error code.

    def member(self, group, topics, *, pattern=None, client_id="compat", instance_id=None, protocol="classic",
               reset="earliest"): raise NotImplementedError  # a consumer as members.py has it
    def committed(self, group, topic): raise NotImplementedError  # {partition: (offset, metadata)}, what there is
    def groups(self): raise NotImplementedError  # {group: (state, type)}, None for what the client does not show
    def describe_group(self, group): raise NotImplementedError  # Described
    def alter_offsets(self, group, offsets): raise NotImplementedError  # {(topic, partition): offset}
    def delete_offsets(self, group, places): raise NotImplementedError  # [(topic, partition)]
    def delete_group(self, group): raise NotImplementedError

    def group_steps(self):
        waiting = {name: step for name, step in (
            ("group-crash", self.crash), ("group-static", self.static), ("group-pattern", self.pattern),
            ("group-alter-offsets", self.alter_offsets_of_a_group), ("error-no-offset", self.no_offset),
            ("group-next-generation", self.next_generation)) if name not in self.cannot and wanted(name)}
        pool, self.joined = concurrent.futures.ThreadPoolExecutor(len(waiting) or 1), []
        running = {name: pool.submit(step) for name, step in waiting.items()}

        def begun(name):
            return name, lambda: running[name].result()

        yield "group-consume", self.group_consume
        yield "group-resume", self.group_resume
        yield "group-commit-metadata", self.commit_metadata
        yield "group-seek-time", self.seek_time
        yield "group-join", self.group_join
        yield "group-describe", self.group_describe
        yield "group-leave", self.group_leave
        yield begun("group-crash")
        yield begun("group-static")
        yield begun("group-pattern")
        yield begun("group-alter-offsets")
        yield "group-delete-offsets", self.delete_offsets_of_a_group
        yield "group-delete", self.group_delete
        yield begun("error-no-offset")
        yield "error-fenced-member", self.fenced_member
        yield begun("group-next-generation")
        self.parting = [pool.submit(member.leave) for member in self.joined if not member.leaving and not member.error]

    def parted(self):
        """Nobody is in a group any more: some clients make the topics anew that they are subscribed to."""
        for leaving in self.parting:
            leaving.result()

    def join(self, group, topics, **settings):
        member = Member(lambda: self.member(group, topics, **settings))
        self.joined.append(member)
        return member

    def join_to_crash(self, group, topic):
        return Victim(group, topic)

    def say(self, topic, label, count=30, partitions=PARTITIONS):
        """Produces records that differ from all others, and answers their values."""
        values, start_ms = [f"{label}-{i}".encode() for i in range(count)], int(time.time() * 1000) - 60_000
        self.produce(topic, [Record(i % partitions, start_ms + 10 * i, b"%d" % i, value, [])
                             for i, value in enumerate(values)])
        return values

    def commit_all(self, group, topic, members):
        """Commits what the members have read, and sees it arrive."""
        if not self.commits_by_itself:
            for member in members:
                member.commit()
        read = {}
        for record in (record for member in members for record in member.records if record.topic in (topic, None)):
            read[record.partition] = max(read.get(record.partition, 0), record.offset + 1)
        until(f"committed offsets of {group}", read,
              lambda: {p: offset for p, (offset, _) in self.committed(group, topic).items() if p in read})

    # One group from its first member to its end

    def group_consume(self):
        self.place, self.group = self.make("group", PARTITIONS, {}), self.run_id + "-group"
        said = self.say(self.place, "first", 300)
        self.one = self.join(self.group, [self.place], client_id="one")
        exactly("reading in a group", [self.one], said)
        equal("partitions owned", {(self.place, partition) for partition in ALL}, set(self.one.owned))
        self.commit_all(self.group, self.place, [self.one])
        equal("committed offsets", {partition: end_of(self.place, partition) for partition in ALL},
              {partition: offset for partition, (offset, _) in self.committed(self.group, self.place).items()})

    def group_resume(self):
        self.one.leave()
        said = self.say(self.place, "resumed")
        self.one = self.join(self.group, [self.place], client_id="one")
        exactly("reading on where the group stopped", [self.one], said)
        self.commit_all(self.group, self.place, [self.one])

    def commit_metadata(self):
        offset, text = self.committed(self.group, self.place)[0][0], "käse ✓ 1"
        self.one.commit({(self.place, 0): (offset, text)})
        equal("the offset and its metadata", (offset, text), self.committed(self.group, self.place)[0])

    def seek_time(self):
        mark, records = len(self.one.records), [r for r in self.one.records if r.partition == 0]
        middle = records[len(records) // 2]
        found = self.one.do(lambda consumer: consumer.offset_at(self.place, 0, middle.timestamp))
        first = next(r for r in records if r.timestamp >= middle.timestamp)
        equal("offset by time", first.offset, found)
        self.one.do(lambda consumer: consumer.seek(self.place, 0, found))
        again = [r.value for r in records if r.offset >= first.offset]
        wait_for("reading again", lambda: len(self.one.records) >= mark + len(again), [self.one])
        equal("what is read after seeking", again, [r.value for r in self.one.records[mark:]])
        del self.one.records[mark:]

    def group_join(self):
        before = list(self.one.records)
        self.two = self.join(self.group, [self.place], client_id="two")
        wait_for("two members share", lambda: shared(self.place, PARTITIONS, [self.one, self.two]), [self.one, self.two])
        said = self.say(self.place, "joined")
        exactly("reading with two members", [self.one, self.two], [r.value for r in before] + said)
        self.commit_all(self.group, self.place, [self.one, self.two])

    def group_describe(self):
        if self.lists_states or self.lists_types:
            state, kind = self.groups().get(self.group, (None, None))
            equal("state and type in the list", ("stable", "classic"),
                  ((state or "not listed").lower() if self.lists_states else "stable",
                   (kind or "not listed").lower() if self.lists_types else "classic"))
        equal("the group is listed", True, self.group in self.groups())
        described = self.describe_group(self.group)
        equal("state and protocol", ("stable", self.assignor), (described.state.lower(), described.protocol))
        equal("members", [("one", set(self.one.owned)), ("two", set(self.two.owned))],
              sorted((client_id, set(owned)) for client_id, _, owned in described.members))
        for client_id, host, _ in described.members:
            if "127.0.0.1" not in host:
                raise Wrong(f"host of {client_id}: expected 127.0.0.1, got {host!r}")

    def group_leave(self):
        before, started = read_by([self.one, self.two]), time.monotonic()
        self.two.leave()
        wait_for("the first owns all again", lambda: {p for _, p in self.one.owned} == ALL, [self.one])
        took_ms = (time.monotonic() - started) * 1000
        if took_ms >= SESSION_TIMEOUT_MS:
            raise Wrong(f"the partitions of a member that left came after {took_ms:.0f} ms, as if it had crashed")
        said = self.say(self.place, "left")
        exactly("reading alone again", [self.one, self.two], before + said)

    def group_delete(self):
        refused(NON_EMPTY_GROUP, "delete an active group", self.delete_group, self.group)
        self.one.leave()
        until("the group has no members", 0, lambda: len(self.describe_group(self.group).members))
        self.delete_group(self.group)
        refused(GROUP_ID_NOT_FOUND, "delete a deleted group", self.delete_group, self.group)
        equal("the group is listed", False, self.group in self.groups())

    # Groups of their own, which run while the others do

    def crash(self):
        topic, group = self.make("crash", PARTITIONS, {}), self.run_id + "-crash"
        survivor, victim = self.join(group, [topic]), self.join_to_crash(group, topic)
        both = [survivor, victim]
        wait_for("two members share", lambda: shared(topic, PARTITIONS, both), both)
        said = self.say(topic, "before")
        exactly("reading before the crash", both, said)
        self.commit_all(group, topic, both)
        mark, lost = len(survivor.records), []
        if not self.commits_by_itself:
            # Read by the other, but not committed: somebody has to read it again.
            seen = len(victim.records)
            said += self.say(topic, "uncommitted")
            exactly("reading what nobody will commit", both, said)
            lost = victim.records[seen:]
            survivor.commit()
        started = time.monotonic()
        victim.crash()
        wait_for("the survivor owns all", lambda: {p for _, p in survivor.owned} == ALL, [survivor])
        took_ms = (time.monotonic() - started) * 1000
        if took_ms < SESSION_TIMEOUT_MS / 2:
            raise Wrong(f"a crashed member lost its partitions after {took_ms:.0f} ms, before its session was over")
        more = self.say(topic, "after")
        own = [r.value for r in survivor.records[mark:] if r.value.startswith(b"uncommitted")]
        wanted = sorted(set(own) | {r.value for r in lost}) + more
        wait_for("reading on after the crash", lambda: len(survivor.records) >= mark + len(wanted), [survivor])
        equal("read after the crash", sorted(wanted), sorted(r.value for r in survivor.records[mark:]))
        self.survivor, self.crash_place, self.crash_group = survivor, topic, group
        self.commit_all(group, topic, [survivor])

    def static(self):
        topic, group = self.make("static", PARTITIONS, {}), self.run_id + "-static"
        stays, goes = self.join(group, [topic]), self.join(group, [topic], instance_id="goes")
        wait_for("two members share", lambda: shared(topic, PARTITIONS, [stays, goes]), [stays, goes])
        owned, rebalances, said = goes.owned, stays.rebalances, self.say(topic, "first")
        exactly("reading before", [stays, goes], said)
        self.commit_all(group, topic, [stays, goes])
        goes.leave()
        back = self.join(group, [topic], instance_id="goes")
        wait_for("the static member is back", lambda: back.owned, [stays, back])
        said += self.say(topic, "second")
        exactly("reading after", [stays, goes, back], said)
        equal("what the static member owns", owned, back.owned)
        # A new generation is one more assignment for everybody.
        equal("assignments of the member that stayed", rebalances, stays.rebalances)
        stays.leave()
        back.leave()

    def pattern(self):
        first, group = self.make("like-a", 1, {}), self.run_id + "-pattern"
        member = self.join(group, None, pattern=f"^{self.run_id}-like-.*")
        said = self.say(first, "a", partitions=1)
        exactly("reading the first topic", [member], said)
        self.commit_all(group, first, [member])
        second = self.make("like-b", 1, {})
        said += self.say(second, "b", partitions=1)
        exactly("reading the topic that came later", [member], said)
        equal("what the member owns", {(first, 0), (second, 0)}, set(member.owned))
        member.leave()

    def alter_offsets_of_a_group(self):
        topic, group = self.make("alter", PARTITIONS, {}), self.run_id + "-alter"
        said = self.say(topic, "altered", 60)
        member = self.join(group, [topic])
        exactly("reading before altering", [member], said)
        self.commit_all(group, topic, [member])
        offsets = {(topic, 0): 5, (topic, 1): 12, (topic, 2): 20}
        refused((UNKNOWN_MEMBER_ID, NON_EMPTY_GROUP), "alter offsets of an active group", self.alter_offsets, group, offsets)
        equal("offsets after a refusal", {p: 20 for p in ALL}, {p: at for p, (at, _) in self.committed(group, topic).items()})
        member.leave()
        until("altered", None, lambda: self.alter_offsets(group, offsets))
        member = self.join(group, [topic])
        exactly("reading from the altered offsets", [member], [v for i, v in enumerate(said) if i // 3 >= offsets[topic, i % 3]])
        self.altered = member, group, topic

    def delete_offsets_of_a_group(self):
        member, group, topic = self.altered
        self.commit_all(group, topic, [member])
        refused(GROUP_SUBSCRIBED_TO_TOPIC, "delete offsets of an active group", self.delete_offsets, group, [(topic, 0)])
        member.leave()
        until("the offsets are deleted", None, lambda: self.delete_offsets(group, [(topic, 0)]))
        equal("offsets left", {1: 20, 2: 20}, {p: at for p, (at, _) in self.committed(group, topic).items()})

    def no_offset(self):
        topic = self.make("nowhere", 1, {})
        member = self.join(self.run_id + "-nowhere", [topic], reset="none")
        try:
            wait_for("an error", lambda: member.error, [])
        finally:
            found = [r.offset for r in member.records]
            equal("records read without a place to start", [], found)

    def fenced_member(self):
        member, topic, group = self.survivor, self.crash_place, self.crash_group
        before = self.committed(group, topic)
        member_id = member.do(lambda consumer: consumer.member_id())

        def commit(consumer):
            # In the member's own thread, so that it has no time to notice.
            wire.leave_group(BOOTSTRAP, group, member_id)
            consumer.commit({(topic, 0): (1, "")})

        refused((ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID), "a commit by a member that was removed", member.do, commit)
        equal("committed offsets", before, self.committed(group, topic))

    def next_generation(self):
        topic, group = self.make("next", PARTITIONS, {}), self.run_id + "-next"
        said = self.say(topic, "first", 300)
        one = self.join(group, [topic], protocol="consumer")
        exactly("reading alone", [one], said)
        self.commit_all(group, topic, [one])
        if self.lists_types:
            equal("type in the list", "consumer", (self.groups().get(group, (None, None))[1] or "not listed").lower())
        two = self.join(group, [topic], protocol="consumer")
        wait_for("two members share", lambda: shared(topic, PARTITIONS, [one, two]), [one, two])
        said += self.say(topic, "joined")
        exactly("reading with two", [one, two], said)
        self.commit_all(group, topic, [one, two])
        two.leave()
        wait_for("the first owns all again", lambda: {p for _, p in one.owned} == ALL, [one])
        said += self.say(topic, "left")
        exactly("reading alone again", [one, two], said)
        self.commit_all(group, topic, [one])
        one.leave()
        said = self.say(topic, "resumed")
        one = self.join(group, [topic], protocol="consumer")
        exactly("reading on where the group stopped", [one], said)
        one.leave()
