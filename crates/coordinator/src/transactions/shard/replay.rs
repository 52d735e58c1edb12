//! Stored records, live and at start-up the same.

use std::sync::Arc;

use super::entry::Entry;
use super::{Phase, TransactionShard};
use crate::decision::CoordinatorRecord;
use crate::records::RecordError;
use crate::shard::Replayed;
use crate::transactions::record::TransactionRecord;
use crate::transactions::value::TransactionValue;

impl TransactionShard {
    /// Applies one stored record; `offset` is its place in the log. The only way durable state changes.
    ///
    /// # Errors
    /// [`RecordError`] if the record cannot be read; the state is then as it was, and the owner decides whether to go on.
    pub fn replay(
        &mut self,
        record: &CoordinatorRecord,
        offset: i64,
    ) -> Result<Replayed, RecordError> {
        match TransactionRecord::decode(record) {
            Ok(TransactionRecord::Value(id, Some(value))) => self.replay_value(id, value, offset),
            Ok(TransactionRecord::Value(id, None)) => self.forget(&id),
            Ok(TransactionRecord::Unknown(kind)) => {
                self.counters.records_ignored += 1;
                return Ok(Replayed::Ignored(kind));
            }
            Err(error) => {
                self.counters.records_refused += 1;
                return Err(error);
            }
        }
        Ok(Replayed::Applied)
    }

    fn replay_value(&mut self, id: String, value: TransactionValue, offset: i64) {
        let sweeps = self.sweeps();
        let id: Arc<str> = Arc::from(id);
        let asked_with_epoch = match self.asked_with_epoch {
            Some(_) if self.in_flight.contains(&id) => self.asked_with_epoch.take(),
            _ => None,
        };
        let entry = self
            .entries
            .entry(Arc::clone(&id))
            .or_insert_with(|| Entry::new(id, value.clone()));
        entry.replay(value, offset, asked_with_epoch);
        if self.phase == Phase::Active {
            if !entry.awaiting.is_empty() {
                self.markers_due.push(Arc::clone(&entry.id));
            }
            entry.reindex(&mut self.deadlines, &sweeps);
        }
    }

    fn forget(&mut self, id: &str) {
        if let Some(mut entry) = self.entries.remove(id) {
            self.deadlines.remove(&entry.id, &mut entry.indexed_ms);
        }
    }
}
