"""What the application wrote, as consumers of committed records see it."""
import collections
import threading

from reading import read_to_end, reader


def entry(message):
    return message.offset(), message.key().decode(), message.value().decode()


class Records:
    """{name: {partition: [(offset, key, value)]}} of the topics RUN-NAME."""

    def __init__(self, run, names, partitions):
        self.run, self.by_name = run, {name: {partition: [] for partition in range(partitions)} for name in names}
        self.partitions = [(f"{run}-{name}", partition) for name in names for partition in range(partitions)]
        self.counts = collections.Counter()

    def add(self, message):
        name = message.topic()[len(self.run) + 1:]
        self.by_name[name][message.partition()].append(entry(message))
        self.counts[name] += 1


class Outputs(threading.Thread):
    """Reads along, while the records are written and the broker comes and goes."""

    def __init__(self, bootstrap, run, names, partitions):
        super().__init__(daemon=True)
        self.records, self.stopping = Records(run, names, partitions), threading.Event()
        self.consumer = reader(bootstrap, self.records.partitions)

    def run(self):
        while not self.stopping.is_set():
            for message in self.consumer.consume(5_000, timeout=0.1):
                if message.error() is None:
                    self.records.add(message)
        self.consumer.close()

    def seen(self):
        return {name: self.records.counts[name] for name in self.records.by_name}

    def stop(self):
        self.stopping.set()
        if self.is_alive():
            self.join()


def read_committed(bootstrap, run, names, partitions):
    """{name: {partition: [(offset, key, value)]}}, from the beginning to the end."""
    records = Records(run, names, partitions)
    for message in read_to_end(bootstrap, records.partitions):
        records.add(message)
    return records.by_name
