"""A move from Apache Kafka to the broker under test with MirrorMaker 2, as docs/migration.md says it (README.md).

    mirror.py [--seed N] [--kills N] [--exactly-once enabled|disabled]
"""
import argparse
import os
import pathlib
import random
import re
import subprocess
import sys
import time

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

import wire
from broker import COMPAT, Broker, free_port, tail
from checks import Wrong, equal
from clients import GROUP, ORDERS, QUIET, Billing, Orders, number_of
from reading import read_to_end, scratch_folder
from report import report

IDLE_GROUP, USERS = "reports", "users"
PARTITIONS = {ORDERS: 3, USERS: 2}
CONFIGS = {ORDERS: {"retention.ms": "-1", "max.message.bytes": "2000000", "compression.type": "lz4"},
           USERS: {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.9"}}
MIRRORS_OWN = {"heartbeats", "old.checkpoints.internal",
               *(f"mm2-{name}.old.internal" for name in ("offset-syncs", "configs", "offsets", "status"))}
# Deleted at the old cluster's begin, so that offsets cannot be the same in the new one.
DELETED = 500


class Mirror:
    """MirrorMaker 2 with the file of docs/migration.md; only addresses and intervals are the test's."""

    def __init__(self, old, new, scratch, exactly_once):
        page = (COMPAT.parent / "docs/migration.md").read_text()
        text = re.search(r"```properties\n(.*?)```", page, re.DOTALL).group(1)
        for name, bootstrap in (("old-kafka:9092", old), ("tidewater:9092", new)):
            if name not in text:
                raise Wrong(f"docs/migration.md does not name {name}")
            text = text.replace(name, bootstrap)
        own = {"sync.group.offsets.interval.seconds": 1, "emit.checkpoints.interval.seconds": 1, "refresh.topics.interval.seconds": 2,
               "refresh.groups.interval.seconds": 2, "sync.topic.configs.interval.seconds": 2, "offset.flush.interval.ms": 1000,
               "plugin.discovery": "service_load", "listeners": f"http://127.0.0.1:{free_port()}",
               "new.exactly.once.source.support": exactly_once, "session.timeout.ms": 6000, "heartbeat.interval.ms": 1500}
        self.properties, self.log = pathlib.Path(f"{scratch}/mm2.properties"), pathlib.Path(f"{scratch}/mirror.log")
        # Of two lines with one key the later counts.
        self.properties.write_text(text + "".join(f"{key} = {value}\n" for key, value in own.items()))
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={COMPAT}/apache-kafka/log4j2.properties",
                 "-cp", os.environ["CONNECT_CLASSPATH"], "org.apache.kafka.connect.mirror.MirrorMaker", str(self.properties),
                 "--clusters", "new"], stdout=log, stderr=log)

    def check_alive(self):
        if self.process and self.process.poll() is not None:
            raise Wrong(f"MirrorMaker ended by itself with {self.process.returncode}: {tail(self.log)}")

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise Wrong(f"MirrorMaker does not stop within 60 s: {tail(self.log)}") from None
        self.process = None


