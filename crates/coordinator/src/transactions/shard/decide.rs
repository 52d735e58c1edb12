//! What requests mean: InitProducerId, AddPartitionsToTxn, EndTxn (Kafka's `TransactionCoordinator`).

use super::super::error::TransactionError;
use super::super::event::{
    AddPartitions, EndTransaction, InitProducerId, TransactionReply, TransactionVersion,
};
use super::super::record::{ID_BYTES_MAX, partitions_bytes};
use super::super::state::TransactionState;
use super::super::value::{LAST_EPOCH, TransactionValue};
use super::{Phase, TransactionShard};
use crate::decision::Decision;

/// Bytes that the partitions of one transaction may take in its record. The record of its end must fit in the log whenever
/// the one that added the last partition did, or the transaction could never end.
pub(in crate::transactions) const PARTITIONS_BYTES_MAX: usize = 512 * 1_024;

/// What EndTxn comes to, where it is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndStep {
    /// The end is to be decided.
    Decide,
    /// It was, and is complete: the client did not get the answer.
    AnswerAgain,
}

impl TransactionShard {
    /// KIP-98, and KIP-360 for a producer that goes on after an error.
    pub(super) fn init_producer_id(
        &mut self,
        decision: &mut Decision<TransactionReply>,
        request: &InitProducerId,
    ) -> Result<(i64, i16), TransactionError> {
        let id = request.transactional_id.as_str();
        self.check_id(id)?;
        let timeout_ms = request.timeout_ms;
        if timeout_ms <= 0 || timeout_ms > self.options.max_timeout_ms {
            return Err(TransactionError::InvalidTimeout { timeout_ms });
        }
        let next = match self.entries.get(id) {
            None => TransactionValue::first(self.take_producer_id()?, timeout_ms, self.now_ms),
            Some(entry) if entry.stored.state.is_prepared() => {
                return Err(TransactionError::ConcurrentTransactions);
            }
            Some(entry) => {
                check_current(&entry.stored, request.current)?;
                if entry.stored.state == TransactionState::Ongoing {
                    // The producer asks again until the abort is complete, and then gets an epoch of its own.
                    self.fence(decision, id)?;
                    return Err(TransactionError::ConcurrentTransactions);
                }
                self.next_producer(id, request)?
            }
        };
        self.put(decision, id, &next);
        Ok((next.producer_id, next.epoch))
    }

    /// A producer begins under an id that no transaction is open for.
    fn next_producer(
        &mut self,
        id: &str,
        request: &InitProducerId,
    ) -> Result<TransactionValue, TransactionError> {
        let Some(entry) = self.entries.get(id) else {
            return Err(TransactionError::Internal);
        };
        let (stored, last_epoch) = (entry.stored.clone(), entry.last_epoch);
        let current_epoch = request.current.map(|(_, epoch)| epoch);
        let is_first_ask = current_epoch.is_none_or(|epoch| epoch == stored.epoch);
        let (producer_id, epoch) = if is_first_ask && stored.is_exhausted() {
            (self.take_producer_id()?, 0)
        } else if is_first_ask {
            (stored.producer_id, stored.epoch + 1)
        } else if current_epoch == last_epoch {
            // It was given this epoch already. Nobody else was since, or the last epoch would be forgotten.
            (stored.producer_id, stored.epoch)
        } else {
            return Err(TransactionError::ProducerFenced);
        };
        self.asked_with_epoch = current_epoch;
        Ok(stored.begun(producer_id, epoch, request.timeout_ms, self.now_ms))
    }

    pub(super) fn add_partitions(
        &mut self,
        decision: &mut Decision<TransactionReply>,
        request: AddPartitions,
    ) -> Result<(), TransactionError> {
        let id = request.transactional_id.as_str();
        let stored = self.stored(id)?;
        // First, as the client may already have the producer id and epoch that follow on the end being written.
        if stored.state.is_prepared() {
            return Err(TransactionError::ConcurrentTransactions);
        }
        check_producer(stored, request.producer_id, request.epoch)?;
        let mut partitions = request.partitions.iter();
        if stored.state == TransactionState::Ongoing
            && partitions.all(|partition| stored.partitions.contains(partition))
        {
            return Ok(());
        }
        let next = stored.with_partitions(request.partitions, request.version, self.now_ms);
        let bytes = partitions_bytes(&next.partitions);
        if bytes > PARTITIONS_BYTES_MAX {
            return Err(TransactionError::TooManyPartitions {
                bytes,
                max_bytes: PARTITIONS_BYTES_MAX,
            });
        }
        self.put(decision, id, &next);
        Ok(())
    }

    pub(super) fn end_transaction(
        &mut self,
        decision: &mut Decision<TransactionReply>,
        request: &EndTransaction,
    ) -> Result<(i64, i16), TransactionError> {
        let id = request.transactional_id.as_str();
        let stored = self.stored(id)?;
        let step = match request.version {
            TransactionVersion::V1 => end_step_v1(stored, request)?,
            TransactionVersion::V2 => end_step_v2(stored, request)?,
        };
        if step == EndStep::AnswerAgain {
            return Ok((stored.producer_id, stored.epoch));
        }
        let stored = stored.clone();
        let next_producer_id = self.producer_id_after(&stored, request.version)?;
        let prepared = stored.prepared(
            request.committed,
            request.version,
            next_producer_id,
            self.now_ms,
        );
        self.put_end(decision, id, &prepared);
        let completed = prepared.completed(self.now_ms);
        Ok((completed.producer_id, completed.epoch))
    }

