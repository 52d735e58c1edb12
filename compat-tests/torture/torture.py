"""Producers that never stop, a broker that is killed or whose disk is full, and a full read that accounts for every record.

    torture.py kill [--rounds N] [--seed N]     SIGKILL at random instants, restart at once
    torture.py full-disk                        a tmpfs runs full and gets space again, without a restart
    torture.py full-disk-restart                the same, and the broker is killed and started while the disk is full
    torture.py enospc                           as full-disk, with no space kept in reserve: the write itself fails

Each producer is idempotent and numbers its records. In the end every acknowledged record must be at the offset that the
acknowledgement named, no record twice, and the records of one producer in one partition in the order they were sent.
"""
import argparse
import collections
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

import wire

COMPAT = pathlib.Path(__file__).resolve().parent.parent
TOPIC, PARTITIONS = "torture", 4
CODECS = ("none", "lz4", "zstd")
LAUNCH = f'source "{COMPAT}/lib/common.sh"; source "{COMPAT}/lib/broker.sh"; broker_launch "$1" "$2"'


class Failed(Exception):
    """What must not have happened."""


class Broker:
    def __init__(self, data, log):
        self.data, self.log = data, log
        port = subprocess.run(["bash", "-c", f'source "{COMPAT}/lib/common.sh"; free_port'],
                              capture_output=True, text=True, check=True).stdout.strip()
        self.bootstrap = f"127.0.0.1:{port}"
        self.process = None

    def launch(self):
        port = self.bootstrap.split(":")[1]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["bash", "-c", LAUNCH, "launch", self.data, port], stdout=log, stderr=log)

    def start(self):
        self.launch()
        self.ready()

    def ready(self):
        try:
            wire.ready(self.bootstrap, 60)
        except wire.Wrong as wrong:
            raise Failed(f"{wrong}; the end of its log:\n{tail(self.log)}") from wrong

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def check_alive(self):
        if self.process.poll() is not None:
            raise Failed(f"the broker ended by itself with {self.process.returncode}:\n{tail(self.log)}")


def tail(path):
    return "\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-15:])


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


def kill(options, scratch):
    rng = random.Random(options.seed)
    broker = Broker(f"{scratch}/data", f"{scratch}/broker.log")
    try:
        broker.start()
        # Small segments, so that kills also meet the roll of one.
        wire.create(broker.bootstrap, TOPIC, PARTITIONS, "segment.bytes=1048576")
        writers = start_writers(broker, 3, 0.002, 2_000)
        for number in range(options.rounds):
            before = acknowledged(writers)
            if rng.random() < 0.15:
                # While it is still recovering.
                time.sleep(rng.uniform(0, 1))
            else:
                wait_for("a record acknowledged after the restart", lambda: acknowledged(writers) > before, 60, broker)
                time.sleep(rng.uniform(0, 1.5))
            broker.kill()
            no_errors(writers)
            print(f"round {number + 1}: killed after {acknowledged(writers) - before} acknowledgements", flush=True)
            broker.launch()
        broker.ready()
        for writer in writers:
            writer.finish()
        no_errors(writers)
        # Once more, so that the read meets what recovery made of it.
        broker.kill()
        broker.start()
        account(writers, broker.bootstrap)
        for writer in writers:
            if len(writer.acknowledged) != writer.sent:
                raise Failed(f"producer {writer.number}: {len(writer.acknowledged)} of {writer.sent} acknowledged")
    finally:
        broker.kill()


def full_disk(options, scratch):
    if options.scenario == "enospc":
        os.environ["BROKER_SET"] = "storage.disk.hard.free.percent=0 storage.disk.soft.free.percent=0"
    disk = f"{scratch}/disk"
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", disk], check=True)
    broker = Broker(f"{disk}/data", f"{scratch}/broker.log")
    try:
        ballast = pathlib.Path(disk, "ballast")
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 96 << 20)
        broker.start()
        wire.create(broker.bootstrap, TOPIC, PARTITIONS, "segment.bytes=8388608")
        writers = start_writers(broker, 3, 0, 4_000)
        wait_for("the first records", lambda: acknowledged(writers) > 0, 30, broker)

        # Full is when nothing has been acknowledged for a while although everybody is sending.
        last, since = -1, time.monotonic()
        deadline = time.monotonic() + 180
        while time.monotonic() - since < 5:
            broker.check_alive()
            no_errors(writers)
            if acknowledged(writers) != last:
                last, since = acknowledged(writers), time.monotonic()
            if time.monotonic() > deadline:
                raise Failed("the disk does not run full within 180 s")
            time.sleep(0.2)
        free = os.statvfs(disk)
        print(f"full after {last} acknowledgements, {free.f_bavail * free.f_bsize >> 20} MiB free", flush=True)

        # What is stored can be read all the while.
        places, _ = read_all(broker.bootstrap)
        if len(places) < last:
            raise Failed(f"on the full disk {len(places)} records can be read, {last} are acknowledged")
        if options.scenario == "full-disk-restart":
            broker.kill()
            broker.start()
            print("started on the full disk", flush=True)
        pid = broker.process.pid
        ballast.unlink()
        wait_for("a record acknowledged after space is free again", lambda: acknowledged(writers) > last, 60, broker)
        for writer in writers:
            writer.finish()
        no_errors(writers)
        broker.check_alive()
        account(writers, broker.bootstrap)
        print(f"served on by the same process {pid}", flush=True)
        broker.kill()
        broker.start()
        account(writers, broker.bootstrap)
    finally:
        broker.kill()
        subprocess.run(["umount", "--lazy", disk], check=False)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("scenario", choices=("kill", "full-disk", "full-disk-restart", "enospc"))
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"{options.scenario}, seed {options.seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            if options.scenario == "kill":
                kill(options, scratch)
            else:
                full_disk(options, scratch)
        except Failed as failed:
            print(f"FAIL {options.scenario} (seed {options.seed}): {failed}", flush=True)
            code = 1
        else:
            print(f"ok {options.scenario} ({time.monotonic() - started:.0f} s)", flush=True)
            code = 0
    # Not sys.exit: a producer that is still trying must not hold up the end.
    sys.stdout.flush()
    os._exit(code)


main()
