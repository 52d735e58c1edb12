"""The common steps with the command line tools of Apache Kafka: console producer and consumer, topics, offsets, delete-records.

They take lines of text, choose the partition by the key and set the timestamp themselves, so records go to topics of one
partition; kafka-configs is no part of the kafka-tools package.
"""
import json
import os
import re
import tempfile

from group_steps import ConsoleGroups
from steps import INVALID_PARTITIONS, INVALID_TIMESTAMP, MESSAGE_TOO_LARGE, UNKNOWN_TOPIC, Client, Record, equal, refused
from tool import raise_if_named, tool

NULL = "NULL"
NO_TRANSACTIONS = "a console producer has no transactions"


class Console(ConsoleGroups, Client):
    name = "kafka-console"
    spread = 1
    sets_timestamps = False
    cannot = {"alter-config": "kafka-configs is no part of the kafka-tools package",
              "error-bad-config": "kafka-topics itself refuses what it does not understand",
              "admin-configs": "kafka-configs is no part of the kafka-tools package",
              "admin-quotas": "kafka-configs is no part of the kafka-tools package",
              "group-commit-metadata": "the tools neither write nor show it",
              "group-seek-time": "a console consumer in a group does not seek",
              "group-static": "nobody shows whether the others noticed",
              "error-fenced-member": "a console consumer commits in its own time",
              "transaction-commit": NO_TRANSACTIONS,
              "transaction-abort": NO_TRANSACTIONS,
              "transaction-offsets": NO_TRANSACTIONS,
              "transaction-fenced": NO_TRANSACTIONS}
    TOPIC_CONFIGS = {"retention.ms": "7200000", "max.message.bytes": "200000"}

    def version(self):
        return os.environ["TOOL_VERSION"]

    def record(self, i):
        key = {0: None, 1: b""}.get(i % 10, f"key-é-{i}".encode())
        value = None if i % 10 == 7 else f"line {i} ä ".encode() * (i % 50)
        return Record(0, None, key, value, [("n", str(i).encode()), ("n", b"again")])

    def create(self, topic, partitions, configs, replication=1):
        settings = [word for name, text in configs.items() for word in ("--config", f"{name}={text}")]
        tool("TopicCommand", "--create", "--topic", topic, "--partitions", partitions, "--replication-factor", replication, *settings)

    def describe(self, topic):
        text = tool("TopicCommand", "--describe", "--topic", topic)
        found = re.findall(r"\tPartition: (\d+)\tLeader: (\w+)\tReplicas: ([\d,]*)\tIsr: ([\d,]*)", text)
        return [(int(partition), -1 if leader == "none" else int(leader), [int(n) for n in replicas.split(",")],
                 [int(n) for n in isr.split(",")]) for partition, leader, replicas, isr in found]

    def describe_topic(self):
        super_steps = self.describe(self.main)
        equal("partitions, leaders, replicas", [(number, leader, [leader], [leader])
              for number, (_, leader, _, _) in enumerate(super_steps)], sorted(super_steps))
        equal("partition count", 3, len(super_steps))
        configs = re.search(r"Configs: (\S*)", tool("TopicCommand", "--describe", "--topic", self.main))[1].split(",")
        # The tool also shows what is set on the broker.
        equal("configs", set(), {f"{name}={text}" for name, text in self.TOPIC_CONFIGS.items()} - set(configs))

    def grow(self, topic, count):
        tool("TopicCommand", "--alter", "--topic", topic, "--partitions", count)

    def topics(self):
        return set(tool("TopicCommand", "--list").split())

    def delete(self, topics):
        for topic in [self.run_id + "-.*"] if len(topics) > 1 else topics:
            tool("TopicCommand", "--delete", "--topic", topic)

    def produce(self, topic, records, codec="none", acks="all", idempotent=True):
        lines = [b"\t".join((b",".join(name.encode() + b":" + text for name, text in record.headers or [("h", b"1")]),
                             NULL.encode() if record.key is None else record.key,
                             NULL.encode() if record.value is None else record.value)) for record in records]
        tool("ConsoleProducer", "--topic", topic, "--compression-codec", codec, "--request-required-acks", acks,
             "--command-property", f"enable.idempotence={str(idempotent).lower()}", "--command-property", "linger.ms=100",
             "--command-property", "max.request.size=5000000", "--max-partition-memory-bytes", 65536,
             *self.properties("reader", **{"parse.key": "true", "parse.headers": "true", "null.marker": NULL}),
             data=b"\n".join(lines) + b"\n")

    @staticmethod
    def properties(kind, **settings):
        return [word for name, text in settings.items() for word in (f"--{kind}-property", f"{name}={text}")]

    def consume(self, topic, starts, count):
        (partition, offset), = starts.items()
        shown = dict.fromkeys(("print.timestamp", "print.key", "print.offset", "print.headers", "print.partition"), "true")
        output = tool("consumer.ConsoleConsumer", "--topic", topic, "--partition", partition, "--offset", offset,
                      "--max-messages", count, "--timeout-ms", 20_000, *self.properties("formatter", **shown, **{"null.literal": NULL}))
        return [self.parsed(line) for line in output.splitlines()]

    @staticmethod
    def parsed(line):
        when, partition, offset, headers, key, value = line.split("\t")
        pairs = [pair.split(":", 1) for pair in headers.split(",")]
        return Record(int(partition.removeprefix("Partition:")), int(when.removeprefix("CreateTime:")),
                      None if key == NULL else key.encode(), None if value == NULL else value.encode(),
                      [(name, text.encode()) for name, text in pairs], int(offset.removeprefix("Offset:")))

    def read_at(self, topic, partition, offset):
        return tool("consumer.ConsoleConsumer", "--topic", topic, "--partition", partition, "--offset", offset, "--max-messages", 1,
                    "--timeout-ms", 20_000, "--command-property", "auto.offset.reset=none")

    def look_up(self, topic, partition, spec):
        time = {"earliest": -2, "latest": -1, "max": -3}.get(spec, spec)
        line = tool("GetOffsetShell", "--topic-partitions", f"{topic}:{partition}", "--time", time).strip()
        # The tool leaves out a partition that has no such offset.
        return int(line.rsplit(":", 1)[1]) if line else self.NOT_FOUND, None

    def watermarks(self, topic, partition):
        return self.look_up(topic, partition, "earliest")[0], self.look_up(topic, partition, "latest")[0]

    def both_ends(self):
        equal("ends", (0, self.per_partition), self.watermarks(self.topic("zstd"), 0))

    def delete_records(self, topic, partition, before):
        wanted = {"partitions": [{"topic": topic, "partition": partition, "offset": before}], "version": 1}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(wanted, file)
            file.flush()
            text = tool("DeleteRecordsCommand", "--offset-json-file", file.name)
        raise_if_named(text)
        return int(re.search(r"low_watermark: (\d+)", text)[1])

    def unknown_topic(self):
        unknown = self.topic("unknown")
        refused(UNKNOWN_TOPIC, "describe", self.describe, unknown)
        refused(UNKNOWN_TOPIC, "delete", self.delete, [unknown])
        refused(UNKNOWN_TOPIC, "describe after looking", self.describe, unknown)

    def too_large(self):
        topic = self.make("small", 1, {"max.message.bytes": "10000"})
        refused(MESSAGE_TOO_LARGE, "20,000 bytes", self.produce, topic, [Record(0, None, b"k", b"x" * 20_000, [])])
        self.produce(topic, [Record(0, None, b"k", b"x" * 5_000, [])])
        equal("ends after a refused and a good record", (0, 1), self.watermarks(topic, 0))

    def invalid_timestamp(self):
        # No record is from the very millisecond it arrives in, since the producer lingers.
        topic = self.make("bounded", 1, {"message.timestamp.before.max.ms": "0"})
        refused(INVALID_TIMESTAMP, "a record from the past", self.produce, topic, [Record(0, None, b"k", b"x", [])])
        equal("ends after a refused record", (0, 0), self.watermarks(topic, 0))

    def invalid_partitions(self):
        # kafka-topics itself refuses to ask for 0 partitions.
        refused(INVALID_PARTITIONS, "grow to 1", self.grow, self.main, 1)

    def log_dirs(self):
        told = json.loads(tool("LogDirsCommand", "--describe").splitlines()[-1])
        places = [(part["partition"].rsplit("-", 1), part["size"]) for broker in told["brokers"]
                  for path in broker["logDirs"] for part in path["partitions"]]
        return {(topic, int(partition)): size for (topic, partition), size in places}

    def ends(self, topic):
        first, last = (dict(line.rsplit(":", 2)[1:] for line in tool("GetOffsetShell", "--topic", topic, "--time", time).split())
                       for time in (-2, -1))
        return {int(partition): (int(first[partition]), int(last[partition])) for partition in first}


Console().main_loop()
