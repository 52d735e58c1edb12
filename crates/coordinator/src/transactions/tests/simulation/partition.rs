//! A partition as transactions see it: which is open, which have ended how, and by which rules markers and records are
//! taken (Kafka's `ProducerAppendInfo` and `VerificationStateEntry`).

use std::collections::{BTreeMap, BTreeSet};

use super::Tag;
use crate::transactions::{Markers, TransactionVersion};

#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    producers: BTreeMap<i64, State>,
    pub(super) taken: BTreeSet<Tag>,
    pub(super) ends: BTreeMap<Tag, bool>,
}

/// What a partition knows of a producer id.
#[derive(Debug, Clone)]
struct State {
    epoch: i16,
    open: Option<Tag>,
    markers: u64,
    coordinator_epoch: i32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            epoch: -1,
            open: None,
            markers: 0,
            coordinator_epoch: 0,
        }
    }
}

/// Records of a transaction on their way.
#[derive(Debug, Clone)]
pub(super) struct Append {
    pub(super) id: (i64, i16),
    pub(super) tag: Tag,
    /// [`Partition::guard`] from before the coordinator was asked.
    pub(super) guard: u64,
}

impl Partition {
    pub(super) fn guard(&self, producer_id: i64) -> u64 {
        self.producers
            .get(&producer_id)
            .map_or(0, |state| state.markers)
    }

    pub(super) fn has_open(&self) -> bool {
        self.producers.values().any(|state| state.open.is_some())
    }

    /// True if the records are in the log.
    pub(super) fn append(&mut self, append: &Append) -> bool {
        let state = self.producers.entry(append.id.0).or_default();
        assert!(
            state.open.is_none() || append.id.1 <= state.epoch,
            "a transaction begins before the one before it has its end"
        );
        let is_verified = match state.open {
            // Of the same epoch, as sequence numbers tell.
            Some(open) => open == append.tag,
            None => state.markers == append.guard,
        };
        if append.id.1 < state.epoch || !is_verified {
            return false;
        }
        state.epoch = append.id.1;
        state.open = Some(append.tag);
        self.taken.insert(append.tag);
        true
    }

    /// A marker arrives; refused or not, the coordinator need not send it again.
    pub(super) fn mark(&mut self, markers: &Markers) {
        let state = self.producers.entry(markers.producer_id).or_default();
        let is_stale = match markers.version {
            TransactionVersion::V1 => markers.epoch < state.epoch,
            // The data of the next transaction has the epoch of this one's markers.
            TransactionVersion::V2 => markers.epoch <= state.epoch,
        };
        if is_stale || markers.coordinator_epoch < state.coordinator_epoch {
            return;
        }
        state.epoch = markers.epoch;
        state.coordinator_epoch = markers.coordinator_epoch;
        state.markers += 1;
        if let Some(tag) = state.open.take() {
            let before = self.ends.insert(tag, markers.committed);
            assert!(before.is_none_or(|before| before == markers.committed));
        }
    }
}
