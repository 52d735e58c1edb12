//! What idempotent and transactional producers have written to one log (KIP-98; Kafka's `ProducerStateManager`,
//! `ProducerAppendInfo`). Pure state: a batch header goes in, a verdict comes out.
//!
//! The writer checks and applies batch by batch before the file is written, and takes the changes back with the undo
//! list when the write fails. `dirty` remembers what RocksDB does not know yet.

use foldhash::{HashMap, HashSet};

use crate::error::AppendError;
use crate::transactions::TransactionEffect;

/// Batches remembered per producer (Kafka's `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`): the most that a client keeps
/// in flight.
pub(crate) const MAX_BATCHES: usize = 5;

/// One batch of a producer, as far as recognising its repetition needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BatchRange {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    /// The batch's greatest timestamp; for log-append-time batches, when it was appended.
    pub(crate) timestamp: i64,
}

/// One producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: i16,
    /// Epoch of the coordinator that wrote the last marker, -1 before the first.
    pub(crate) coordinator_epoch: i32,
    pub(crate) last_timestamp: i64,
    /// First offset of the open transaction.
    pub(crate) transaction_start: Option<i64>,
    count: u8,
    batches: [BatchRange; MAX_BATCHES],
}

impl ProducerEntry {
    pub(crate) fn new(epoch: i16) -> Self {
        Self {
            epoch,
            coordinator_epoch: -1,
            last_timestamp: -1,
            transaction_start: None,
            count: 0,
            batches: [BatchRange::default(); MAX_BATCHES],
        }
    }

    /// Oldest first.
    pub(crate) fn batches(&self) -> &[BatchRange] {
        &self.batches[..usize::from(self.count)]
    }

    pub(crate) fn push(&mut self, batch: BatchRange) {
        if usize::from(self.count) == MAX_BATCHES {
            self.batches.copy_within(1.., 0);
            self.count -= 1;
        }
        self.batches[usize::from(self.count)] = batch;
        self.count += 1;
    }

    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches()
            .last()
            .map_or(-1, |batch| batch.last_sequence)
    }

    fn begin_epoch(&mut self, epoch: i16) {
        self.epoch = epoch;
        self.count = 0;
    }
}

/// The facts of a batch that decide about sequences and transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerBatch {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) transactional: bool,
    /// Present on control batches that end a transaction (KIP-98).
    pub(crate) marker: Option<Marker>,
    /// The marker is of a transaction of version 2 (KIP-890), whose end bumps the epoch.
    pub(crate) bumps_epoch: bool,
}

/// The end of a transaction as its control record says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) committed: bool,
    pub(crate) coordinator_epoch: i32,
}

/// Whether a producer's batch is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    /// The log has it already, as this batch.
    Duplicate(BatchRange),
}

/// The entries as they were before some batches, newest change last.
#[derive(Debug, Default)]
pub(crate) struct Undo(Vec<(i64, Option<ProducerEntry>)>);

/// All producers of one log.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    entries: HashMap<i64, ProducerEntry>,
    dirty: HashSet<i64>,
}

