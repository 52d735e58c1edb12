//! Which producers were vouched for, so that a batch that comes too late begins no transaction that nobody will end (KIP-890;
//! Kafka's `VerificationGuard` and `VerificationStateEntry`).
//!
//! Before a producer's first batch of a transaction is appended, its transaction's coordinator is asked, which takes a while.
//! In between the transaction may end, and its marker is appended: the guard that was given out before is then worth nothing.

use std::collections::BTreeMap;

use foldhash::HashMap;

use crate::error::AppendError;
use crate::producer_state::{ProducerBatch, ProducerEntry};

/// Producers of one log that may be waiting for their coordinator's word at a time; who asked first is forgotten first, and is
/// told to begin anew.
const WAITING_MAX: usize = 10_000;

/// Shows that a coordinator was asked for a producer's transaction, of which no marker has come since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerificationGuard(u64);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    guard: VerificationGuard,
    epoch: i16,
    /// The least sequence of the batches that came: none behind it may be the first in the log.
    lowest_sequence: i32,
    /// Each of its transactions has an epoch of its own (KIP-890 version 2), which begins at sequence 0.
    bumps_epoch: bool,
}

/// The producers of one log whose coordinator is being asked, or was and no batch has come since.
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    waiting: HashMap<i64, Waiting>,
    /// Oldest first.
    order: BTreeMap<VerificationGuard, i64>,
    next: u64,
}

impl Verifications {
    /// The guard of a producer, which it has until a transaction begins or a marker comes.
    pub(crate) fn begin(
        &mut self,
        producer_id: i64,
        epoch: i16,
        first_sequence: i32,
        bumps_epoch: bool,
    ) -> VerificationGuard {
        if let Some(waiting) = self.waiting.get_mut(&producer_id) {
            if bumps_epoch && epoch > waiting.epoch {
                waiting.epoch = epoch;
                waiting.lowest_sequence = first_sequence;
            } else if epoch == waiting.epoch {
                waiting.lowest_sequence = waiting.lowest_sequence.min(first_sequence);
            }
            waiting.bumps_epoch |= bumps_epoch;
            return waiting.guard;
        }
        if self.waiting.len() >= WAITING_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.waiting.remove(&oldest);
        }
        self.next += 1;
        let guard = VerificationGuard(self.next);
        self.order.insert(guard, producer_id);
        let waiting = Waiting {
            guard,
            epoch,
            lowest_sequence: first_sequence,
            bumps_epoch,
        };
        self.waiting.insert(producer_id, waiting);
        guard
    }

    /// Whether a batch may begin a transaction (`UnifiedLog.analyzeAndValidateProducerState`,
    /// `ProducerAppendInfo.checkSequence`). `known` is what the log has of the producer.
    pub(crate) fn check(
        &self,
        batch: &ProducerBatch,
        guard: Option<VerificationGuard>,
        known: Option<&ProducerEntry>,
    ) -> Result<(), AppendError> {
        let unverified = AppendError::UnverifiedTransaction {
            producer_id: batch.producer_id,
        };
        let waiting = self.waiting.get(&batch.producer_id);
        let Some(waiting) = waiting.filter(|waiting| Some(waiting.guard) == guard) else {
            return Err(unverified);
        };
        let begins_anew = waiting.bumps_epoch && known.is_none();
        if batch.first_sequence > waiting.lowest_sequence
            || (begins_anew && batch.first_sequence != 0)
        {
            // One before it is still to come; a log that knows nothing of the producer could not tell.
            return Err(AppendError::OutOfOrderSequence {
                producer_id: batch.producer_id,
                last: known.map_or(-1, ProducerEntry::last_sequence),
                found: batch.first_sequence,
            });
        }
        Ok(())
    }

    /// A marker of the producer comes. Whoever was vouched for before is not any more, unless that was for a later transaction: the
    /// marker of a transaction of version 2 has the epoch of the next one, for which the coordinator may have been asked already.
    pub(crate) fn marker(&mut self, producer_id: i64, epoch: i16, bumps_epoch: bool) {
        let waiting = self.waiting.get(&producer_id);
        let is_for_later =
            waiting.is_some_and(|it| it.bumps_epoch && bumps_epoch && epoch <= it.epoch);
        if !is_for_later {
            self.end(producer_id);
        }
    }

    /// A transaction of the producer begins: whoever was vouched for before needs it no more.
    pub(crate) fn end(&mut self, producer_id: i64) {
        if let Some(waiting) = self.waiting.remove(&producer_id) {
            self.order.remove(&waiting.guard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, first_sequence: i32) -> ProducerBatch {
        ProducerBatch {
            producer_id: 7,
            epoch,
            first_sequence,
            last_sequence: first_sequence,
            base_offset: 0,
            last_offset: 0,
            timestamp: 0,
            transactional: true,
            marker: None,
            bumps_epoch: false,
        }
    }

    #[test]
    fn a_guard_holds_until_a_marker_comes_and_another_one_is_needed_then() {
        let mut verifications = Verifications::default();
        let first = verifications.begin(7, 0, 0, true);
        assert_eq!(verifications.begin(7, 0, 0, true), first);
        assert!(verifications.check(&batch(0, 0), Some(first), None).is_ok());
        assert!(verifications.check(&batch(0, 0), None, None).is_err());
        verifications.end(7);
        let refused = verifications.check(&batch(0, 0), Some(first), None);
        assert!(matches!(
            refused,
            Err(AppendError::UnverifiedTransaction { producer_id: 7 })
        ));
        let second = verifications.begin(7, 1, 0, true);
        assert_ne!(first, second);
        assert!(
            verifications
                .check(&batch(1, 0), Some(first), None)
                .is_err()
        );
        assert!(
            verifications
                .check(&batch(1, 0), Some(second), None)
                .is_ok()
        );
    }

    #[test]
    fn the_batch_with_the_lowest_sequence_comes_first() {
        let mut verifications = Verifications::default();
        let guard = Some(verifications.begin(7, 0, 5, false));
        verifications.begin(7, 0, 4, false);
        let out_of_order = |result: Result<(), AppendError>| {
            matches!(result, Err(AppendError::OutOfOrderSequence { .. }))
        };
        assert!(out_of_order(verifications.check(&batch(0, 5), guard, None)));
        assert!(verifications.check(&batch(0, 4), guard, None).is_ok());
        // With an epoch for each transaction, the first sequence of a producer that the log does not know is 0.
        verifications.begin(7, 1, 3, true);
        assert!(out_of_order(verifications.check(&batch(1, 3), guard, None)));
        let known = ProducerEntry::new(1);
        assert!(
            verifications
                .check(&batch(1, 3), guard, Some(&known))
                .is_ok()
        );
    }

    #[test]
    fn no_more_producers_wait_than_there_is_room_for() {
        let mut verifications = Verifications::default();
        for producer_id in 0..=WAITING_MAX as i64 {
            verifications.begin(producer_id, 0, 0, true);
        }
        assert_eq!(verifications.waiting.len(), WAITING_MAX);
        assert_eq!(verifications.order.len(), WAITING_MAX);
        assert!(!verifications.waiting.contains_key(&0));
    }
}
