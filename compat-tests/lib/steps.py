"""The common list of steps (../README.md) for the clients driven from Python.

A client is a subclass of Client with its own words for each operation. What a client cannot do at all is named in its
`cannot` with the reason, and printed as skipped; a step may also be overridden where a client can do a part of it.
"""
import os
import sys
import time

import wire
from checks import BOOTSTRAP, DEADLINE_S, PARTITIONS, Record, Refused, Wrong, end_of, equal, refused, until
from admin import AdminSteps
from groups import GroupSteps
from members import serve_victim
from report import report
from transactions import TransactionSteps

COUNT = 300
# The record that carries the latest timestamp; it is neither the last of its partition nor of the topic.
LATEST = 150
BASE_MS = int(time.time() * 1000) - 600_000
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

# Kafka's error codes that the steps expect.
OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC, MESSAGE_TOO_LARGE, INVALID_TOPIC, INVALID_TIMESTAMP = 1, 3, 10, 17, 32
TOPIC_EXISTS, INVALID_PARTITIONS, INVALID_REPLICATION, INVALID_CONFIG = 36, 37, 38, 40


def timestamp(i):
    return BASE_MS + (5_000 if i == LATEST else i)


def key(i):
    return {0: None, 1: b""}.get(i % 10, f"key-é-{i}".encode())


def value(i):
    if i % 10 == 7:
        return None
    return bytes((i * 7 + j) % 256 for j in range(0 if i % 10 == 5 else i * 37 % 1500))


def headers(i):
    return [
        [],
        [("n", str(i).encode())],
        [("twice", b"1"), ("twice", b"2")],
        [("bin", b"\x00\xff\x80"), ("empty", b""), ("null", None)],
    ][i % 4]


def noise(count):
    """Bytes no codec makes smaller, the same in every run."""
    state, data = 1, bytearray()
    for _ in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        data.append(state >> 16 & 255)
    return bytes(data)


