//! What each replica of a partition holds, as it shows it to consumers that ask a follower (KIP-392).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use kcheck::history::{Batch, End, Isolation, Op};
use tokio::time::sleep;
use wire::batch::{batches, compute_crc};

use crate::cluster::{Cluster, NODES};
use crate::crew::TOPICS;
use crate::journal::{Journal, now_us};
use crate::raw::{Answer, Raw, checked, persist};
use crate::requests;

/// How long a replica may take to show all that its leader has.
const PATIENCE_US: u64 = 60_000_000;

/// Writes down every replica of every partition, up to the high watermark of its leader.
pub(crate) async fn look(raw: &mut Raw, journal: &mut Journal, cluster: &Cluster) -> Result<()> {
    for (topic, partitions) in TOPICS {
        for partition in 0..partitions {
            let ask = async |raw: &mut Raw| requests::list(raw, topic, partition, End::High).await;
            let end = persist(raw, now_us() + PATIENCE_US, ask).await.0?;
            for node in NODES {
                let replica = (topic, partition, node);
                one(raw, journal, cluster.address(node), replica, end).await?;
            }
        }
    }
    Ok(())
}

async fn one(
    raw: &mut Raw,
    journal: &mut Journal,
    address: &str,
    (topic, partition, broker): (&str, i32, i32),
    end: i64,
) -> Result<()> {
    let give_up_us = now_us() + PATIENCE_US;
    let mut from = 0;
    while from < end {
        let invoke = now_us();
        let found = fetch(raw, address, (topic, partition), from).await;
        let batches = match found {
            Ok(batches) if !batches.is_empty() => batches,
            nothing if now_us() > give_up_us => {
                bail!(
                    "broker {broker} shows nothing of {topic}-{partition} from {from} on: {nothing:?}"
                )
            }
            _ => {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let to = batches.last().map_or(from, |last| last.1 + 1);
        let op = Op::Replica {
            partition: format!("{topic}-{partition}"),
            broker,
            from,
            to,
            batches,
        };
        journal.whole(invoke, op)?;
        from = to;
    }
    Ok(())
}

async fn fetch(
    raw: &mut Raw,
    address: &str,
    (topic, partition): (&str, i32),
    from: i64,
) -> Answer<Vec<Batch>> {
    let positions = BTreeMap::from([((topic.to_owned(), partition), from)]);
    let isolation = Isolation::ReadUncommitted;
    let mut found = Vec::new();
    for (_, fetched) in requests::fetch(raw, address, isolation, &positions, 10).await? {
        checked(fetched.error_code)?;
        for batch in batches(fetched.records.as_deref().unwrap_or_default()) {
            // A stretch may end in the middle of a batch.
            let Ok((header, bytes)) = batch else { break };
            // The checksum of what is there, not the one that is written beside it; the epoch is not under it.
            found.push(Batch(
                header.base_offset,
                header.last_offset(),
                header.partition_leader_epoch,
                compute_crc(bytes),
            ));
        }
    }
    Ok(found)
}
