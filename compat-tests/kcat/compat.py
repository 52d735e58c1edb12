"""The common steps with kcat, and the old librdkafka of the distribution under it.

kcat has no admin side: it makes a topic only by producing to one that is not there, and topics with configs are made and
deleted by lib/wire.py. It can set neither a record's timestamp nor different headers in one run.
"""
import json
import os
import re
import select
import subprocess

import wire
from groups import HEARTBEAT_MS, METADATA_MAX_AGE_MS, SESSION_TIMEOUT_MS
from steps import (BOOTSTRAP, COUNT, DEADLINE_S, INVALID_TIMESTAMP, MESSAGE_TOO_LARGE, OFFSET_OUT_OF_RANGE, PARTITIONS,
                   UNKNOWN_TOPIC, Client, Record, Refused, equal, key, refused, until, value)

NO_ADMIN = "kcat has no admin side"
FIELD, RECORD = b"\x1f", b"\x1e"
ERRORS = {"Offset out of range": OFFSET_OUT_OF_RANGE, "Unknown topic or partition": UNKNOWN_TOPIC,
          "Message size too large": MESSAGE_TOO_LARGE, "Invalid timestamp": INVALID_TIMESTAMP}


def kcat(*words, data=None):
    command = ["kcat", "-b", BOOTSTRAP, "-m", str(DEADLINE_S), *map(str, words)]
    done = subprocess.run(command, input=data, capture_output=True, timeout=2 * DEADLINE_S, check=False)
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()
        raise Refused(next((code for words, code in ERRORS.items() if f"Broker: {words}" in text), -1), text)
    return done.stdout


