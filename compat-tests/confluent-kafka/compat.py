"""The common steps with confluent-kafka, librdkafka in Python."""
import time

import confluent_kafka
from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer,
                             TopicCollection, TopicPartition)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource,
                                   NewPartitions, NewTopic, OffsetSpec, ResourceType)

from groups import HEARTBEAT_MS, METADATA_MAX_AGE_MS, SESSION_TIMEOUT_MS, Described
from steps import BOOTSTRAP, DEADLINE_S, INVALID_PARTITIONS, PARTITIONS, Client, Record, Refused, Wrong, refused
from transactions import PRODUCER_FENCED

OPS = {"set": AlterConfigOpType.SET, "delete": AlterConfigOpType.DELETE,
       "append": AlterConfigOpType.APPEND, "subtract": AlterConfigOpType.SUBTRACT}
SPECS = {"earliest": OffsetSpec.earliest(), "latest": OffsetSpec.latest(), "max": OffsetSpec.max_timestamp()}


def answer(futures):
    """The one result of an admin call."""
    try:
        return [future.result(DEADLINE_S) for future in futures.values()][0]
    except KafkaException as error:
        raise Refused(error.args[0].code(), error.args[0].str()) from error


def fresh_admin():
    """For what goes to leaders: a handle that described a topic before it had leaders may answer "No leaders found" from
    what it remembers, without asking the broker again (librdkafka 2.16, against Apache Kafka too)."""
    return AdminClient({"bootstrap.servers": BOOTSTRAP})


def read(message):
    return Record(message.partition(), message.timestamp()[1], message.key(), message.value(),
                  [tuple(header) for header in message.headers() or []], message.offset(), message.topic())


def send(producer, topic, records):
    """Waits for all, and answers their offsets."""
    offsets, errors = [None] * len(records), []

    def delivered(index):
        def report(error, message):
            if error:
                errors.append(error)
            else:
                offsets[index] = message.offset()
        return report

    for i, record in enumerate(records):
        when = {} if record.timestamp is None else {"timestamp": record.timestamp}
        producer.produce(topic, record.value, record.key, record.partition, delivered(i), headers=record.headers, **when)
    undelivered = producer.flush(DEADLINE_S)
    if errors:
        raise Refused(errors[0].code(), errors[0].str())
    if undelivered:
        raise Wrong(f"{undelivered} records are not acknowledged within {DEADLINE_S} s")
    return offsets


class Transactional:
    """What lib/transactions.py asks of a producer."""

    def __init__(self, transactional_id):
        self.producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": transactional_id})
        self.ask(self.producer.init_transactions, DEADLINE_S)

    def ask(self, call, *args):
        try:
            call(*args)
        except KafkaException as error:
            # librdkafka's own word for what the broker says with 47 or 90.
            code = PRODUCER_FENCED if error.args[0].code() == KafkaError._FENCED else error.args[0].code()
            raise Refused(code, error.args[0].str()) from error

    def begin(self):
        self.ask(self.producer.begin_transaction)

    def send(self, topic, records):
        send(self.producer, topic, records)

    def send_offsets(self, member, _group, offsets):
        places = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        self.ask(self.producer.send_offsets_to_transaction, places, member.consumer.consumer_group_metadata(), DEADLINE_S)

    def commit(self):
        self.ask(self.producer.commit_transaction, DEADLINE_S)

    def abort(self):
        self.ask(self.producer.abort_transaction, DEADLINE_S)

    def close(self):
        # It ends with the last hold on it.
        self.producer = None


