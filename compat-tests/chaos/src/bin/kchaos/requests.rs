//! The requests, each as a function: arguments in, what matters of the answer out.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use kcheck::history::{End, Isolation, Producer, Replication};
use wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::describe_topic_partitions_request::TopicRequest;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::fetch_response::PartitionData;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, BrokerId, CreateTopicsRequest,
    DescribeTopicPartitionsRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest,
    HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest, SyncGroupRequest, TxnOffsetCommitRequest,
};
use wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use wire::{Bytes, StrBytes};

use crate::flags::Flags;
use crate::journal::now_us;
use crate::raw::{Answer, Failure, Raw, checked, persist};

/// The coordinator of a group, and of a transactional id.
pub(crate) const GROUP: i8 = 0;
pub(crate) const TRANSACTION: i8 = 1;

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn missing(what: &str) -> Failure {
    Failure::NoAnswer(format!("the answer has no {what}"))
}

/// `kchaos topic --bootstrap … --topic … --partitions N [--replicas N] [--configs k=v,…]`
pub(crate) async fn topic(flags: &Flags) -> Result<ExitCode> {
    let mut raw = Raw::of(flags, "topic")?;
    let configs: String = flags.or("configs", String::new())?;
    let new = NewTopic {
        name: flags.text("topic")?,
        partitions: flags.get("partitions")?,
        replicas: flags.or("replicas", 1)?,
        configs: &configs,
    };
    create(&mut raw, &new).await?;
    Ok(ExitCode::SUCCESS)
}

/// A topic to be made.
pub(crate) struct NewTopic<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: i32,
    pub(crate) replicas: i16,
    /// `key=value,…`
    pub(crate) configs: &'a str,
}

