"""The old cluster's users: a producer that never stops by itself, and a consumer group."""
import threading

from confluent_kafka import Consumer, KafkaException, Producer

from checks import Wrong

GROUP, ORDERS = "billing", "orders"
QUIET = {"log_level": 0, "reconnect.backoff.max.ms": 250}


class Orders(threading.Thread):
    """Produces numbered orders to one cluster until it is stopped."""

    def __init__(self, bootstrap, first):
        super().__init__(daemon=True)
        self.next, self.errors, self.stopping = first, [], threading.Event()
        self.producer = Producer(QUIET | {"bootstrap.servers": bootstrap, "enable.idempotence": True, "message.timeout.ms": 0,
                                          "partitioner": "murmur2_random"})

    def run(self):
        while not self.stopping.wait(0.02):
            for _ in range(10):
                self.send()
        self.producer.flush(60)

    def send(self):
        number, self.next = self.next, self.next + 1
        self.producer.produce(ORDERS, b"order %d" % number + b" of many" * (number % 50), b"customer %d" % (number % 97),
                              headers=[("number", b"%d" % number), ("empty", b""), ("null", None)],
                              timestamp=1_700_000_000_000 + number, on_delivery=self.delivered)
        self.producer.poll(0)

    def delivered(self, error, _):
        if error:
            self.errors.append(str(error))

    def stop(self):
        self.stopping.set()
        if self.is_alive():
            self.join()
        if self.errors:
            raise Wrong(f"{len(self.errors)} orders are not stored, the first: {self.errors[0]}")


class Billing(threading.Thread):
    """A consumer of the group at one cluster: it reads and commits until it is stopped."""

    def __init__(self, bootstrap, group=GROUP):
        super().__init__(daemon=True)
        self.read, self.places, self.stopping = [], {}, threading.Event()
        self.consumer = Consumer(QUIET | {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False,
                                          "auto.offset.reset": "earliest", "session.timeout.ms": 6000})
        self.consumer.subscribe([ORDERS])

    def run(self):
        while not self.stopping.is_set():
            messages = [one for one in self.consumer.consume(200, timeout=0.1) if one.error() is None]
            for message in messages:
                self.read.append(number_of(message))
                self.places[message.partition()] = number_of(message)
            if messages:
                self.commit()
        self.consumer.close()

    def commit(self):
        while True:
            try:
                self.consumer.commit(asynchronous=False)
                return
            except KafkaException as error:
                # The broker is away; nothing was read since.
                if not error.args[0].retriable():
                    raise

    def stop(self):
        self.stopping.set()
        if self.is_alive():
            self.join()


def number_of(message):
    return int(message.value().split(b" ", 2)[1])