class GroupConsumer:
    """What lib/members.py asks of a consumer."""

    def __init__(self, group, topics, client_id, instance_id, protocol, reset):
        settings = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "client.id": client_id, "group.protocol": protocol,
                    "enable.auto.commit": False, "auto.offset.reset": {"none": "error"}.get(reset, reset),
                    "metadata.max.age.ms": METADATA_MAX_AGE_MS, "topic.metadata.refresh.interval.ms": METADATA_MAX_AGE_MS}
        if protocol == "classic":
            settings |= {"session.timeout.ms": SESSION_TIMEOUT_MS, "heartbeat.interval.ms": HEARTBEAT_MS}
        if instance_id:
            settings["group.instance.id"] = instance_id
        self.rebalances = 0
        self.consumer = Consumer(settings)
        self.consumer.subscribe(topics, on_assign=self.assigned)

    def assigned(self, _consumer, _partitions):
        self.rebalances += 1

    def poll(self):
        messages = self.consumer.consume(500, timeout=0.1)
        for message in messages:
            if message.error():
                raise Refused(message.error().code(), message.error().str())
        return [read(message) for message in messages]

    def owned(self):
        return {(place.topic, place.partition) for place in self.consumer.assignment()}

    def commit(self, offsets=None):
        try:
            if offsets is None:
                self.consumer.commit(asynchronous=False)
                return
            places = [TopicPartition(*place, offset, text) for place, (offset, text) in offsets.items()]
            for place in self.consumer.commit(offsets=places, asynchronous=False):
                if place.error:
                    raise KafkaException(place.error)
        except KafkaException as error:
            raise Refused(error.args[0].code(), error.args[0].str()) from error

    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition, offset))

    def offset_at(self, topic, partition, ms):
        return self.consumer.offsets_for_times([TopicPartition(topic, partition, ms)], timeout=DEADLINE_S)[0].offset

    def member_id(self):
        return self.consumer.memberid()

    def close(self):
        self.consumer.close()


