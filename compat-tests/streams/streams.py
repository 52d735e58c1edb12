"""Kafka Streams over a real text, compared with the same computed without Kafka (README.md).

    streams.py                                           at least once, undisturbed, against $BOOTSTRAP
    streams.py kill [--rounds N] [--seed N] [--lines N]  exactly once, with a broker of its own: instances and broker are killed
"""
import argparse
import collections
import os
import random
import sys
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource

import expected
import wire
from broker import Broker
from checks import Wrong, equal
from instances import Instance
from outputs import Outputs, read_committed
from reading import scratch_folder
from report import report

PARTITIONS = 3
NEW = {"text": [], "sections": ["cleanup.policy=compact"], "counts": [], "windows": [], "joined": []}


class Run:
    def __init__(self, scratch, bootstrap, guarantee, lines, broker=None, rng=None, rounds=0):
        self.scratch, self.bootstrap, self.broker, self.rng, self.rounds = scratch, bootstrap, broker, rng, rounds
        self.name = f"streams-{os.getpid()}-{int(time.time())}"
        # The text is of the last hours: old records would fall to retention.
        start_ms = (int(time.time() * 1000) // 3_600_000 - 4) * 3_600_000
        self.lines = expected.read_text(lines, start_ms)
        self.expected = expected.compute(self.lines)
        self.instances = [Instance(number, bootstrap, self.name, scratch, guarantee) for number in (0, 1)]
        self.live = self.final = None

    def topic(self, short):
        return f"{self.name}-{short}"

    def totals(self):
        return {name: sum(counts.values()) for name, counts in zip(self.expected._fields, self.expected)}

    # Steps

    def create(self):
        for short, configs in NEW.items():
            wire.create(self.bootstrap, self.topic(short), PARTITIONS, *configs)

    def feed_sections(self):
        producer = self.producer()
        for name, section in expected.sections(self.lines).items():
            self.send(producer, "sections", name, section, self.lines[0].timestamp - 1)
        self.flush(producer)

    def start(self):
        for instance in self.instances:
            instance.start()
        self.wait("both instances have tasks and standbys", 90, lambda: all(min(one.tasks()) > 0 for one in self.instances))
        self.all_tasks = sum(one.tasks()[0] for one in self.instances)

    def process(self):
        self.live = Outputs(self.bootstrap, self.name, self.expected._fields, PARTITIONS)
        self.live.start()
        producer, fed = self.producer(), 0
        for number in range(self.rounds + 1):
            share = (number + 1) * len(self.lines) // (self.rounds + 1)
            for line in self.lines[fed:share]:
                self.send(producer, "text", line.package, line.text, line.timestamp)
            fed = share
            if number < self.rounds:
                self.disturb(number)
        self.flush(producer)
        self.await_all()

    def await_all(self):
        totals, last, deadline = self.totals(), None, time.monotonic() + 120
        while (seen := self.live.seen()) != totals:
            self.check_alive()
            if any(seen[name] > totals[name] for name in totals):
                raise Wrong(f"more updates than there are: expected {totals}, got {seen}")
            if seen != last:
                last, deadline = seen, time.monotonic() + 120
            if time.monotonic() > deadline:
                raise Wrong(f"nothing new for 120 s: expected {totals}, got {seen}; the instances: {self.ends()}")
            time.sleep(0.05)

    def close(self):
        for instance in self.instances:
            instance.close()
        self.live.stop()

    def read_back(self):
        if self.broker:
            # Once more, so that the reading meets what recovery made of the log.
            self.broker.kill()
            self.broker.start()
        self.final = read_committed(self.bootstrap, self.name, self.expected._fields, PARTITIONS)
        for name in self.final:
            for partition, live in self.live.records.by_name[name].items():
                if live != self.final[name][partition]:
                    raise Wrong(f"{name}-{partition}: what was read as committed while it was written is not what is there now: "
                                f"{first_difference(live, self.final[name][partition])}")

    def check_numbered(self, name, counts):
        """Each key's values are 1, 2, 3 … in this order, as many as there must be."""
        numbers = collections.defaultdict(list)
        for records in self.final[name].values():
            for _, key, value in records:
                numbers[key].append(int(value))
        wrong = [key for key in counts.keys() | numbers.keys() if numbers[key] != list(range(1, counts[key] + 1))]
        if wrong:
            key = min(wrong)
            raise Wrong(f"{len(wrong)} of {len(counts)} keys are wrong, first {key!r}: expected 1 to {counts[key]}, "
                        f"{first_difference(list(range(1, counts[key] + 1)), numbers[key])}")

    def check_joined(self):
        found = collections.Counter((key, value) for records in self.final["joined"].values() for _, key, value in records)
        if found != self.expected.joined:
            missing, extra = self.expected.joined - found, found - self.expected.joined
            raise Wrong(f"{sum(missing.values())} pairs are missing, {sum(extra.values())} too many, such as "
                        f"{next(iter(missing or extra))}")

    def check_internal_topics(self):
        found = self.cleanup_policies()
        for store in ("counts", "sections"):
            equal(f"{store}-changelog", "compact", found.get(f"{self.name}-{store}-changelog"))
        equal("windows-changelog", {"compact", "delete"}, set(found.get(f"{self.name}-windows-changelog", "").split(",")))
        for repartition in ("words", "by-section", "dependencies"):
            equal(f"{repartition}-repartition", "delete", found.get(f"{self.name}-{repartition}-repartition"))

    def check_offsets(self):
        committed = wire.committed(self.bootstrap, self.name, self.topic("text"), range(PARTITIONS))
        equal("committed offsets of the text", {p: wire.end_offset(self.bootstrap, self.topic("text"), p) for p in range(PARTITIONS)},
              {partition: offset for partition, (offset, _) in committed.items()})

    # What goes wrong in the middle

    def disturb(self, number):
        # Kill at a moment when there is work: the instances are behind what was fed.
        share = self.rng.uniform(number + 0.1, number + 0.9) / (self.rounds + 1)
        goal = int(self.totals()["counts"] * share)
        self.wait(f"{goal} counted words", 180, lambda: self.live.seen()["counts"] >= goal)
        # Both kinds in turn, so that a short run has both.
        what = ("instance", "broker", "both")[(number + self.rng.randrange(2)) % 3]
        victim = self.rng.choice(self.instances)
        takeover = what == "instance" and self.rng.random() < 0.6
        print(f"round {number + 1}: kill -9 of {what}{'' if what == 'broker' else f' {victim.number}'} after "
              f"{self.live.seen()['counts']} of {self.totals()['counts']} words{', the other takes over' if takeover else ''}",
              file=sys.stderr, flush=True)
        if what != "instance":
            self.broker.kill()
        if what != "broker":
            victim.kill()
        if takeover:
            other = self.instances[1 - victim.number]
            self.wait(f"instance {other.number} has all tasks", 90, lambda: other.tasks()[0] == self.all_tasks)
        if what != "instance":
            self.broker.start()
        if what != "broker":
            victim.start()

    # Helpers

    def cleanup_policies(self):
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        topics = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in admin.list_topics(timeout=30).topics
                  if topic.startswith(self.name + "-")]
        return {asked.name: answer.result(30)["cleanup.policy"].value for asked, answer in admin.describe_configs(topics).items()}

    def producer(self):
        return Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "message.timeout.ms": 0, "linger.ms": 20,
                         # Java's: the two inputs of a join must lie alike.
                         "partitioner": "murmur2_random", "reconnect.backoff.max.ms": 250, "log_level": 0})

    def send(self, producer, short, key, value, timestamp):
        while True:
            try:
                producer.produce(self.topic(short), value.encode(), key.encode(), timestamp=timestamp, on_delivery=delivered)
                producer.poll(0)
                return
            except BufferError:
                producer.poll(0.1)

    def flush(self, producer):
        if left := producer.flush(120):
            raise Wrong(f"{left} records are not acknowledged within 120 s")

    def check_alive(self):
        if self.broker:
            self.broker.check_alive()
        for instance in self.instances:
            instance.check_alive()

    def ends(self):
        return "; ".join(f"{instance.number}: {instance.last()}" for instance in self.instances)

    def wait(self, what, seconds, condition):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {seconds} s; the instances: {self.ends()}")
            time.sleep(0.02)

    def steps(self):
        yield "create-topics", self.create
        yield "table-fed", self.feed_sections
        yield "instances-and-standbys", self.start
        yield "text-processed" if not self.broker else "text-processed-under-kills", self.process
        yield "instances-closed", self.close
        yield "read-back", self.read_back
        yield "word-counts", lambda: self.check_numbered("counts", self.expected.counts)
        yield "windowed-counts", lambda: self.check_numbered("windows", self.expected.windows)
        yield "stream-joins", self.check_joined
        yield "internal-topics", self.check_internal_topics
        yield "committed-offsets", self.check_offsets

    def end(self):
        for instance in self.instances:
            instance.kill()
        if self.live:
            self.live.stop()
        if self.broker:
            self.broker.kill()


def delivered(error, _):
    if error:
        raise Wrong(f"a record of the text is not stored: {error}")


def first_difference(expected_items, items):
    for number, (one, other) in enumerate(zip(expected_items, items)):
        if one != other:
            return f"at {number} expected {one}, got {other}"
    return f"expected {len(expected_items)} in all, got {len(items)}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", nargs="?", choices=["kill"])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--lines", type=int)
    parser.add_argument("--guarantee", default="exactly_once_v2")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    with scratch_folder() as scratch:
        if options.scenario == "kill":
            print(f"seed {options.seed}", file=sys.stderr, flush=True)
            broker = Broker(f"{scratch}/data", f"{scratch}/broker.log")
            broker.start()
            run = Run(scratch, broker.bootstrap, options.guarantee, options.lines or 30_000, broker,
                      random.Random(options.seed), options.rounds)
        else:
            run = Run(scratch, os.environ["BOOTSTRAP"], "at_least_once", options.lines or 5_000)
        try:
            return report("kafka-streams", os.environ["STREAMS_VERSION"], run.steps())
        finally:
            run.end()


if __name__ == "__main__":
    sys.exit(main())
