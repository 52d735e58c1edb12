//! Writing batches, and the identity that lets them be sent again.

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use wire::ResponseError;
use wire::messages::TransactionalId;
use wire::messages::init_producer_id_request::InitProducerIdRequest;
use wire::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::messages::produce_response::PartitionProduceResponse;

use super::{Client, Link, PAUSE, Topic, text, topic_name};

/// Produce names topics by id from this version on (KIP-516).
const PRODUCE_BY_ID: i16 = 13;

/// How a write is to be acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acks {
    /// 0: not; 1: by the leader; −1: by all replicas in sync.
    pub(crate) code: i16,
    /// How long the leader may wait for the others.
    pub(crate) timeout_ms: i32,
}

impl Client {
    /// An id and epoch for an idempotent producer (KIP-98); `None` from a cluster that gives this client none.
    pub(crate) async fn producer_id(&mut self) -> anyhow::Result<Option<(i64, i16)>> {
        let (timeout, mut last) = (self.timeout, None);
        let given = async {
            loop {
                let link = self.seed().await?;
                let Ok(version) = link.version::<InitProducerIdRequest>() else {
                    return Ok(None);
                };
                let request = InitProducerIdRequest::default()
                    .with_transactional_id(None)
                    .with_transaction_timeout_ms(i32::MAX);
                let response = link.call(&request, version).await?;
                let code = ResponseError::try_from_code(response.error_code);
                match link.accept("get a producer id", response.error_code, None) {
                    Ok(()) => return Ok(Some((response.producer_id.0, response.producer_epoch))),
                    Err(_) if code == Some(ResponseError::ClusterAuthorizationFailed) => {
                        return Ok(None);
                    }
                    Err(refusal) if code.is_some_and(|code| code.is_retriable()) => {
                        last = Some(refusal)
                    }
                    Err(refusal) => return Err(refusal.into()),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(timeout, given).await {
            Ok(result) => result,
            Err(_) => {
                Err(last.map_or_else(|| anyhow!("no producer id in time"), anyhow::Error::from))
            }
        }
    }
}

impl Link {
    /// Writes batches of one topic, at most one for each partition. Without an answer (`acks` 0) there is nothing to say.
    pub(crate) async fn produce(
        &mut self,
        topic: &Topic,
        acks: Acks,
        batches: impl IntoIterator<Item = (i32, Bytes)>,
    ) -> anyhow::Result<Vec<PartitionProduceResponse>> {
        self.produce_as(None, topic, acks, batches).await
    }

    /// As [`Link::produce`], in a transaction if one is given: its id, and the version of Produce to stay below.
    pub(super) async fn produce_as(
        &mut self,
        transaction: Option<(&str, i16)>,
        topic: &Topic,
        acks: Acks,
        batches: impl IntoIterator<Item = (i32, Bytes)>,
    ) -> anyhow::Result<Vec<PartitionProduceResponse>> {
        let mut highest = self.version::<ProduceRequest>()?;
        if let Some((_, below)) = transaction {
            highest = highest.min(below - 1);
        }
        let version = if topic.id.is_nil() {
            highest.min(PRODUCE_BY_ID - 1)
        } else {
            highest
        };
        let data = batches.into_iter().map(|(index, batch)| {
            PartitionProduceData::default()
                .with_index(index)
                .with_records(Some(batch))
        });
        let data = TopicProduceData::default()
            .with_name(topic_name(&topic.name))
            .with_topic_id(topic.id)
            .with_partition_data(data.collect());
        let request = ProduceRequest::default()
            .with_transactional_id(transaction.map(|(id, _)| TransactionalId(text(id))))
            .with_acks(acks.code)
            .with_timeout_ms(acks.timeout_ms)
            .with_topic_data(vec![data]);
        if acks.code == 0 {
            let sent = self.connection.send(&request, version).await;
            self.broken = sent.is_err();
            sent.with_context(|| format!("writing to {}", self.address))?;
            return Ok(Vec::new());
        }
        let response = self.call(&request, version).await?;
        Ok(response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partition_responses)
            .collect())
    }
}
