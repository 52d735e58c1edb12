"""What the scenarios share: a broker to kill, producers that never give up, and the account of what they wrote."""
import collections
import random
import threading
import time
import zlib

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from checks import Wrong as Failed

TOPIC, PARTITIONS = "torture", 4
CODECS = ("none", "lz4", "zstd")


class Writer(threading.Thread):
    """One idempotent producer; its record n goes to partition n % PARTITIONS."""

    def __init__(self, number, bootstrap, pause_s, size):
        super().__init__(daemon=True)
        self.number, self.pause_s, self.size = number, pause_s, size
        self.sent, self.acknowledged, self.errors = 0, {}, []
        self.stopping = threading.Event()
        self.producer = Producer({
            "bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": CODECS[number % len(CODECS)],
            # Never give up: a record that was given up may still be stored, which is no fault of the broker.
            "message.timeout.ms": 0, "linger.ms": 5, "reconnect.backoff.max.ms": 250, "retry.backoff.max.ms": 250,
            "socket.timeout.ms": 10_000, "queue.buffering.max.kbytes": 4_096, "log_level": 0, "error_cb": self.fatal})

    def fatal(self, error):
        if error.fatal():
            self.errors.append(f"producer {self.number}: {error}")

    def value(self, n):
        seed = zlib.crc32(b"%d:%d" % (self.number, n))
        return b"%d:%d:" % (self.number, n) + random.Random(seed).randbytes(seed % self.size)

    def run(self):
        while not self.stopping.is_set():
            n = self.sent
            try:
                self.producer.produce(TOPIC, self.value(n), partition=n % PARTITIONS,
                                      on_delivery=lambda error, message, n=n: self.delivered(n, error, message))
                self.sent += 1
            except BufferError:
                self.producer.poll(0.05)
            self.producer.poll(0)
            time.sleep(self.pause_s)

    def delivered(self, n, error, message):
        if error:
            self.errors.append(f"record {n} of producer {self.number}: {error}")
        else:
            self.acknowledged[n] = (message.partition(), message.offset())

    def finish(self):
        self.stopping.set()
        self.join()
        waiting = self.producer.flush(120)
        if waiting:
            raise Failed(f"producer {self.number}: {waiting} records are not acknowledged within 120 s")


def acknowledged(writers):
    return sum(len(writer.acknowledged) for writer in writers)


def wait_for(what, condition, seconds, broker):
    deadline = time.monotonic() + seconds
    while not condition():
        broker.check_alive()
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def no_errors(writers):
    for writer in writers:
        if writer.errors:
            raise Failed(f"{len(writer.errors)} errors, the first: {writer.errors[0]}")


def read_all(bootstrap):
    """(producer, n) -> its places, with the value checked; and per partition the order of what was read."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": TOPIC, "enable.auto.commit": False,
                         "auto.offset.reset": "error", "enable.partition.eof": True, "check.crcs": True})
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
    places, order, ended = collections.defaultdict(list), collections.defaultdict(list), set()
    deadline = time.monotonic() + 300
    while len(ended) < PARTITIONS:
        if time.monotonic() > deadline:
            raise Failed(f"only partitions {sorted(ended)} are read to the end within 300 s")
        for message in consumer.consume(5_000, timeout=1):
            if message.error() is None:
                number, n, _ = message.value().split(b":", 2)
                places[int(number), int(n)].append((message.partition(), message.offset(), message.value()))
                order[int(number), message.partition()].append(int(n))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            elif not message.error().retriable():
                raise Failed(f"reading: {message.error()}")
    consumer.close()
    return places, order


def account(writers, bootstrap):
    places, order = read_all(bootstrap)
    lost = twice = moved = damaged = 0
    for writer in writers:
        for n, place in writer.acknowledged.items():
            found = places.get((writer.number, n), [])
            lost += not found
            moved += bool(found) and found[0][:2] != place
            damaged += bool(found) and found[0][2] != writer.value(n)
    twice = sum(len(found) - 1 for found in places.values())
    disordered = sum(numbers != sorted(numbers) for numbers in order.values())
    print(f"{acknowledged(writers)} acknowledged, {sum(map(len, places.values()))} read: {lost} lost, {twice} twice, "
          f"{moved} at another offset, {damaged} damaged, {disordered} partitions out of order", flush=True)
    if lost or twice or moved or damaged or disordered:
        raise Failed("the log is not what was acknowledged")


def start_writers(broker, count, pause_s, size):
    writers = [Writer(number, broker.bootstrap, pause_s, size) for number in range(count)]
    for writer in writers:
        writer.start()
    return writers