class Confluent(Client):
    name = "confluent-kafka"
    cannot = {"group-delete-offsets": "the Python client has no call for it",
              "admin-log-dirs": "the Python client has no call for it",
              "admin-quotas": "the Python client has no call for it"}

    def __init__(self):
        super().__init__()
        self.admin = AdminClient({"bootstrap.servers": BOOTSTRAP})

    def version(self):
        return f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})"

    def create(self, topic, partitions, configs, replication=1):
        answer(self.admin.create_topics([NewTopic(topic, partitions, replication, config=configs)]))

    def describe(self, topic):
        described = answer(self.admin.describe_topics(TopicCollection([topic])))
        return [(p.id, p.leader.id if p.leader else -1, [n.id for n in p.replicas], [n.id for n in p.isr])
                for p in described.partitions]

    def configs(self, topic):
        entries = answer(self.admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))
        return {name: (entry.value, entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
                for name, entry in entries.items()}

    def alter(self, topic, *ops):
        entries = [ConfigEntry(key, value, incremental_operation=OPS[op]) for op, key, value in ops]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        answer(self.admin.incremental_alter_configs([resource]))

    def grow(self, topic, count):
        answer(self.admin.create_partitions([NewPartitions(topic, count)]))

    def topics(self):
        return set(self.admin.list_topics(timeout=DEADLINE_S).topics)

    def delete(self, topics):
        for future in self.admin.delete_topics(topics).values():
            answer({0: future})

    def invalid_partitions(self):
        # librdkafka refuses to send 0 partitions; growing by too little is left to the broker.
        for count in (1, PARTITIONS + 2):
            refused(INVALID_PARTITIONS, f"grow to {count}", self.grow, self.main, count)

    def produce(self, topic, records, codec="none", acks="all", idempotent=True):
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "compression.type": codec, "acks": acks,
                             "enable.idempotence": idempotent, "message.max.bytes": 1_000_000, "linger.ms": 5})
        return send(producer, topic, records)

    def consumer(self, committed=False):
        return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": self.run_id, "enable.auto.commit": False,
                         "isolation.level": "read_committed" if committed else "read_uncommitted",
                         "auto.offset.reset": "error", "enable.partition.eof": True})

    def consume(self, topic, starts, count, committed=False):
        consumer, records, ended = self.consumer(committed), [], set()
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in starts.items()])
        deadline = time.monotonic() + DEADLINE_S
        while len(ended) < len(starts) and time.monotonic() < deadline:
            for message in consumer.consume(500, timeout=0.2):
                if message.error() is None:
                    records.append(read(message))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    raise Refused(message.error().code(), message.error().str())
        consumer.close()
        return records

    def read_at(self, topic, partition, offset):
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, partition, offset)])
        message = consumer.poll(DEADLINE_S)
        consumer.close()
        if message is None:
            raise Wrong("neither a record nor an error")
        if message.error() is None:
            return message.offset()
        # librdkafka wraps the broker's error in its own, because there is no reset to fall back on.
        if message.error().code() == KafkaError._AUTO_OFFSET_RESET and "out of range" in message.error().str().lower():
            raise Refused(1)
        raise Refused(message.error().code(), message.error().str())

    def watermarks(self, topic, partition):
        consumer = self.consumer()
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=DEADLINE_S)
        finally:
            consumer.close()

    def look_up(self, topic, partition, spec):
        wanted = SPECS.get(spec) or OffsetSpec.for_timestamp(spec)
        # Kept in a variable, since a handle that nobody holds any more never answers.
        admin = fresh_admin()
        found = answer(admin.list_offsets({TopicPartition(topic, partition): wanted}))
        if isinstance(spec, int):
            consumer = self.consumer()
            asked = consumer.offsets_for_times([TopicPartition(topic, partition, spec)], timeout=DEADLINE_S)[0]
            consumer.close()
            if asked.error or asked.offset != found.offset:
                raise Wrong(f"offsets_for_times says {asked.offset} {asked.error}, list_offsets {found.offset}")
        return found.offset, found.timestamp

    def delete_records(self, topic, partition, before):
        admin = fresh_admin()
        return answer(admin.delete_records([TopicPartition(topic, partition, before)])).low_watermark

    def member(self, group, topics, *, pattern=None, client_id="compat", instance_id=None, protocol="classic", reset="earliest"):
        return GroupConsumer(group, topics or [pattern], client_id, instance_id, protocol, reset)

    def transactional(self, transactional_id):
        return Transactional(transactional_id)

    def committed(self, group, topic):
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in range(PARTITIONS)])
        found = answer(self.admin.list_consumer_group_offsets([asked])).topic_partitions
        return {place.partition: (place.offset, place.metadata or "") for place in found if place.offset >= 0}

    def groups(self):
        listed = answer({0: self.admin.list_consumer_groups()}).valid
        return {group.group_id: (group.state.name, group.type.name) for group in listed}

    def describe_group(self, group):
        described = answer(self.admin.describe_consumer_groups([group]))
        return Described(described.state.name, described.partition_assignor,
                         [(member.client_id, member.host, {(p.topic, p.partition) for p in member.assignment.topic_partitions})
                          for member in described.members])

    def alter_offsets(self, group, offsets):
        places = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        altered = answer(self.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)]))
        for place in altered.topic_partitions:
            if place.error:
                raise Refused(place.error.code(), place.error.str())

    def delete_group(self, group):
        answer(self.admin.delete_consumer_groups([group]))

    def ends(self, topic):
        found = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
            admin = fresh_admin()
            asked = admin.list_offsets({TopicPartition(topic, p): spec for p in range(PARTITIONS)})
            found.append({place.partition: future.result(DEADLINE_S).offset for place, future in asked.items()})
        return {partition: (found[0][partition], found[1][partition]) for partition in range(PARTITIONS)}

    def broker(self):
        return ConfigResource(ResourceType.BROKER, str(self.describe(self.topic("zstd"))[0][1]))

    def broker_configs(self):
        return {name: entry.value for name, entry in answer(self.admin.describe_configs([self.broker()])).items()}

    def alter_broker(self, key, value):
        resource = self.broker()
        operation = OPS["delete" if value is None else "set"]
        resource.add_incremental_config(ConfigEntry(key, value, incremental_operation=operation))
        answer(self.admin.incremental_alter_configs([resource]))


Confluent().main_loop()
