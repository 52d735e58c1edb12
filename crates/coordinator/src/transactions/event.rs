//! What may happen to transactions, and what is answered: requests and replies as plain values, without Kafka's codes.

use std::sync::Arc;

use super::error::TransactionError;
use crate::decision::Ticket;

/// Something that changes transactions. Each with a ticket is answered exactly once, in the decision it leads to.
#[derive(Debug, Clone)]
pub enum TransactionEvent {
    /// InitProducerId of a producer with a transactional id.
    InitProducerId(Ticket, InitProducerId),
    /// AddPartitionsToTxn and AddOffsetsToTxn, and what Produce and TxnOffsetCommit add by themselves (KIP-890).
    AddPartitions(Ticket, AddPartitions),
    /// EndTxn.
    End(Ticket, EndTransaction),
    /// Some markers of a transaction are in their partitions' logs.
    MarkersWritten(MarkersWritten),
}

/// An answer; of the same kind as the event it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionReply {
    /// To [`TransactionEvent::InitProducerId`]: the producer id and epoch from now on.
    InitProducerId(Result<(i64, i16), TransactionError>),
    /// To [`TransactionEvent::AddPartitions`].
    AddPartitions(Result<(), TransactionError>),
    /// To [`TransactionEvent::End`]: the producer id and epoch from now on, which version 5 of EndTxn tells the client.
    End(Result<(i64, i16), TransactionError>),
}

impl TransactionReply {
    /// The same kind of answer, saying that it failed.
    #[must_use]
    pub fn failed(&self, error: &TransactionError) -> Self {
        let error = error.clone();
        match self {
            Self::InitProducerId(_) => Self::InitProducerId(Err(error)),
            Self::AddPartitions(_) => Self::AddPartitions(Err(error)),
            Self::End(_) => Self::End(Err(error)),
        }
    }
}

/// Which rules the client's transactions follow (KIP-890). Requests say so by their version: 2 from EndTxn v5, Produce v12
/// and TxnOffsetCommit v5 on; AddPartitionsToTxn and AddOffsetsToTxn of clients are of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    /// One epoch for as long as the producer lives. Records have 0 for it, as Kafka's do.
    V1,
    /// Every end of a transaction bumps the epoch, so that nothing of an earlier one can pass for a later one's.
    V2,
}

/// InitProducerId (key 22).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitProducerId {
    /// The transactional id; producers without one are none of this coordinator's.
    pub transactional_id: String,
    /// How long a transaction may go on before it is aborted.
    pub timeout_ms: i32,
    /// The producer id and epoch that the producer has already (KIP-360, version 3 on).
    pub current: Option<(i64, i16)>,
}

/// AddPartitionsToTxn (key 24), for one transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddPartitions {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer's id.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// What it is about to write to. That they exist is the caller's to check.
    pub partitions: Vec<TopicPartition>,
    /// The client's rules.
    pub version: TransactionVersion,
}

/// EndTxn (key 26).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndTransaction {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer's id.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// Committed, or aborted.
    pub committed: bool,
    /// The client's rules.
    pub version: TransactionVersion,
}

/// A partition of a topic, by the topic's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index.
    pub partition: i32,
}

/// The markers that end one transaction: one for each of these partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    /// Whose transaction.
    pub transactional_id: Arc<str>,
    /// Under which producer id.
    pub producer_id: i64,
    /// Under which epoch; in version 2 it is above the one of the transaction's records.
    pub epoch: i16,
    /// The epoch of the coordinator that decided, or took over.
    pub coordinator_epoch: i32,
    /// Committed, or aborted.
    pub committed: bool,
    /// Which rules the partition has to apply to the epoch.
    pub version: TransactionVersion,
    /// Where in the coordinator's log the end was decided: it tells this transaction from all others of the id, which in
    /// version 1 may have the same epoch.
    pub decided_at: i64,
    /// Where to write them.
    pub partitions: Vec<TopicPartition>,
}

impl Markers {
    /// What to tell the shard when these of the partitions have their marker, or are gone for good.
    #[must_use]
    pub fn written(&self, partitions: Vec<TopicPartition>) -> TransactionEvent {
        TransactionEvent::MarkersWritten(MarkersWritten {
            transactional_id: Arc::clone(&self.transactional_id),
            producer_id: self.producer_id,
            epoch: self.epoch,
            decided_at: self.decided_at,
            partitions,
        })
    }
}

/// These partitions need no marker of this transaction any more: it is in their log, or they are gone for good. Made by
/// [`Markers::written`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkersWritten {
    /// Whose transaction.
    pub transactional_id: Arc<str>,
    /// The markers' producer id.
    pub producer_id: i64,
    /// The markers' epoch.
    pub epoch: i16,
    /// Which transaction: [`Markers::decided_at`].
    pub decided_at: i64,
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
}
