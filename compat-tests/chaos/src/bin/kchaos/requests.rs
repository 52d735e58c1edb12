//! The requests, each as a function: arguments in, what matters of the answer out.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use kcheck::history::{End, Isolation, Producer};
use wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::fetch_response::PartitionData;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, CreateTopicsRequest, EndTxnRequest,
    FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest, TxnOffsetCommitRequest,
};
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
    let mut raw = Raw::new(flags.text("bootstrap")?, "topic");
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
    let mut raw = Raw::new(flags.text("bootstrap")?, "leader");
    let place = (flags.text("topic")?.to_owned(), flags.get("partition")?);
    let wanted = flags.or("in-sync", 1)?;
    let ask = async |raw: &mut Raw| {
        let address = leader(raw, &place.0, place.1).await?;
        match raw.in_sync.get(&place) {
            Some(count) if *count >= wanted => Ok(address),
            count => Err(Failure::NotSent(format!("{count:?} replicas are in sync"))),
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
    let asked = MetadataRequestTopic::default().with_name(Some(text(topic).into()));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![asked]))
        .with_allow_auto_topic_creation(false);
    let mut failure = Failure::NotSent("no address".to_owned());
    for address in raw.bootstrap.clone() {
        let answer = match raw.call(&address, &request, 12).await {
            Ok(answer) => answer,
            // Asking changes nothing, so it is as if nothing was sent.
            Err(error) => {
                failure = Failure::NotSent(error.to_string());
                continue;
            }
        };
        let address = |broker: &wire::messages::metadata_response::MetadataResponseBroker| {
            (
                broker.node_id,
                format!("{}:{}", broker.host.as_str(), broker.port),
            )
        };
        let brokers: BTreeMap<_, _> = answer.brokers.iter().map(address).collect();
        for found in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            let place = (topic.to_owned(), found.partition_index);
            raw.in_sync.insert(place.clone(), found.isr_nodes.len());
            if let Some(address) = brokers.get(&found.leader_id) {
                raw.leaders.insert(place, address.clone());
            }
        }
        return Ok(());
    }
    Err(failure)
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
    const LATEST: i64 = -1;
    const EARLIEST: i64 = -2;
    let address = leader(raw, topic, partition).await?;
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(if end == End::Start { EARLIEST } else { LATEST });
    let topic = ListOffsetsTopic::default()
        .with_name(text(topic).into())
        .with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level((end == End::Stable).into())
        .with_topics(vec![topic]);
    let answer = raw.call(&address, &request, 7).await?;
    let partition = answer
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    let partition = partition.ok_or_else(|| missing("partition"))?;
    checked(partition.error_code)?;
    Ok(partition.offset)
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
