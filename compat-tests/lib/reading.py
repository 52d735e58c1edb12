"""Reads partitions to their ends, as committed, with librdkafka; and a folder for what a run writes."""
import contextlib
import os
import tempfile
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from checks import Wrong


def reader(bootstrap, partitions):
    """A consumer at the beginning of these partitions: [(topic, partition)]. Aborted records are not for it."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False, "auto.offset.reset": "error",
                         "enable.partition.eof": True, "check.crcs": True, "isolation.level": "read_committed",
                         "reconnect.backoff.max.ms": 250, "log_level": 0})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in partitions])
    return consumer


def read_to_end(bootstrap, partitions, seconds=120):
    """All messages, those of a partition in order."""
    consumer, found, left, deadline = reader(bootstrap, partitions), [], set(partitions), time.monotonic() + seconds
    while left:
        if time.monotonic() > deadline:
            raise Wrong(f"{sorted(left)} are not read to their ends within {seconds} s")
        for message in consumer.consume(5_000, timeout=1):
            if message.error() is None:
                found.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left.discard((message.topic(), message.partition()))
            elif not message.error().retriable():
                raise Wrong(f"reading: {message.error()}")
    consumer.close()
    return found


def scratch_folder():
    """SCRATCH names a folder that keeps what the processes wrote; without it all goes with the run."""
    kept = os.environ.get("SCRATCH")
    return contextlib.nullcontext(kept) if kept else tempfile.TemporaryDirectory()