class Run:
    def __init__(self, scratch, options):
        self.options, self.rng = options, random.Random(options.seed)
        self.old = Broker(f"{scratch}/old", f"{scratch}/old.log", "apache-kafka")
        self.new = Broker(f"{scratch}/new", f"{scratch}/new.log")
        self.mirror = Mirror(self.old.bootstrap, self.new.bootstrap, scratch, options.exactly_once)
        self.orders = Orders(self.old.bootstrap, 0)
        self.before = Billing(self.old.bootstrap)
        self.after = None

    # Steps

    def old_cluster(self):
        self.old.start()
        self.new.start()
        admin = AdminClient(QUIET | {"bootstrap.servers": self.old.bootstrap})
        for future in admin.create_topics([NewTopic(topic, PARTITIONS[topic], 1, config=CONFIGS[topic]) for topic in PARTITIONS]).values():
            future.result(30)
        for _ in range(6_000):
            self.orders.send()
        self.orders.producer.flush(60)
        for future in admin.delete_records([TopicPartition(ORDERS, 0, DELETED)]).values():
            future.result(30)
        producer = Producer(QUIET | {"bootstrap.servers": self.old.bootstrap})
        for number in range(500):
            producer.produce(USERS, None if number % 50 == 49 else b"user %d" % number, b"%d" % (number % 200))
        producer.flush(60)
        # One group that goes on, one that stopped in the middle.
        idle = Billing(self.old.bootstrap, IDLE_GROUP)
        idle.start()
        self.wait("the idle group has read all there is", lambda: len(idle.read) >= 6_000 - DELETED)
        idle.stop()
        self.idle_places = idle.places
        self.orders.start()
        self.before.start()
        self.wait("the consumer keeps up", lambda: len(self.before.read) > 6_000)

    def mirrored(self):
        self.mirror.start()
        self.wait("the new cluster has all topics", lambda: self.topics(self.new) >= PARTITIONS.items())
        self.wait("the new cluster has as many orders", lambda: self.copied() > 6_500, 120)

    def configs(self):
        for topic, configs in CONFIGS.items():
            self.wait(f"{topic} has its configuration", lambda: configs.items() <= self.configs_of(topic).items())

    def killed(self):
        for number in range(self.options.kills):
            what = ("mirror", "broker", "both")[(number + self.rng.randrange(2)) % 3]
            copied = self.copied()
            self.wait("the copying goes on", lambda: self.copied() > copied + 200, 120)
            print(f"round {number + 1}: kill -9 of {what} with {self.copied()} offsets copied", file=sys.stderr, flush=True)
            if what != "broker":
                self.mirror.kill()
            if what != "mirror":
                self.new.kill()
                self.new.start()
            if what != "broker":
                self.mirror.start()
        copied = self.copied()
        self.wait("the copying goes on", lambda: self.copied() > copied + 200, 120)

    def consumer_moves(self):
        self.before.stop()
        last = dict(self.before.places)
        # An order's number says where the group was, whatever the offsets are.
        self.wait("the group's offsets have arrived", lambda: self.translated(GROUP, last) is not None, 60)
        # Two more rounds of translation, as the page says.
        self.settle(lambda: self.translated(GROUP, last), 5)
        again = self.translated(GROUP, last)
        print(f"{again} orders will be read again", file=sys.stderr, flush=True)
        self.after = Billing(self.new.bootstrap)
        self.after.start()
        self.wait("the consumer keeps up", lambda: self.after.read and max(self.after.read) >= self.orders.next - 200)

    def idle_group(self):
        self.wait("the idle group's offsets have arrived", lambda: self.translated(IDLE_GROUP, self.idle_places) is not None, 60)

    def producer_moves(self):
        self.orders.stop()
        last = self.orders.next
        self.wait("the rest is copied", lambda: max(self.after.read) >= last - 1)
        self.wait("every partition is as long", lambda: all(len(new) >= len(old) for new, old in
                                                             zip(self.read(self.new, ORDERS), self.read(self.old, ORDERS))))
        self.compare()
        self.orders = Orders(self.new.bootstrap, last)
        self.orders.start()
        self.wait("the consumer reads what is produced in the new cluster", lambda: max(self.after.read) >= last + 1_000)
        self.orders.stop()
        self.wait("all is read", lambda: set(self.after.read) | set(self.before.read) >= set(range(last, self.orders.next)))

    def nothing_lost(self):
        old = {number for partition in self.read(self.old, ORDERS, with_offsets=True) for _, number in partition}
        seen = set(self.before.read) | set(self.after.read)
        missing = sorted((old | set(range(max(old) + 1, self.orders.next))) - seen)
        if missing:
            raise Wrong(f"{len(missing)} orders were never read, the first is {missing[0]}")
        self.after.stop()

    def mirror_stopped(self):
        self.mirror.stop()
        self.compare_users()
        # As the page says.
        equal("topics of the old cluster", {ORDERS, USERS, "__consumer_offsets"}, set(dict(self.topics(self.old))))
        found = {name for name in dict(self.topics(self.new)) if not name.startswith("__")}
        equal("MirrorMaker's topics", MIRRORS_OWN, found - {ORDERS, USERS})

    # Helpers

    def compare(self):
        """Key, value, headers and time of every record, in order, in every partition."""
        for partition, (old, new) in enumerate(zip(self.read(self.old, ORDERS), self.read(self.new, ORDERS))):
            at = next((i for i, (one, other) in enumerate(zip(old, new)) if one != other), min(len(old), len(new)))
            if old != new:
                raise Wrong(f"{ORDERS}-{partition}: expected {len(old)} records, got {len(new)}; at {at} expected {old[at:at + 1]}, "
                            f"got {new[at:at + 1]}")

    def compare_users(self):
        last = [{key: value for partition in self.read(broker, USERS) for key, value, _, _ in partition} for broker in (self.old, self.new)]
        equal("users", *last)

    def translated(self, group, places):
        """How many orders the group would read again in the new cluster; None where an offset is not there. It never lies beyond."""
        committed = wire.committed(self.new.bootstrap, group, ORDERS, range(PARTITIONS[ORDERS]))
        if len(committed) < PARTITIONS[ORDERS]:
            return None
        again, partitions = 0, self.read(self.new, ORDERS, with_offsets=True)
        for partition, (offset, _) in committed.items():
            # What the group will read is at its offset and beyond; what it has read must reach up to there.
            skipped = [number for at, number in partitions[partition] if at < offset and number > places[partition]]
            if skipped:
                raise Wrong(f"{group} would leave out {len(skipped)} orders of partition {partition}, the first is {skipped[0]}")
            again += sum(at >= offset and number <= places[partition] for at, number in partitions[partition])
        return again

    def settle(self, value, seconds):
        """Until the value is as it was for so long."""
        last, since = value(), time.monotonic()
        while time.monotonic() < since + seconds:
            time.sleep(0.5)
            if (now := value()) != last:
                last, since = now, time.monotonic()

    def topics(self, broker):
        found = AdminClient(QUIET | {"bootstrap.servers": broker.bootstrap}).list_topics(timeout=30).topics
        return {name: len(topic.partitions) for name, topic in found.items()}.items()

    def configs_of(self, topic):
        admin = AdminClient(QUIET | {"bootstrap.servers": self.new.bootstrap})
        (future,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
        return {name: entry.value for name, entry in future.result(30).items()}

    def copied(self):
        try:
            return sum(wire.end_offset(self.new.bootstrap, ORDERS, partition) for partition in range(PARTITIONS[ORDERS]))
        except (OSError, EOFError, wire.Wrong):
            return 0

    def read(self, broker, topic, with_offsets=False):
        """Per partition, all there is: (key, value, headers, timestamp), or (offset, number)."""
        found = [[] for _ in range(PARTITIONS[topic])]
        for message in read_to_end(broker.bootstrap, [(topic, partition) for partition in range(PARTITIONS[topic])]):
            found[message.partition()].append((message.offset(), number_of(message)) if with_offsets else
                                              (message.key(), message.value(), message.headers(), message.timestamp()))
        return found

    def wait(self, what, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            for broker in (self.old, self.new):
                broker.check_alive()
            self.mirror.check_alive()
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {seconds} s; {self.copied()} offsets copied; "
                            f"{tail(self.mirror.log) if self.mirror.process else ''}")
            time.sleep(0.1)

    def steps(self):
        yield "old-cluster", self.old_cluster
        yield "topics-mirrored", self.mirrored
        yield "configs-mirrored", self.configs
        yield "mirror-and-broker-killed", self.killed
        yield "idle-group-mirrored", self.idle_group
        yield "consumer-moves", self.consumer_moves
        yield "producer-moves", self.producer_moves
        yield "nothing-lost", self.nothing_lost
        yield "mirror-stopped", self.mirror_stopped

    def end(self):
        self.mirror.kill()
        for thread in (self.orders, self.before, self.after):
            if thread:
                thread.stopping.set()
        self.old.kill()
        self.new.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--exactly-once", default="enabled", choices=["enabled", "disabled"])
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    cannot = {} if options.exactly_once == "enabled" else {"mirror-and-broker-killed": "records are doubled without exactly once"}
    with scratch_folder() as scratch:
        run = Run(scratch, options)
        try:
            return report("mirror-maker", os.environ["MIRROR_VERSION"], run.steps(), cannot)
        finally:
            run.end()


if __name__ == "__main__":
    sys.exit(main())
