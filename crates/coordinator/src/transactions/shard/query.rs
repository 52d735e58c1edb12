//! Questions that change nothing. They see what has been replayed, which may be ahead of what all replicas have.

use std::sync::Arc;

use super::super::error::TransactionError;
use super::super::event::TopicPartition;
use super::super::filter::TransactionFilter;
use super::super::state::TransactionState;
use super::super::value::TransactionValue;
use super::decide::check_producer;
use super::{Phase, TransactionShard};

/// A transactional id as DescribeTransactions (key 65) shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDescription {
    /// Where its transaction stands.
    pub state: TransactionState,
    /// The producer id in use.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// How long its transactions may go on.
    pub timeout_ms: i32,
    /// When the transaction began; −1 before any did.
    pub started_ms: i64,
    /// The partitions in the transaction, in order.
    pub partitions: Vec<TopicPartition>,
}

/// A transactional id as ListTransactions (key 66) shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionListing {
    /// The id.
    pub transactional_id: Arc<str>,
    /// The producer id in use.
    pub producer_id: i64,
    /// Where its transaction stands.
    pub state: TransactionState,
}

/// A shard at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionStats {
    /// Ids by state, in the order of [`TransactionState::ALL`].
    pub by_state: [u64; TransactionState::ALL.len()],
    /// Transactions aborted because they had gone on for too long.
    pub timed_out: u64,
    /// Ids forgotten because they were idle.
    pub expired: u64,
    /// Records of kinds this broker has no use for.
    pub records_ignored: u64,
    /// Records that could not be read.
    pub records_refused: u64,
}

impl TransactionShard {
    /// Whether a producer may write to a partition: AddPartitionsToTxn that only verifies, before a Produce of version 11
    /// and below is taken (KIP-890 part 1).
    ///
    /// # Errors
    /// Those of the shard's phase and of the id, [`TransactionError::InvalidProducerIdMapping`],
    /// [`TransactionError::ProducerFenced`], [`TransactionError::ConcurrentTransactions`] while an end is being written, and
    /// [`TransactionError::Abortable`] for a partition that was not added.
    pub fn verify(
        &self,
        transactional_id: &str,
        producer_id: i64,
        epoch: i16,
        partition: &TopicPartition,
    ) -> Result<(), TransactionError> {
        let stored = self.stored(transactional_id)?;
        check_producer(stored, producer_id, epoch)?;
        if stored.state.is_prepared() {
            Err(TransactionError::ConcurrentTransactions)
        } else if stored.partitions.contains(partition) {
            Ok(())
        } else {
            Err(TransactionError::Abortable)
        }
    }

    /// DescribeTransactions, for one id; `None` if there is none.
    #[must_use]
    pub fn describe(&self, transactional_id: &str) -> Option<TransactionDescription> {
        let stored = &self.entries.get(transactional_id)?.stored;
        Some(TransactionDescription {
            state: stored.state,
            producer_id: stored.producer_id,
            epoch: stored.epoch,
            timeout_ms: stored.timeout_ms,
            started_ms: stored.started_ms,
            partitions: stored.partitions.iter().cloned().collect(),
        })
    }

    /// ListTransactions, in the order of the ids.
    #[must_use]
    pub fn list(&self, now_ms: i64, filter: &TransactionFilter) -> Vec<TransactionListing> {
        let values = self.values();
        let wanted = values.filter(|(id, value)| filter.matches(now_ms, id, value));
        let listing = |(id, value): (&Arc<str>, &TransactionValue)| TransactionListing {
            transactional_id: Arc::clone(id),
            producer_id: value.producer_id,
            state: value.state,
        };
        wanted.map(listing).collect()
    }

    /// Counts for the metrics. Costs a look at every id.
    #[must_use]
    pub fn stats(&self) -> TransactionStats {
        let mut stats = TransactionStats {
            timed_out: self.counters.timed_out,
            expired: self.counters.expired,
            records_ignored: self.counters.records_ignored,
            records_refused: self.counters.records_refused,
            ..TransactionStats::default()
        };
        for (_, value) in self.values() {
            stats.by_state[value.state as usize] += 1;
        }
        stats
    }

    /// Everything a restart would find again, in the order of the ids.
    pub fn values(&self) -> impl Iterator<Item = (&Arc<str>, &TransactionValue)> {
        self.entries.iter().map(|(id, entry)| (id, &entry.stored))
    }

    /// Requests are taken: the log has been read, and nobody else coordinates.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }
}
