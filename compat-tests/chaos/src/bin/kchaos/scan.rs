//! `kchaos scan`: the last look, once everybody else is gone.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use kcheck::history::{End, Isolation, Op, Value};

use crate::consume::from_start;
use crate::flags::Flags;
use crate::journal::{Journal, now_us};
use crate::raw::{Answer, Raw, checked, persist};
use crate::records::{Shown, shown};
use crate::requests::{self, leader};

/// How long open transactions may hold back the end of a log, and how long one request is repeated.
const PATIENCE_US: u64 = 60_000_000;

/// What the records of the chain's output were made of: how often each value of its input.
pub(crate) type Sources = HashMap<Value, u32>;

/// `--bootstrap --history --topics a:8,b:4 [--groups g:topic:8,…]`
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    let mut raw = Raw::of(flags, "scan")?;
    let mut journal = Journal::open(flags.text("history")?, "scan")?;
    for (topic, partition) in from_start(flags.text("topics")?)?.into_keys() {
        scan(&mut raw, &mut journal, (&topic, partition)).await?;
    }
    let groups: String = flags.or("groups", String::new())?;
    for group in groups.split(',').filter(|group| !group.is_empty()) {
        let [group, topic, partitions] = group.splitn(3, ':').collect::<Vec<_>>()[..] else {
            bail!("{group}: a group is name:topic:partitions");
        };
        offsets(&mut raw, &mut journal, group, (topic, partitions.parse()?)).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All that is visible in a partition, and what it was made of.
pub(crate) async fn scan(
    raw: &mut Raw,
    journal: &mut Journal,
    (topic, partition): (&str, i32),
) -> Result<Vec<(Value, Option<Value>)>> {
    let name = format!("{topic}-{partition}");
    let start = list(raw, (topic, partition), End::Start)
        .await
        .with_context(|| name.clone())?;
    let end = list(raw, (topic, partition), End::High)
        .await
        .with_context(|| name.clone())?;
    let waiting_until_us = now_us() + PATIENCE_US;
    while list(raw, (topic, partition), End::Stable).await? < end {
        if now_us() > waiting_until_us {
            bail!("{name}: a transaction is still open a minute after everybody is gone");
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let mut all = Vec::new();
    let mut from = start;
    // An empty log was looked at, too.
    let mut looked = false;
    while from < end || !looked {
        let invoke = now_us();
        let fetch = async |raw: &mut Raw| look(raw, (topic, partition), from).await;
        let (shown, _) = persist(raw, now_us() + PATIENCE_US, fetch).await;
        let shown = shown.with_context(|| format!("{name} at {from}"))?;
        if shown.next == from && from < end && now_us() > waiting_until_us + PATIENCE_US {
            bail!("{name}: nothing comes from {from} on, though it ends at {end}");
        }
        let values = shown.records.iter().map(|record| record.value);
        all.extend(values.zip(shown.sources));
        journal.whole(
            invoke,
            Op::Scan {
                partition: name.clone(),
                from,
                to: shown.next,
                records: shown.records,
            },
        )?;
        (from, looked) = (shown.next, true);
    }
    Ok(all)
}

async fn list(raw: &mut Raw, (topic, partition): (&str, i32), end: End) -> Answer<i64> {
    let ask = async |raw: &mut Raw| requests::list(raw, topic, partition, end).await;
    persist(raw, now_us() + PATIENCE_US, ask).await.0
}

async fn look(raw: &mut Raw, (topic, partition): (&str, i32), from: i64) -> Answer<Shown> {
    let address = leader(raw, topic, partition).await?;
    let positions = BTreeMap::from([((topic.to_owned(), partition), from)]);
    let fetched = requests::fetch(raw, &address, Isolation::ReadCommitted, &positions, 10).await?;
    let mut all = Shown {
        records: Vec::new(),
        sources: Vec::new(),
        next: from,
    };
    for (_, fetched) in fetched {
        checked(fetched.error_code)?;
        all = shown(&fetched, from, Isolation::ReadCommitted);
    }
    Ok(all)
}

/// What a group has committed in the end.
pub(crate) async fn offsets(
    raw: &mut Raw,
    journal: &mut Journal,
    group: &str,
    (topic, partitions): (&str, i32),
) -> Result<BTreeMap<i32, i64>> {
    let invoke = now_us();
    let ask = async |raw: &mut Raw| requests::committed(raw, group, topic, partitions).await;
    let (committed, _) = persist(raw, now_us() + PATIENCE_US, ask).await;
    let committed = committed.with_context(|| format!("offsets of {group}"))?;
    let named = committed
        .iter()
        .map(|(partition, offset)| (format!("{topic}-{partition}"), *offset));
    journal.whole(
        invoke,
        Op::Committed {
            group: group.to_owned(),
            offsets: named.collect(),
        },
    )?;
    Ok(committed)
}
