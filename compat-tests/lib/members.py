"""Members of consumer groups: each in a thread of its own, as a program would run it, or in a process that can be killed.

A client brings a consumer with these operations, called by one thread alone:

    poll()                          the records of about the next 100 ms
    owned()                         {(topic, partition)}
    rebalances                      how often it was given an assignment
    commit(offsets=None)            {(topic, partition): (offset, metadata)}, or all that was read
    seek(topic, partition, offset)
    offset_at(topic, partition, ms) the first offset at or after that time
    close()                         leaves the group
"""
import concurrent.futures
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time

from checks import DEADLINE_S, Record, Wrong


class Member:
    def __init__(self, make):
        self.records, self.owned, self.rebalances, self.error = [], frozenset(), 0, None
        self.commands, self.leaving = queue.SimpleQueue(), False
        self.thread = threading.Thread(target=self.run, args=(make,), daemon=True)
        self.thread.start()

    def run(self, make):
        try:
            consumer = make()
            while True:
                while not self.commands.empty():
                    call, answer = self.commands.get()
                    try:
                        answer.set_result(call(consumer))
                    except Exception as error:
                        answer.set_exception(error)
                if self.leaving:
                    return
                self.records += consumer.poll()
                self.owned, self.rebalances = frozenset(consumer.owned()), consumer.rebalances
        except Exception as error:
            self.error = error

    def do(self, call):
        """What the call on the consumer answers, made between two polls by the thread that polls."""
        answer = concurrent.futures.Future()
        self.commands.put((call, answer))
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                return answer.result(0.1)
            except concurrent.futures.TimeoutError:
                if self.error:
                    raise self.error
                if time.monotonic() > deadline:
                    raise Wrong(f"a member's call takes longer than {DEADLINE_S} s") from None

    def commit(self, offsets=None):
        self.do(lambda consumer: consumer.commit(offsets))

    def leave(self):
        def close(consumer):
            self.leaving = True
            consumer.close()
        self.do(close)
        self.owned = frozenset()


class Victim:
    """The same in a process, which can end without a word to the broker."""

    def __init__(self, *words):
        self.records, self.owned, self.error = [], frozenset(), None
        self.committed = threading.Event()
        self.process = subprocess.Popen([sys.executable, sys.argv[0], "victim", *words],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            news = json.loads(line)
            self.records += [Record(partition, None, None, value.encode(), [], offset)
                             for partition, offset, value in news["read"]]
            self.owned = frozenset(tuple(pair) for pair in news["owned"])
            if news["error"]:
                self.error = Wrong(f"the other process: {news['error']}")
            if news["committed"]:
                self.committed.set()

    def commit(self):
        self.committed.clear()
        self.process.stdin.write("commit\n")
        self.process.stdin.flush()
        wait_for("the other process commits", self.committed.is_set, [self])

    def crash(self):
        self.process.kill()
        self.process.wait()


def serve_victim(member, group, topic):
    """The other side of Victim: tells all news on standard output until it is killed or nobody asks any more."""
    victim, told, before = Member(lambda: member(group, [topic], client_id="victim")), 0, None
    while True:
        committed = False
        if select.select([sys.stdin], [], [], 0.05)[0]:
            if not sys.stdin.readline():
                os._exit(0)
            victim.commit()
            committed = True
        records = victim.records[told:]
        told += len(records)
        state = sorted(victim.owned), victim.error and repr(victim.error)
        if records or committed or state != before:
            before = state
            print(json.dumps({"owned": state[0], "error": state[1], "committed": committed,
                              "read": [(r.partition, r.offset, r.value.decode()) for r in records]}), flush=True)


def wait_for(what, condition, members):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        for number, member in enumerate(members):
            if member.error:
                raise Wrong(f"{what}: member {number}: {member.error!r}")
        if time.monotonic() > deadline:
            shown = "; ".join(f"{len(m.records)} read, owns {sorted(p for _, p in m.owned)}" for m in members)
            raise Wrong(f"{what}: not within {DEADLINE_S} s ({shown})")
        time.sleep(0.02)


def read_by(members):
    return [record.value for member in members for record in member.records]


def exactly(what, members, expected):
    """Together they read what is expected, all of it and nothing twice."""
    wait_for(what, lambda: len(read_by(members)) >= len(expected), members)
    read = sorted(read_by(members))
    if read != sorted(expected):
        missing, more = sorted(set(expected) - set(read)), [v for i, v in enumerate(read) if v in read[:i] or v not in expected]
        raise Wrong(f"{what}: {len(missing)} missing {missing[:3]}, {len(more)} too many {more[:3]}")


def shared(topic, count, members):
    """Whether each owns something, and together all partitions, none twice."""
    owned = [place for member in members for place in member.owned]
    return all(m.owned for m in members) and sorted(owned) == [(topic, partition) for partition in range(count)]
