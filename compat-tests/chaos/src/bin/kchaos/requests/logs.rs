//! Records in and out, and where logs end.

use std::collections::BTreeMap;

use kcheck::history::{End, Isolation};
use wire::Bytes;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::fetch_response::PartitionData;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{FetchRequest, ListOffsetsRequest, ProduceRequest};

use super::metadata::leader;
use super::{missing, text};
use crate::raw::{Answer, Raw, checked};

/// A batch for a partition.
pub(crate) struct Produce<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) acks: i16,
    pub(crate) transactional_id: Option<&'a str>,
    pub(crate) batch: Bytes,
    /// 11 or below leaves the partition to be added to the transaction, 12 adds it (KIP-890).
    pub(crate) version: i16,
}

/// Where the first record is; none if nobody told (acks=0, or a repeated request that the broker recognised).
pub(crate) async fn produce(raw: &mut Raw, what: &Produce<'_>) -> Answer<Option<i64>> {
    let address = leader(raw, what.topic, what.partition).await?;
    let data = PartitionProduceData::default()
        .with_index(what.partition)
        .with_records(Some(what.batch.clone()));
    let topic = TopicProduceData::default()
        .with_name(text(what.topic).into())
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(what.transactional_id.map(|id| text(id).into()))
        .with_acks(what.acks)
        .with_timeout_ms(5_000)
        .with_topic_data(vec![topic]);
    if what.acks == 0 {
        raw.send(&address, &request, what.version).await?;
        return Ok(None);
    }
    let answer = raw.call(&address, &request, what.version).await?;
    let partition = answer
        .responses
        .first()
        .and_then(|topic| topic.partition_responses.first());
    let partition = partition.ok_or_else(|| missing("partition"))?;
    checked(partition.error_code)?;
    Ok(Some(partition.base_offset).filter(|offset| *offset >= 0))
}

/// Fetches from every position whose leader is at `address`.
pub(crate) async fn fetch(
    raw: &mut Raw,
    address: &str,
    isolation: Isolation,
    positions: &BTreeMap<(String, i32), i64>,
    wait_ms: i32,
) -> Answer<Vec<(String, PartitionData)>> {
    let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
    for ((topic, partition), offset) in positions {
        let partition = FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(256 * 1024);
        topics.entry(topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        FetchTopic::default()
            .with_topic(text(topic).into())
            .with_partitions(partitions)
    });
    let request = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(4 * 1024 * 1024)
        .with_isolation_level((isolation == Isolation::ReadCommitted).into())
        .with_session_epoch(-1)
        .with_topics(topics.collect());
    let answer = raw.call(address, &request, 12).await?;
    checked(answer.error_code)?;
    let of_topic = |topic: wire::messages::fetch_response::FetchableTopicResponse| {
        let name = topic.topic.to_string();
        topic
            .partitions
            .into_iter()
            .map(move |partition| (name.clone(), partition))
    };
    Ok(answer.responses.into_iter().flat_map(of_topic).collect())
}

/// One end of a log.
pub(crate) async fn list(raw: &mut Raw, topic: &str, partition: i32, end: End) -> Answer<i64> {
    let told = end_and_epoch(raw, topic, partition, end).await;
    told.map(|(offset, _)| offset)
}

/// One end of a log, and the leader epoch of the broker that says so, which of the start of a log is another.
pub(crate) async fn end_and_epoch(
    raw: &mut Raw,
    topic: &str,
    partition: i32,
    end: End,
) -> Answer<(i64, Option<i32>)> {
    const LATEST: i64 = -1;
    const EARLIEST: i64 = -2;
    let address = leader(raw, topic, partition).await?;
    let question = Question {
        replica: -1,
        timestamp: if end == End::Start { EARLIEST } else { LATEST },
        stable: end == End::Stable,
    };
    let place = (topic.to_owned(), partition);
    let answers = list_offsets(raw, &address, std::slice::from_ref(&place), question).await?;
    let (_, answer) = answers
        .into_iter()
        .next()
        .ok_or_else(|| missing("partition"))?;
    answer
}

/// Where a leader's log ends, for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogEnd {
    /// For readers of what is committed.
    Stable,
    /// For all readers.
    High,
    /// For the broker itself.
    Leo,
}

/// The ends of those partitions that the broker at `address` leads.
pub(crate) async fn log_ends(
    raw: &mut Raw,
    address: &str,
    places: &[(String, i32)],
    end: LogEnd,
) -> Answer<Vec<((String, i32), i64)>> {
    // Kafka's DEBUGGING_REPLICA_ID is told the log's end, and everybody else the high watermark.
    const DEBUGGER: i32 = -2;
    let question = Question {
        replica: if end == LogEnd::Leo { DEBUGGER } else { -1 },
        timestamp: -1,
        stable: end == LogEnd::Stable,
    };
    let answers = list_offsets(raw, address, places, question).await?;
    let told = |(place, answer): ((String, i32), Answer<_>)| {
        let (offset, _) = answer.ok()?;
        Some((place, offset))
    };
    Ok(answers.into_iter().filter_map(told).collect())
}

/// Which offset is asked for.
#[derive(Clone, Copy)]
struct Question {
    replica: i32,
    timestamp: i64,
    stable: bool,
}

/// An offset for each, and the leader epoch that goes with it.
type Offsets = Vec<((String, i32), Answer<(i64, Option<i32>)>)>;

async fn list_offsets(
    raw: &mut Raw,
    address: &str,
    places: &[(String, i32)],
    question: Question,
) -> Answer<Offsets> {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (topic, partition) in places {
        let asked = ListOffsetsPartition::default()
            .with_partition_index(*partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(question.timestamp);
        topics.entry(topic).or_default().push(asked);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        ListOffsetsTopic::default()
            .with_name(text(topic).into())
            .with_partitions(partitions)
    });
    let request = ListOffsetsRequest::default()
        .with_replica_id(question.replica.into())
        .with_isolation_level(question.stable.into())
        .with_topics(topics.collect());
    let answer = raw.call(address, &request, 7).await?;
    let of_topic = |topic: wire::messages::list_offsets_response::ListOffsetsTopicResponse| {
        let name = topic.name.to_string();
        topic.partitions.into_iter().map(move |told| {
            let place = (name.clone(), told.partition_index);
            let epoch = Some(told.leader_epoch).filter(|epoch| *epoch >= 0);
            let answer = checked(told.error_code).map(|()| (told.offset, epoch));
            (place, answer)
        })
    };
    Ok(answer.topics.into_iter().flat_map(of_topic).collect())
}
