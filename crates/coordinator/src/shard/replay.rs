//! Stored records, live and at start-up the same.

use std::sync::Arc;

use bytes::Bytes;

use super::{Group, GroupShard, reindex};
use crate::classic::ClassicGroup;
use crate::consumer::ConsumerGroup;
use crate::decision::CoordinatorRecord;
use crate::records::codec::Reader;
use crate::records::consumer::ConsumerGroupRecord;
use crate::records::{
    self, GroupMetadata, OffsetCommitKey, OffsetCommitValue, RecordError, RecordKind,
    group_metadata,
};

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// The shard's state is now what the record says.
    Applied,
    /// A key of this type means nothing to this broker: share and streams groups, or a newer Kafka's.
    Ignored(i16),
}

impl GroupShard {
    /// Applies one stored record that is in no transaction. Such records, those of [`Self::replay_in_transaction`] and
    /// [`Self::replay_end`] are the only ways in which durable state changes.
    ///
    /// # Errors
    /// [`RecordError`] if the record cannot be read; the state is then as it was, and the owner decides whether to go on.
    pub fn replay(&mut self, record: &CoordinatorRecord) -> Result<Replayed, RecordError> {
        let result = self.try_replay(record);
        self.counted(result)
    }

    pub(super) fn counted(
        &mut self,
        result: Result<Replayed, RecordError>,
    ) -> Result<Replayed, RecordError> {
        match result {
            Ok(Replayed::Applied) => {}
            Ok(Replayed::Ignored(_)) => self.counters.records_ignored += 1,
            Err(_) => self.counters.records_refused += 1,
        }
        result
    }

    pub(super) fn try_replay(
        &mut self,
        record: &CoordinatorRecord,
    ) -> Result<Replayed, RecordError> {
        let (kind, key) = records::kind_of(&record.key)?;
        match kind {
            RecordKind::OffsetCommit => {
                self.replay_offset(OffsetCommitKey::decode(key)?, record.value.clone())?;
            }
            RecordKind::GroupMetadata => self.replay_group(key, record.value.as_deref())?,
            RecordKind::Consumer(_) => {
                let decoded = ConsumerGroupRecord::decode(&record.key, record.value.as_ref())?;
                self.replay_consumer(decoded, record.value.is_none());
            }
            RecordKind::Unknown(kind) => return Ok(Replayed::Ignored(kind)),
        }
        Ok(Replayed::Applied)
    }

    fn replay_offset(
        &mut self,
        key: OffsetCommitKey,
        value: Option<Bytes>,
    ) -> Result<(), RecordError> {
        let Some(value) = value else {
            self.replay_offset_tombstone(key);
            return Ok(());
        };
        let value = OffsetCommitValue::decode(value)?;
        // A group that has only offsets has no record of its own (Kafka calls it a simple group).
        self.entry_or_new(&key.group_id);
        if let Some(entry) = self.entries.get_mut(key.group_id.as_str()) {
            let overtaken = entry.offsets.replay(&key.topic, key.partition, value);
            self.note_pending(&key, &overtaken);
        }
        Ok(())
    }

    pub(super) fn replay_offset_tombstone(&mut self, key: OffsetCommitKey) {
        let Some(entry) = self.entries.get_mut(key.group_id.as_str()) else {
            return;
        };
        let forgotten = entry.offsets.replay_tombstone(&key.topic, key.partition);
        self.note_pending(&key, &forgotten);
        // Before the end of the log, the group's own records may still come.
        if self.loaded {
            self.forget_if_void(&key.group_id);
        }
    }

    fn replay_group(&mut self, key: Reader, value: Option<&[u8]>) -> Result<(), RecordError> {
        let group_id = group_metadata::decode_key(key)?;
        let Some(value) = value else {
            self.replay_group_tombstone(&group_id);
            return Ok(());
        };
        // A copy: slices of the log's buffer would keep all of it in memory for as long as the group lives.
        let value = GroupMetadata::decode(Bytes::copy_from_slice(value))?;
        self.entry_or_new(&group_id);
        self.settle(&group_id);
        if matches!(self.entries.get(group_id.as_str()), Some(entry) if entry.is_consumer()) {
            self.begin_anew(&group_id);
        }
        if let Some(entry) = self.entries.get_mut(group_id.as_str())
            && let Group::Classic(group) = &mut entry.group
        {
            group.replay(value, self.now_ms, &mut self.counters);
            if self.loaded {
                reindex(&mut self.deadlines, entry);
            }
        }
        Ok(())
    }

    /// Part of a consumer group. A tombstone is nothing to a group of the other type, which came after; a value is, as the
    /// later one holds.
    fn replay_consumer(&mut self, record: ConsumerGroupRecord, is_tombstone: bool) {
        let group_id = record.group_id.as_str();
        self.settle(group_id);
        if !is_tombstone {
            self.entry_or_new(group_id);
        }
        let Some(entry) = self.entries.get_mut(group_id) else {
            return;
        };
        if is_tombstone && !entry.is_consumer() {
            return;
        }
        if !entry.is_consumer() {
            entry.group = Group::Consumer(Box::new(ConsumerGroup::new(group_id)));
        }
        if let Group::Consumer(group) = &mut entry.group {
            group.replay(record.change);
            if let Some(ended) = group.take_ended_rebalance(self.now_ms) {
                self.counters.rebalance_ended(ended);
            }
            if group.is_absent() {
                self.begin_anew(group_id);
                self.forget_if_void(group_id);
            } else if self.loaded {
                reindex(&mut self.deadlines, entry);
            }
        }
    }

    /// Leaves a group without members or records; its offsets stay.
    fn begin_anew(&mut self, group_id: &str) {
        let since_ms = self.loaded.then_some(self.now_ms);
        let Some(entry) = self.entries.get_mut(group_id) else {
            return;
        };
        let fresh = ClassicGroup::new(Arc::clone(&entry.id), since_ms);
        let was = std::mem::replace(&mut entry.group, Group::Classic(Box::new(fresh)));
        if self.loaded {
            reindex(&mut self.deadlines, entry);
        }
        self.retire(&was);
    }

    /// The classic group is gone; a consumer group came in its place before this record did. Offsets that outlive it are those of a group without members.
    fn replay_group_tombstone(&mut self, group_id: &str) {
        self.settle(group_id);
        if matches!(self.entries.get(group_id), Some(entry) if !entry.is_consumer()) {
            self.begin_anew(group_id);
            self.forget_if_void(group_id);
        }
    }
}
