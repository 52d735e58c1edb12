"""The common steps with the last kafka-python 2, whose admin client hands out the responses as they came."""
from groups import Described
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka_python import KafkaPythonClient, answer
from steps import PARTITIONS, Refused

DYNAMIC_TOPIC_CONFIG = 1


def taken(results):
    """Items that open with an error code and its message."""
    for code, text, *_ in results:
        if code:
            raise Refused(code, text)


class KafkaPython2(KafkaPythonClient):
    name = "kafka-python-2"
    cannot = KafkaPythonClient.cannot | dict.fromkeys(
        ("produce-acks0", "consume-acks0"), "a request without an answer stays in the client's buffer") | {
        "offset-max-timestamp": "the client has no word for it",
        "admin-log-dirs": "the client speaks DescribeLogDirs v0 alone, which Kafka 4 no longer does",
        "group-alter-offsets": "the admin client has no call for it",
        "group-delete-offsets": "the admin client has no call for it"}
    lists_states = lists_types = False

    def metadata_of(self, consumer, group):
        return group

    def create(self, topic, partitions, configs, replication=1):
        answer(self.admin.create_topics, [NewTopic(topic, partitions, replication, topic_configs=configs)])

    def describe(self, topic):
        described = answer(self.admin.describe_topics, [topic])[0]
        if described["error_code"]:
            raise Refused(described["error_code"])
        return [(p["partition"], p["leader"], p["replicas"], p["isr"]) for p in described["partitions"]]

    def described(self, kind, name):
        (response,) = answer(self.admin.describe_configs, [ConfigResource(kind, name)])
        taken(response.resources)
        (resource,) = response.resources
        return resource[4]

    def configs(self, topic):
        return {name: (text, source == DYNAMIC_TOPIC_CONFIG)
                for name, text, _, source, *_ in self.described(ConfigResourceType.TOPIC, topic)}

    def alter(self, topic, *ops):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, self.replaced(topic, ops))
        taken(answer(self.admin.alter_configs, [resource]).resources)

    def grow(self, topic, count):
        answer(self.admin.create_partitions, {topic: NewPartitions(count)})

    def topics(self):
        return set(answer(self.admin.list_topics))

    def delete(self, topics):
        answer(self.admin.delete_topics, topics)

    def look_up(self, topic, partition, spec):
        consumer, asked = self.consumer(), TopicPartition(topic, partition)
        try:
            if spec in ("earliest", "latest"):
                ask = consumer.beginning_offsets if spec == "earliest" else consumer.end_offsets
                return ask([asked])[asked], None
            found = consumer.offsets_for_times({asked: spec})[asked]
            return (found.offset, found.timestamp) if found else (self.NOT_FOUND, -1)
        finally:
            consumer.close()

    def delete_records(self, topic, partition, before):
        asked = TopicPartition(topic, partition)
        return answer(self.admin.delete_records, {asked: before})[asked]["low_watermark"]

    def committed(self, group, topic):
        asked = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        found = answer(self.admin.list_consumer_group_offsets, group, partitions=asked)
        return {place.partition: (at.offset, at.metadata) for place, at in found.items() if at.offset >= 0}

    def groups(self):
        return {group: (None, None) for group, _ in answer(self.admin.list_consumer_groups)}

    def describe_group(self, group):
        (described,) = answer(self.admin.describe_consumer_groups, [group])
        return Described(described.state, described.protocol, [
            (member.client_id, member.client_host,
             {(topic, p) for topic, parts in member.member_assignment.assignment for p in parts})
            for member in described.members])

    def delete_group(self, group):
        ((_, error),) = answer(self.admin.delete_consumer_groups, [group])
        if error.errno:
            raise Refused(error.errno, error.__name__)

    def ends(self, topic):
        consumer, asked = self.consumer(), [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        first, last = consumer.beginning_offsets(asked), consumer.end_offsets(asked)
        consumer.close()
        return {place.partition: (first[place], last[place]) for place in asked}

    def broker(self):
        return str(self.describe(self.topic("zstd"))[0][1])

    def broker_configs(self):
        return {name: text for name, text, *_ in self.described(ConfigResourceType.BROKER, self.broker())}

    def alter_broker(self, key, value):
        resource = ConfigResource(ConfigResourceType.BROKER, self.broker(), {} if value is None else {key: value})
        taken(answer(self.admin.alter_configs, [resource]).resources)


KafkaPython2().main_loop()