/// Makes it, or finds it there, and waits until every partition has a leader: at most a minute.
pub(crate) async fn create(raw: &mut Raw, new: &NewTopic<'_>) -> Answer<()> {
    const TOPIC_ALREADY_EXISTS: i16 = 36;
    const INVALID_REPLICATION_FACTOR: i16 = 38;
    let configs = new
        .configs
        .split(',')
        .filter_map(|pair| pair.split_once('='));
    let configs = configs.map(|(key, value)| {
        let config = CreatableTopicConfig::default().with_name(text(key));
        config.with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(text(new.name).into())
        .with_num_partitions(new.partitions)
        .with_replication_factor(new.replicas)
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(10_000);
    let end_us = now_us() + 60_000_000;
    let made = persist(raw, end_us, async |raw| {
        let address = raw.bootstrap[0].clone();
        let answer = raw.call(&address, &request, 7).await?;
        let code = answer
            .topics
            .first()
            .ok_or_else(|| missing("topic"))?
            .error_code;
        match code {
            TOPIC_ALREADY_EXISTS => Ok(()),
            INVALID_REPLICATION_FACTOR => Err(Failure::NotSent(
                "the brokers are not all there yet".to_owned(),
            )),
            code => checked(code),
        }
    });
    made.await.0?;
    for partition in 0..new.partitions {
        let led = persist(raw, end_us, async |raw| {
            leader(raw, new.name, partition).await
        });
        led.await.0?;
    }
    Ok(())
}

/// `kchaos leader --bootstrap … --topic … --partition N [--in-sync N]` prints the leader's address, once so many replicas are in sync.
pub(crate) async fn who_leads(flags: &Flags) -> Result<ExitCode> {
    let mut raw = Raw::of(flags, "leader")?;
    let place = (flags.text("topic")?.to_owned(), flags.get("partition")?);
    let wanted = flags.or("in-sync", 1)?;
    let ask = async |raw: &mut Raw| {
        let address = leader(raw, &place.0, place.1).await?;
        match raw.replication.get(&place).map_or(0, |told| told.isr.len()) {
            count if count >= wanted => Ok(address),
            count => Err(Failure::NotSent(format!("{count} replicas are in sync"))),
        }
    };
    println!("{}", persist(&mut raw, now_us() + 60_000_000, ask).await.0?);
    Ok(ExitCode::SUCCESS)
}

/// The address of the partition's leader.
pub(crate) async fn leader(raw: &mut Raw, topic: &str, partition: i32) -> Answer<String> {
    const LEADER_NOT_AVAILABLE: i16 = 5;
    let place = (topic.to_owned(), partition);
    if !raw.leaders.contains_key(&place) {
        metadata(raw, topic).await?;
    }
    let leader = raw.leaders.get(&place).cloned();
    // Nothing was sent to anybody who could have done it.
    leader.ok_or_else(|| Failure::NotSent(format!("error code {LEADER_NOT_AVAILABLE}")))
}

/// Learns who leads the topic's partitions, from any broker that answers.
pub(crate) async fn metadata(raw: &mut Raw, topic: &str) -> Answer<()> {
    let mut failure = Failure::NotSent("no address".to_owned());
    for address in raw.bootstrap.clone() {
        let image = match describe(raw, &address, &[topic]).await {
            Ok(image) => image,
            // Asking changes nothing, so it is as if nothing was sent.
            Err(error) => {
                failure = Failure::NotSent(error.to_string());
                continue;
            }
        };
        for (place, told) in image.partitions {
            if let Some(address) = told.leader.and_then(|leader| image.brokers.get(&leader)) {
                raw.leaders.insert(place.clone(), address.clone());
            }
            raw.replication.insert(place, told);
        }
        raw.brokers.extend(image.brokers);
        return Ok(());
    }
    Err(failure)
}

/// What one broker says of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// Node id → address, of the brokers that are there.
    pub(crate) brokers: BTreeMap<i32, String>,
    pub(crate) partitions: BTreeMap<(String, i32), Replication>,
}

/// Asks the broker at `address` about some topics.
pub(crate) async fn describe(raw: &mut Raw, address: &str, topics: &[&str]) -> Answer<Image> {
    let asked = |topic: &&str| MetadataRequestTopic::default().with_name(Some(text(topic).into()));
    let request = MetadataRequest::default()
        .with_topics(Some(topics.iter().map(asked).collect()))
        .with_allow_auto_topic_creation(false);
    let answer = raw.call(address, &request, 12).await?;
    let mut image = Image::default();
    for broker in &answer.brokers {
        let address = format!("{}:{}", broker.host.as_str(), broker.port);
        image.brokers.insert(broker.node_id.0, address);
    }
    for topic in &answer.topics {
        let name = topic.name.as_ref().map(|name| name.to_string());
        for told in &topic.partitions {
            let replication = Replication {
                leader: Some(told.leader_id.0).filter(|leader| *leader >= 0),
                epoch: told.leader_epoch,
                replicas: ids(&told.replica_nodes),
                isr: ids(&told.isr_nodes),
                ..Replication::default()
            };
            let place = (name.clone().unwrap_or_default(), told.partition_index);
            image.partitions.insert(place, replication);
        }
    }
    Ok(image)
}

/// The address of a coordinator.
pub(crate) async fn coordinator(raw: &mut Raw, kind: i8, key: &str) -> Answer<String> {
    let place = (kind, key.to_owned());
    if let Some(address) = raw.coordinators.get(&place) {
        return Ok(address.clone());
    }
    let request = FindCoordinatorRequest::default()
        .with_key_type(kind)
        .with_coordinator_keys(vec![text(key)]);
    let address = raw.bootstrap[0].clone();
    let answer = raw.call(&address, &request, 6).await;
    // Asking changes nothing.
    let answer = answer.map_err(|failure| Failure::NotSent(failure.to_string()))?;
    let found = answer
        .coordinators
        .first()
        .ok_or_else(|| missing("coordinator"))?;
    checked(found.error_code)?;
    let address = format!("{}:{}", found.host.as_str(), found.port);
    raw.coordinators.insert(place, address.clone());
    Ok(address)
}

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

/// What DescribeTopicPartitions says, which unlike Metadata knows of eligible leaders (KIP-966).
pub(crate) async fn eligible_leaders(
    raw: &mut Raw,
    address: &str,
    topics: &[&str],
) -> Answer<Vec<((String, i32), Replication)>> {
    let asked = |topic: &&str| TopicRequest::default().with_name(text(topic).into());
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(topics.iter().map(asked).collect())
        .with_response_partition_limit(2_000);
    let answer = raw.call(address, &request, 0).await?;
    let mut all = Vec::new();
    for topic in &answer.topics {
        let name = topic.name.as_ref().map(|name| name.to_string());
        for told in &topic.partitions {
            let elr = told.eligible_leader_replicas.as_deref();
            let place = (name.clone().unwrap_or_default(), told.partition_index);
            let replication = Replication {
                leader: Some(told.leader_id.0).filter(|leader| *leader >= 0),
                epoch: told.leader_epoch,
                replicas: ids(&told.replica_nodes),
                isr: ids(&told.isr_nodes),
                elr: ids(elr.unwrap_or_default()),
                ..Replication::default()
            };
            all.push((place, replication));
        }
    }
    Ok(all)
}

fn ids(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

/// A new session of a transactional id, or with none an idempotent producer.
pub(crate) async fn init_producer_id(raw: &mut Raw, id: Option<&str>) -> Answer<Producer> {
    let address = match id {
        Some(id) => coordinator(raw, TRANSACTION, id).await?,
        None => raw.bootstrap[0].clone(),
    };
    let request = InitProducerIdRequest::default()
        .with_transactional_id(id.map(|id| text(id).into()))
        .with_transaction_timeout_ms(20_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let answer = raw.call(&address, &request, 5).await?;
    checked(answer.error_code)?;
    Ok(Producer {
        id: answer.producer_id.0,
        epoch: answer.producer_epoch,
    })
}

/// A transaction under way.
#[derive(Clone, Copy)]
pub(crate) struct Txn<'a> {
    pub(crate) id: &'a str,
    pub(crate) producer: Producer,
}

pub(crate) async fn add_partition(
    raw: &mut Raw,
    txn: Txn<'_>,
    topic: &str,
    partition: i32,
) -> Answer<()> {
    let address = coordinator(raw, TRANSACTION, txn.id).await?;
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(text(topic).into())
        .with_partitions(vec![partition]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(text(txn.id).into())
        .with_v3_and_below_producer_id(txn.producer.id.into())
        .with_v3_and_below_producer_epoch(txn.producer.epoch)
        .with_v3_and_below_topics(vec![topic]);
    let answer = raw.call(&address, &request, 3).await?;
    checked(answer.error_code)?;
    let results = answer.results_by_topic_v3_and_below.iter();
    let mut codes = results
        .flat_map(|topic| &topic.results_by_partition)
        .map(|one| one.partition_error_code);
    codes.find(|code| *code != 0).map_or(Ok(()), checked)
}

pub(crate) async fn add_offsets(raw: &mut Raw, txn: Txn<'_>, group: &str) -> Answer<()> {
    let address = coordinator(raw, TRANSACTION, txn.id).await?;
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(text(txn.id).into())
        .with_producer_id(txn.producer.id.into())
        .with_producer_epoch(txn.producer.epoch)
        .with_group_id(text(group).into());
    checked(raw.call(&address, &request, 4).await?.error_code)
}

/// As no member: only the producer is fenced. Version 5 adds the group to the transaction (KIP-890).
pub(crate) async fn commit_offsets(
    raw: &mut Raw,
    txn: Txn<'_>,
    group: &str,
    offsets: &BTreeMap<(String, i32), i64>,
    version: i16,
) -> Answer<()> {
    let address = coordinator(raw, GROUP, group).await?;
    let topics = offsets.iter().map(|((topic, partition), offset)| {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1);
        TxnOffsetCommitRequestTopic::default()
            .with_name(text(topic).into())
            .with_partitions(vec![partition])
    });
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(text(txn.id).into())
        .with_group_id(text(group).into())
        .with_producer_id(txn.producer.id.into())
        .with_producer_epoch(txn.producer.epoch)
        .with_generation_id(-1)
        .with_topics(topics.collect());
    let answer = raw.call(&address, &request, version).await?;
    let mut codes = answer
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|one| one.error_code);
    codes.find(|code| *code != 0).map_or(Ok(()), checked)
}

/// The session to go on with: from version 5 on the epoch is another one (KIP-890).
pub(crate) async fn end_txn(
    raw: &mut Raw,
    txn: Txn<'_>,
    commit: bool,
    version: i16,
) -> Answer<Producer> {
    let address = coordinator(raw, TRANSACTION, txn.id).await?;
    let request = EndTxnRequest::default()
        .with_transactional_id(text(txn.id).into())
        .with_producer_id(txn.producer.id.into())
        .with_producer_epoch(txn.producer.epoch)
        .with_committed(commit);
    let answer = raw.call(&address, &request, version).await?;
    checked(answer.error_code)?;
    Ok(match answer.producer_id.0 {
        ..0 => txn.producer,
        id => Producer {
            id,
            epoch: answer.producer_epoch,
        },
    })
}

/// What a group has committed, once no transaction is open on it; partitions without an offset are left out.
pub(crate) async fn committed(
    raw: &mut Raw,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Answer<BTreeMap<i32, i64>> {
    let address = coordinator(raw, GROUP, group).await?;
    let asked = OffsetFetchRequestTopics {
        name: text(topic).into(),
        partition_indexes: (0..partitions).collect(),
        ..OffsetFetchRequestTopics::default()
    };
    let request = OffsetFetchRequest {
        group_id: text("").into(),
        topics: Some(Vec::new()),
        groups: vec![OffsetFetchRequestGroup {
            group_id: text(group).into(),
            member_id: None,
            member_epoch: -1,
            topics: Some(vec![asked]),
            unknown_tagged_fields: BTreeMap::new(),
        }],
        require_stable: true,
        unknown_tagged_fields: BTreeMap::new(),
    };
    let answer = raw.call(&address, &request, 8).await?;
    let group = answer.groups.first().ok_or_else(|| missing("group"))?;
    checked(group.error_code)?;
    let mut offsets = BTreeMap::new();
    for partition in group.topics.iter().flat_map(|topic| &topic.partitions) {
        checked(partition.error_code)?;
        if partition.committed_offset >= 0 {
            offsets.insert(partition.partition_index, partition.committed_offset);
        }
    }
    Ok(offsets)
}

/// What a member learned by joining.
pub(crate) struct Joined {
    pub(crate) member_id: String,
    pub(crate) generation: i32,
    /// All members, for the leader.
    pub(crate) members: Vec<String>,
}

/// Joins a classic group of our own protocol, and says with which error code.
pub(crate) async fn join(raw: &mut Raw, group: &str, member_id: &str) -> Answer<(i16, Joined)> {
    let address = coordinator(raw, GROUP, group).await?;
    let protocol = JoinGroupRequestProtocol::default().with_name(text("by-hand"));
    let request = JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(3_000)
        .with_rebalance_timeout_ms(2_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("kchaos"))
        .with_protocols(vec![protocol]);
    let answer = raw.call(&address, &request, 5).await?;
    let members = answer.members.iter();
    let joined = Joined {
        member_id: answer.member_id.to_string(),
        generation: answer.generation_id,
        members: members.map(|member| member.member_id.to_string()).collect(),
    };
    Ok((answer.error_code, joined))
}

/// What the member is given, by the shares that its leader gives.
pub(crate) async fn sync(
    raw: &mut Raw,
    group: &str,
    joined: &Joined,
    shares: Vec<(String, String)>,
) -> Answer<String> {
    let address = coordinator(raw, GROUP, group).await?;
    let assignment = |(member, share): (String, String)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(&member))
            .with_assignment(Bytes::from(share))
    };
    let request = SyncGroupRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(joined.generation)
        .with_member_id(text(&joined.member_id))
        .with_assignments(shares.into_iter().map(assignment).collect());
    let answer = raw.call(&address, &request, 3).await?;
    checked(answer.error_code)?;
    Ok(String::from_utf8_lossy(&answer.assignment).into_owned())
}

pub(crate) async fn heartbeat(raw: &mut Raw, group: &str, joined: &Joined) -> Answer<()> {
    let address = coordinator(raw, GROUP, group).await?;
    let request = HeartbeatRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id(joined.generation)
        .with_member_id(text(&joined.member_id));
    checked(raw.call(&address, &request, 3).await?.error_code)
}

/// Commits as a member, outside transactions.
pub(crate) async fn commit(
    raw: &mut Raw,
    group: &str,
    joined: &Joined,
    topic: &str,
    offsets: &BTreeMap<i32, i64>,
) -> Answer<()> {
    let address = coordinator(raw, GROUP, group).await?;
    let partition = |(partition, offset): (&i32, &i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
    };
    let topic = OffsetCommitRequestTopic {
        name: text(topic).into(),
        partitions: offsets.iter().map(partition).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: text(group).into(),
        generation_id_or_member_epoch: joined.generation,
        member_id: text(&joined.member_id),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let answer = raw.call(&address, &request, 8).await?;
    let mut codes = answer
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|one| one.error_code);
    codes.find(|code| *code != 0).map_or(Ok(()), checked)
}
