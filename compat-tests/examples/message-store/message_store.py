"""A message store in the manner of a local queue library, on a Kafka broker: a queue is a topic, a reader a consumer group.

    import message_store

    with message_store.open("orders", "127.0.0.1:9092", reader="billing") as queue:
        queue.write("a text", 42, ["a list", 1.5])   # returns when all of it is stored
        message = queue.read(timeout_s=1)            # the next one, or None
        queue.subscribe(print)                       # or each to a callback, in a thread of the queue's own

What has been written is never lost: a write returns only when the broker has it, and waits while the broker is away or its disk is
full. Every reader gets every message, in the order of writing. A message counts as read when the next one is asked for, when the
callback returns, or when the queue is closed; one that a reader died with is delivered again.
"""
import enum
import json
import math
import threading
import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

# How long a broker may take to make a queue, or to let a reader in.
OPEN_S = 30
# A write that takes longer than this is reported to the error handler, again each time it has passed.
REPORT_S = 1.0
# The longest pause before a callback that failed is called again.
LONGEST_PAUSE_S = 5.0
# What a reader may be told that waiting does not mend.
HOPELESS = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}
# Somebody else reads on, from the message that could not be noted.
NO_LONGER_OURS = {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.STALE_MEMBER_EPOCH,
                  KafkaError.FENCED_MEMBER_EPOCH}


class StoreError(Exception):
    """The store cannot do what it was asked, and asking again would not help."""


class NotStored(StoreError):
    """The error handler gave up on a write; the broker may still have got the messages."""


class Decision(enum.Enum):
    """What an error handler answers; None is RETRY."""
    RETRY = "retry"
    GIVE_UP = "give up"  # a write raises NotStored, a delivery goes on with the next message, a commit raises StoreError


@dataclass(frozen=True)
class Failure:
    """What an error handler is asked about."""
    doing: str  # "write", "deliver", or "commit": to note that a message was read
    message: object  # for a write: a list of those that are not stored yet; None where it is no message of this store
    error: Exception
    attempt: int  # 1 for the first time
    since_s: float  # since the write or the first delivery began


def encode(message):
    """Bytes and the name of the type. Only texts, numbers and lists of such can be messages."""
    if isinstance(message, str):
        kind = "string"
    elif is_number(message):
        kind = "number"
    elif isinstance(message, list):
        kind = "list"
        for part in message:
            encode(part)
    else:
        raise TypeError(f"a message is a string, a number or a list of such, not {message!r}")
    return json.dumps(message, ensure_ascii=False).encode(), kind


def is_number(message):
    return isinstance(message, (int, float)) and not isinstance(message, bool) and math.isfinite(message)


def decode(value, headers):
    """The message, if it is one of ours: others may write to the topic too."""
    kinds = [text.decode(errors="replace") for name, text in headers or [] if name == "type" and text is not None]
    try:
        message = json.loads(value)
        if kinds == [encode(message)[1]]:
            return message
    except (TypeError, ValueError):
        pass
    raise StoreError(f"not a message of this store: type {kinds}, {len(value or b'')} bytes")


