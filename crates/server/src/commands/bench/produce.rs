//! `bench produce`, and the writing that the other benchmarks need.

use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::bail;
use hdrhistogram::Histogram;
use jiff::Timestamp;
use tokio::task::JoinSet;
use wire::batch::{BatchBuilder, BatchOptions};

use super::pace::{Pace, Turn, histogram, micros};
use super::report::{Report, Since};
use super::{Bench, WriteArgs};
use crate::client::{Acks, Link, Topic, by_leader};
use crate::outcome::Refusal;

/// So many different values are made beforehand; making them is not what is measured.
const VALUES: usize = 64;
/// The beginning of a value: the run it belongs to, and when its record was due, in microseconds.
pub(super) const STAMP_BYTES: usize = 16;

/// What has been written.
pub(super) struct Written {
    pub(super) records: u64,
    pub(super) latencies: Histogram<u64>,
}

pub(super) async fn run(mut bench: Bench<'_>, rate: Option<NonZeroU32>) -> anyhow::Result<Report> {
    let writers = Writers::connect(&mut bench, 0).await?;
    let pace = bench.pace(bench.common.goal(), rate);
    let written = writers.write(&pace).await?;
    let since = match (rate, bench.write.acks.code()) {
        (_, 0) => Since::Nothing,
        (Some(_), _) => Since::Due,
        (None, _) => Since::Sent,
    };
    let mut report = Report::of("produce", &bench, pace.began.elapsed(), since);
    report.counted(
        written.records,
        written.records * u64::from(bench.write.size),
    );
    report.at_rate(rate);
    report.latencies(&written.latencies);
    Ok(report)
}

/// Connections to the leaders of a topic, each of which writes to some of its partitions.
pub(super) struct Writers(Vec<Writer>);

struct Writer {
    link: Link,
    topic: Topic,
    /// Not empty: where it writes, one after the other.
    partitions: Vec<i32>,
    turn: usize,
    acks: Acks,
    write: WriteArgs,
    run: u64,
    values: Vec<Vec<u8>>,
    latencies: Histogram<u64>,
    records: u64,
}

impl Writers {
    /// As many to each leader as were asked for. Their records are marked as those of `run`.
    pub(super) async fn connect(bench: &mut Bench<'_>, run: u64) -> anyhow::Result<Writers> {
        let topic = bench.topic.clone();
        let indexes = topic.partitions.iter().map(|partition| partition.index);
        let mut writers = Vec::new();
        for (leader, partitions) in by_leader(&topic, indexes)? {
            for number in 0..usize::from(bench.common.connections) {
                let mut partitions: Vec<i32> = partitions.iter().map(|part| part.index).collect();
                // Not all at once to the same one.
                let shift = number % partitions.len();
                partitions.rotate_left(shift);
                writers.push(Writer {
                    link: bench.client.dial(leader).await?,
                    topic: topic.clone(),
                    partitions,
                    turn: 0,
                    acks: Acks {
                        code: bench.write.acks.code(),
                        timeout_ms: bench.client.timeout_ms(),
                    },
                    write: bench.write,
                    run,
                    values: values(bench.write.size),
                    latencies: histogram()?,
                    records: 0,
                });
            }
        }
        Ok(Writers(writers))
    }

    /// Writes until the pace says that it is over. The first error ends it.
    pub(super) async fn write(self, pace: &Arc<Pace>) -> anyhow::Result<Written> {
        let mut tasks = JoinSet::new();
        for writer in self.0 {
            tasks.spawn(writer.run(Arc::clone(pace)));
        }
        let mut written = Written {
            records: 0,
            latencies: histogram()?,
        };
        while let Some(ended) = tasks.join_next().await {
            let writer = ended??;
            written.records += writer.records;
            written.latencies.add(&writer.latencies)?;
        }
        Ok(written)
    }
}

impl Writer {
    async fn run(mut self, pace: Arc<Pace>) -> anyhow::Result<Writer> {
        while let Some(turn) = pace.turn(self.write.batch_records()).await {
            self.write_batch(&pace, turn).await?;
            pace.done(turn.count);
        }
        Ok(self)
    }

    async fn write_batch(&mut self, pace: &Pace, turn: Turn) -> anyhow::Result<()> {
        let partition = self.partitions[self.turn % self.partitions.len()];
        self.turn = self.turn.wrapping_add(1);
        let taken = pace.began.elapsed();
        let records = turn.first..turn.first + turn.count;
        let mut builder = BatchBuilder::new(BatchOptions {
            codec: self.write.compression.codec(),
            ..BatchOptions::default()
        });
        let now_ms = Timestamp::now().as_millisecond();
        for record in records.clone() {
            let since = micros(pace.waiting_since(record, taken));
            let which = usize::try_from(record).unwrap_or(0) % self.values.len();
            let value = &mut self.values[which];
            value[..8].copy_from_slice(&self.run.to_be_bytes());
            value[8..STAMP_BYTES].copy_from_slice(&since.to_be_bytes());
            builder.append(now_ms, None, Some(value), &[])?;
        }
        let batch = [(partition, builder.build()?)];
        let answers = self.link.produce(&self.topic, self.acks, batch).await?;
        self.accept(partition, &answers)?;
        let acknowledged = pace.began.elapsed();
        self.records += turn.count;
        for record in records.take_while(|_| self.acks.code != 0) {
            let waited = acknowledged.saturating_sub(pace.waiting_since(record, taken));
            self.latencies.saturating_record(micros(waited).max(1));
        }
        Ok(())
    }

    fn accept(
        &self,
        partition: i32,
        answers: &[wire::messages::produce_response::PartitionProduceResponse],
    ) -> anyhow::Result<()> {
        let asked = format!("write to {}/{partition}", self.topic.name);
        match answers {
            [] if self.acks.code == 0 => Ok(()),
            [answer] if answer.error_code == 0 => Ok(()),
            [answer] => Err(Refusal {
                asked,
                by: self.link.address.clone(),
                code: answer.error_code,
                message: answer.error_message.as_ref().map(ToString::to_string),
            }
            .into()),
            _ => bail!(
                "{} answered about other partitions than it was asked for",
                self.link.address
            ),
        }
    }
}

/// Values of this size: half of each is random letters, so that a codec finds about as much to do as in real text.
fn values(size: u32) -> Vec<Vec<u8>> {
    const WORD: &[u8] = b"tidewater ";
    let size = usize::try_from(size)
        .unwrap_or(STAMP_BYTES)
        .max(STAMP_BYTES);
    let mut random = uuid::Uuid::new_v4().as_u64_pair().0 | 1;
    let mut next = move || {
        // Xorshift (Marsaglia 2003): good enough for letters.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let value = |_| {
        let bytes = (0..size).map(|place| match place / WORD.len() % 2 {
            0 => WORD[place % WORD.len()],
            _ => b'a' + (next() % 26) as u8,
        });
        bytes.collect()
    };
    (0..VALUES).map(value).collect()
}
