"""Three clients in one KIP-848 group. Each is a process that commits what it has read before it polls again, leaves in
order when a line comes on its input, and prints `owns PARTITION…` whenever that changes and `read PARTITION OFFSET` per record."""
import os
import subprocess
import sys
import threading
import time

from confluent_kafka import ConsumerGroupState, ConsumerGroupType, Producer
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = os.environ["BOOTSTRAP"]
PARTITIONS, RECORDS = 6, 60
# The broker's own session timeout for these groups is 45 s.
DEADLINE_S, CRASH_S = 30, 75


class Wrong(Exception):
    pass


class Member:
    def __init__(self, name, command, book):
        self.name, self.book, self.owned = name, book, []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.listen, daemon=True)
        self.reader.start()

    def listen(self):
        for line in self.process.stdout:
            word, *rest = line.split()
            if word == "owns":
                self.owned = [int(partition) for partition in rest]
            elif word == "read":
                self.book.read(self.name, int(rest[0]), int(rest[1]))
            else:
                self.book.wrong.append(f"{self.name}: {line.strip()}")

    def leave(self):
        self.process.stdin.write("leave\n")
        self.process.stdin.close()
        if self.process.wait(DEADLINE_S):
            raise Wrong(f"{self.name} ended with {self.process.returncode}")
        self.reader.join()

    def crash(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


class Group:
    def __init__(self, java, go):
        self.name = f"compat-mixed-{time.time_ns():x}"
        tail = [BOOTSTRAP, self.name, self.name]
        here = os.path.dirname(os.path.abspath(__file__))
        self.commands = {
            "java": ["java", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
                     "-cp", java, os.path.join(here, "Member.java"), *tail],
            "librdkafka": [sys.executable, os.path.join(here, "member.py"), *tail],
            "franz-go": [go, *tail]}
        self.members, self.seen, self.wrong, self.written, self.lock = {}, {}, [], 0, threading.Lock()
        self.admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
        self.producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 5})
        self.admin.create_topics([NewTopic(self.name, PARTITIONS, 1)])[self.name].result(DEADLINE_S)

    def read(self, name, partition, offset):
        with self.lock:
            if (partition, offset) in self.seen:
                self.wrong.append(f"{partition}@{offset} read by {self.seen[partition, offset]} and again by {name}")
            self.seen[partition, offset] = name

    def until(self, what, holds, limit_s=DEADLINE_S):
        end = time.monotonic() + limit_s
        while not holds():
            if self.wrong:
                raise Wrong("; ".join(self.wrong[:5]))
            if time.monotonic() > end:
                owned = {name: member.owned for name, member in self.members.items()}
                raise Wrong(f"{what}: not within {limit_s} s; owned: {owned}; read: {len(self.seen)} of {self.written}")
            time.sleep(0.02)

    def shared(self):
        owned = [member.owned for member in self.members.values()]
        return all(owned) and sorted(sum(owned, [])) == list(range(PARTITIONS))

    def settle(self, limit_s=DEADLINE_S):
        self.until("all own some partitions, and each has one owner", self.shared, limit_s)
        # What is written now is read once, by those who own it.
        errors = []
        for i in range(RECORDS):
            self.producer.produce(self.name, b"x", partition=i % PARTITIONS, on_delivery=lambda error, _: error and errors.append(error))
        if self.producer.flush(DEADLINE_S) or errors:
            raise Wrong(f"producing: {errors[:1]}")
        self.written += RECORDS
        self.until("every record is read", lambda: len(self.seen) == self.written)

    def join(self, name):
        self.members[name] = Member(name, self.commands[name], self)
        self.settle()

    def leave(self, name):
        self.members.pop(name).leave()
        self.settle()

    def crash(self, name):
        self.members.pop(name).crash()
        self.settle(CRASH_S)

    def rejoin(self, name):
        self.leave(name)
        self.join(name)

    def described(self):
        listed = {group.group_id: group for group in self.admin.list_consumer_groups().result(DEADLINE_S).valid}
        if listed[self.name].type != ConsumerGroupType.CONSUMER:
            raise Wrong(f"listed as {listed[self.name].type}")
        found = self.admin.describe_consumer_groups([self.name])[self.name].result(DEADLINE_S)
        owned = {member.client_id: sorted(place.partition for place in member.assignment.topic_partitions) for member in found.members}
        expected = {name: sorted(member.owned) for name, member in self.members.items()}
        if found.state != ConsumerGroupState.STABLE or owned != expected:
            raise Wrong(f"described: expected STABLE, {expected}, got {found.state}, {owned}")

    def end(self):
        for member in self.members.values():
            member.crash()
        self.admin.delete_topics([self.name])[self.name].result(DEADLINE_S)


def main():
    group = Group(*sys.argv[1:3])
    print("client mixed-group", *sys.argv[3:], flush=True)
    passed = failed = 0
    steps = [("mixed-join-" + name, lambda name=name: group.join(name)) for name in group.commands]
    steps += [("mixed-describe", group.described)]
    steps += [("mixed-rejoin-" + name, lambda name=name: group.rejoin(name)) for name in group.commands]
    steps += [("mixed-crash", lambda: group.crash("java")), ("mixed-back", lambda: group.join("java"))]
    for name, step in steps:
        try:
            step()
            passed += 1
            print("ok", name, flush=True)
        except Exception as error:
            failed += 1
            print(f"FAIL {name}: {' '.join(str(error or repr(error)).split())}", flush=True)
            break
    group.end()
    print(f"{passed} passed, {failed} failed, 0 skipped", flush=True)
    # Not sys.exit: the client's own threads may take long to notice that nobody needs them any more.
    os._exit(1 if failed else 0)


main()
