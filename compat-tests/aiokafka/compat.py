"""The common steps with aiokafka, Kafka for asyncio; all its clients live on one event loop in a thread of its own."""
import asyncio
import importlib.metadata
import logging
import threading

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import CommitFailedError, KafkaError, ProducerFenced, for_code

from groups import HEARTBEAT_MS, ILLEGAL_GENERATION, METADATA_MAX_AGE_MS, SESSION_TIMEOUT_MS, Described
from steps import BOOTSTRAP, DEADLINE_S, PARTITIONS, UNKNOWN_TOPIC, Client, Record, Refused
from transactions import PRODUCER_FENCED

DYNAMIC_TOPIC_CONFIG = 1
# It warns of what the steps provoke.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()


def wait(coroutine):
    """What the coroutine answers; the client's own errors carry the broker's code as `errno`."""
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result(2 * DEADLINE_S)
    except CommitFailedError as error:
        raise Refused(ILLEGAL_GENERATION, repr(error)) from error
    except ProducerFenced as error:
        raise Refused(PRODUCER_FENCED, repr(error)) from error
    except KafkaError as error:
        raise Refused(getattr(error, "errno", -1), repr(error)) from error


def taken(items):
    """Items of a response that open with an error code."""
    for code, *rest in items:
        if code:
            raise Refused(code, f"{for_code(code).__name__} {rest[:1]}")


def read(record):
    return Record(record.partition, record.timestamp, record.key, record.value, list(record.headers), record.offset, record.topic)


async def send(producer, topic, records):
    """Waits for all, and answers their offsets."""
    waiting = [await producer.send(topic, record.value, record.key, record.partition, record.timestamp, record.headers)
               for record in records]
    found = await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE_S)
    return [at.offset if at else None for at in found]


class Transactional:
    """What lib/transactions.py asks of a producer."""

    def __init__(self, transactional_id):
        wait(self.start(transactional_id))

    async def start(self, transactional_id):
        self.producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=transactional_id)
        await self.producer.start()

    def begin(self):
        wait(self.producer.begin_transaction())

    def send(self, topic, records):
        wait(send(self.producer, topic, records))

    def send_offsets(self, _member, group, offsets):
        wait(self.producer.send_offsets_to_transaction({TopicPartition(*place): at for place, at in offsets.items()}, group))

    def commit(self):
        wait(self.producer.commit_transaction())

    def abort(self):
        wait(self.producer.abort_transaction())

    def close(self):
        wait(self.producer.stop())


class GroupConsumer(ConsumerRebalanceListener):
    """What lib/members.py asks of a consumer."""

    def __init__(self, group, topics, pattern, client_id, instance_id, reset):
        self.rebalances = 0
        wait(self.start(topics, pattern, dict(
            bootstrap_servers=BOOTSTRAP, group_id=group, client_id=client_id, group_instance_id=instance_id,
            enable_auto_commit=False, auto_offset_reset=reset, session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS, metadata_max_age_ms=METADATA_MAX_AGE_MS)))

    async def start(self, topics, pattern, settings):
        self.consumer = AIOKafkaConsumer(**settings)
        self.consumer.subscribe(topics=topics or (), pattern=pattern, listener=self)
        await self.consumer.start()

    async def on_partitions_revoked(self, revoked):
        pass

    async def on_partitions_assigned(self, assigned):
        self.rebalances += 1

    def poll(self):
        return [read(record) for batch in wait(self.consumer.getmany(timeout_ms=100)).values() for record in batch]

    def owned(self):
        return {(place.topic, place.partition) for place in self.consumer.assignment()}

    def commit(self, offsets=None):
        if offsets is not None:
            offsets = {TopicPartition(*place): at for place, at in offsets.items()}
        wait(self.consumer.commit(offsets))

    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition), offset)

    def offset_at(self, topic, partition, ms):
        place = TopicPartition(topic, partition)
        return wait(self.consumer.offsets_for_times({place: ms}))[place].offset

    def member_id(self):
        return self.consumer._coordinator.member_id

    def close(self):
        wait(self.consumer.stop())


