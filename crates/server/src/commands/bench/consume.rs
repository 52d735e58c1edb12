//! `bench consume`, and the reading that `bench e2e` needs.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::batch;

use super::pace::{Goal, Pace, histogram, micros};
use super::produce::Writers;
use super::report::{Report, Since};
use super::{Bench, CommonArgs};
use crate::client::{Client, Fetched, Link, Place, Topic, by_leader};
use crate::outcome::Refusal;

/// How long a broker holds a fetch when there is nothing new.
pub(super) const WAIT: Duration = Duration::from_millis(500);
/// What the records of one batch may come to, uncompressed.
pub(super) const BATCH_BYTES_MAX: usize = 1 << 30;
/// A topic of its own is filled with so many records where nothing says how many are to be read.
const FILL: u64 = 200_000;

pub(super) async fn run(mut bench: Bench<'_>) -> anyhow::Result<Report> {
    let wanted = bench.common.records.map(NonZeroU64::get);
    if bench.common.topic.is_none() {
        let fill = Goal::Records(wanted.unwrap_or(FILL));
        let bar = std::mem::replace(&mut bench.bar, indicatif::ProgressBar::hidden());
        let writers = Writers::connect(&mut bench, 0).await?;
        writers.write(&bench.pace(fill, None)).await?;
        bench.bar = bar;
    }
    let ranges = bench.client.offset_ranges(&bench.topic).await?;
    let pace = bench.pace(bench.common.goal(), None);
    let deadline = match wanted {
        Some(_) => None,
        None => Some(pace.began + bench.common.length()),
    };
    let read = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for (link, places) in readers(bench.client, &bench.topic, bench.common, &ranges).await? {
        let reader = Reader {
            link,
            places,
            ends: ranges
                .iter()
                .map(|(index, (_, end))| (*index, *end))
                .collect(),
            deadline,
            wanted,
            read: Arc::clone(&read),
            pace: Arc::clone(&pace),
            latencies: histogram()?,
            bytes: 0,
        };
        tasks.spawn(reader.run());
    }
    let (mut latencies, mut bytes) = (histogram()?, 0);
    while let Some(ended) = tasks.join_next().await {
        let reader = ended??;
        latencies.add(&reader.latencies)?;
        bytes += reader.bytes;
    }
    let records = read.load(Ordering::Relaxed);
    if records == 0 {
        bail!("there is nothing to read in topic {}", bench.topic.name);
    }
    let mut report = Report::of("consume", &bench, pace.began.elapsed(), Since::Fetch);
    report.counted(records, bytes);
    report.latencies(&latencies);
    Ok(report)
}

/// Connections to the leaders, and the partitions each of them reads from: all of a leader's, dealt out.
pub(super) async fn readers(
    client: &mut Client,
    topic: &Topic,
    common: &CommonArgs,
    from: &BTreeMap<i32, (i64, i64)>,
) -> anyhow::Result<Vec<(Link, Vec<Place>)>> {
    let indexes = topic.partitions.iter().map(|partition| partition.index);
    let mut readers = Vec::new();
    for (leader, partitions) in by_leader(topic, indexes)? {
        let hands = usize::from(common.connections).min(partitions.len());
        for hand in 0..hands {
            let dealt = partitions.iter().skip(hand).step_by(hands);
            let places = dealt.filter_map(|partition| {
                Some(Place {
                    topic: topic.name.as_str().into(),
                    topic_id: topic.id,
                    partition: partition.index,
                    offset: from.get(&partition.index)?.0,
                })
            });
            readers.push((client.dial(leader).await?, places.collect()));
        }
    }
    Ok(readers)
}

/// Reads its partitions to their ends.
struct Reader {
    link: Link,
    places: Vec<Place>,
    ends: BTreeMap<i32, i64>,
    deadline: Option<Instant>,
    wanted: Option<u64>,
    /// By all readers together.
    read: Arc<AtomicU64>,
    pace: Arc<Pace>,
    latencies: Histogram<u64>,
    bytes: u64,
}

impl Reader {
    async fn run(mut self) -> anyhow::Result<Reader> {
        while !self.is_over() {
            let asked = Instant::now();
            let fetched = self.link.fetch(&self.places, WAIT).await?;
            self.latencies
                .saturating_record(micros(asked.elapsed()).max(1));
            for fetched in &fetched {
                self.take(fetched)?;
            }
        }
        Ok(self)
    }

    fn is_over(&mut self) -> bool {
        let ends = &self.ends;
        self.places.retain(|place| {
            ends.get(&place.partition)
                .is_some_and(|end| place.offset < *end)
        });
        let enough = |wanted| self.read.load(Ordering::Relaxed) >= wanted;
        self.places.is_empty()
            || self.wanted.is_some_and(enough)
            || self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn take(&mut self, fetched: &Fetched) -> anyhow::Result<()> {
        accept(&self.link, fetched)?;
        let Some(place) = self
            .places
            .iter_mut()
            .find(|place| place.partition == fetched.partition)
        else {
            return Ok(());
        };
        let (mut records, mut bytes) = (0, 0);
        // The last batch may be cut short (F3).
        for (header, batch) in batch::batches(&fetched.records).map_while(Result::ok) {
            // The first batch may begin before the offset that was asked for.
            let begin = place.offset;
            place.offset = header.next_offset();
            // A consumer has to look at each, so it is part of what is measured.
            for record in batch::records(batch, BATCH_BYTES_MAX)?.iter() {
                let record = record?;
                if header.offset_of(&record) >= begin {
                    let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len) as u64;
                    records += 1;
                    bytes += len(record.key) + len(record.value);
                }
            }
        }
        self.bytes += bytes;
        self.read.fetch_add(records, Ordering::Relaxed);
        self.pace.done(records);
        Ok(())
    }
}

/// Fails on an error of the partition.
pub(super) fn accept(link: &Link, fetched: &Fetched) -> anyhow::Result<()> {
    match fetched.error_code {
        0 => Ok(()),
        code => Err(Refusal {
            asked: format!("fetch from {}/{}", fetched.topic, fetched.partition),
            by: link.address.clone(),
            code,
            message: None,
        }
        .into()),
    }
}
