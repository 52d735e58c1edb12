"""The common steps with kafka-python 3, which speaks the protocol in Python alone."""
import re

from groups import Described
from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka_python import KafkaPythonClient, answer
from steps import PARTITIONS, UNKNOWN_TOPIC, Refused, Wrong

SPECS = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST, "max": OffsetSpec.MAX_TIMESTAMP}


def all_taken(results):
    """What the admin client answers per item is a class of errors."""
    for place, error in results.items():
        if error is not errors.NoError:
            raise Refused(error.errno, f"{place}")


class KafkaPython(KafkaPythonClient):
    name = "kafka-python"

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

    def committed(self, group, topic):
        asked = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        found = answer(self.admin.list_group_offsets, {group: asked})[group]
        return {place.partition: (at.offset, at.metadata) for place, at in found.items() if at.offset >= 0}

    def groups(self):
        return {group["group_id"]: (group["group_state"], group["group_type"]) for group in answer(self.admin.list_groups)}

    def describe_group(self, group):
        described = answer(self.admin.describe_groups, [group])[group]
        return Described(described["group_state"], described["protocol_data"], [
            (member["client_id"], member["client_host"],
             {(topic["topic"], p) for topic in member["member_assignment"]["assigned_partitions"] for p in topic["partitions"]})
            for member in described["members"]])

    def alter_offsets(self, group, offsets):
        wanted = {TopicPartition(*place): OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
        all_taken(answer(self.admin.alter_group_offsets, group, wanted))

    def delete_offsets(self, group, places):
        all_taken(answer(self.admin.delete_group_offsets, group, [TopicPartition(*place) for place in places]))

    def delete_group(self, group):
        # The admin client answers with the name of the error's class.
        word = answer(self.admin.delete_groups, [group])[group]
        if word != "OK":
            raise Refused(getattr(errors, word).errno, word)

    def log_dirs(self):
        return {(topic["name"], partition["partition_index"]): partition["partition_size"]
                for broker in answer(self.admin.describe_log_dirs) for path in broker["log_dirs"]
                for topic in path["topics"] for partition in topic["partitions"]}

    def ends(self, topic):
        found = []
        for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST):
            asked = {TopicPartition(topic, partition): spec for partition in range(PARTITIONS)}
            found.append({place.partition: at.offset for place, at in answer(self.admin.list_partition_offsets, asked).items()})
        return {partition: (found[0][partition], found[1][partition]) for partition in range(PARTITIONS)}

    def broker(self):
        return str(self.describe(self.topic("zstd"))[0][1])

    def broker_configs(self):
        resource = ConfigResource(ConfigResourceType.BROKER, self.broker())
        (described,) = answer(self.admin.describe_configs, [resource], config_filter="all")["broker"].values()
        return {name: entry["value"] for name, entry in described.items()}

    def alter_broker(self, key, value):
        change = {key: ("DELETE", None) if value is None else ("SET", value)}
        resource = ConfigResource(ConfigResourceType.BROKER, self.broker(), change)
        (result,) = answer(self.admin.alter_configs, [resource], raise_on_unknown=False)["broker"].values()
        if result != "OK":
            raise Wrong(f"altering {key}: {result}")


KafkaPython().main_loop()
