//! Transactions by hand.

use std::collections::BTreeMap;

use kcheck::history::Producer;
use wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    TxnOffsetCommitRequest,
};

use super::metadata::coordinator;
use super::{GROUP, TRANSACTION, text};
use crate::raw::{Answer, Raw, checked};

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
