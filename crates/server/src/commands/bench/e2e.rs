//! `bench e2e`: from the moment a record is due until a consumer has it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use wire::batch;

use super::Bench;
use super::consume::{BATCH_BYTES_MAX, WAIT, accept, readers};
use super::pace::{Pace, histogram, micros};
use super::produce::{STAMP_BYTES, Writers};
use super::report::{Report, Since};
use crate::client::{Fetched, Link, Place};

pub(super) async fn run(mut bench: Bench<'_>, rate: Option<NonZeroU32>) -> anyhow::Result<Report> {
    let run = uuid::Uuid::new_v4().as_u64_pair().0;
    let ranges = bench.client.offset_ranges(&bench.topic).await?;
    // What is there already is not ours.
    let from = ranges
        .into_iter()
        .map(|(index, (_, end))| (index, (end, end)))
        .collect();
    let connected = readers(bench.client, &bench.topic, bench.common, &from).await?;
    let writers = Writers::connect(&mut bench, run).await?;
    let pace = bench.pace(bench.common.goal(), rate);
    let arrived = Arc::new(Arrived::default());
    let mut tasks = JoinSet::new();
    for (link, places) in connected {
        let listener = Listener {
            link,
            places,
            run,
            arrived: Arc::clone(&arrived),
            pace: Arc::clone(&pace),
            latencies: histogram()?,
        };
        tasks.spawn(listener.run());
    }
    let written = tokio::select! {
        written = writers.write(&pace) => written?,
        // A listener ends by itself only with an error.
        Some(ended) = tasks.join_next() => {
            ended??;
            bail!("a reader ended by itself");
        }
    };
    arrived
        .wait_for(written.records, bench.client.timeout())
        .await;
    let took = pace.began.elapsed();
    arrived.over.store(true, Ordering::Relaxed);
    let mut latencies = histogram()?;
    while let Some(ended) = tasks.join_next().await {
        latencies.add(&ended??.latencies)?;
    }
    let records = arrived.records.load(Ordering::Relaxed);
    let mut report = Report::of("e2e", &bench, took, Since::Due);
    report.counted(records, records * u64::from(bench.write.size));
    report.at_rate(rate);
    report.lost(written.records.saturating_sub(records));
    report.latencies(&latencies);
    Ok(report)
}

/// What has come back.
#[derive(Default)]
struct Arrived {
    records: AtomicU64,
    over: std::sync::atomic::AtomicBool,
    more: Notify,
}

impl Arrived {
    /// Returns when so many have arrived, or after `patience`.
    async fn wait_for(&self, records: u64, patience: Duration) {
        let all = async {
            loop {
                let more = self.more.notified();
                if self.records.load(Ordering::Relaxed) >= records {
                    return;
                }
                more.await;
            }
        };
        let _ = tokio::time::timeout(patience, all).await;
    }
}

/// Reads what is new of its partitions.
struct Listener {
    link: Link,
    places: Vec<Place>,
    run: u64,
    arrived: Arc<Arrived>,
    pace: Arc<Pace>,
    latencies: Histogram<u64>,
}

impl Listener {
    async fn run(mut self) -> anyhow::Result<Listener> {
        while !self.arrived.over.load(Ordering::Relaxed) {
            let fetched = self.link.fetch(&self.places, WAIT).await?;
            for fetched in &fetched {
                self.take(fetched)?;
            }
        }
        Ok(self)
    }

    fn take(&mut self, fetched: &Fetched) -> anyhow::Result<()> {
        accept(&self.link, fetched)?;
        let now = micros(self.pace.began.elapsed());
        let Some(place) = self
            .places
            .iter_mut()
            .find(|place| place.partition == fetched.partition)
        else {
            return Ok(());
        };
        let mut count = 0;
        for (header, bytes) in batch::batches(&fetched.records).map_while(Result::ok) {
            let begin = place.offset;
            place.offset = header.next_offset();
            for record in batch::records(bytes, BATCH_BYTES_MAX)?.iter() {
                let record = record?;
                let due = record.value.and_then(|value| due(value, self.run));
                // A batch that was asked for from its middle comes whole (F3).
                let Some(due) = due.filter(|_| header.offset_of(&record) >= begin) else {
                    continue;
                };
                self.latencies
                    .saturating_record(now.saturating_sub(due).max(1));
                count += 1;
            }
        }
        self.arrived.records.fetch_add(count, Ordering::Relaxed);
        self.arrived.more.notify_one();
        Ok(())
    }
}

/// When a record of this run was due, in microseconds after its beginning; `None` for what others wrote.
fn due(value: &[u8], run: u64) -> Option<u64> {
    let stamp = value.get(..STAMP_BYTES)?;
    let (of, due) = stamp.split_at(8);
    (of == run.to_be_bytes()).then(|| due.try_into().map(u64::from_be_bytes).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_of_this_run_are_counted() {
        let value = [&7_u64.to_be_bytes()[..], &1234_u64.to_be_bytes(), b"rest"].concat();
        assert_eq!(due(&value, 7), Some(1234));
        assert_eq!(due(&value, 8), None);
        assert_eq!(due(&value[..15], 7), None);
    }
}
