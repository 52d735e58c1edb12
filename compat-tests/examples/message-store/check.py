"""The checks of the example, as steps that ../../run reads."""
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import confluent_kafka

import message_store
from broker import Broker
from checks import BOOTSTRAP, DEADLINE_S, Wrong, equal
from message_store import Decision, NotStored, StoreError
from report import report

TYPED = ["", "käse ✓", "line\nline", "x" * 100_000, 0, -7, 2**80, 1.5, -1e300, [], [1, "a", [2.5, []]], ["null", "None"]]
REFUSED = [None, True, b"bytes", {"a": 1}, ("a",), float("nan"), float("inf"), [1, None], [[{}]]]
BIG = 256 * 1024


def wait_for(what, condition, seconds=DEADLINE_S):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Wrong(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def raises(kind, what, call, *args):
    try:
        result = call(*args)
    except kind:
        return
    raise Wrong(f"{what}: expected {kind.__name__}, got {result!r}")


def read_all(queue, count):
    found = []
    while len(found) < count and (message := queue.read(timeout_s=5)) is not None:
        found.append(message)
    equal("messages beyond those expected", None, queue.read())
    return found


class Steps:
    def __init__(self, scratch):
        self.scratch, self.run_id = scratch, f"compat-store-{time.time_ns():x}"

    def open(self, name, reader="default", on_error=None, bootstrap=BOOTSTRAP):
        return message_store.open(f"{self.run_id}-{name}", bootstrap, reader, on_error)

    def steps(self):
        yield "store-types", self.types
        yield "store-pull", self.pull
        yield "store-push", self.push
        yield "store-retry", self.retry
        yield "store-foreign", self.foreign
        yield "store-broker-killed", self.broker_killed
        yield "store-full", self.full

    def types(self):
        """Every message comes back as what it was, type and all; what is no message is refused before it is written."""
        with self.open("types") as queue:
            queue.write(*TYPED)
            for message in REFUSED:
                raises(TypeError, f"write {message!r}", queue.write, "good", message)
            raises(StoreError, "write 2 MB", queue.write, "x" * 2_000_000)
            found = read_all(queue, len(TYPED))
            equal("messages", [(type(message), message) for message in TYPED], [(type(message), message) for message in found])

    def pull(self):
        """In order, each once for a reader, whoever closed and opened in between; other readers have their own place."""
        said = [f"message {i}" for i in range(100)]
        with self.open("pull") as queue:
            equal("a read from an empty queue", None, queue.read())
            queue.write(*said[:50])
            equal("the first ten", said[:10], [queue.read(timeout_s=5) for _ in range(10)])
        with self.open("pull") as queue:
            for message in said[50:]:
                queue.write(message)
            equal("the others, opened again", said[10:], read_all(queue, 90))
            started = time.monotonic()
            equal("a read that waits in vain", None, queue.read(timeout_s=0.5))
            if time.monotonic() - started < 0.5:
                raise Wrong("a read with a time did not wait")
        with self.open("pull", reader="other") as queue:
            equal("another reader", said, read_all(queue, 100))

    def push(self):
        said, found = list(range(100)), []
        with self.open("push") as queue:
            queue.write(*said[:50])
            queue.subscribe(found.append)
            raises(StoreError, "a read beside a callback", queue.read)
            queue.write(*said[50:])
            wait_for("all are delivered", lambda: len(found) >= 100)
        equal("delivered", said, found)
        with self.open("push") as queue:
            equal("left after the callback took all", None, queue.read())

    def retry(self):
        """A callback that fails is called again with the same message, and the handler decides for how long."""
        failures, found, tries = [], [], {"sour": 0}

        def taste(message):
            if message == "sour" and tries["sour"] < 2:
                tries["sour"] += 1
                raise ValueError("too sour")
            if message == "rotten":
                raise ValueError("rotten for good")
            found.append(message)

        def handler(failure):
            failures.append((failure.doing, failure.message, str(failure.error), failure.attempt))
            return Decision.GIVE_UP if failure.message == "rotten" and failure.attempt == 3 else None

        with self.open("retry", on_error=handler) as queue:
            queue.write("sweet", "sour", "rotten", "last")
            queue.subscribe(taste)
            wait_for("the last is delivered", lambda: "last" in found)
        equal("delivered", ["sweet", "sour", "last"], found)
        equal("asked of the handler", [("deliver", "sour", "too sour", 1), ("deliver", "sour", "too sour", 2),
                                       *(("deliver", "rotten", "rotten for good", n) for n in (1, 2, 3))], failures)

    def foreign(self):
        """What others wrote to the topic is told to the handler or the caller, and does not stop the queue."""
        failures, found = [], []
        with self.open("foreign", on_error=lambda failure: failures.append(failure.doing)) as queue:
            producer = confluent_kafka.Producer({"bootstrap.servers": BOOTSTRAP})
            for _ in range(2):
                producer.produce(queue.name, b"{not ours")
                producer.flush(DEADLINE_S)
                queue.write("ours")
            raises(StoreError, "read", queue.read, 5)
            equal("the next", "ours", queue.read(timeout_s=5))
            queue.subscribe(found.append)
            wait_for("ours is delivered", lambda: found == ["ours"])
        equal("asked of the handler", ["deliver"], failures)

    def broker_killed(self):
        """Writes and reads that go on while the broker is killed and started again wait, and nothing is lost or twice."""
        broker, reports, found = Broker(f"{self.scratch}/data", f"{self.scratch}/broker.log"), [], []
        try:
            broker.start()
            said = [[n, "x" * (n % 500)] for n in range(600)]
            with self.open("killed", bootstrap=broker.bootstrap, on_error=lambda f: reports.append(f.doing)) as queue, \
                    self.open("killed", bootstrap=broker.bootstrap) as other:
                other.subscribe(found.append)
                writer = threading.Thread(target=lambda: [queue.write(message) for message in said], daemon=True)
                writer.start()
                wait_for("messages are delivered", lambda: len(found) > 50)
                broker.kill()
                wait_for("the handler hears of the writes", lambda: "write" in reports)
                broker.start()
                writer.join(DEADLINE_S)
                wait_for("all are delivered", lambda: len(found) >= len(said))
            equal("delivered", said, found)
        finally:
            broker.kill()

    def full(self):
        """On a full disk a write waits and is reported, and one may give up; with space back it succeeds, and all is there once."""
        disk = pathlib.Path(self.scratch, "disk")
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", disk], check=True)
        broker = Broker(str(disk / "data"), f"{self.scratch}/full.log")
        try:
            ballast = disk / "ballast"
            with open(ballast, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 64 << 20)
            broker.start()
            self.fill(broker, ballast)
        finally:
            broker.kill()
            subprocess.run(["umount", "--lazy", disk], check=False)

    def fill(self, broker, ballast):
        waiting, stored, stop = [], [], threading.Event()

        def message(n):
            return f"{n} " + "x" * BIG

        def write():
            while not stop.is_set():
                queue.write(message(len(stored)))
                stored.append(time.monotonic())

        with self.open("full", bootstrap=broker.bootstrap, on_error=waiting.append) as queue:
            writer = threading.Thread(target=write, daemon=True)
            writer.start()
            wait_for("a write waits", lambda: len(waiting) >= 3 and len({f.message[0][:9] for f in waiting[-3:]}) == 1, 60)
            before, first = len(stored), waiting[-1].message[0]
            equal("the message that waits", message(before), first)
            print(f"full after {before} messages", file=sys.stderr)
            with self.open("full", bootstrap=broker.bootstrap, on_error=lambda _: Decision.GIVE_UP) as hasty:
                raises(NotStored, "a write that gives up", hasty.write, "hasty")
            equal("stored meanwhile", before, len(stored))
            with self.open("full", reader="meanwhile", bootstrap=broker.bootstrap) as other:
                equal("read from the full store", [message(n) for n in range(5)], [other.read(timeout_s=10) for _ in range(5)])
            with self.open("full", reader="meanwhile", bootstrap=broker.bootstrap) as other:
                equal("read on from where a reader of the full store was", message(5), other.read(timeout_s=10))
            pid = broker.process.pid
            ballast.unlink()
            wait_for("writes go on", lambda: len(stored) > before + 5)
            stop.set()
            writer.join(DEADLINE_S)
            broker.check_alive()
            equal("the broker's process", pid, broker.process.pid)
        with self.open("full", reader="afterwards", bootstrap=broker.bootstrap) as other:
            found = [other.read(timeout_s=5) for _ in range(len(stored))]
            # The write that gave up may have been on its way.
            found += [message for message in [other.read(timeout_s=1)] if message is not None]
            equal("all that was written, once and in order", [message(n)[:20] for n in range(len(stored))],
                  [found[:20] for found in found if found != "hasty"])


def main():
    cannot, kind = {}, os.environ.get("BROKER")
    if kind is None:
        cannot["store-broker-killed"] = "takes a broker that may be killed: BROKER=tidewater"
    if kind != "tidewater":
        cannot["store-full"] = "takes a broker that outlives a full disk: BROKER=tidewater"
    with tempfile.TemporaryDirectory() as scratch:
        probe = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", scratch], capture_output=True, check=False)
        if probe.returncode:
            cannot.setdefault("store-full", "mounting a tmpfs takes root")
        else:
            subprocess.run(["umount", scratch], check=True)
        code = report("message-store", f"confluent-kafka {confluent_kafka.__version__}", Steps(scratch).steps(), cannot)
    sys.stdout.flush()
    os._exit(code)


main()
