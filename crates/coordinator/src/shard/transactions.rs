//! Offsets in transactions: pending from their record to the marker, which may be far behind it.
//!
//! A log's view has one row for a key, but a pending offset and a committed one have the same key. So the view keeps what is
//! pending in rows of its own, which the shard hands out beside the records. A view that ended where the oldest open transaction
//! begins would do without, but then one transaction that hangs would make every start read all that came after it.

use std::sync::Arc;

use super::{GroupShard, Replayed};
use crate::decision::CoordinatorRecord;
use crate::records::pending::{self, PendingKey};
use crate::records::{
    self, OffsetCommitKey, OffsetCommitValue, RecordError, RecordKind, is_row_of_view,
};
use crate::{offsets::PendingOffset, offsets::Released};

impl GroupShard {
    /// Applies one stored record of a producer's transaction; `offset` is its place in the log. An offset is pending until
    /// [`Self::replay_end`]; whatever else the record is, it counts at once, as in Kafka.
    ///
    /// # Errors
    /// As [`Self::replay`].
    pub fn replay_in_transaction(
        &mut self,
        producer_id: i64,
        record: &CoordinatorRecord,
        offset: i64,
    ) -> Result<Replayed, RecordError> {
        let result = self.try_replay_in_transaction(producer_id, record, offset);
        self.counted(result)
    }

    fn try_replay_in_transaction(
        &mut self,
        producer_id: i64,
        record: &CoordinatorRecord,
        offset: i64,
    ) -> Result<Replayed, RecordError> {
        let (kind, key) = records::kind_of(&record.key)?;
        let value = match (&record.value, kind) {
            (Some(value), RecordKind::OffsetCommit) => value.clone(),
            _ => {
                let result = self.try_replay(record)?;
                if result == Replayed::Applied {
                    self.rows.push(record.clone());
                }
                return Ok(result);
            }
        };
        let key = OffsetCommitKey::decode(key)?;
        let offset = PendingOffset {
            value: Some(OffsetCommitValue::decode(value)?),
            record_offset: offset,
        };
        self.hold(PendingKey { producer_id, key }, offset);
        Ok(Replayed::Applied)
    }

    /// A marker has ended the producer's transaction: its pending offsets are committed or forgotten.
    pub fn replay_end(&mut self, producer_id: i64, committed: bool) {
        for group_id in self.open.remove(&producer_id).unwrap_or_default() {
            let Some(entry) = self.entries.get_mut(&group_id) else {
                continue;
            };
            for released in entry.offsets.replay_end(producer_id, committed) {
                self.note_released(&group_id, producer_id, released);
            }
            // Before the end of the log, the group's own records may still come.
            if self.loaded {
                self.forget_if_void(&group_id);
            }
        }
    }

    /// Takes up one row of the log's view, before any record is replayed.
    ///
    /// # Errors
    /// As [`Self::replay`].
    pub fn restore(&mut self, row: &CoordinatorRecord) -> Result<Replayed, RecordError> {
        if !is_row_of_view(&row.key) {
            return self.replay(row);
        }
        let result = PendingKey::decode(row.key.clone()).and_then(|key| {
            let value = row.value.clone().unwrap_or_default();
            self.hold(key, pending::decode_value(value)?);
            Ok(Replayed::Applied)
        });
        // The view has it.
        self.rows.clear();
        self.counted(result)
    }

    /// What the log's view has to learn of what was replayed since the last call, in this order: beside the records given to
    /// [`Self::replay`], and instead of those given to [`Self::replay_in_transaction`].
    pub fn take_rows(&mut self) -> Vec<CoordinatorRecord> {
        std::mem::take(&mut self.rows)
    }

    fn hold(&mut self, key: PendingKey, offset: PendingOffset) {
        self.rows.push(key.row(&offset));
        let PendingKey { producer_id, key } = key;
        self.entry_or_new(&key.group_id);
        if let Some(entry) = self.entries.get_mut(key.group_id.as_str()) {
            let groups = self.open.entry(producer_id).or_default();
            groups.insert(Arc::clone(&entry.id));
            let offsets = &mut entry.offsets;
            offsets.replay_pending(producer_id, key.topic, key.partition, offset);
        }
    }

    fn note_released(&mut self, group_id: &str, producer_id: i64, released: Released) {
        let key = OffsetCommitKey {
            group_id: group_id.to_owned(),
            topic: released.topic,
            partition: released.partition,
        };
        self.note_pending(&key, &[producer_id]);
        self.note_pending(&key, &released.overtaken);
        if let Some(value) = released.value {
            self.rows
                .push(value.record(group_id, &key.topic, key.partition));
        }
    }

    /// Something has become of what these producers have for the partition.
    pub(super) fn note_pending(&mut self, key: &OffsetCommitKey, producers: &[i64]) {
        for producer_id in producers {
            let entry = self.entries.get(key.group_id.as_str());
            let mut pending = entry
                .into_iter()
                .flat_map(|entry| entry.offsets.pending.of(&key.topic, key.partition));
            let now = pending.find(|(id, _)| id == producer_id);
            let row = PendingKey {
                producer_id: *producer_id,
                key: key.clone(),
            };
            self.rows
                .push(now.map_or_else(|| row.removed(), |(_, offset)| row.row(offset)));
        }
    }
}
