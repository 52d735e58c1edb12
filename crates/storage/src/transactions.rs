//! Which transactions of one log are undecided, and which were aborted: what read-committed readers need.
//!
//! Kept apart from the writer's state, because readers and the replication path ask for it and must not wait for a
//! write to the disk.

use std::collections::BTreeMap;

use foldhash::HashSet;

/// A transaction that was aborted on this partition: a read-committed consumer skips the producer's records in
/// `first_offset..=last_offset` (Kafka's `AbortedTxn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: i64,
    /// First offset of the transaction on this partition.
    pub first_offset: i64,
    /// Offset of the abort marker.
    pub last_offset: i64,
}

/// What a batch does to the transactions of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionEffect {
    None,
    Begin {
        producer_id: i64,
        epoch: i16,
        first_offset: i64,
    },
    End {
        producer_id: i64,
        first_offset: i64,
        marker_offset: i64,
        committed: bool,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// First offset → producer and its epoch.
    open: BTreeMap<i64, (i64, i16)>,
    /// First offset → marker offset: ended, but the marker is not below the high watermark yet, so a new leader might
    /// not have it.
    ended: BTreeMap<i64, i64>,
    /// Ordered by marker offset.
    aborted: Vec<AbortedTransaction>,
    /// How many of `aborted`, counted from the front, RocksDB knows.
    stored: usize,
}

impl Transactions {
    pub(crate) fn apply(&mut self, effect: TransactionEffect) {
        match effect {
            TransactionEffect::None => {}
            TransactionEffect::Begin {
                producer_id,
                epoch,
                first_offset,
            } => {
                self.open.insert(first_offset, (producer_id, epoch));
            }
            TransactionEffect::End {
                producer_id,
                first_offset,
                marker_offset,
                committed,
            } => {
                self.open.remove(&first_offset);
                self.ended.insert(first_offset, marker_offset);
                if !committed {
                    self.aborted.push(AbortedTransaction {
                        producer_id,
                        first_offset,
                        last_offset: marker_offset,
                    });
                }
            }
        }
    }

    /// Whether the producer has a transaction of this epoch that no marker has ended. One of an earlier epoch has ended, and its
    /// marker is on its way (`ProducerStateManager.hasOngoingTransaction`).
    pub(crate) fn is_open_for(&self, producer_id: i64, epoch: i16) -> bool {
        self.open.values().any(|open| *open == (producer_id, epoch))
    }

    /// The first offset that belongs to an undecided transaction, given the high watermark.
    pub(crate) fn first_undecided(&mut self, high_watermark: i64) -> Option<i64> {
        self.ended.retain(|_, marker| *marker >= high_watermark);
        let open = self.open.keys().next();
        let ended = self.ended.keys().next();
        open.into_iter().chain(ended).min().copied()
    }

    /// Aborted transactions with any record in `from..upto` (protocol statement F6).
    pub(crate) fn aborted(&self, from: i64, upto: i64) -> Vec<AbortedTransaction> {
        let start = self
            .aborted
            .partition_point(|known| known.last_offset < from);
        self.aborted[start..]
            .iter()
            .filter(|known| known.first_offset < upto)
            .copied()
            .collect()
    }

    /// Drops aborted transactions of which compaction has left nothing.
    pub(crate) fn forget(&mut self, gone: &[AbortedTransaction]) {
        let id = |known: &AbortedTransaction| (known.last_offset, known.producer_id);
        let gone: HashSet<_> = gone.iter().map(id).collect();
        let stored = self.stored;
        let mut at = 0;
        self.aborted.retain(|known| {
            let keep = !gone.contains(&id(known));
            if !keep && at < stored {
                self.stored -= 1;
            }
            at += 1;
            keep
        });
    }

    pub(crate) fn load_aborted(&mut self, known: AbortedTransaction) {
        self.aborted.push(known);
        self.stored = self.aborted.len();
    }

    /// What a checkpoint has to write.
    pub(crate) fn unstored(&self) -> &[AbortedTransaction] {
        &self.aborted[self.stored..]
    }

    pub(crate) fn mark_stored(&mut self) {
        self.stored = self.aborted.len();
    }

    /// Drops what ended below the log start and returns it, so that its rows can go.
    pub(crate) fn forget_below(&mut self, log_start_offset: i64) -> Vec<AbortedTransaction> {
        let upto = self
            .aborted
            .partition_point(|known| known.last_offset < log_start_offset);
        self.stored = self.stored.saturating_sub(upto);
        self.open.retain(|first, _| *first >= log_start_offset);
        self.aborted.drain(..upto).collect()
    }

    /// Takes back aborts that were read from RocksDB but whose marker is no longer in the log.
    pub(crate) fn forget_from(&mut self, log_end_offset: i64) -> Vec<AbortedTransaction> {
        let from = self
            .aborted
            .partition_point(|known| known.last_offset < log_end_offset);
        self.stored = self.stored.min(from);
        self.aborted.drain(from..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_transaction_stays_undecided_until_its_marker_is_below_the_high_watermark() {
        let mut transactions = Transactions::default();
        transactions.apply(TransactionEffect::Begin {
            producer_id: 1,
            epoch: 0,
            first_offset: 10,
        });
        transactions.apply(TransactionEffect::Begin {
            producer_id: 2,
            epoch: 3,
            first_offset: 12,
        });
        assert!(transactions.is_open_for(2, 3));
        assert!(!transactions.is_open_for(2, 4));
        assert_eq!(transactions.first_undecided(15), Some(10));
        transactions.apply(TransactionEffect::End {
            producer_id: 1,
            first_offset: 10,
            marker_offset: 20,
            committed: true,
        });
        assert_eq!(transactions.first_undecided(20), Some(10));
        assert_eq!(transactions.first_undecided(21), Some(12));
    }

    #[test]
    fn aborted_transactions_are_those_that_overlap_the_range() {
        let mut transactions = Transactions::default();
        for (producer_id, first_offset, marker_offset) in [(1, 0, 5), (2, 3, 9), (3, 10, 20)] {
            transactions.apply(TransactionEffect::End {
                producer_id,
                first_offset,
                marker_offset,
                committed: false,
            });
        }
        let of = |from, upto| {
            transactions
                .aborted(from, upto)
                .iter()
                .map(|a| a.producer_id)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(0, 3), [1]);
        assert_eq!(of(5, 11), [1, 2, 3]);
        assert_eq!(of(6, 10), [2]);
        assert_eq!(of(21, 30), Vec::<i64>::new());
    }
}