class GroupConsumer:
    """What lib/members.py asks of a consumer: a kcat -G, which commits in its own time and says on standard error what it owns."""

    LINE = re.compile(rb"% Group \S+ rebalanced \(memberid \S+\): (assigned|revoked): ?([^\n]*)\n")

    def __init__(self, group, topics, client_id, instance_id, reset):
        settings = {"client.id": client_id, "session.timeout.ms": SESSION_TIMEOUT_MS, "heartbeat.interval.ms": HEARTBEAT_MS,
                    "auto.commit.interval.ms": 100, "auto.offset.reset": {"none": "error"}.get(reset, reset),
                    "topic.metadata.refresh.interval.ms": METADATA_MAX_AGE_MS, "partition.assignment.strategy": "range"}
        if instance_id:
            settings["group.instance.id"] = instance_id
        words = [word for name, text in settings.items() for word in ("-X", f"{name}={text}")]
        self.process = subprocess.Popen(["kcat", "-b", BOOTSTRAP, *words, "-u", "-f", "%t %p %o %T %s\n", "-G", group, *topics],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.rebalances, self.places, self.open = 0, set(), {self.process.stdout: b"", self.process.stderr: b""}

    def poll(self):
        for pipe in select.select(list(self.open), [], [], 0.1)[0]:
            data = os.read(pipe.fileno(), 65536)
            if not data:
                raise Refused(-1, f"kcat ended: {self.open[self.process.stderr].decode()}")
            self.open[pipe] += data
        told = list(self.LINE.finditer(self.open[self.process.stderr]))
        for line in told:
            self.rebalances += line[1] == b"assigned"
            pairs = re.findall(r"(\S+) \[(\d+)\]", line[2].decode())
            self.places = {(topic, int(partition)) for topic, partition in pairs} if line[1] == b"assigned" else set()
        if told:
            self.open[self.process.stderr] = self.open[self.process.stderr][told[-1].end():]
        *lines, self.open[self.process.stdout] = self.open[self.process.stdout].split(b"\n")
        return [Record(int(partition), int(when), None, text, [], int(offset), topic.decode())
                for topic, partition, offset, when, text in (line.split(b" ", 4) for line in lines)]

    def owned(self):
        return set(self.places)

    def close(self):
        self.process.terminate()
        # What it still says is of no interest, but must not fill its pipes.
        self.process.communicate(timeout=DEADLINE_S)


class Kcat(Client):
    name = "kcat"
    commits_by_itself = True
    sets_timestamps = False
    cannot = dict.fromkeys(("alter-config", "create-partitions", "error-topic-exists", "error-invalid-partitions",
                            "error-invalid-replication", "error-invalid-name", "error-bad-config", "delete-records",
                            "group-describe", "group-alter-offsets", "group-delete-offsets", "group-delete",
                            "admin-log-dirs", "admin-list-offsets", "admin-configs", "admin-quotas"), NO_ADMIN)
    cannot |= dict.fromkeys(("group-commit-metadata", "group-seek-time", "error-fenced-member"),
                            "kcat commits in its own time, and a member of a group cannot be told to seek")
    cannot |= dict.fromkeys(("transaction-commit", "transaction-abort", "transaction-offsets", "transaction-fenced"),
                            "kcat makes one transaction of a run, and neither aborts it nor commits offsets with it")
    cannot["group-next-generation"] = "librdkafka 2.0 speaks the classic protocol alone"
    cannot["offset-max-timestamp"] = "librdkafka 2.0 speaks ListOffsets only up to v2"

    def version(self):
        text = subprocess.run(["kcat", "-V"], capture_output=True, check=True, text=True).stdout
        return re.search(r"Version (\S+)", text)[1] + " (librdkafka " + re.search(r"librdkafka (\S+)", text)[1] + ")"

    def record(self, i):
        # Nulls stand together at the end, because -Z makes null of every empty value of a run.
        plain = None if i >= COUNT - 30 else (value(i) or b"").replace(FIELD, b"").replace(RECORD, b"")
        # An empty key is given to -K as one, and no key by leaving out the delimiter, which an empty value cannot.
        return Record(i % self.spread, None, key(i) if plain else b"key", plain, [("twice", b"1"), ("twice", b"2"), ("e", b"")])

    def too_large(self):
        topic = self.make("small", 1, {"max.message.bytes": "10000"})
        refused(MESSAGE_TOO_LARGE, "20,000 bytes", self.produce, topic, [Record(0, None, b"k", b"x" * 20_000, [])])
        self.produce(topic, [Record(0, None, b"k", b"x" * 5_000, [])])
        equal("ends after a refused and a good record", (0, 1), self.watermarks(topic, 0))

    def create(self, topic, partitions, configs, replication=1):
        wire.create(BOOTSTRAP, topic, partitions, *(f"{name}={text}" for name, text in configs.items()))

    def create_topic(self):
        self.created.append(self.main)
        kcat("-P", "-t", self.main, data=b"made by asking for it\n")

    def metadata(self, *words):
        return json.loads(kcat("-L", "-J", "-X", "allow.auto.create.topics=false", *words))

    def describe(self, topic):
        described = self.metadata("-t", topic)["topics"][0]
        if "error" in described:
            raise Refused(next((code for words, code in ERRORS.items() if words in described["error"]), -1), described["error"])
        return [(p["partition"], p["leader"], [r["id"] for r in p["replicas"]], [r["id"] for r in p["isrs"]])
                for p in described["partitions"]]

    def describe_topic(self):
        until("a leader", True, lambda: all(leader >= 0 for _, leader, _, _ in self.describe(self.main)))
        for partition, leader, replicas, isr in self.describe(self.main):
            equal(f"replicas of partition {partition}", ([leader], [leader]), (replicas, isr))

    def topics(self):
        return {topic["topic"] for topic in self.metadata()["topics"]}

    def delete(self, topics):
        wire.delete(BOOTSTRAP, *topics)

    def produce(self, topic, records, codec="none", acks="all", idempotent=True):
        settings = ["-X", f"compression.codec={codec}", "-X", f"topic.acks={acks}", "-X", "linger.ms=100",
                    "-X", f"enable.idempotence={str(idempotent).lower()}", "-D", RECORD.decode(), "-K", FIELD.decode()]
        groups = {}
        for record in records:
            run = groups.setdefault(record.partition, [])
            if not run or (run[-1][-1].value is None) != (record.value is None):
                run.append([])
            run[-1].append(record)
        for partition, runs in groups.items():
            for run in runs:
                lines = [(b"" if r.key is None else r.key + FIELD) + (r.value or b"") for r in run]
                headers = [word for name, text in run[0].headers for word in ("-H", f"{name}={text.decode()}")]
                nulls = ["-Z"] if run[0].value is None else []
                kcat("-P", "-t", topic, "-p", partition, *settings, *headers, *nulls, data=RECORD.join(lines) + RECORD)

    def parsed(self, output):
        position = 0
        while position < len(output):
            head, _, _ = output[position:].partition(b"\n")
            partition, offset, when, key_size, size, headers = head.decode().split(" ", 5)
            position += len(head) + 1
            fields = []
            for length in (int(key_size), int(size)):
                fields.append(None if length < 0 else output[position:position + length])
                position += max(length, 0)
            pairs = [tuple(pair.split("=", 1)) for pair in headers.split(",") if pair]
            yield Record(int(partition), int(when), *fields, [(name, text.encode()) for name, text in pairs], int(offset))
            position += 1

    def consume(self, topic, starts, count):
        records = []
        for partition, offset in starts.items():
            output = kcat("-C", "-t", topic, "-p", partition, "-o", offset, "-e", "-X", "topic.auto.offset.reset=error",
                          "-f", "%p %o %T %K %S %h\n%k%s\n")
            records += self.parsed(output)
        return records

    def read_at(self, topic, partition, offset):
        return kcat("-C", "-t", topic, "-p", partition, "-o", offset, "-e", "-X", "topic.auto.offset.reset=error")

    def look_up(self, topic, partition, spec):
        wanted = {"earliest": -2, "latest": -1}.get(spec, spec)
        return int(kcat("-Q", "-t", f"{topic}:{partition}:{wanted}").split()[-1]), None

    def watermarks(self, topic, partition):
        return self.look_up(topic, partition, "earliest")[0], self.look_up(topic, partition, "latest")[0]

    def unknown_topic(self):
        unknown = self.topic("unknown")
        refused(UNKNOWN_TOPIC, "list", self.describe, unknown)
        refused(UNKNOWN_TOPIC, "read", kcat, "-C", "-t", unknown, "-p", 0, "-o", "beginning", "-e")
        refused(UNKNOWN_TOPIC, "list after looking", self.describe, unknown)

    def invalid_timestamp(self):
        # No record is from the very millisecond it arrives in, since the producer lingers.
        topic = self.make("bounded", 1, {"message.timestamp.before.max.ms": "0"})
        refused(INVALID_TIMESTAMP, "a record from the past", self.produce, topic, [Record(0, None, b"k", b"x", [])])
        equal("ends after a refused record", (0, 0), self.watermarks(topic, 0))

    def member(self, group, topics, *, pattern=None, client_id="compat", instance_id=None, protocol="classic", reset="earliest"):
        return GroupConsumer(group, topics or [pattern], client_id, instance_id, reset)

    def join_to_crash(self, group, topic):
        member = self.join(group, [topic])
        # It ends as its process does, and what it could not say any more is no error.
        member.crash = lambda: member.do(crash)

        def crash(consumer):
            member.leaving = True
            consumer.process.kill()
            consumer.process.wait()
        return member

    def committed(self, group, topic):
        return wire.committed(BOOTSTRAP, group, topic, range(PARTITIONS))


Kcat().main_loop()
