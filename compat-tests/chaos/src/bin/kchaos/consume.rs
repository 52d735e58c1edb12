//! `kchaos consume`: reads topics from their start as they grow, and asks for their ends now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::task::{Context, Waker};
use std::time::Duration;

use anyhow::Result;
use kcheck::history::{End, Isolation, Op, Record};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use wire::messages::fetch_response::PartitionData;

use crate::flags::Flags;
use crate::journal::{Journal, now_us};
use crate::raw::{Answer, Failure, Raw, checked, persist};
use crate::records::shown;
use crate::requests::{self, leader};

/// Where a reader is in each partition.
pub(crate) type Positions = BTreeMap<(String, i32), i64>;

/// `--bootstrap --history --name --topics a:8,b:4 [--isolation committed|uncommitted] [--until µs]`. SIGTERM asks it to
/// end once it has read all there is.
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    const OFFSET_OUT_OF_RANGE: i16 = 1;
    let name = flags.text("name")?;
    let mut raw = Raw::of(flags, name)?;
    let mut journal = Journal::open(flags.text("history")?, name)?;
    let isolation = match flags.or("isolation", "committed".to_owned())?.as_str() {
        "uncommitted" => Isolation::ReadUncommitted,
        _ => Isolation::ReadCommitted,
    };
    let end_us = flags.or("until", u64::MAX)?;
    let mut positions = from_start(flags.text("topics")?)?;
    let mut turn = 0_usize;
    let mut asked = signal(SignalKind::terminate())?;
    let mut ends: Option<Positions> = None;
    while now_us() < end_us && !ends.as_ref().is_some_and(|ends| reached(ends, &positions)) {
        if ends.is_none() && is_asked(&mut asked) {
            ends = Some(ends_of(&mut raw, &positions).await?);
        }
        let invoke = now_us();
        match poll(&mut raw, &mut positions, isolation).await {
            Ok(records) if records.is_empty() => {}
            Ok(records) => {
                let rebalanced = Vec::new();
                journal.whole(
                    invoke,
                    Op::Poll {
                        isolation,
                        records,
                        rebalanced,
                    },
                )?;
            }
            Err((place, Failure::Code(OFFSET_OUT_OF_RANGE))) => {
                let (topic, partition) = place.clone();
                if let Ok(start) = requests::list(&mut raw, &topic, partition, End::Start).await {
                    positions.insert(place, start);
                    let partitions = Some(vec![format!("{topic}-{partition}")]);
                    journal.whole(now_us(), Op::Assign { partitions })?;
                }
            }
            Err(_) => {
                raw.forget();
                sleep(Duration::from_millis(50)).await;
            }
        }
        turn += 1;
        if turn.is_multiple_of(4) {
            let places: Vec<_> = positions.keys().cloned().collect();
            let (topic, partition) = &places[turn / 4 % places.len()];
            let end = [End::High, End::Stable, End::Start][turn / 4 / places.len() % 3];
            list(&mut raw, &mut journal, (topic, *partition), end).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a signal came.
fn is_asked(signal: &mut Signal) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    signal.poll_recv(&mut context).is_ready()
}

/// Where the logs end now; who is shown only what is committed comes there, too, once no transaction is open.
async fn ends_of(raw: &mut Raw, positions: &Positions) -> Result<Positions> {
    let mut ends = Positions::new();
    for (topic, partition) in positions.keys() {
        let ask = async |raw: &mut Raw| requests::list(raw, topic, *partition, End::High).await;
        let (end, _) = persist(raw, now_us() + 60_000_000, ask).await;
        ends.insert((topic.clone(), *partition), end?);
    }
    Ok(ends)
}

fn reached(ends: &Positions, positions: &Positions) -> bool {
    ends.iter().all(|(place, end)| positions[place] >= *end)
}

/// `a:8,b:4`: from offset 0 of each partition.
pub(crate) fn from_start(topics: &str) -> Result<Positions> {
    let mut positions = Positions::new();
    for topic in topics.split(',') {
        let (name, count) = topic.split_once(':').unwrap_or((topic, "1"));
        for partition in 0..count.parse()? {
            positions.insert((name.to_owned(), partition), 0);
        }
    }
    Ok(positions)
}

async fn list(
    raw: &mut Raw,
    journal: &mut Journal,
    (topic, partition): (&str, i32),
    end: End,
) -> Result<()> {
    let invoke = now_us();
    match requests::end_and_epoch(raw, topic, partition, end).await {
        Ok((offset, epoch)) => journal.whole(
            invoke,
            Op::List {
                partition: format!("{topic}-{partition}"),
                end,
                offset: Some(offset),
                epoch,
            },
        ),
        Err(_) => Ok(()),
    }
}

/// One fetch from each leader; a failure of one partition is reported with its place.
async fn poll(
    raw: &mut Raw,
    positions: &mut Positions,
    isolation: Isolation,
) -> Result<BTreeMap<String, Vec<Record>>, ((String, i32), Failure)> {
    let mut records = BTreeMap::new();
    let mut failed = None;
    let nowhere = |failure| ((String::new(), -1), failure);
    for (topic, fetched) in fetch_all(raw, positions, isolation)
        .await
        .map_err(nowhere)?
    {
        let place = (topic, fetched.partition_index);
        if let Err(failure) = checked(fetched.error_code) {
            failed = Some((place, failure));
            continue;
        }
        let Some(position) = positions.get_mut(&place) else {
            continue;
        };
        let shown = shown(&fetched, *position, isolation);
        *position = shown.next;
        if !shown.records.is_empty() {
            records.insert(format!("{}-{}", place.0, place.1), shown.records);
        }
    }
    match failed {
        // What the others had is told first; the failure comes again.
        Some(failed) if records.is_empty() => Err(failed),
        _ => Ok(records),
    }
}

/// One fetch from each leader.
pub(crate) async fn fetch_all(
    raw: &mut Raw,
    positions: &Positions,
    isolation: Isolation,
) -> Answer<Vec<(String, PartitionData)>> {
    let mut of_leader: BTreeMap<String, Positions> = BTreeMap::new();
    for (place, offset) in positions {
        let address = leader(raw, &place.0, place.1).await?;
        of_leader
            .entry(address)
            .or_default()
            .insert(place.clone(), *offset);
    }
    let mut all = Vec::new();
    let leaders: BTreeSet<String> = of_leader.keys().cloned().collect();
    for address in leaders {
        let some = &of_leader[&address];
        // With more than one leader nobody waits for any.
        let wait_ms = if of_leader.len() == 1 { 100 } else { 10 };
        all.extend(requests::fetch(raw, &address, isolation, some, wait_ms).await?);
    }
    Ok(all)
}
