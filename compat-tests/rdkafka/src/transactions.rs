//! The steps of transactions.

use std::collections::BTreeMap;
use std::ops::Range;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::topic_partition_list::Offset;

use crate::groups::{IDEMPOTENT, places};
use crate::member::{Joining, Member};
use crate::steps::{DEADLINE, Outcome, PARTITIONS, equal, until};
use crate::{Suite, refused, send};

impl Suite {
    pub(crate) fn transaction_steps(&mut self) {
        self.step("transaction-commit", Self::transaction_commit);
        self.step("transaction-abort", Self::transaction_abort);
        self.step("transaction-offsets", Self::transaction_offsets);
        self.step("transaction-fenced", Self::transaction_fenced);
    }

    /// A producer that has ended what another of its transactional id had begun.
    fn transactional(&self, kind: &str) -> Outcome<FutureProducer> {
        let producer: FutureProducer = self
            .config()
            .set("transactional.id", self.topic(kind))
            .create()?;
        producer.init_transactions(DEADLINE)?;
        Ok(producer)
    }

    /// Begins a transaction and writes the records of a range in it.
    fn begin(&self, producer: &FutureProducer, topic: &str, range: Range<usize>) -> Outcome {
        producer.begin_transaction()?;
        send(producer, topic, &self.records(range))?;
        Ok(())
    }

    fn until_ends(&self, topic: &str, end: i64) -> Outcome {
        let consumer = self.consumer();
        (0..PARTITIONS as i32).try_for_each(|partition| {
            let ends = || consumer.fetch_watermarks(topic, partition, DEADLINE).ok();
            until("ends of the partition", &Some((0, end)), ends)
        })
    }

    fn read_committed(&self, topic: &str, start: i64) -> Outcome<Vec<OwnedMessage>> {
        self.consume_with(
            &self.consumer_at("read_committed"),
            topic,
            &everywhere(start),
        )
    }

    /// A reader of committed records reads the same offsets of each partition, in their order.
    fn offsets_read(&self, topic: &str, start: i64, expected: &[i64]) -> Outcome {
        let records = self.read_committed(topic, start)?;
        (0..PARTITIONS as i32).try_for_each(|partition| {
            let of = records
                .iter()
                .filter(|record| record.partition() == partition);
            equal(
                &format!("offsets read of partition {partition}"),
                expected.to_vec(),
                of.map(Message::offset).collect(),
            )
        })
    }

    /// Two transactions: the second's records stand behind the first's marker.
    fn transaction_commit(&mut self) -> Outcome {
        let topic = self.make("transaction-commit", PARTITIONS, &[])?;
        let producer = self.transactional("commit")?;
        self.begin(&producer, &topic, 0..30)?;
        producer.commit_transaction(DEADLINE)?;
        self.until_ends(&topic, 11)?;
        let records = self.read_committed(&topic, 0)?;
        equal("records read", 30, records.len())?;
        self.in_order(&records, everywhere(0))?;
        self.begin(&producer, &topic, 30..60)?;
        producer.commit_transaction(DEADLINE)?;
        self.until_ends(&topic, 22)?;
        let around: Vec<i64> = (0..10).chain(11..21).collect();
        self.offsets_read(&topic, 0, &around)
    }

    /// What an aborted transaction wrote is read by those that read everything, and by nobody else.
    fn transaction_abort(&mut self) -> Outcome {
        let topic = self.make("transaction-abort", PARTITIONS, &[])?;
        let producer = self.transactional("abort")?;
        self.fill(&topic, &IDEMPOTENT, 0..30)?;
        self.begin(&producer, &topic, 30..60)?;
        producer.abort_transaction(DEADLINE)?;
        self.until_ends(&topic, 21)?;
        let records = self.consume(&topic, &everywhere(0))?;
        equal("records read", 60, records.len())?;
        self.in_order(&records, everywhere(0))?;
        // Behind the marker stands one that everybody reads.
        self.fill(&topic, &IDEMPOTENT, 60..63)?;
        self.offsets_read(&topic, 8, &[8, 9, 21])
    }

    /// Offsets are committed with the transaction that they are part of, and not before it; an aborted one's never.
    fn transaction_offsets(&mut self) -> Outcome {
        let source = self.group_topic("transaction", 30)?;
        let topic = self.make("transaction-offsets", PARTITIONS, &[])?;
        let member = Member::join(&source, "compat-0", &source, &Joining::default())?;
        self.reads("before the transactions", places(0..30), &[&member])?;
        member.commit()?;
        let producer = self.transactional("offsets")?;
        let send = |offset| -> Outcome {
            self.begin(&producer, &topic, 0..3)?;
            let mut offsets = TopicPartitionList::new();
            for partition in 0..PARTITIONS as i32 {
                offsets.add_partition_offset(&source, partition, Offset::Offset(offset))?;
            }
            let group = member.group_metadata()?;
            Ok(producer.send_offsets_to_transaction(&offsets, &group, DEADLINE)?)
        };
        let committed = |when: &str, offset| -> Outcome {
            let found = self.committed(&source)?.into_iter().map(|(at, _)| at);
            equal(
                &format!("offsets {when}"),
                vec![Offset::Offset(offset); PARTITIONS],
                found.collect(),
            )
        };
        send(4)?;
        producer.abort_transaction(DEADLINE)?;
        committed("after an abort", 10)?;
        send(7)?;
        committed("before the commit", 10)?;
        producer.commit_transaction(DEADLINE)?;
        committed("after the commit", 7)
    }

    /// A second producer of the id ends the first's transaction, and the first may not go on with it.
    fn transaction_fenced(&mut self) -> Outcome {
        let topic = self.make("transaction-fenced", PARTITIONS, &[])?;
        let first = self.transactional("fenced")?;
        self.begin(&first, &topic, 0..3)?;
        let second = self.transactional("fenced")?;
        self.begin(&second, &topic, 3..6)?;
        // librdkafka's own word for what the broker says with 47 or 90.
        refused(
            "the first producer commits",
            Code::Fenced,
            first.commit_transaction(DEADLINE),
        )?;
        second.commit_transaction(DEADLINE)?;
        // The first's record is at 0, the marker of its end at 1; the second's has a marker too.
        self.until_ends(&topic, 4)?;
        self.offsets_read(&topic, 0, &[2])
    }
}

/// The same offset in every partition.
fn everywhere(offset: i64) -> BTreeMap<i32, i64> {
    (0..PARTITIONS as i32)
        .map(|partition| (partition, offset))
        .collect()
}