class Aiokafka(Client):
    name = "aiokafka"
    assignor = "roundrobin"
    lists_states = lists_types = False
    cannot = {"offset-max-timestamp": "the client has no word for it",
              "group-alter-offsets": "the admin client has no call for it",
              "group-delete-offsets": "the admin client has no call for it",
              "group-delete": "the admin client has no call for it",
              "group-next-generation": "the client speaks the classic protocol alone",
              "admin-log-dirs": "the admin client has no call for it",
              "admin-quotas": "the admin client has no call for it"}

    def __init__(self):
        super().__init__()
        self.admin = wait(self.start())

    async def start(self):
        admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
        await admin.start()
        return admin

    def version(self):
        return importlib.metadata.version("aiokafka")

    def create(self, topic, partitions, configs, replication=1):
        asked = self.admin.create_topics([NewTopic(topic, partitions, replication, topic_configs=configs)])
        taken((code, text) for _, code, text in wait(asked).topic_errors)

    def describe(self, topic):
        # Of all topics, because asking for one by its name makes it.
        described = [found for found in wait(self.admin.describe_topics()) if found["topic"] == topic]
        if not described:
            raise Refused(UNKNOWN_TOPIC, topic)
        taken([(described[0]["error_code"], topic)])
        return [(p["partition"], p["leader"], p["replicas"], p["isr"]) for p in described[0]["partitions"]]

    def described(self, kind, name):
        (response,) = wait(self.admin.describe_configs([ConfigResource(kind, name)]))
        taken(response.resources)
        return response.resources[0][4]

    def configs(self, topic):
        return {name: (text, source == DYNAMIC_TOPIC_CONFIG)
                for name, text, _, source, *_ in self.described(ConfigResourceType.TOPIC, topic)}

    def alter_configs(self, resource):
        for response in wait(self.admin.alter_configs([resource])):
            taken(response.resources)

    def alter(self, topic, *ops):
        self.alter_configs(ConfigResource(ConfigResourceType.TOPIC, topic, self.replaced(topic, ops)))

    def grow(self, topic, count):
        wait(self.admin.create_partitions({topic: NewPartitions(count)}))

    def topics(self):
        return set(wait(self.admin.list_topics()))

    def delete(self, topics):
        taken((code, topic) for topic, code in wait(self.admin.delete_topics(topics)).topic_error_codes)

    def produce(self, topic, records, codec="none", acks="all", idempotent=True):
        return wait(self.sent(topic, records, None if codec == "none" else codec, acks, idempotent))

    async def sent(self, topic, records, codec, acks, idempotent):
        producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks=acks if acks == "all" else int(acks), linger_ms=5,
                                    compression_type=codec, enable_idempotence=idempotent)
        await producer.start()
        try:
            return await send(producer, topic, records)
        finally:
            await producer.stop()

    async def with_consumer(self, use, **settings):
        consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="none", enable_auto_commit=False, **settings)
        await consumer.start()
        try:
            return await asyncio.wait_for(use(consumer), DEADLINE_S)
        finally:
            await consumer.stop()

    def consume(self, topic, starts, count, committed=False):
        async def use(consumer):
            records = []
            consumer.assign([TopicPartition(topic, partition) for partition in starts])
            for partition, offset in starts.items():
                consumer.seek(TopicPartition(topic, partition), offset)
            while len(records) < count:
                records += [read(r) for batch in (await consumer.getmany(timeout_ms=200)).values() for r in batch]
            return records + [read(r) for batch in (await consumer.getmany(timeout_ms=100)).values() for r in batch]
        return wait(self.with_consumer(use, isolation_level="read_committed" if committed else "read_uncommitted"))

    def read_at(self, topic, partition, offset):
        async def use(consumer):
            consumer.assign([TopicPartition(topic, partition)])
            consumer.seek(TopicPartition(topic, partition), offset)
            return await consumer.getone()
        return wait(self.with_consumer(use))

    def ends_of(self, places):
        async def use(consumer):
            return await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        return wait(self.with_consumer(use))

    def watermarks(self, topic, partition):
        asked = TopicPartition(topic, partition)
        first, last = self.ends_of([asked])
        return first[asked], last[asked]

    def ends(self, topic):
        first, last = self.ends_of([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
        return {place.partition: (first[place], last[place]) for place in first}

    def look_up(self, topic, partition, spec):
        if spec in ("earliest", "latest"):
            return self.watermarks(topic, partition)[spec == "latest"], None
        asked = TopicPartition(topic, partition)
        found = wait(self.with_consumer(lambda consumer: consumer.offsets_for_times({asked: spec})))[asked]
        return (found.offset, found.timestamp) if found else (self.NOT_FOUND, -1)

    def delete_records(self, topic, partition, before):
        asked = TopicPartition(topic, partition)
        return wait(self.admin.delete_records({asked: RecordsToDelete(before)}))[asked]

    def member(self, group, topics, *, pattern=None, client_id="compat", instance_id=None, protocol="classic", reset="earliest"):
        return GroupConsumer(group, topics, pattern, client_id, instance_id, reset)

    def transactional(self, transactional_id):
        return Transactional(transactional_id)

    def committed(self, group, topic):
        asked = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        found = wait(self.admin.list_consumer_group_offsets(group, partitions=asked))
        return {place.partition: (at.offset, at.metadata) for place, at in found.items() if at.offset >= 0}

    def groups(self):
        return {group: (None, None) for group, *_ in wait(self.admin.list_consumer_groups())}

    def describe_group(self, group):
        ((code, _, state, _, protocol, members, *_),) = wait(self.admin.describe_consumer_groups([group]))[0].groups
        taken([(code, group)])
        return Described(state, protocol, [
            (client_id, host,
             {(topic, p) for topic, parts in ConsumerProtocolMemberAssignment.decode(owned).assignment for p in parts})
            for _, client_id, host, _, owned, *_ in members])

    def broker(self):
        return str(self.describe(self.topic("zstd"))[0][1])

    def broker_configs(self):
        return {name: text for name, text, *_ in self.described(ConfigResourceType.BROKER, self.broker())}

    def alter_broker(self, key, value):
        self.alter_configs(ConfigResource(ConfigResourceType.BROKER, self.broker(), {} if value is None else {key: value}))


Aiokafka().main_loop()
