//! A transactional producer, as far as measuring one needs it (KIP-98; KIP-890 where the cluster has it).

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wire::ResponseError;
use wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use wire::messages::end_txn_request::EndTxnRequest;
use wire::messages::init_producer_id_request::InitProducerIdRequest;
use wire::messages::{ProducerId, TransactionalId};

use super::groups::{Coordinated, is_moving};
use super::produce::Acks;
use super::{Client, Link, PAUSE, Topic, text, topic_name};
use crate::outcome::Refusal;

/// The last version of AddPartitionsToTxn for clients; later ones are for brokers.
const ADD_PARTITIONS: i16 = 3;
/// The first versions of KIP-890: Produce adds its partitions to the transaction, EndTxn gives the next transaction its epoch.
const PRODUCE_ADDS: i16 = 12;
/// See [`PRODUCE_ADDS`].
const END_GIVES_EPOCH: i16 = 5;

/// Between two tries while the transaction before is being finished.
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Who writes in transactions.
pub(crate) struct TransactionalProducer {
    id: String,
    coordinator: Link,
    leader: Link,
    /// Producer id and epoch of the transaction that is written.
    pub(crate) producer: (i64, i16),
    adds_partitions: bool,
}

impl Client {
    /// A producer of this transactional id, whose other producers can do nothing from now on. It writes to the broker `leader`.
    pub(crate) async fn transactional_producer(
        &mut self,
        id: &str,
        leader: i32,
    ) -> anyhow::Result<TransactionalProducer> {
        let deadline = Instant::now() + self.timeout();
        let (coordinator, producer) = loop {
            match self.initialize(id).await {
                Err(error) if is_moving(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => break answer?,
            }
        };
        let level = coordinator.connection.feature_level("transaction.version");
        Ok(TransactionalProducer {
            id: id.to_owned(),
            leader: self.dial(leader).await?,
            adds_partitions: level < 2,
            coordinator,
            producer,
        })
    }

    async fn initialize(&mut self, id: &str) -> anyhow::Result<(Link, (i64, i16))> {
        let node = self.coordinator_of(Coordinated::Transaction, id).await?;
        let mut link = self.dial(node).await?;
        let version = link.version::<InitProducerIdRequest>()?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id(id)))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer = link.call(&request, version).await?;
        link.accept(&format!("begin as {id}"), answer.error_code, None)?;
        Ok((link, (answer.producer_id.0, answer.producer_epoch)))
    }
}

impl TransactionalProducer {
    /// Writes a batch that carries [`TransactionalProducer::producer`] as part of the transaction, and waits while the one before
    /// is being finished.
    pub(crate) async fn write(
        &mut self,
        topic: &Topic,
        acks: Acks,
        batches: &[(i32, Bytes)],
    ) -> anyhow::Result<()> {
        let partitions: Vec<i32> = batches.iter().map(|(index, _)| *index).collect();
        loop {
            match self.try_write(topic, acks, batches, &partitions).await {
                Err(error) if is_concurrent(&error) => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    async fn try_write(
        &mut self,
        topic: &Topic,
        acks: Acks,
        batches: &[(i32, Bytes)],
        partitions: &[i32],
    ) -> anyhow::Result<()> {
        if self.adds_partitions {
            self.add(topic, partitions).await?;
        }
        let below = if self.adds_partitions {
            PRODUCE_ADDS
        } else {
            i16::MAX
        };
        let written = self
            .leader
            .produce_as(
                Some((&self.id, below)),
                topic,
                acks,
                batches.iter().cloned(),
            )
            .await?;
        for answer in written {
            let asked = format!("write to {}/{}", topic.name, answer.index);
            let message = answer.error_message;
            self.leader.accept(&asked, answer.error_code, message)?;
        }
        Ok(())
    }

    async fn add(&mut self, topic: &Topic, partitions: &[i32]) -> anyhow::Result<()> {
        let link = &mut self.coordinator;
        let version = link
            .version::<AddPartitionsToTxnRequest>()?
            .min(ADD_PARTITIONS);
        let topics = AddPartitionsToTxnTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional_id(&self.id))
            .with_v3_and_below_producer_id(ProducerId(self.producer.0))
            .with_v3_and_below_producer_epoch(self.producer.1)
            .with_v3_and_below_topics(vec![topics]);
        let answer = link.call(&request, version).await?;
        for topic in answer.results_by_topic_v3_and_below {
            for partition in topic.results_by_partition {
                let code = partition.partition_error_code;
                link.accept(
                    &format!("add to the transaction of {}", self.id),
                    code,
                    None,
                )?;
            }
        }
        Ok(())
    }

    /// Commits. The next transaction is written as the [`TransactionalProducer::producer`] of then.
    pub(crate) async fn commit(&mut self) -> anyhow::Result<()> {
        let link = &mut self.coordinator;
        let highest = link.version::<EndTxnRequest>()?;
        let version = if self.adds_partitions {
            highest.min(END_GIVES_EPOCH - 1)
        } else {
            highest
        };
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional_id(&self.id))
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1)
            .with_committed(true);
        let answer = link.call(&request, version).await?;
        link.accept(&format!("commit for {}", self.id), answer.error_code, None)?;
        if version >= END_GIVES_EPOCH {
            self.producer = (answer.producer_id.0, answer.producer_epoch);
        }
        Ok(())
    }
}

fn transactional_id(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

fn is_concurrent(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|refusal| refusal.code == ResponseError::ConcurrentTransactions.code())
}