class Queue:
    def __init__(self, name, bootstrap, reader, on_error):
        self.name = name
        self.settings = {"bootstrap.servers": bootstrap, "error_cb": self._remember, "log_level": 0,
                         "reconnect.backoff.max.ms": 500, "retry.backoff.max.ms": 500}
        self.reader, self.on_error = reader, on_error
        self.trouble = None
        self.producer = self.consumer = self.thread = None
        self.unfinished, self.at_end, self.owned, self.closing = None, False, False, threading.Event()
        self._make()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _make(self):
        admin = AdminClient(self.settings)
        try:
            # One partition, since a queue has one order.
            admin.create_topics([NewTopic(self.name, 1, 1)])[self.name].result(OPEN_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise StoreError(f"queue {self.name}: {error.args[0].str()}") from error

    def _remember(self, error):
        self.trouble = error

    def _ask(self, doing, message, error, attempt, started):
        failure = Failure(doing, message, error, attempt, time.monotonic() - started)
        return (self.on_error(failure) if self.on_error else None) or Decision.RETRY

    # Writing

    def write(self, *messages):
        """Returns when the broker has all of them, in this order."""
        encoded = [encode(message) for message in messages]
        if self.producer is None:
            # Idempotent and without an end to the tries: what takes long is stored once and in order all the same.
            self.producer = Producer({**self.settings, "enable.idempotence": True, "message.timeout.ms": 0, "linger.ms": 0})
        waiting, refused = dict(enumerate(messages)), []

        def delivered(index):
            def report(error, _message):
                waiting.pop(index, None)
                if error:
                    refused.append(error)
            return report

        reported = self._reporter(waiting)
        for index, (value, kind) in enumerate(encoded):
            while True:
                try:
                    self.producer.produce(self.name, value, headers=[("type", kind.encode())], partition=0,
                                          on_delivery=delivered(index))
                    break
                except BufferError:
                    self.producer.poll(0.05)
                    reported()
                except KafkaException as error:
                    raise StoreError(f"queue {self.name}: {error.args[0].str()}") from error
        while waiting:
            self.producer.poll(0.05)
            reported()
        if refused:
            raise StoreError(f"queue {self.name}: {refused[0].str()}")

    def _reporter(self, waiting):
        """Tells the error handler now and then that a write still waits."""
        started, attempt = time.monotonic(), 0

        def report():
            nonlocal attempt
            if not waiting or time.monotonic() - started < (attempt + 1) * REPORT_S:
                return
            attempt += 1
            reason = f": {self.trouble.str()}" if self.trouble else ""
            error = StoreError(f"queue {self.name}: the broker does not take messages{reason}")
            if self._ask("write", list(waiting.values()), error, attempt, started) is Decision.GIVE_UP:
                self.producer.purge()
                self.producer.poll(0)
                # A producer of its own for what comes next, since nobody knows how far this one came.
                self.producer = None
                raise NotStored(str(error))
        return report

    # Reading

    def read(self, timeout_s=0):
        """The next message; None if there is none, and none came within the time."""
        if self.thread:
            raise StoreError(f"queue {self.name}: its messages go to a callback")
        self._finish()
        return self._next(timeout_s)

    def subscribe(self, callback):
        """From now on every message goes to the callback, one after the other."""
        if self.thread:
            raise StoreError(f"queue {self.name}: its messages go to a callback")
        self._finish()
        self.thread = threading.Thread(target=self._push, args=(callback,), daemon=True)
        self.thread.start()

    def _push(self, callback):
        while not self.closing.is_set():
            try:
                message = self._next(0.2)
            except StoreError as error:
                # Told once and passed over: no time would make a message of it.
                self._ask("deliver", None, error, 1, time.monotonic())
            else:
                if self.unfinished and not self._deliver(callback, message):
                    # Closed before the callback could take it: it is the next one for this reader.
                    self.unfinished = None
            self._finish()

    def _deliver(self, callback, message):
        started, attempt = time.monotonic(), 0
        while True:
            try:
                callback(message)
                return True
            except Exception as error:
                attempt += 1
                if self._ask("deliver", message, error, attempt, started) is Decision.GIVE_UP:
                    return True
            if self.closing.wait(min(0.1 * 2 ** (attempt - 1), LONGEST_PAUSE_S)):
                return False

    def _join(self):
        self.consumer = Consumer({
            **self.settings, "group.id": f"{self.name}.{self.reader}", "group.protocol": "consumer", "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "enable.partition.eof": True, "max.poll.interval.ms": 86_400_000})
        self.consumer.subscribe([self.name], on_assign=self._assigned, on_revoke=self._revoked)

    def _assigned(self, _consumer, partitions):
        self.owned, self.at_end = bool(partitions), False

    def _revoked(self, _consumer, _partitions):
        self.owned = self.at_end = False

    def _next(self, timeout_s):
        if self.consumer is None:
            self._join()
        limit = time.monotonic() + OPEN_S
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.consumer.poll(0.05)
            if found is None:
                # Another member of the same reader may have the queue, which is no error.
                if time.monotonic() > (deadline if self.owned and self.at_end else max(limit, deadline)):
                    return None
                if self.closing.is_set():
                    return None
            elif found.error() is None:
                self.at_end, self.unfinished = False, found
                return decode(found.value(), found.headers())
            elif found.error().code() == KafkaError._PARTITION_EOF:
                self.at_end = True
            elif found.error().fatal() or found.error().code() in HOPELESS:
                raise StoreError(f"queue {self.name}: {found.error().str()}")

    def _finish(self):
        """The message delivered last counts as read."""
        if self.unfinished is None:
            return
        attempt, started = 0, time.monotonic()
        while True:
            try:
                self.consumer.commit(self.unfinished, asynchronous=False)
                break
            except KafkaException as error:
                if error.args[0].code() in NO_LONGER_OURS:
                    break
                attempt += 1
                if self._ask("commit", None, error, attempt, started) is Decision.GIVE_UP:
                    raise StoreError(f"queue {self.name}: {error.args[0].str()}") from error
                time.sleep(0.1)
        self.unfinished = None

    def close(self):
        """Stops the callback's thread; what it has returned from, and what was read, counts as read."""
        self.closing.set()
        if self.thread:
            self.thread.join()
        if self.consumer:
            self._finish()
            self.consumer.close()
            self.consumer = None


def open(name, bootstrap="127.0.0.1:9092", reader="default", on_error=None):
    """The queue of that name, made if there is none. Readers of different names each get all messages.

    `on_error` is asked about every Failure and answers a Decision; without one everything is tried again."""
    return Queue(name, bootstrap, reader, on_error)
