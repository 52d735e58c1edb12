"""Consumer groups of both protocols read and commit while the broker is killed.

Nothing that was committed may be lost, nobody may rebalance (a member knows its position, so a group reads every record exactly
once), the coordinators answer within a second of the broker being back, and half of the time every member has committed by then.
"""
import collections
import random
import statistics
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

import wire
from broker import Broker
from checks import Wrong as Failed
from support import PARTITIONS, TOPIC, acknowledged, no_errors, start_writers, wait_for

GROUPS = [(f"{protocol}-{number}", protocol) for protocol in ("classic", "consumer") for number in (1, 2)]
MEMBERS = 2
SESSION_S = 45
RESUME_S = 1.0


class Member(threading.Thread):
    def __init__(self, group, protocol, bootstrap):
        super().__init__(daemon=True)
        self.group = group
        self.read, self.committed = collections.Counter(), {}
        self.times, self.changes, self.owned = [], [], set()
        self.stopping = threading.Event()
        settings = {"bootstrap.servers": bootstrap, "group.id": group, "group.protocol": protocol, "auto.offset.reset": "earliest",
                    "enable.auto.commit": False, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "log_level": 0,
                    "retry.backoff.ms": 20, "retry.backoff.max.ms": 100, "socket.timeout.ms": 10_000, "fetch.wait.max.ms": 100}
        # After a lost connection librdkafka otherwise starts from the bootstrap list and looks for its partitions once a second,
        # which would be measured here.
        settings["metadata.recovery.strategy"] = "none"
        if protocol == "classic":
            settings |= {"session.timeout.ms": SESSION_S * 1000, "heartbeat.interval.ms": 1000}
        self.consumer = Consumer(settings)
        self.consumer.subscribe([TOPIC], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.lost)

    def assigned(self, _, partitions):
        self.owned |= {one.partition for one in partitions}
        self.changes.append("assigned")

    def revoked(self, _, partitions):
        self.owned -= {one.partition for one in partitions}
        self.changes.append("revoked")

    def lost(self, _, partitions):
        self.owned -= {one.partition for one in partitions}
        self.changes.append("lost")

    def run(self):
        uncommitted = {}
        while not self.stopping.is_set():
            for message in self.consumer.consume(500, timeout=0.05):
                if message.error() is None:
                    number, n, _ = message.value().split(b":", 2)
                    self.read[int(number), int(n)] += 1
                    uncommitted[message.partition()] = message.offset() + 1
            if uncommitted and self.commit(uncommitted):
                uncommitted = {}
        self.consumer.close()

    def commit(self, positions):
        offsets = [TopicPartition(TOPIC, partition, offset) for partition, offset in positions.items()]
        try:
            answers = self.consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException:
            # The broker is away; the same positions are committed with the next ones.
            return False
        if any(answer.error for answer in answers):
            return False
        self.committed |= positions
        self.times.append(time.monotonic())
        return True


def stored(bootstrap, group):
    """What the broker has committed for the group, by partition."""
    asker = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})
    try:
        answer = asker.committed([TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)], timeout=30)
    except KafkaException as error:
        if error.args[0].code() not in (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS):
            raise
        return None
    finally:
        asker.close()
    return {one.partition: one.offset for one in answer}


def check_committed(broker, known):
    """Nothing that was committed is lost. Returns how long the coordinators took to answer."""
    asked, found = time.monotonic(), {}
    for group, _ in GROUPS:
        def answered(group=group):
            found[group] = stored(broker.bootstrap, group)
            return found[group] is not None
        wait_for(f"the committed offsets of {group}", answered, 60, broker)
    took = time.monotonic() - asked
    for (group, partition), offset in known.items():
        if found[group].get(partition, -1) < offset:
            raise Failed(f"group {group}, partition {partition}: {offset} was committed, {found[group]} is stored")
    return took


def commits_of(members):
    return {(member.group, partition): offset for member in members for partition, offset in list(member.committed.items())}


def settle(members, broker):
    def settled():
        return all(len(member.owned) == PARTITIONS // MEMBERS and member.times for member in members)
    wait_for("every member with its partitions", settled, 60, broker)


def round_of(number, rng, broker, members, writers):
    before = [len(member.times) for member in members]
    moved = lambda: all(len(member.times) > count for member, count in zip(members, before))
    wait_for("a commit of every member", moved, 60, broker)
    time.sleep(rng.uniform(0, 1.5))
    known = commits_of(members)
    changes = [len(member.changes) for member in members]
    broker.kill()
    no_errors(writers)
    broker.start()
    back = time.monotonic()
    coordinators = check_committed(broker, known)
    wait_for("a commit of every member after the restart", lambda: all(member.times[-1] > back for member in members), 60, broker)
    resumed = max(first_commit(member, back) for member in members)
    for member, count in zip(members, changes):
        if len(member.changes) > count:
            raise Failed(f"a member of {member.group} rebalanced: {member.changes[count:]}")
    print(f"round {number + 1}: coordinators answer after {coordinators:.2f} s, every member commits after {resumed:.2f} s", flush=True)
    return coordinators, resumed


def first_commit(member, back):
    return min(when for when in member.times if when > back) - back


def groups(options, scratch):
    rng = random.Random(options.seed)
    broker = Broker(f"{scratch}/data", f"{scratch}/broker.log")
    try:
        broker.start()
        wire.create(broker.bootstrap, TOPIC, PARTITIONS, "segment.bytes=1048576")
        writers = start_writers(broker, 3, 0.002, 500)
        members = [Member(group, protocol, broker.bootstrap) for group, protocol in GROUPS for _ in range(MEMBERS)]
        for member in members:
            member.start()
        settle(members, broker)
        resumed = [round_of(number, rng, broker, members, writers) for number in range(options.rounds)]
        for writer in writers:
            writer.finish()
        no_errors(writers)
        account_for(members, writers, broker)
        coordinators, members_s = zip(*resumed)
        print(f"coordinators: median {statistics.median(coordinators):.2f} s, worst {max(coordinators):.2f} s; members: median "
              f"{statistics.median(members_s):.2f} s, worst {max(members_s):.2f} s", flush=True)
        # librdkafka looks for a lost coordinator every half second and for its partitions every second, whoever the broker is.
        if max(coordinators) > RESUME_S or statistics.median(members_s) > RESUME_S:
            raise Failed(f"groups did not go on within {RESUME_S} s")
    finally:
        broker.kill()


def account_for(members, writers, broker):
    """Every acknowledged record was read by each group, once."""
    count = acknowledged(writers)
    for group, _ in GROUPS:
        mine = [member for member in members if member.group == group]
        total = lambda: sum((collections.Counter(dict(member.read)) for member in mine), collections.Counter())
        wait_for(f"group {group} at the end", lambda: len(total()) >= count, 60, broker)
        twice = sum(times > 1 for times in total().values())
        print(f"group {group}: {len(total())} records of {count} acknowledged, {twice} twice", flush=True)
        if twice:
            raise Failed(f"group {group} read {twice} records twice, without a rebalance")
    for member in members:
        member.stopping.set()
    for member in members:
        member.join(30)
