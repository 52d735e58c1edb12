"""What the application wrote, as consumers of committed records see it."""
import collections
import threading
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition

from checks import Wrong


def consumer(bootstrap, run, names, partitions):
    opened = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{run}-reader", "enable.auto.commit": False,
                       "auto.offset.reset": "error", "enable.partition.eof": True, "check.crcs": True,
                       "isolation.level": "read_committed", "reconnect.backoff.max.ms": 250, "log_level": 0})
    opened.assign([TopicPartition(f"{run}-{name}", partition, 0) for name in names for partition in range(partitions)])
    return opened


def name_of(message, run):
    return message.topic()[len(run) + 1:]


def entry(message):
    return message.offset(), message.key().decode(), message.value().decode()


class Outputs(threading.Thread):
    """Reads along, while the records are written and the broker comes and goes."""

    def __init__(self, bootstrap, run, names, partitions):
        super().__init__(daemon=True)
        self.run_name, self.stopping = run, threading.Event()
        self.records = {name: {partition: [] for partition in range(partitions)} for name in names}
        self.counts = collections.Counter()
        self.consumer = consumer(bootstrap, run, names, partitions)

    def run(self):
        while not self.stopping.is_set():
            for message in self.consumer.consume(5_000, timeout=0.1):
                if message.error() is None:
                    name = name_of(message, self.run_name)
                    self.records[name][message.partition()].append(entry(message))
                    self.counts[name] += 1
        self.consumer.close()

    def seen(self):
        return {name: self.counts[name] for name in self.records}

    def stop(self):
        self.stopping.set()
        if self.is_alive():
            self.join()


def read_committed(bootstrap, run, names, partitions):
    """{name: {partition: [(offset, key, value)]}}, from the beginning to the end."""
    found = {name: {partition: [] for partition in range(partitions)} for name in names}
    opened, ended, deadline = consumer(bootstrap, run, names, partitions), set(), time.monotonic() + 120
    while len(ended) < len(names) * partitions:
        if time.monotonic() > deadline:
            raise Wrong(f"only {sorted(ended)} are read to the end within 120 s")
        for message in opened.consume(5_000, timeout=1):
            if message.error() is None:
                found[name_of(message, run)][message.partition()].append(entry(message))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add((name_of(message, run), message.partition()))
            elif not message.error().retriable():
                raise Wrong(f"reading: {message.error()}")
    opened.close()
    return found
