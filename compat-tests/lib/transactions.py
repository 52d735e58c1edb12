"""The steps of transactions (../README.md), for the clients driven from Python.

A client brings a producer with a transactional id, which has ended what another began with that id:

    begin()
    send(topic, records)            waits for all
    send_offsets(consumer, group, offsets)
                                    {(topic, partition): offset} for the group of a consumer as members.py has it
    commit(), abort()
    close()                         at the latest when nobody needs it; it may be fenced
"""
from contextlib import closing

from checks import PARTITIONS, end_of, equal, refused, until
from members import exactly

INVALID_PRODUCER_EPOCH, PRODUCER_FENCED = 47, 90
STARTS = dict.fromkeys(range(PARTITIONS), 0)


class TransactionSteps:
    def transactional(self, transactional_id): raise NotImplementedError

    def transaction_steps(self):
        yield "transaction-commit", self.transaction_commit
        yield "transaction-abort", self.transaction_abort
        yield "transaction-offsets", self.transaction_offsets
        yield "transaction-fenced", self.transaction_fenced

    def numbered(self, start, end):
        return [self.record(i) for i in range(start, end)]

    def begin(self, producer, topic, start, end):
        """Begins a transaction and writes record(start) to record(end - 1) in it."""
        producer.begin()
        producer.send(topic, self.numbered(start, end))

    def ends_are(self, topic, end):
        for partition in range(PARTITIONS):
            until(f"end of {topic}-{partition}", end, lambda: end_of(topic, partition))

    def offsets_read(self, topic, start, expected):
        """A reader of committed records reads the same offsets of each partition, in their order."""
        records = self.consume(topic, dict.fromkeys(STARTS, start), PARTITIONS * len(expected), committed=True)
        equal("offsets read", {partition: expected for partition in STARTS},
              {partition: [r.offset for r in records if r.partition == partition] for partition in STARTS})

    def transaction_commit(self):
        """Two transactions: the second's records stand behind the first's marker."""
        topic = self.make("transaction-commit", PARTITIONS, {})
        with closing(self.transactional(self.topic("commit"))) as producer:
            self.begin(producer, topic, 0, 30)
            producer.commit()
            self.ends_are(topic, 11)
            records = self.consume(topic, STARTS, 30, committed=True)
            equal("records read", 30, len(records))
            self.check(records, STARTS)
            self.begin(producer, topic, 30, 60)
            producer.commit()
            self.ends_are(topic, 22)
            self.offsets_read(topic, 0, [*range(10), *range(11, 21)])

    def transaction_abort(self):
        """What an aborted transaction wrote is read by those that read everything, and by nobody else."""
        topic = self.make("transaction-abort", PARTITIONS, {})
        with closing(self.transactional(self.topic("abort"))) as producer:
            self.produce(topic, self.numbered(0, 30))
            self.begin(producer, topic, 30, 60)
            producer.abort()
            self.ends_are(topic, 21)
            records = self.consume(topic, STARTS, 60)
            equal("records read", 60, len(records))
            self.check(records, STARTS)
            # Behind the marker stands one that everybody reads.
            self.produce(topic, self.numbered(60, 63))
            self.offsets_read(topic, 8, [8, 9, 21])

    def transaction_offsets(self):
        """Offsets are committed with the transaction that they are part of, and not before it; an aborted one's never."""
        source, group = self.make("transaction-source", PARTITIONS, {}), self.run_id + "-transaction"
        topic = self.make("transaction-offsets", PARTITIONS, {})
        said = self.say(source, "source")
        member = self.join(group, [source])
        exactly("reading before the transactions", [member], said)
        self.commit_all(group, source, [member])

        def send(producer, offset):
            self.begin(producer, topic, 0, 3)
            offsets = {(source, partition): offset for partition in range(PARTITIONS)}
            member.do(lambda consumer: producer.send_offsets(consumer, group, offsets))

        def offsets_are(what, offset):
            until(f"offsets {what}", dict.fromkeys(STARTS, offset),
                  lambda: {partition: at for partition, (at, _) in self.committed(group, source).items()})

        with closing(self.transactional(self.topic("offsets"))) as producer:
            send(producer, 4)
            producer.abort()
            offsets_are("after an abort", 10)
            send(producer, 7)
            offsets_are("before the commit", 10)
            producer.commit()
            offsets_are("after the commit", 7)
        member.leave()

    def transaction_fenced(self):
        """A second producer of the id ends the first's transaction, and the first may not go on with it."""
        topic = self.make("transaction-fenced", PARTITIONS, {})
        with closing(self.transactional(self.topic("fenced"))) as first:
            self.begin(first, topic, 0, 3)
            with closing(self.transactional(self.topic("fenced"))) as second:
                self.begin(second, topic, 3, 6)
                refused((INVALID_PRODUCER_EPOCH, PRODUCER_FENCED), "the first producer commits", first.commit)
                second.commit()
        # The first's record is at 0, the marker of its end at 1; the second's has a marker too.
        self.ends_are(topic, 4)
        self.offsets_read(topic, 0, [2])
