"""Kafka Connect in distributed mode copies a file through a topic into another file (README.md).

    connect.py [--rounds N] [--seed N] [--lines N] [--exactly-once enabled|disabled]
"""
import argparse
import os
import pathlib
import random
import sys
import time

from confluent_kafka.admin import AdminClient, ConfigResource

import package_index
import wire
from broker import Broker, tail
from checks import Wrong, equal
from connect_worker import INTERNAL, Worker
from reading import read_to_end, scratch_folder
from report import report

GROUP, TOPIC = "connect", "lines"
# More lines than are asked for, to be appended singly: see Run.nudge.
SPARE = 1_000


class Run:
    def __init__(self, scratch, broker, options):
        self.scratch, self.broker, self.options = pathlib.Path(scratch), broker, options
        self.rng = random.Random(options.seed)
        text = (line.text for line in package_index.read_lines(options.lines + SPARE))
        # The file source counts characters and skips bytes, so that a text beyond ASCII loses its place.
        self.lines = [f"{number} {line}".encode("ascii", "replace") for number, line in enumerate(text)]
        self.source, self.sink = self.scratch / "source.txt", self.scratch / "sink.txt"
        settings = {"exactly.once.source.support": options.exactly_once, "consumer.isolation.level": "read_committed"}
        self.workers = [Worker(number, broker.bootstrap, GROUP, scratch, settings) for number in (0, 1)]
        self.written = 0

    def append(self, share):
        """Lets the source file grow to this share of the text."""
        self.append_to(int(self.options.lines * share))

    def append_to(self, end):
        end = max(end, self.written)
        with open(self.source, "ab") as file:
            file.write(b"".join(line + b"\n" for line in self.lines[self.written:end]))
        self.written = end

    def nudge(self):
        """The file source keeps lines that fill no batch to itself until the file grows (4.3.1): it grows by one."""
        self.append_to(self.written + 1)

    def text(self):
        return b"".join(line + b"\n" for line in self.lines[:self.written])

    # Steps

    def start_worker(self):
        self.append(0.2)
        self.workers[0].start()
        self.workers[0].must("GET", "/health")

    def internal_topics(self):
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        topics = admin.list_topics(timeout=30).topics
        asked = [ConfigResource(ConfigResource.Type.TOPIC, f"{GROUP}-{name}") for name in INTERNAL.values()]
        found = {one.name: (len(topics[one.name].partitions), answer.result(30)["cleanup.policy"].value)
                 for one, answer in admin.describe_configs(asked).items()}
        equal("internal topics", {f"{GROUP}-configs": (1, "compact"), f"{GROUP}-offsets": (25, "compact"),
                                  f"{GROUP}-status": (5, "compact")}, found)

    def create_connectors(self):
        wire.create(self.broker.bootstrap, TOPIC, 1)
        source = {"connector.class": "FileStreamSource", "file": str(self.source), "topic": TOPIC, "batch.size": 20}
        if self.options.exactly_once == "enabled":
            source["exactly.once.support"] = "required"
        sink = {"connector.class": "FileStreamSink", "file": str(self.sink), "topics": TOPIC}
        for name, config in (("source", source), ("sink", sink)):
            self.workers[0].must("PUT", f"/connectors/{name}/config", config)
            self.workers[0].running(name)

    def copied(self):
        self.wait_for_sink()

    def worker_restarted(self):
        """What is appended while no worker is there is copied by the next, and nothing twice, as the stop was orderly."""
        self.workers[0].stop()
        self.append(0.3)
        self.workers[0].start()
        self.wait_for_sink()

    def second_worker(self):
        self.workers[1].start()
        self.workers[1].until("both workers have a share", 90, lambda: len(self.owners()) == 2)

    def killed(self):
        for number in range(self.options.rounds):
            self.append(0.3 + 0.7 * (number + 1) / self.options.rounds)
            goal = self.at_risk(number)
            self.wait("the source has read on", lambda: self.stored() > goal)
            self.disturb(number)
        for name in ("source", "sink"):
            self.workers[0].running(name)
        self.wait("the whole text is in the topic", lambda: len(self.read_committed()) >= self.written, nudged=True)

    def at_risk(self, number):
        """An offset in the middle of what was just appended."""
        before = 0.3 + 0.7 * number / self.options.rounds
        return int(self.options.lines * (before + 0.7 / self.options.rounds * self.rng.uniform(0.1, 0.6)))

    def disturb(self, number):
        what = ("worker", "broker", "both")[(number + self.rng.randrange(2)) % 3]
        # The one that reads the file, most of the time: the other has nothing to lose.
        victim = self.source_worker() if self.rng.random() < 0.8 else self.rng.choice(self.workers)
        takeover = what == "worker" and self.rng.random() < 0.5
        print(f"round {number + 1}: kill -9 of {what}{'' if what == 'broker' else f' {victim.number}'} at offset {self.stored()}"
              f"{', the other takes over' if takeover else ''}", file=sys.stderr, flush=True)
        if what != "worker":
            self.broker.kill()
        if what != "broker":
            victim.kill()
        if takeover:
            other = self.workers[1 - victim.number]
            other.until("the other worker has both connectors", 120, lambda: self.owners(other) == {other.url})
        if what != "worker":
            self.broker.start()
        if what != "broker":
            victim.start()
            victim.must("GET", "/health")

    def topic_equal(self):
        found, lines = self.read_committed(), self.lines[:self.written]
        if found != lines:
            at = next((i for i, (one, other) in enumerate(zip(lines, found)) if one != other), min(len(lines), len(found)))
            raise Wrong(f"expected {len(lines)} lines, got {len(found)}; at {at} expected {lines[at:at + 1]}, got {found[at:at + 1]}")

    def sink_complete(self):
        """A file is no part of a transaction: after a kill the sink writes again from the last committed offset, but skips nothing."""
        self.wait("the sink has the last line", lambda: self.sink.read_bytes().endswith(self.lines[self.written - 1] + b"\n"))
        seen = -1
        for line in self.sink.read_bytes().splitlines():
            number = int(line.split(b" ", 1)[0])
            if number > seen + 1:
                raise Wrong(f"line {seen + 1} is not in the sink's file before line {number}")
            seen = max(seen, number)
        print(f"the sink wrote {len(self.sink.read_bytes().splitlines()) - self.written} lines again", file=sys.stderr, flush=True)

    def sink_reset(self):
        """Stopped, its offsets deleted, resumed: all over again, byte for byte."""
        worker = self.workers[0]
        worker.must("PUT", "/connectors/sink/stop")
        worker.until("the sink is stopped", 60, lambda: self.state("sink") == "STOPPED")
        offsets = worker.must("GET", "/connectors/sink/offsets")["offsets"]
        equal("the sink's partitions", [TOPIC], [one["partition"]["kafka_topic"] for one in offsets])
        worker.must("DELETE", "/connectors/sink/offsets")
        self.sink.unlink()
        worker.must("PUT", "/connectors/sink/resume")
        worker.running("sink")
        self.wait_for_sink()

    def source_offsets(self):
        offsets = self.workers[0].must("GET", "/connectors/source/offsets")["offsets"]
        equal("the source's offset", [{"partition": {"filename": str(self.source)}, "offset": {"position": len(self.text())}}], offsets)

    def deleted(self):
        for name in ("source", "sink"):
            self.workers[0].must("DELETE", f"/connectors/{name}")
        self.workers[1].until("no connector is left", 60, lambda: self.workers[1].ask("GET", "/connectors") == [])
        for worker in self.workers:
            worker.stop()

    # Helpers

    def stored(self):
        try:
            return wire.end_offset(self.broker.bootstrap, TOPIC, 0)
        except (OSError, EOFError, wire.Wrong):
            return -1

    def state(self, connector):
        status = self.workers[0].ask("GET", f"/connectors/{connector}/status")
        return status and status["connector"]["state"]

    def owners(self, asked=None):
        """The workers that run tasks of either connector."""
        found = set()
        for name in ("source", "sink"):
            status = (asked or self.workers[0]).ask("GET", f"/connectors/{name}/status")
            for part in [status["connector"], *status["tasks"]] if status else ():
                if part["state"] == "RUNNING":
                    found.add("http://" + part["worker_id"])
                else:
                    found.add("nobody")
        return found

    def source_worker(self):
        status = self.workers[0].must("GET", "/connectors/source/status")
        owner = status["tasks"][0]["worker_id"] if status["tasks"] else ""
        return next((one for one in self.workers if one.url.endswith(owner)), self.workers[0])

    def wait_for_sink(self):
        self.wait("the sink's file is as long as the source's", lambda: self.sink_size() >= len(self.text()), nudged=True)
        if self.sink.read_bytes() != self.text():
            raise Wrong(f"the sink's file is not the source's: {self.sink_size()} bytes for {len(self.text())}")

    def sink_size(self):
        return self.sink.stat().st_size if self.sink.exists() else 0

    def wait(self, what, condition, seconds=180, nudged=False):
        deadline, stored, nudge_at = time.monotonic() + seconds, None, 0
        while not condition():
            self.broker.check_alive()
            for worker in self.workers:
                if worker.process:
                    worker.check_alive()
            now = time.monotonic()
            if now > deadline:
                raise Wrong(f"{what}: not within {seconds} s; {self.broker_and_connectors()}")
            if (offset := self.stored()) != stored:
                stored, nudge_at = offset, now + 2
            elif nudged and now > nudge_at:
                # One at a time: what comes in one go may again be held back.
                self.nudge()
                nudge_at = now + 2
            time.sleep(0.05)

    def broker_and_connectors(self):
        states = {name: self.workers[0].ask("GET", f"/connectors/{name}/status") for name in ("source", "sink")}
        logs = "; ".join(f"worker {one.number}: {tail(one.log)[-400:]}" for one in self.workers if one.log.exists())
        return f"{self.stored()} offsets in the topic; {logs}; {states}"

    def read_committed(self):
        return [message.value() for message in read_to_end(self.broker.bootstrap, [(TOPIC, 0)])]

    def steps(self):
        yield "worker-started", self.start_worker
        yield "internal-topics", self.internal_topics
        yield "connectors-created", self.create_connectors
        yield "file-copied", self.copied
        yield "worker-restarted", self.worker_restarted
        yield "second-worker", self.second_worker
        yield "workers-and-broker-killed", self.killed
        yield "topic-equal", self.topic_equal
        yield "sink-complete", self.sink_complete
        yield "source-offsets", self.source_offsets
        yield "sink-reset", self.sink_reset
        yield "connectors-deleted", self.deleted

    def end(self):
        for worker in self.workers:
            worker.kill()
        self.broker.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--exactly-once", default="enabled", choices=["enabled", "disabled"])
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr, flush=True)
    with scratch_folder() as scratch:
        broker = Broker(f"{scratch}/data", f"{scratch}/broker.log")
        run = Run(scratch, broker, options)
        try:
            broker.start()
            return report("connect", os.environ["CONNECT_VERSION"], run.steps())
        finally:
            run.end()


if __name__ == "__main__":
    sys.exit(main())
