//! `bench transaction`: producers that write a little and commit, as exactly-once applications do.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use hdrhistogram::Histogram;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;
use wire::batch::{BatchBuilder, BatchOptions};

use super::pace::{Pace, histogram, micros};
use super::report::{Report, Since};
use super::{Bench, WriteArgs};
use crate::client::{Acks, Topic, TransactionalProducer, by_leader};

pub(super) async fn run(
    bench: Bench<'_>,
    spread: u16,
    rate: Option<NonZeroU32>,
) -> anyhow::Result<Report> {
    let run = Uuid::new_v4().simple().to_string();
    let indexes = bench.topic.partitions.iter().map(|part| part.index);
    let led: Vec<(i32, Vec<i32>)> = by_leader(&bench.topic, indexes)?
        .into_iter()
        .map(|(leader, parts)| (leader, parts.iter().map(|part| part.index).collect()))
        .collect();
    let mut producers = Vec::new();
    for number in 0..usize::from(bench.common.connections) {
        // Each stays with one leader: what is measured is the commit, not the finding of brokers.
        let (leader, partitions) = &led[number % led.len()];
        let id = format!("bench-{}-{number}", &run[..8]);
        producers.push(Producer {
            producer: bench.client.transactional_producer(&id, *leader).await?,
            topic: bench.topic.clone(),
            partitions: partitions.clone(),
            spread: usize::from(spread).min(partitions.len()),
            turn: number,
            sequences: Sequences::default(),
            acks: Acks {
                code: -1,
                timeout_ms: bench.client.timeout_ms(),
            },
            write: bench.write,
            latencies: histogram()?,
            transactions: 0,
            bytes: 0,
        });
    }
    let pace = bench.pace(bench.common.goal(), rate);
    let mut tasks = JoinSet::new();
    for producer in producers {
        tasks.spawn(producer.run(Arc::clone(&pace)));
    }
    let (mut transactions, mut bytes, mut latencies) = (0, 0, histogram()?);
    while let Some(ended) = tasks.join_next().await {
        let producer = ended??;
        transactions += producer.transactions;
        bytes += producer.bytes;
        latencies.add(&producer.latencies)?;
    }
    let mut report = Report::of("transaction", &bench, pace.began.elapsed(), Since::Commit);
    report.counted(transactions, bytes);
    report.at_rate(rate);
    report.latencies(&latencies);
    Ok(report)
}

/// One transactional id, one transaction after the other.
struct Producer {
    producer: TransactionalProducer,
    topic: Topic,
    /// Not empty.
    partitions: Vec<i32>,
    spread: usize,
    turn: usize,
    sequences: Sequences,
    acks: Acks,
    write: WriteArgs,
    latencies: Histogram<u64>,
    transactions: u64,
    bytes: u64,
}

impl Producer {
    async fn run(mut self, pace: Arc<Pace>) -> anyhow::Result<Producer> {
        while let Some(turn) = pace.turn(1).await {
            let batches = self.batches()?;
            self.producer
                .write(&self.topic, self.acks, &batches)
                .await?;
            let committing = Instant::now();
            self.producer.commit().await?;
            self.latencies
                .saturating_record(micros(committing.elapsed()).max(1));
            self.transactions += turn.count;
            pace.done(turn.count);
        }
        Ok(self)
    }

    fn batches(&mut self) -> anyhow::Result<Vec<(i32, Bytes)>> {
        let first = self.turn;
        self.turn = self.turn.wrapping_add(self.spread);
        let places = (first..first + self.spread).map(|place| place % self.partitions.len());
        let partitions: Vec<i32> = places.map(|place| self.partitions[place]).collect();
        let made = partitions
            .into_iter()
            .map(|index| Ok((index, self.batch(index)?)));
        made.collect()
    }

    fn batch(&mut self, partition: i32) -> anyhow::Result<Bytes> {
        let records = self.write.batch_records();
        let value = vec![b't'; usize::try_from(self.write.size)?];
        let (producer_id, producer_epoch) = self.producer.producer;
        let mut builder = BatchBuilder::new(BatchOptions {
            codec: self.write.compression.codec(),
            producer_id,
            producer_epoch,
            base_sequence: self.sequences.next(
                self.producer.producer,
                partition,
                i32::try_from(records)?,
            ),
            transactional: true,
            ..BatchOptions::default()
        });
        let now_ms = Timestamp::now().as_millisecond();
        for _ in 0..records {
            builder.append(now_ms, None, Some(&value), &[])?;
        }
        self.bytes += records * u64::from(self.write.size);
        Ok(builder.build()?)
    }
}

/// The sequence number each partition expects next; with a new producer id or epoch they begin again.
#[derive(Default)]
struct Sequences {
    producer: Option<(i64, i16)>,
    next: BTreeMap<i32, i32>,
}

impl Sequences {
    fn next(&mut self, producer: (i64, i16), partition: i32, records: i32) -> i32 {
        if self.producer.replace(producer) != Some(producer) {
            self.next.clear();
        }
        let next = self.next.entry(partition).or_insert(0);
        let first = *next;
        *next = match next.checked_add(records) {
            Some(after) => after,
            // After the greatest comes 0.
            None => records - 1 - (i32::MAX - first),
        };
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_on_in_each_partition_and_begin_again_with_a_new_epoch() {
        let mut sequences = Sequences::default();
        assert_eq!(sequences.next((1, 0), 0, 3), 0);
        assert_eq!(sequences.next((1, 0), 1, 3), 0);
        assert_eq!(sequences.next((1, 0), 0, 3), 3);
        assert_eq!(sequences.next((1, 1), 0, 3), 0);
        assert_eq!(sequences.next((1, 1), 0, i32::MAX - 1), 3);
        assert_eq!(
            sequences.next((1, 1), 0, 1),
            1,
            "after the greatest comes 0"
        );
    }
}
