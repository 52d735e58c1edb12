"""The common steps with kafka-python, which speaks the protocol in Python alone."""
import re
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError

from steps import BOOTSTRAP, DEADLINE_S, UNKNOWN_TOPIC, Client, Record, Refused, Wrong

SPECS = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST, "max": OffsetSpec.MAX_TIMESTAMP}


def answer(call, *args, **named):
    """The client's own errors carry the broker's code as `errno`."""
    try:
        return call(*args, **named)
    except KafkaError as error:
        raise Refused(getattr(error, "errno", -1), repr(error)) from error


class KafkaPython(Client):
    name = "kafka-python"

    def __init__(self):
        super().__init__()
        self.admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)

    def version(self):
        return kafka.__version__

    def record(self, i):
        # The client refuses a header without a value before it sends anything.
        common = super().record(i)
        return common._replace(headers=[(name, value or b"") for name, value in common.headers])

    def create(self, topic, partitions, configs, replication=1):
        wanted = {"num_partitions": partitions, "replication_factor": replication, "configs": configs}
        answer(self.admin.create_topics, {topic: wanted})

    def describe(self, topic):
        described = answer(self.admin.describe_topics, [topic])[0]
        if described["error_code"]:
            raise Refused(described["error_code"])
        return [(p["partition_index"], p["leader_id"], p["replica_nodes"], p["isr_nodes"])
                for p in described["partitions"]]

    def configs(self, topic):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        described = answer(self.admin.describe_configs, [resource], config_filter="all")["topic"][topic]
        if not described:
            # The client drops the error code of DescribeConfigs; a topic that exists has configs.
            raise Refused(UNKNOWN_TOPIC)
        return {name: (entry["value"], entry["config_source"] == "DYNAMIC_TOPIC_CONFIG")
                for name, entry in described.items()}

    def alter(self, topic, *ops):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic,
                                  {key: (op.upper(), value) for op, key, value in ops})
        result = answer(self.admin.alter_configs, [resource], raise_on_unknown=False)["topic"][topic]
        if result != "OK":
            # The error comes as a text that opens with "[Error 40] ".
            raise Refused(int(re.match(r"\[Error (-?\d+)\]", result)[1]), result)

    def grow(self, topic, count):
        answer(self.admin.create_partitions, {topic: count})

    def topics(self):
        return set(answer(self.admin.list_topics))

    def delete(self, topics):
        answer(self.admin.delete_topics, topics)

    def produce(self, topic, records, codec="none", acks="all", idempotent=True):
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks=acks if acks == "all" else int(acks), linger_ms=5,
                                 compression_type=None if codec == "none" else codec, enable_idempotence=idempotent)
        try:
            sent = [answer(producer.send, topic, record.value, record.key, record.headers, record.partition,
                           record.timestamp) for record in records]
            producer.flush(DEADLINE_S)
            return [answer(future.get, DEADLINE_S).offset for future in sent]
        finally:
            producer.close(timeout=1)

    def consumer(self):
        return KafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="none", enable_auto_commit=False,
                             allow_auto_create_topics=False)

    def consume(self, topic, starts, count):
        consumer, records = self.consumer(), []
        partitions = [TopicPartition(topic, partition) for partition in starts]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, starts[partition.partition])
        deadline = time.monotonic() + DEADLINE_S
        while len(records) < count and time.monotonic() < deadline:
            for batch in answer(consumer.poll, 200).values():
                records += [Record(r.partition, r.timestamp, r.key, r.value, list(r.headers), r.offset) for r in batch]
        records += [r for batch in consumer.poll(100).values() for r in batch]
        consumer.close()
        return records

    def read_at(self, topic, partition, offset):
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, partition)])
        consumer.seek(TopicPartition(topic, partition), offset)
        deadline = time.monotonic() + DEADLINE_S
        try:
            while time.monotonic() < deadline:
                if found := answer(consumer.poll, 200):
                    return found
        finally:
            consumer.close()
        raise Wrong("neither a record nor an error")

    def watermarks(self, topic, partition):
        consumer, asked = self.consumer(), TopicPartition(topic, partition)
        try:
            return consumer.beginning_offsets([asked])[asked], consumer.end_offsets([asked])[asked]
        finally:
            consumer.close()

    def look_up(self, topic, partition, spec):
        asked = TopicPartition(topic, partition)
        found = answer(self.admin.list_partition_offsets, {asked: SPECS.get(spec, spec)})[asked]
        if isinstance(spec, int):
            consumer = self.consumer()
            other = consumer.offsets_for_times({asked: spec})[asked]
            consumer.close()
            if (other.offset if other else -1) != found.offset:
                raise Wrong(f"offsets_for_times says {other}, list_partition_offsets {found}")
        return found.offset, found.timestamp

    def delete_records(self, topic, partition, before):
        asked = TopicPartition(topic, partition)
        deleted = answer(self.admin.delete_records, {asked: before})[asked]
        return deleted["low_watermark"]


KafkaPython().main_loop()
