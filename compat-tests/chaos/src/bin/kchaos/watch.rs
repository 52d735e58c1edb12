//! `kchaos watch`: asks every broker, every second, what it knows of the cluster.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use kcheck::history::Op;
use tokio::time::sleep;

use crate::consume::from_start;
use crate::flags::Flags;
use crate::journal::{Journal, now_us};
use crate::raw::{Answer, Raw};
use crate::requests::{self, Image, LogEnd};

const EVERY: Duration = Duration::from_secs(1);

/// `--bootstrap --history --name --topics a:8,b:4`
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    let name = flags.text("name")?;
    let mut raw = Raw::of(flags, name)?.with_timeout(EVERY);
    let mut journal = Journal::open(flags.text("history")?, name)?;
    let mut topics: Vec<String> = Vec::new();
    topics.extend(
        from_start(flags.text("topics")?)?
            .into_keys()
            .map(|(topic, _)| topic),
    );
    topics.dedup();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    loop {
        for (address, broker) in raw.bootstrap.clone().iter().zip(1..) {
            let invoke = now_us();
            // Who does not answer is not there to be wrong.
            let Ok(image) = look(&mut raw, address, &topics).await else {
                continue;
            };
            let named = |((topic, partition), told)| (format!("{topic}-{partition}"), told);
            let partitions = image.partitions.into_iter().map(named).collect();
            journal.whole(invoke, Op::Image { broker, partitions })?;
        }
        sleep(EVERY).await;
    }
}

async fn look(raw: &mut Raw, address: &str, topics: &[&str]) -> Answer<Image> {
    let mut image = requests::describe(raw, address, topics).await?;
    // Not every broker knows of eligible leaders.
    if let Ok(elr) = requests::eligible_leaders(raw, address, topics).await {
        for (place, told) in elr {
            if let Some(known) = image.partitions.get_mut(&place) {
                // Both at one moment, as this answer has them, or the one would be held against the other's past.
                *known = told;
            }
        }
    }
    let mut of_leader: BTreeMap<String, Vec<(String, i32)>> = BTreeMap::new();
    for (place, told) in &image.partitions {
        if let Some(leader) = told.leader.and_then(|leader| image.brokers.get(&leader)) {
            of_leader
                .entry(leader.clone())
                .or_default()
                .push(place.clone());
        }
    }
    for (leader, places) in of_leader {
        // From the one that must be the smallest to the largest, since all rise.
        for end in [LogEnd::Stable, LogEnd::High, LogEnd::Leo] {
            let Ok(told) = requests::log_ends(raw, &leader, &places, end).await else {
                break;
            };
            for (place, offset) in told {
                if let Some(known) = image.partitions.get_mut(&place) {
                    match end {
                        LogEnd::Stable => known.stable = Some(offset),
                        LogEnd::High => known.high = Some(offset),
                        LogEnd::Leo => known.end = Some(offset),
                    }
                }
            }
        }
    }
    Ok(image)
}
