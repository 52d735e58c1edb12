//! One transactional id: what is stored of it, what is soft, and when it is to be looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::event::{Markers, MarkersWritten, TopicPartition, TransactionVersion};
use super::super::state::TransactionState;
use super::super::value::{LAST_EPOCH, TransactionValue};
use super::COMPLETION_RETRY_MS;
use crate::deadlines::Deadlines;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Arc<str>,
    pub(super) stored: TransactionValue,
    /// The epoch before the stored one, if a producer may ask with it again: it lost the answer (KIP-360).
    pub(super) last_epoch: Option<i16>,
    /// While the end is decided: the partitions not known to have their marker.
    pub(super) awaiting: BTreeSet<TopicPartition>,
    /// The offset of the stored record.
    pub(super) stored_at: i64,
    /// Something that was due could not be done, and is left alone until then.
    put_off_until_ms: i64,
    /// The time this entry has in the deadline queue.
    pub(super) indexed_ms: Option<i64>,
}

impl Entry {
    pub(super) fn new(id: Arc<str>, stored: TransactionValue) -> Self {
        Self {
            id,
            stored,
            last_epoch: None,
            awaiting: BTreeSet::new(),
            stored_at: 0,
            put_off_until_ms: i64::MIN,
            indexed_ms: None,
        }
    }

    /// Takes over what has been stored. `asked_with_epoch` is of the InitProducerId that this came from, if any.
    pub(super) fn replay(
        &mut self,
        value: TransactionValue,
        offset: i64,
        asked_with_epoch: Option<i16>,
    ) {
        self.last_epoch = match value.state {
            TransactionState::Empty => asked_with_epoch,
            TransactionState::Ongoing => self.last_epoch,
            _ if value.version == TransactionVersion::V2 => epoch_before(&value),
            _ => self.last_epoch,
        };
        self.awaiting = if value.state.is_prepared() {
            value.partitions.clone()
        } else {
            BTreeSet::new()
        };
        self.stored = value;
        self.stored_at = offset;
        self.put_off_until_ms = i64::MIN;
    }

    /// The markers that are still to be written, if any.
    pub(super) fn markers(&self, coordinator_epoch: i32) -> Option<Markers> {
        if self.awaiting.is_empty() {
            return None;
        }
        Some(Markers {
            transactional_id: Arc::clone(&self.id),
            producer_id: self.stored.producer_id,
            epoch: self.stored.epoch,
            coordinator_epoch,
            committed: self.stored.state == TransactionState::PrepareCommit,
            version: self.stored.version,
            decided_at: self.stored_at,
            partitions: self.awaiting.iter().cloned().collect(),
        })
    }

    /// Whether these are markers of the end that is being written now.
    pub(super) fn is_awaiting(&self, written: &MarkersWritten) -> bool {
        self.stored.state.is_prepared()
            && self.stored_at == written.decided_at
            && self.stored.producer_id == written.producer_id
            && self.stored.epoch == written.epoch
    }

    /// When something is to be done for this id; `i64::MAX` for never.
    pub(super) fn wake_at_ms(&self, sweeps: &Sweeps) -> i64 {
        let stored = &self.stored;
        let at_ms = match stored.state {
            // Kafka's mark of a transaction that only its client may end (KIP-939).
            TransactionState::Ongoing if stored.timeout_ms == i32::MAX => i64::MAX,
            TransactionState::Ongoing => {
                let timeout_ms = i64::from(stored.timeout_ms);
                let over_ms = stored.started_ms.saturating_add(timeout_ms);
                sweeps.timeouts_at(over_ms.saturating_add(1))
            }
            _ if stored.state.is_idle() => sweeps.expiry_at(stored.updated_ms),
            _ if self.awaiting.is_empty() => i64::MIN,
            _ => i64::MAX,
        };
        at_ms.max(self.put_off_until_ms)
    }

    pub(super) fn reindex(&mut self, deadlines: &mut Deadlines, sweeps: &Sweeps) {
        let at_ms = self.wake_at_ms(sweeps);
        deadlines.move_to(&self.id, &mut self.indexed_ms, at_ms);
    }

    /// What was due could not be done at `now_ms`: it is tried again at the next sweep of its kind.
    pub(super) fn put_off(&mut self, deadlines: &mut Deadlines, sweeps: &Sweeps, now_ms: i64) {
        let state = self.stored.state;
        let later_ms = now_ms.saturating_add(1);
        self.put_off_until_ms = if state.is_prepared() {
            now_ms.saturating_add(COMPLETION_RETRY_MS)
        } else if state.is_idle() {
            next_sweep(sweeps.from_ms, sweeps.expiry_ms, later_ms)
        } else {
            sweeps.timeouts_at(later_ms)
        };
        self.reindex(deadlines, sweeps);
    }
}

/// In version 2 every end bumps the epoch by one, or goes from the last epoch to a new producer id.
fn epoch_before(value: &TransactionValue) -> Option<i16> {
    if value.epoch > 0 {
        Some(value.epoch - 1)
    } else {
        (value.previous_producer_id != Some(value.producer_id)).then_some(LAST_EPOCH)
    }
}

/// When timeouts and idle ids are looked for: at regular intervals, as in Kafka, so that what falls due together is one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweeps {
    /// The first ones are an interval after this.
    pub(super) from_ms: i64,
    pub(super) timeouts_ms: i64,
    pub(super) expiry_ms: i64,
    pub(super) id_expiration_ms: i64,
}

impl Sweeps {
    fn timeouts_at(&self, due_ms: i64) -> i64 {
        next_sweep(self.from_ms, self.timeouts_ms, due_ms)
    }

    fn expiry_at(&self, idle_since_ms: i64) -> i64 {
        let due_ms = idle_since_ms.saturating_add(self.id_expiration_ms);
        next_sweep(self.from_ms, self.expiry_ms, due_ms)
    }
}

/// The first time that is not before `due_ms`, of those that are whole intervals after `from_ms`.
fn next_sweep(from_ms: i64, interval_ms: i64, due_ms: i64) -> i64 {
    let interval_ms = i128::from(interval_ms.max(1));
    let distance_ms = i128::from(due_ms) - i128::from(from_ms);
    let intervals = (distance_ms + interval_ms - 1)
        .div_euclid(interval_ms)
        .max(1);
    let at_ms = i128::from(from_ms) + intervals * interval_ms;
    i64::try_from(at_ms).unwrap_or(i64::MAX)
}
