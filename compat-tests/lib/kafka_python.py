"""What the programs for kafka-python 2 and 3 share: records and groups, whose calls did not change; the admin client's did."""
import threading
import time

import kafka
from checks import BOOTSTRAP, DEADLINE_S, Record, Refused, Wrong
from groups import HEARTBEAT_MS, ILLEGAL_GENERATION, METADATA_MAX_AGE_MS, SESSION_TIMEOUT_MS
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError, KafkaError
from steps import Client

# The client's own errors for what the broker refused with a code, which they do not carry.
OWN_WORDS = {CommitFailedError: ILLEGAL_GENERATION}


def answer(call, *args, **named):
    """The client's own errors carry the broker's code as `errno`."""
    try:
        return call(*args, **named)
    except KafkaError as error:
        raise Refused(OWN_WORDS.get(type(error), getattr(error, "errno", -1)), repr(error)) from error


def read(record):
    return Record(record.partition, record.timestamp, record.key, record.value, list(record.headers), record.offset, record.topic)


def send(producer, topic, records):
    """Waits for all, and answers their offsets."""
    sent = [answer(producer.send, topic, record.value, record.key, record.headers, record.partition, record.timestamp)
            for record in records]
    producer.flush(DEADLINE_S)
    return [answer(future.get, DEADLINE_S).offset for future in sent]


class Transactional:
    """What lib/transactions.py asks of a producer."""

    def __init__(self, transactional_id, metadata_of):
        self.metadata_of = metadata_of
        self.producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=transactional_id)
        answer(self.producer.init_transactions)

    def begin(self):
        answer(self.producer.begin_transaction)

    def send(self, topic, records):
        send(self.producer, topic, records)

    def send_offsets(self, member, group, offsets):
        places = {TopicPartition(*place): OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
        answer(self.producer.send_offsets_to_transaction, places, self.metadata_of(member.consumer, group))

    def commit(self):
        answer(self.producer.commit_transaction)

    def abort(self):
        answer(self.producer.abort_transaction)

    def close(self):
        self.producer.close(timeout=1)


class GroupConsumer(ConsumerRebalanceListener):
    """What lib/members.py asks of a consumer."""

    def __init__(self, group, topics, pattern, client_id, instance_id, reset):
        self.rebalances = 0
        # With a pattern a poll also waits for metadata, behind a fetch that the broker holds for 500 ms; kafka-python 3.0.12
        # forgets an assignment that arrives between two polls, against Apache Kafka too.
        self.poll_ms = 1_000 if pattern else 100
        static = {"group_instance_id": instance_id} if instance_id else {}
        self.consumer = KafkaConsumer(
            bootstrap_servers=BOOTSTRAP, group_id=group, client_id=client_id, enable_auto_commit=False,
            auto_offset_reset=reset, session_timeout_ms=SESSION_TIMEOUT_MS, heartbeat_interval_ms=HEARTBEAT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS, **static)
        self.consumer.subscribe(topics=topics or (), pattern=pattern, listener=self)

    def on_partitions_assigned(self, assigned):
        self.rebalances += 1

    def on_partitions_revoked(self, revoked):
        pass

    def poll(self):
        return [read(record) for batch in answer(self.consumer.poll, self.poll_ms).values() for record in batch]

    def owned(self):
        return {(place.topic, place.partition) for place in self.consumer.assignment()}

    def commit(self, offsets=None):
        if offsets is not None:
            offsets = {TopicPartition(*place): OffsetAndMetadata(offset, text, -1) for place, (offset, text) in offsets.items()}
        answer(self.consumer.commit, offsets)

    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition), offset)

    def offset_at(self, topic, partition, ms):
        place = TopicPartition(topic, partition)
        return self.consumer.offsets_for_times({place: ms})[place].offset

    def member_id(self):
        return self.consumer._coordinator._generation.member_id

    def close(self):
        self.consumer.close(autocommit=False)


class KafkaPythonClient(Client):
    cannot = {"group-next-generation": "the client speaks the classic protocol alone",
              "admin-quotas": "the client has no call for it"}

    def __init__(self):
        super().__init__()
        self.of_thread = threading.local()

    @property
    def admin(self):
        """One for each thread, as steps that wait run beside the others."""
        if not hasattr(self.of_thread, "admin"):
            self.of_thread.admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
        return self.of_thread.admin

    def version(self):
        return kafka.__version__

    def record(self, i):
        # The client refuses a header without a value before it sends anything.
        common = super().record(i)
        return common._replace(headers=[(name, value or b"") for name, value in common.headers])

    def produce(self, topic, records, codec="none", acks="all", idempotent=True):
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks=acks if acks == "all" else int(acks), linger_ms=5,
                                 compression_type=None if codec == "none" else codec, enable_idempotence=idempotent)
        try:
            return send(producer, topic, records)
        finally:
            producer.close(timeout=1)

    def transactional(self, transactional_id):
        return Transactional(transactional_id, self.metadata_of)

    def metadata_of(self, consumer, group):
        """What the client asks for to commit a group's offsets with a transaction."""
        return consumer.group_metadata()

    def consumer(self, committed=False):
        return KafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="none", enable_auto_commit=False,
                             isolation_level="read_committed" if committed else "read_uncommitted",
                             allow_auto_create_topics=False)

    def consume(self, topic, starts, count, committed=False):
        consumer, records = self.consumer(committed), []
        partitions = [TopicPartition(topic, partition) for partition in starts]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, starts[partition.partition])
        deadline = time.monotonic() + DEADLINE_S
        while len(records) < count and time.monotonic() < deadline:
            records += [read(r) for batch in answer(consumer.poll, 200).values() for r in batch]
        records += [read(r) for batch in consumer.poll(100).values() for r in batch]
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

    def member(self, group, topics, *, pattern=None, client_id="compat", instance_id=None, protocol="classic", reset="earliest"):
        return GroupConsumer(group, topics, pattern, client_id, instance_id, reset)
