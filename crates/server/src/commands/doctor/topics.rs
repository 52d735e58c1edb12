//! Topics: whether each partition has a leader and all its replicas, and whether groups find their coordinators. With
//! `--write`, whether a record can be written and read back.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use wire::batch::{self, BatchBuilder, BatchOptions};

use super::findings::Findings;
use crate::client::{Acks, Client, Metadata, Place, Topic};

const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// So many partitions are named; of the others there is the number.
const NAMED: usize = 5;

pub(super) async fn examine(
    mut client: Client,
    metadata: &Metadata,
    write: bool,
    findings: &mut Findings,
) {
    leaders(&metadata.topics, findings);
    offsets_topic(&mut client, &metadata.topics, findings).await;
    if write {
        match write_and_read(&mut client).await {
            Ok(skew_ms) => {
                findings.well(
                    "write",
                    "a topic of its own",
                    "a record was written and read back",
                );
                if let Some(skew_ms) = skew_ms {
                    clock(skew_ms, "of its leader", findings);
                }
            }
            Err(error) => findings.wrong(
                "write",
                "a topic of its own",
                format!("{error:#}"),
                "what the broker says above is what producers and consumers meet",
            ),
        }
    }
}

fn leaders(topics: &[Topic], findings: &mut Findings) {
    let all = || {
        topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions
                .map(move |partition| (format!("{}/{}", topic.name, partition.index), partition))
        })
    };
    let leaderless: Vec<String> = all()
        .filter(|(_, part)| part.leader < 0)
        .map(|(name, _)| name)
        .collect();
    let behind: Vec<String> = all()
        .filter(|(_, part)| part.leader >= 0 && part.isr.len() < part.replicas.len())
        .map(|(name, _)| name)
        .collect();
    if !leaderless.is_empty() {
        findings.wrong(
            "topic",
            &named(&leaderless),
            "has no leader, so nobody can write to it or read from it",
            "start the brokers that hold it; `tidewater topic describe` shows which",
        );
    }
    if !behind.is_empty() {
        findings.warn(
            "topic",
            &named(&behind),
            "has fewer replicas in sync than it should have",
            "see whether a broker is down or slow; `tidewater topic describe` shows which",
        );
    }
    if leaderless.is_empty() && behind.is_empty() {
        let count = all().count() as u64;
        let count = crate::output::count(count, "partition");
        findings.well(
            "topic",
            "all",
            format!("{count}, each with a leader and all its replicas"),
        );
    }
}

/// `a/0, a/1 and 3 more`.
fn named(names: &[String]) -> String {
    match names.split_at_checked(NAMED) {
        Some((first, rest)) if !rest.is_empty() => {
            format!("{} and {} more", first.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}

/// A group whose partition of the offsets topic has no leader has no coordinator, and can neither commit nor rebalance.
async fn offsets_topic(client: &mut Client, topics: &[Topic], findings: &mut Findings) {
    let Some(topic) = topics.iter().find(|topic| topic.name == OFFSETS_TOPIC) else {
        findings.well(
            "offsets topic",
            OFFSETS_TOPIC,
            "is not there yet; the first group makes it",
        );
        return;
    };
    if topic
        .partitions
        .iter()
        .any(|partition| partition.leader < 0)
    {
        findings.wrong(
            "offsets topic",
            OFFSETS_TOPIC,
            "has partitions without a leader: the groups kept there can neither commit nor rebalance",
            "start the brokers that hold it; `tidewater topic describe __consumer_offsets` shows which",
        );
        return;
    }
    match client.coordinator("tidewater-doctor").await {
        Ok(node) => findings.well(
            "offsets topic",
            OFFSETS_TOPIC,
            format!("groups find their coordinators (asked for one: broker {node})"),
        ),
        Err(error) => findings.wrong(
            "offsets topic",
            OFFSETS_TOPIC,
            format!("{error:#}"),
            "groups need a coordinator: look at the log of the broker that leads its partition",
        ),
    }
}

/// More than this is said aloud: timeouts, retention and the meaning of timestamps suffer from it.
const SKEW_MS: i64 = 5_000;

/// `skew_ms` is how far the other clock is ahead of ours.
pub(super) fn clock(skew_ms: i64, subject: &str, findings: &mut Findings) {
    let seconds = Duration::from_millis(skew_ms.unsigned_abs()).as_secs_f64();
    let direction = if skew_ms > 0 { "ahead of" } else { "behind" };
    if skew_ms.abs() > SKEW_MS {
        findings.warn(
            "clock",
            subject,
            format!("is {seconds:.1} s {direction} this machine's"),
            "have both set by NTP: record timestamps, retention by time and certificates depend on it",
        );
    } else {
        findings.well(
            "clock",
            subject,
            format!("is within {} s of this machine's", SKEW_MS / 1000),
        );
    }
}

/// Writes one record and reads it; gives how far the leader's clock is ahead of ours, in milliseconds, if it says.
async fn write_and_read(client: &mut Client) -> anyhow::Result<Option<i64>> {
    let own = client
        .create_own_topic(
            "doctor",
            1,
            -1,
            &[("message.timestamp.type", "LogAppendTime")],
        )
        .await?;
    let name = own.name.clone();
    let done = round_trip(client, &name).await;
    own.delete(client).await?;
    done
}

async fn round_trip(client: &mut Client, name: &str) -> anyhow::Result<Option<i64>> {
    const VALUE: &[u8] = b"tidewater doctor";
    let topic = client.topic(name, false).await?;
    let acks = Acks {
        code: -1,
        timeout_ms: client.timeout_ms(),
    };
    let leader = topic.partition(0)?.leader;
    let link = client.link(leader).await?;
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let before = Timestamp::now().as_millisecond();
    builder.append(before, None, Some(VALUE), &[])?;
    let answers = link.produce(&topic, acks, [(0, builder.build()?)]).await?;
    let after = Timestamp::now().as_millisecond();
    let answer = answers
        .first()
        .context("the leader said nothing about the record")?;
    link.accept(
        "write a record",
        answer.error_code,
        answer.error_message.clone(),
    )?;
    let place = Place {
        topic: name.into(),
        topic_id: topic.id,
        partition: 0,
        offset: 0,
    };
    let fetched = link.fetch(&[place], Duration::from_secs(1)).await?;
    let fetched = fetched
        .first()
        .context("the leader said nothing about the partition")?;
    link.accept("read a record", fetched.error_code, None)?;
    let (_, bytes) = batch::batches(&fetched.records)
        .next()
        .context("the record that was written is not there to be read")??;
    let records = batch::records(bytes, 1 << 20)?;
    match records.iter().next() {
        Some(record)
            if record
                .as_ref()
                .is_ok_and(|record| record.value == Some(VALUE)) => {}
        _ => bail!("the record that was read is another one than was written"),
    }
    // It was stamped somewhere between the two.
    let stamped = Some(answer.log_append_time_ms).filter(|stamped| *stamped >= 0);
    Ok(stamped.map(|stamped| stamped - stamped.clamp(before, after.max(before))))
}