impl Producers {
    pub(crate) fn get(&self, producer_id: i64) -> Option<&ProducerEntry> {
        self.entries.get(&producer_id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &ProducerEntry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    pub(crate) fn load(&mut self, producer_id: i64, entry: ProducerEntry) {
        self.entries.insert(producer_id, entry);
    }

    /// Judges a batch that a client or the transaction coordinator sent. Changes nothing.
    pub(crate) fn check(&self, batch: &ProducerBatch) -> Result<Verdict, AppendError> {
        let Some(entry) = self.entries.get(&batch.producer_id) else {
            // Nothing is known of it, perhaps because it expired: any sequence may come first (KIP-360).
            return Ok(Verdict::New);
        };
        if entry.epoch == batch.epoch && batch.marker.is_none() {
            let same = |known: &&BatchRange| {
                known.first_sequence == batch.first_sequence
                    && known.last_sequence == batch.last_sequence
            };
            if let Some(known) = entry.batches().iter().find(same) {
                return Ok(Verdict::Duplicate(*known));
            }
        }
        match batch.marker {
            Some(marker) => {
                check_marker_epoch(entry, batch)?;
                check_coordinator(entry, marker)?;
            }
            None => {
                check_epoch(entry, batch)?;
                check_sequence(entry, batch)?;
                if entry.transaction_start.is_some() && !batch.transactional {
                    return Err(AppendError::TransactionConflict {
                        producer_id: batch.producer_id,
                    });
                }
            }
        }
        Ok(Verdict::New)
    }

    /// Refuses a batch of an epoch that is older than one seen of its producer.
    pub(crate) fn check_epoch(&self, batch: &ProducerBatch) -> Result<(), AppendError> {
        match self.entries.get(&batch.producer_id) {
            Some(entry) => check_epoch(entry, batch),
            None => Ok(()),
        }
    }

    /// Takes the batch into the state, as append and recovery both do. `undo` receives the entry as it was.
    pub(crate) fn apply(
        &mut self,
        batch: &ProducerBatch,
        undo: Option<&mut Undo>,
    ) -> TransactionEffect {
        let before = self.entries.get(&batch.producer_id).copied();
        if let Some(undo) = undo {
            undo.0.push((batch.producer_id, before));
        }
        let mut entry = before.unwrap_or_else(|| ProducerEntry::new(batch.epoch));
        if entry.epoch != batch.epoch {
            entry.begin_epoch(batch.epoch);
        }
        entry.last_timestamp = batch.timestamp;
        let effect = match batch.marker {
            Some(marker) => end_transaction(&mut entry, batch, marker),
            None => add_data(&mut entry, batch),
        };
        self.entries.insert(batch.producer_id, entry);
        self.dirty.insert(batch.producer_id);
        effect
    }

    /// Takes back what was applied since the undo list was empty.
    pub(crate) fn roll_back(&mut self, undo: Undo) {
        for (producer_id, before) in undo.0.into_iter().rev() {
            match before {
                Some(entry) => self.entries.insert(producer_id, entry),
                None => self.entries.remove(&producer_id),
            };
            self.dirty.insert(producer_id);
        }
    }

    /// Forgets producers without an open transaction whose last batch is older than the limit
    /// (`producer.id.expiration.ms`).
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        let dirty = &mut self.dirty;
        self.entries.retain(|id, entry| {
            let keep = entry.transaction_start.is_some()
                || now_ms.saturating_sub(entry.last_timestamp) < expiration_ms;
            if !keep {
                dirty.insert(*id);
            }
            keep
        });
    }

    pub(crate) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Producers that changed since the last checkpoint, with their entry or `None` when it is gone.
    pub(crate) fn dirty(&self) -> impl Iterator<Item = (i64, Option<&ProducerEntry>)> {
        self.dirty.iter().map(|id| (*id, self.entries.get(id)))
    }

    pub(crate) fn clear_dirty(&mut self) {
        // A burst of producers must not leave its high-water mark behind in every log.
        if self.dirty.capacity() > 64 {
            self.dirty = HashSet::default();
        } else {
            self.dirty.clear();
        }
    }
}

fn check_epoch(entry: &ProducerEntry, batch: &ProducerBatch) -> Result<(), AppendError> {
    if batch.epoch < entry.epoch {
        return Err(AppendError::StaleProducerEpoch {
            producer_id: batch.producer_id,
            current: entry.epoch,
            found: batch.epoch,
        });
    }
    Ok(())
}

/// A marker that ends a transaction of version 2 has an epoch above the data's, so that one that comes late cannot end the next
/// transaction. Written again, when nothing is open, it does no harm (`ProducerAppendInfo.checkProducerEpoch`).
fn check_marker_epoch(entry: &ProducerEntry, batch: &ProducerBatch) -> Result<(), AppendError> {
    let is_harmless = entry.transaction_start.is_none() || batch.epoch == i16::MAX;
    if batch.bumps_epoch && batch.epoch == entry.epoch && !is_harmless {
        return Err(AppendError::StaleProducerEpoch {
            producer_id: batch.producer_id,
            current: entry.epoch,
            found: batch.epoch,
        });
    }
    check_epoch(entry, batch)
}

fn check_coordinator(entry: &ProducerEntry, marker: Marker) -> Result<(), AppendError> {
    if marker.coordinator_epoch < entry.coordinator_epoch {
        return Err(AppendError::StaleCoordinatorEpoch {
            current: entry.coordinator_epoch,
            found: marker.coordinator_epoch,
        });
    }
    Ok(())
}

/// Kafka's `ProducerAppendInfo.checkSequence`: within an epoch the next sequence, in a new epoch zero.
fn check_sequence(entry: &ProducerEntry, batch: &ProducerBatch) -> Result<(), AppendError> {
    let last = if batch.epoch == entry.epoch {
        entry.last_sequence()
    } else {
        -1
    };
    let follows = if last == i32::MAX { 0 } else { last + 1 };
    if batch.first_sequence == follows {
        return Ok(());
    }
    Err(AppendError::OutOfOrderSequence {
        producer_id: batch.producer_id,
        last,
        found: batch.first_sequence,
    })
}

fn end_transaction(
    entry: &mut ProducerEntry,
    batch: &ProducerBatch,
    marker: Marker,
) -> TransactionEffect {
    entry.coordinator_epoch = marker.coordinator_epoch;
    match entry.transaction_start.take() {
        Some(first_offset) => TransactionEffect::End {
            producer_id: batch.producer_id,
            first_offset,
            marker_offset: batch.last_offset,
            committed: marker.committed,
        },
        None => TransactionEffect::None,
    }
}

fn add_data(entry: &mut ProducerEntry, batch: &ProducerBatch) -> TransactionEffect {
    entry.push(BatchRange {
        first_sequence: batch.first_sequence,
        last_sequence: batch.last_sequence,
        base_offset: batch.base_offset,
        last_offset: batch.last_offset,
        timestamp: batch.timestamp,
    });
    if batch.transactional && entry.transaction_start.is_none() {
        entry.transaction_start = Some(batch.base_offset);
        return TransactionEffect::Begin {
            producer_id: batch.producer_id,
            epoch: batch.epoch,
            first_offset: batch.base_offset,
        };
    }
    TransactionEffect::None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(first: i32, delta: i32) -> i32 {
        i32::try_from((i64::from(first) + i64::from(delta)) & i64::from(i32::MAX)).unwrap()
    }

    fn batch(epoch: i16, first: i32, count: i32, base_offset: i64) -> ProducerBatch {
        ProducerBatch {
            producer_id: 7,
            epoch,
            first_sequence: first,
            last_sequence: wrapped(first, count - 1),
            base_offset,
            last_offset: base_offset + i64::from(count) - 1,
            timestamp: 1000,
            transactional: false,
            marker: None,
            bumps_epoch: false,
        }
    }

    fn with(batches: &[ProducerBatch]) -> Producers {
        let mut producers = Producers::default();
        for batch in batches {
            assert_eq!(producers.check(batch).unwrap(), Verdict::New);
            producers.apply(batch, None);
        }
        producers
    }

    #[test]
    fn the_last_five_batches_are_recognised_and_the_sixth_is_out_of_order() {
        let producers = with(
            &(0..6)
                .map(|n| batch(0, n * 10, 10, i64::from(n) * 10))
                .collect::<Vec<_>>(),
        );
        for n in 1..6 {
            let Ok(Verdict::Duplicate(known)) = producers.check(&batch(0, n * 10, 10, 999)) else {
                panic!("batch {n}")
            };
            assert_eq!(known.base_offset, i64::from(n) * 10);
        }
        assert!(matches!(
            producers.check(&batch(0, 0, 10, 999)),
            Err(AppendError::OutOfOrderSequence { last: 59, .. })
        ));
        // The same first sequence with another length is not the same batch.
        assert!(producers.check(&batch(0, 50, 9, 999)).is_err());
    }

    #[test]
    fn sequences_wrap_to_zero_after_the_greatest() {
        let producers = with(&[batch(0, i32::MAX - 1, 2, 0)]);
        assert_eq!(producers.get(7).unwrap().last_sequence(), i32::MAX);
        assert_eq!(producers.check(&batch(0, 0, 1, 2)).unwrap(), Verdict::New);
        let producers = with(&[batch(0, i32::MAX - 1, 4, 0)]);
        assert_eq!(producers.check(&batch(0, 2, 1, 4)).unwrap(), Verdict::New);
    }

    #[test]
    fn an_unknown_producer_may_start_anywhere_but_a_new_epoch_starts_at_zero() {
        let producers = with(&[batch(3, 40, 5, 0)]);
        assert!(matches!(
            producers.check(&batch(4, 45, 1, 5)),
            Err(AppendError::OutOfOrderSequence { last: -1, .. })
        ));
        assert_eq!(producers.check(&batch(4, 0, 1, 5)).unwrap(), Verdict::New);
        assert!(matches!(
            producers.check(&batch(2, 0, 1, 5)),
            Err(AppendError::StaleProducerEpoch {
                current: 3,
                found: 2,
                ..
            })
        ));
    }

    #[test]
    fn rolling_back_leaves_the_state_as_it_was() {
        let mut producers = with(&[batch(0, 0, 10, 0)]);
        let mut undo = Undo::default();
        let before = *producers.get(7).unwrap();
        producers.apply(&batch(0, 10, 5, 10), Some(&mut undo));
        producers.apply(
            &ProducerBatch {
                producer_id: 8,
                ..batch(1, 0, 5, 15)
            },
            Some(&mut undo),
        );
        producers.roll_back(undo);
        assert_eq!(producers.get(7), Some(&before));
        assert_eq!(producers.get(8), None);
    }

    #[test]
    fn a_transaction_begins_with_its_first_batch_and_ends_with_the_marker() {
        let mut producers = Producers::default();
        let data = ProducerBatch {
            transactional: true,
            ..batch(0, 0, 10, 100)
        };
        assert_eq!(
            producers.apply(&data, None),
            TransactionEffect::Begin {
                producer_id: 7,
                epoch: 0,
                first_offset: 100
            }
        );
        assert!(matches!(
            producers.check(&batch(0, 10, 1, 110)),
            Err(AppendError::TransactionConflict { .. })
        ));
        let marker = Marker {
            committed: false,
            coordinator_epoch: 4,
        };
        let end = ProducerBatch {
            transactional: true,
            marker: Some(marker),
            ..batch(0, -1, 1, 110)
        };
        assert_eq!(
            producers.apply(&end, None),
            TransactionEffect::End {
                producer_id: 7,
                first_offset: 100,
                marker_offset: 110,
                committed: false
            }
        );
        let stale = Marker {
            committed: true,
            coordinator_epoch: 3,
        };
        let zombie = ProducerBatch {
            marker: Some(stale),
            ..end
        };
        assert!(matches!(
            producers.check(&zombie),
            Err(AppendError::StaleCoordinatorEpoch {
                current: 4,
                found: 3
            })
        ));
        // The producer's sequence goes on after the marker.
        assert_eq!(
            producers
                .check(&ProducerBatch {
                    transactional: true,
                    ..batch(0, 10, 1, 111)
                })
                .unwrap(),
            Verdict::New
        );
    }

    #[test]
    fn a_marker_of_version_2_is_above_the_epoch_that_it_ends_and_may_come_again() {
        let mut producers = Producers::default();
        let data = |epoch| ProducerBatch {
            transactional: true,
            ..batch(epoch, 0, 1, 0)
        };
        let marker = |epoch| ProducerBatch {
            transactional: true,
            bumps_epoch: true,
            marker: Some(Marker {
                committed: true,
                coordinator_epoch: 1,
            }),
            ..batch(epoch, -1, 1, 1)
        };
        producers.apply(&data(3), None);
        assert!(matches!(
            producers.check(&marker(3)),
            Err(AppendError::StaleProducerEpoch { .. })
        ));
        assert_eq!(producers.check(&marker(4)).unwrap(), Verdict::New);
        producers.apply(&marker(4), None);
        assert_eq!(producers.check(&marker(4)).unwrap(), Verdict::New, "again");
        // The next transaction: what ended the one before cannot end it.
        assert_eq!(producers.check(&data(4)).unwrap(), Verdict::New);
        producers.apply(&data(4), None);
        assert!(producers.check(&marker(4)).is_err());
        assert!(producers.check(&data(3)).is_err());
    }

    #[test]
    fn expiry_spares_open_transactions() {
        let mut producers = with(&[batch(0, 0, 1, 0)]);
        producers.apply(
            &ProducerBatch {
                producer_id: 8,
                transactional: true,
                ..batch(0, 0, 1, 1)
            },
            None,
        );
        producers.clear_dirty();
        producers.expire(1_999, 1_000);
        assert_eq!(producers.iter().count(), 2);
        producers.expire(2_000, 1_000);
        assert_eq!(producers.iter().map(|(id, _)| id).collect::<Vec<_>>(), [8]);
        assert_eq!(
            producers
                .dirty()
                .map(|(id, entry)| (id, entry.is_none()))
                .collect::<Vec<_>>(),
            [(7, true)]
        );
    }
}