class Client(GroupSteps, TransactionSteps, AdminSteps):
    name = "client"
    cannot = {}
    # Over how many partitions the records are dealt out, one after the other.
    spread = PARTITIONS
    # Whether the client lets its user choose a record's timestamp.
    sets_timestamps = True

    def __init__(self):
        self.per_partition = COUNT // self.spread
        self.run_id = f"compat-{self.name}-{time.time_ns():x}"
        self.main = self.run_id + "-main"
        self.created = []

    # What a client brings: each raises Refused with the broker's error code.

    def version(self): raise NotImplementedError
    def create(self, topic, partitions, configs, replication=1): raise NotImplementedError
    def describe(self, topic): raise NotImplementedError  # [(partition, leader, replicas, isr)]
    def configs(self, topic): raise NotImplementedError  # {key: (value, set on the topic?)}
    def alter(self, topic, *ops): raise NotImplementedError  # ops: ("set"|"delete"|"append"|"subtract", key, value)
    def grow(self, topic, count): raise NotImplementedError
    def topics(self): raise NotImplementedError
    def delete(self, topics): raise NotImplementedError
    def produce(self, topic, records, codec="none", acks="all", idempotent=True): raise NotImplementedError  # offsets
    # starts: {partition: offset}; all there is, or what a reader with isolation.level=read_committed is given of it
    def consume(self, topic, starts, count, committed=False): raise NotImplementedError
    def read_at(self, topic, partition, offset): raise NotImplementedError  # without any reset
    def watermarks(self, topic, partition): raise NotImplementedError  # (low, high)
    def look_up(self, topic, partition, spec): raise NotImplementedError  # earliest|latest|max|ms -> (offset, ms or None)
    def delete_records(self, topic, partition, before): raise NotImplementedError  # low watermark

    def record(self, i):
        return Record(i % self.spread, timestamp(i), key(i), value(i), headers(i))

    def replaced(self, topic, ops):
        """All that is to be set on the topic after the changes, for clients that know AlterConfigs alone, which sets all anew."""
        wanted = self.set_on(topic)
        for op, key, text in ops:
            words = [word for word in wanted.pop(key, "").split(",") if word and word != text]
            if op in ("set", "append"):
                words = [text] if op == "set" else [*words, text]
            if op != "delete":
                wanted[key] = ",".join(words)
        return wanted

    def topic(self, kind):
        return f"{self.run_id}-{kind}"

    def make(self, kind, partitions, configs):
        topic = self.topic(kind)
        self.created.append(topic)
        self.create(topic, partitions, configs)
        until(f"partitions of {topic}", partitions, lambda: len(self.describe(topic)))
        # The leaders serve their partitions a little after metadata names them, and acks=0 would not notice.
        for partition in range(partitions):
            until(f"leader of {topic}-{partition}", 0, lambda: end_of(topic, partition))
        return topic

    # The list

    def steps(self):
        yield "create-topic", self.create_topic
        yield "describe-topic", self.describe_topic
        yield "alter-config", self.alter_config
        yield "create-partitions", self.create_partitions
        yield "list-topics", self.list_topics
        for codec in CODECS:
            yield f"produce-{codec}", lambda codec=codec: self.write(codec, codec=codec)
            yield f"consume-{codec}", lambda codec=codec: self.read(codec)
        yield "produce-acks1", lambda: self.write("acks1", acks="1", idempotent=False)
        yield "consume-acks1", lambda: self.read("acks1")
        yield "produce-acks0", lambda: self.write("acks0", acks="0", idempotent=False)
        yield "consume-acks0", self.read_unacknowledged
        yield "seek", self.seek
        yield "watermarks", self.both_ends
        yield "offset-earliest", lambda: self.offset("earliest", 0)
        yield "offset-latest", lambda: self.offset("latest", self.per_partition)
        yield "offset-by-time", self.offset_by_time
        yield "offset-max-timestamp", self.offset_of_max_timestamp
        yield "error-unknown-topic", self.unknown_topic
        yield "error-too-large", self.too_large
        yield "error-invalid-timestamp", self.invalid_timestamp
        yield "error-out-of-range", self.out_of_range
        yield "error-unsupported-version", lambda: wire.unsupported_version(BOOTSTRAP)
        yield "error-unknown-api", lambda: wire.unknown_api(BOOTSTRAP)
        yield "error-topic-exists", lambda: refused(TOPIC_EXISTS, "create again", self.create, self.main, 1, {})
        yield "error-invalid-partitions", self.invalid_partitions
        yield "error-invalid-replication", lambda: refused(
            INVALID_REPLICATION, "create with 99 replicas", self.create, self.topic("r99"), 1, {}, 99)
        yield "error-invalid-name", self.invalid_name
        yield "error-bad-config", self.bad_config
        yield "delete-records", self.delete_some_records
        yield from self.group_steps()
        yield from self.transaction_steps()
        yield from self.admin_steps()
        yield "delete-topics", self.delete_topics
        yield "error-deleted-topic", self.deleted_topic

    def main_loop(self):
        if sys.argv[1:2] == ["victim"]:
            serve_victim(self.member, *sys.argv[2:])
        code = report(self.name, self.version(), self.steps(), self.cannot)
        # Not sys.exit: a client's own threads may take long to notice that nobody needs them any more.
        os._exit(code)

    # Topics

    TOPIC_CONFIGS = {"retention.ms": "7200000", "max.message.bytes": "200000", "cleanup.policy": "delete"}

    def create_topic(self):
        self.created.append(self.main)
        self.create(self.main, PARTITIONS, self.TOPIC_CONFIGS)

    def set_on(self, topic):
        return {key: value for key, (value, on_topic) in self.configs(topic).items() if on_topic}

    def describe_topic(self):
        until(f"partitions of {self.main}", PARTITIONS, lambda: len(self.describe(self.main)))
        for number, (partition, leader, replicas, isr) in enumerate(sorted(self.describe(self.main))):
            equal("partition number", number, partition)
            equal("replicas", [leader], replicas)
            equal("in-sync replicas", [leader], isr)
            if leader < 0:
                raise Wrong(f"partition {partition} has no leader")
        equal("configs", self.TOPIC_CONFIGS, self.set_on(self.main))
        equal("segment.bytes", ("1073741824", False), self.configs(self.main)["segment.bytes"])

    def alter_config(self):
        self.alter(self.main, ("set", "retention.ms", "10800000"), ("delete", "max.message.bytes", None),
                   ("append", "cleanup.policy", "compact"))
        until("configs after altering", {"retention.ms": "10800000", "cleanup.policy": "delete,compact"},
              lambda: self.set_on(self.main))
        equal("max.message.bytes", ("1048588", False), self.configs(self.main)["max.message.bytes"])
        self.alter(self.main, ("subtract", "cleanup.policy", "compact"))
        until("cleanup.policy", ("delete", True), lambda: self.configs(self.main)["cleanup.policy"])

    def create_partitions(self):
        self.grow(self.main, PARTITIONS + 2)
        until("partitions after growing", PARTITIONS + 2, lambda: len(self.describe(self.main)))

    def list_topics(self):
        until("the topic is listed", True, lambda: self.main in self.topics())

    # Records

    def write(self, kind, **how):
        topic = self.make(kind, self.spread, {})
        offsets = self.produce(topic, [self.record(i) for i in range(COUNT)], **how)
        # A client that cannot tell offsets answers None; with acks=0 nobody tells it one.
        if offsets is not None and how.get("acks") != "0":
            equal("offsets", [i // self.spread for i in range(COUNT)], offsets)

    def same(self, record):
        """Byte for byte what write() wrote at that place."""
        i = record.offset * self.spread + record.partition
        expected = self.record(i)
        for field in ("timestamp", "key", "value", "headers"):
            if field != "timestamp" or expected.timestamp is not None:
                equal(f"{field} of record {i}", getattr(expected, field), getattr(record, field))

    def check(self, records, starts):
        following = dict(starts)
        for record in records:
            equal(f"offset order in partition {record.partition}", following[record.partition], record.offset)
            following[record.partition] += 1
            self.same(record)

    def read(self, kind):
        starts = {partition: 0 for partition in range(self.spread)}
        records = self.consume(self.topic(kind), starts, COUNT)
        equal("records read", COUNT, len(records))
        self.check(records, starts)

    def read_unacknowledged(self):
        # Nobody said that the records have arrived, so they may still be on their way.
        for partition in range(self.spread):
            until(f"end of partition {partition}", self.per_partition,
                  lambda: end_of(self.topic("acks0"), partition))
        self.read("acks0")

    def seek(self):
        last = self.spread - 1
        records = self.consume(self.topic("none"), {last: 42}, self.per_partition - 42)
        equal("records after seek", self.per_partition - 42, len(records))
        self.check(records, {last: 42})

    def both_ends(self):
        for partition in range(self.spread):
            equal(f"ends of partition {partition}", (0, self.per_partition), self.watermarks(self.topic("zstd"), partition))

    # Offsets by time, always of partition 0, which holds the record with the latest timestamp

    def offset(self, spec, expected):
        for kind in ("none", "lz4"):
            offset, found_ms = self.look_up(self.topic(kind), 0, spec)
            equal(f"offset of {spec}", expected, offset)
            if found_ms is not None:
                equal(f"timestamp of {spec}", -1, found_ms)

    def times(self, kind):
        """The timestamp of each record of partition 0, in the order of offsets."""
        if self.sets_timestamps:
            return [timestamp(i) for i in range(0, COUNT, self.spread)]
        return [record.timestamp for record in self.consume(self.topic(kind), {0: 0}, self.per_partition)]

    def found(self, what, kind, spec, expected):
        offset, found_ms = self.look_up(self.topic(kind), 0, spec)
        equal(f"offset {what}", expected[0], offset)
        if found_ms is not None:
            equal(f"timestamp {what}", expected[1], found_ms)

    def offset_by_time(self):
        for kind in ("none", "gzip", "zstd"):
            times = self.times(kind)
            some_ms, latest_ms = times[10], max(times)

            def first(wanted_ms):
                return next((offset, ms) for offset, ms in enumerate(times) if ms >= wanted_ms)

            self.found("at a record's time", kind, some_ms, first(some_ms))
            if some_ms < latest_ms:
                self.found("just after a record's time", kind, some_ms + 1, first(some_ms + 1))
            self.found("before all", kind, 1, (0, times[0]))
            self.found("of the latest time", kind, latest_ms, first(latest_ms))
            self.found("after all", kind, latest_ms + 1, (self.NOT_FOUND, -1))

    def offset_of_max_timestamp(self):
        for kind in ("none", "lz4"):
            times = self.times(kind)
            self.found("of the latest timestamp", kind, "max", (times.index(max(times)), max(times)))

    # What a client makes of the broker's -1 when no record is that young.
    NOT_FOUND = -1

    # Errors

    def unknown_topic(self):
        unknown = self.topic("unknown")
        refused(UNKNOWN_TOPIC, "describe", self.describe, unknown)
        refused(UNKNOWN_TOPIC, "delete", self.delete, [unknown])
        refused(UNKNOWN_TOPIC, "describe configs", self.configs, unknown)
        refused(UNKNOWN_TOPIC, "describe after looking", self.describe, unknown)

    def too_large(self):
        topic = self.make("small", 1, {"max.message.bytes": "10000"})
        refused(MESSAGE_TOO_LARGE, "20,000 bytes", self.produce, topic, [Record(0, None, None, noise(20_000), [])])
        self.produce(topic, [Record(0, None, None, noise(5_000), [])])
        equal("ends after a refused and a good record", (0, 1), self.watermarks(topic, 0))

    def invalid_timestamp(self):
        topic = self.make("bounded", 1, {"message.timestamp.before.max.ms": "60000",
                                         "message.timestamp.after.max.ms": "60000"})
        now_ms = int(time.time() * 1000)
        for distance_ms in (-3_600_000, 3_600_000):
            refused(INVALID_TIMESTAMP, f"timestamp {distance_ms} ms from now",
                    self.produce, topic, [Record(0, now_ms + distance_ms, None, b"x", [])])
        self.produce(topic, [Record(0, now_ms, None, b"x", [])])
        equal("ends after two refused and a good record", (0, 1), self.watermarks(topic, 0))

    def out_of_range(self):
        refused(OFFSET_OUT_OF_RANGE, "read at 100000", self.read_at, self.topic("none"), 0, 100_000)

    def invalid_partitions(self):
        refused(INVALID_PARTITIONS, "create with no partitions", self.create, self.topic("p0"), 0, {})
        for count in (1, PARTITIONS + 2):
            refused(INVALID_PARTITIONS, f"grow to {count}", self.grow, self.main, count)

    def invalid_name(self):
        for name in ("a b", "ä", "x" * 250):
            refused(INVALID_TOPIC, f"create {name}", self.create, name, 1, {})

    BAD_CONFIGS = {"retention.ms": "soon", "cleanup.policy": "burn", "no.such.config": "1",
                   "compression.type": "rar", "min.insync.replicas": "0"}

    def bad_config(self):
        for name, text in self.BAD_CONFIGS.items():
            refused(INVALID_CONFIG, f"create with {name}={text}", self.create, self.topic("bad"), 1, {name: text})
            refused(INVALID_CONFIG, f"alter to {name}={text}", self.alter, self.main, ("set", name, text))

    # Deleting

    def delete_topics(self):
        self.parted()
        self.delete(self.created)

    def delete_some_records(self):
        topic = self.topic("none")
        low = self.delete_records(topic, 0, 20)
        if low is not None:
            equal("low watermark", 20, low)
        equal("ends after deleting", (20, self.per_partition), self.watermarks(topic, 0))
        refused(OFFSET_OUT_OF_RANGE, "read below the start", self.read_at, topic, 0, 19)
        records = self.consume(topic, {0: 20}, self.per_partition - 20)
        equal("records left", self.per_partition - 20, len(records))
        self.check(records, {0: 20})
        refused(OFFSET_OUT_OF_RANGE, "delete beyond the end", self.delete_records, topic, 0, 100_000)

    def deleted_topic(self):
        until("describing a deleted topic", UNKNOWN_TOPIC, lambda: self.describe(self.main))
        equal("topics left", [], [topic for topic in self.topics() if topic.startswith(self.run_id)])
