//! What the log says of a transactional id, and how one value follows on another.

use std::collections::BTreeSet;

use super::event::{TopicPartition, TransactionVersion};
use super::state::TransactionState;

/// The last epoch that a producer is given: from here on it gets a new producer id, so that there is always one more epoch
/// to fence it with (`TransactionMetadata.isEpochExhausted`).
pub(crate) const LAST_EPOCH: i16 = i16::MAX - 1;

/// The start of a transaction, where there is none.
const NOT_STARTED_MS: i64 = -1;

/// The durable state of one transactional id (`TransactionLogValue`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionValue {
    /// The producer id in use.
    pub producer_id: i64,
    /// The producer id that was in use before this value was decided; mostly the same one.
    pub previous_producer_id: Option<i64>,
    /// While an end is being written that uses up the last epoch: the producer id that comes after it.
    pub next_producer_id: Option<i64>,
    /// The producer's epoch.
    pub epoch: i16,
    /// How long its transactions may go on.
    pub timeout_ms: i32,
    /// Where the transaction stands.
    pub state: TransactionState,
    /// The partitions in the transaction; none once every marker is written.
    pub partitions: BTreeSet<TopicPartition>,
    /// When this value was decided.
    pub updated_ms: i64,
    /// When the first partition came into the transaction; −1 before any did. Stays when the transaction ends.
    pub started_ms: i64,
    /// The rules under which the last partition was added or the end was decided.
    pub version: TransactionVersion,
}

impl TransactionValue {
    /// A transactional id's first value.
    pub(crate) fn first(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            previous_producer_id: Some(producer_id),
            next_producer_id: None,
            epoch: 0,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            updated_ms: now_ms,
            started_ms: NOT_STARTED_MS,
            version: TransactionVersion::V1,
        }
    }

    /// No epoch is left to give to a producer.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.epoch >= LAST_EPOCH
    }

    /// What every next value has in common.
    fn next(&self, state: TransactionState, now_ms: i64) -> Self {
        debug_assert!(self.state.may_become(state), "{} → {state}", self.state);
        Self {
            previous_producer_id: Some(self.producer_id),
            state,
            updated_ms: now_ms,
            ..self.clone()
        }
    }

    /// A producer begins under this id and epoch.
    pub(crate) fn begun(&self, producer_id: i64, epoch: i16, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            epoch,
            timeout_ms,
            partitions: BTreeSet::new(),
            started_ms: NOT_STARTED_MS,
            ..self.next(TransactionState::Empty, now_ms)
        }
    }

    /// More partitions are in the transaction.
    pub(crate) fn with_partitions(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        version: TransactionVersion,
        now_ms: i64,
    ) -> Self {
        let mut next = self.next(TransactionState::Ongoing, now_ms);
        if self.state != TransactionState::Ongoing {
            next.started_ms = now_ms;
        }
        next.partitions.extend(partitions);
        next.version = version;
        next
    }

    /// The end is decided. Version 2 bumps the epoch, and the markers have the new one; `next_producer_id` is what comes
    /// after it if it was the last.
    pub(crate) fn prepared(
        &self,
        committed: bool,
        version: TransactionVersion,
        next_producer_id: Option<i64>,
        now_ms: i64,
    ) -> Self {
        let state = if committed {
            TransactionState::PrepareCommit
        } else {
            TransactionState::PrepareAbort
        };
        let mut next = self.next(state, now_ms);
        if version == TransactionVersion::V2 {
            next.epoch = self.epoch.saturating_add(1);
        }
        if self.state != TransactionState::Ongoing {
            next.started_ms = now_ms;
        }
        next.next_producer_id = next_producer_id;
        next.version = version;
        next
    }

    /// Every marker is written.
    pub(crate) fn completed(&self, now_ms: i64) -> Self {
        let state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        let mut next = self.next(state, now_ms);
        next.partitions.clear();
        if let Some(producer_id) = next.next_producer_id.take()
            && self.version == TransactionVersion::V2
        {
            next.producer_id = producer_id;
            next.epoch = 0;
        }
        next
    }
}