    /// Aborts the open transaction of an id under a new epoch, which no producer has.
    ///
    /// # Errors
    /// [`TransactionError::CoordinatorLoading`] if that would need a producer id and none is at hand.
    pub(super) fn fence(
        &mut self,
        decision: &mut Decision<TransactionReply>,
        id: &str,
    ) -> Result<(), TransactionError> {
        let stored = self.stored(id)?.clone();
        // By the broker's rules, not the client's, as Kafka does since `transaction.version` 2.
        let version = TransactionVersion::V2;
        let next_producer_id = self.producer_id_after(&stored, version)?;
        let prepared = stored.prepared(false, version, next_producer_id, self.now_ms);
        self.put_end(decision, id, &prepared);
        Ok(())
    }

    /// The producer id that follows on an end under these rules, if the epoch is the last.
    fn producer_id_after(
        &mut self,
        stored: &TransactionValue,
        version: TransactionVersion,
    ) -> Result<Option<i64>, TransactionError> {
        if version == TransactionVersion::V2 && stored.is_exhausted() {
            return self.take_producer_id().map(Some);
        }
        Ok(None)
    }

    fn take_producer_id(&mut self) -> Result<i64, TransactionError> {
        (self.new_producer_id)().ok_or(TransactionError::CoordinatorLoading)
    }

    /// What is stored of an id that a request names.
    pub(super) fn stored(&self, id: &str) -> Result<&TransactionValue, TransactionError> {
        self.check_id(id)?;
        let entry = self.entries.get(id);
        entry
            .map(|entry| &entry.stored)
            .ok_or(TransactionError::InvalidProducerIdMapping)
    }

    fn check_id(&self, id: &str) -> Result<(), TransactionError> {
        let reason = match self.phase {
            Phase::Loading => return Err(TransactionError::CoordinatorLoading),
            Phase::Unloaded => return Err(TransactionError::NotCoordinator),
            Phase::Active if id.is_empty() => "the transactional id is empty",
            Phase::Active if id.len() > ID_BYTES_MAX => "the transactional id is too long",
            Phase::Active => return Ok(()),
        };
        Err(TransactionError::InvalidRequest { reason })
    }
}

pub(super) fn check_producer(
    stored: &TransactionValue,
    producer_id: i64,
    epoch: i16,
) -> Result<(), TransactionError> {
    if stored.producer_id != producer_id {
        Err(TransactionError::InvalidProducerIdMapping)
    } else if stored.epoch != epoch {
        Err(TransactionError::ProducerFenced)
    } else {
        Ok(())
    }
}

/// A producer that has an id and epoch already keeps others' hands off: it must have the id in use, or the one before if its
/// epochs ran out and the answer with the new id was lost. The epoch is checked when a new one is given.
fn check_current(
    stored: &TransactionValue,
    current: Option<(i64, i16)>,
) -> Result<(), TransactionError> {
    let is_valid = current.is_none_or(|(producer_id, epoch)| {
        producer_id == stored.producer_id
            || (Some(producer_id) == stored.previous_producer_id && epoch >= LAST_EPOCH)
    });
    if is_valid {
        Ok(())
    } else {
        Err(TransactionError::ProducerFenced)
    }
}

/// `TransactionCoordinator.endTransactionWithTV1`.
fn end_step_v1(
    stored: &TransactionValue,
    request: &EndTransaction,
) -> Result<EndStep, TransactionError> {
    check_producer(stored, request.producer_id, request.epoch)?;
    match stored.state {
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
            Err(TransactionError::ConcurrentTransactions)
        }
        TransactionState::Ongoing => Ok(EndStep::Decide),
        TransactionState::CompleteCommit if request.committed => Ok(EndStep::AnswerAgain),
        TransactionState::CompleteAbort if !request.committed => Ok(EndStep::AnswerAgain),
        state => Err(TransactionError::InvalidState { state }),
    }
}

/// `TransactionCoordinator.endTransaction`. The epoch alone tells a request that comes again from one of the next
/// transaction: the end has bumped it.
fn end_step_v2(
    stored: &TransactionValue,
    request: &EndTransaction,
) -> Result<EndStep, TransactionError> {
    if stored.state.is_prepared() {
        return Err(TransactionError::ConcurrentTransactions);
    }
    let comes_again = ended_already(stored, request);
    if !comes_again {
        check_producer(stored, request.producer_id, request.epoch)?;
    }
    let state = stored.state;
    match state {
        TransactionState::CompleteCommit | TransactionState::CompleteAbort if comes_again => {
            if request.committed == (state == TransactionState::CompleteCommit) {
                Ok(EndStep::AnswerAgain)
            } else {
                Err(TransactionError::InvalidState { state })
            }
        }
        // An epoch before that of an open transaction, or of a producer that has begun anew.
        _ if comes_again => Err(TransactionError::ProducerFenced),
        TransactionState::Ongoing => Ok(EndStep::Decide),
        // A producer may abort what no partition has come into: it cannot know.
        _ if !request.committed => Ok(EndStep::Decide),
        _ => Err(TransactionError::InvalidState { state }),
    }
}

/// Whether the request has the epoch before the one that an end of version 2 led to. After one of version 1 the epoch before
/// is that of a producer which was replaced: Kafka 4.4 does not look, and would hand it the other's epoch.
fn ended_already(stored: &TransactionValue, request: &EndTransaction) -> bool {
    let bumped = stored.producer_id == request.producer_id
        && i32::from(stored.epoch) == i32::from(request.epoch) + 1;
    let rotated = stored.previous_producer_id == Some(request.producer_id)
        && request.epoch == LAST_EPOCH
        && stored.epoch == 0;
    stored.version == TransactionVersion::V2 && (bumped || rotated)
}
