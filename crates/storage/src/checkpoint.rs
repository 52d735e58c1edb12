//! Telling RocksDB how far a log has come, rolling to a new segment, and putting files on the disk.
//!
//! A checkpoint is one WriteBatch: index entries, producers, aborted transactions, segment rows and the position they
//! belong to. After a kill only what lies behind the last one is scanned.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use rocksdb::WriteBatch;

use crate::db::Durability;
use crate::error::{ChangeError, EngineError};
use crate::index::put_block;
use crate::keys::{self, SegmentFacts, Table};
use crate::log_dir::sync_dir;
use crate::partition_log::{LogState, PartitionLog};
use crate::recovery::IDENTITY_FILE;
use crate::segment::Segment;

impl PartitionLog {
    /// Writes the log's state to RocksDB when anything changed since the last time. Waits for a write to the log that is
    /// in progress, and for RocksDB.
    pub fn checkpoint(&self) -> Result<(), ChangeError> {
        if self.is_deleted() {
            return Ok(());
        }
        self.check_usable()?;
        let mut state = self.lock();
        if state.dirty {
            self.save(&mut state)?;
        }
        Ok(())
    }

    /// A checkpoint from the writer once enough was appended. A failure costs a longer recovery and nothing else.
    pub(crate) fn save_if_due(&self, state: &mut LogState) {
        if state.unsaved_bytes >= self.dir.shared.options.checkpoint_bytes {
            state.unsaved_bytes = 0;
            if let Err(error) = self.save(state) {
                tracing::warn!(topic = self.topic, partition = self.key.partition, %error, "log state is not saved");
            }
        }
    }

    pub(crate) fn save(&self, state: &mut LogState) -> Result<(), EngineError> {
        let mut batch = WriteBatch::default();
        for segment in &state.changed_segments {
            self.put_segment(&mut batch, segment);
        }
        self.put_segment(&mut batch, &state.active);
        for (producer_id, entry) in state.producers.dirty() {
            let key = keys::producer(self.log_id, producer_id);
            match entry {
                Some(entry) => batch.put(key, keys::encode_producer(entry)),
                None => batch.delete(key),
            }
        }
        let mut transactions = self.transactions.lock();
        for aborted in transactions.unstored() {
            batch.put(
                keys::aborted(self.log_id, aborted),
                keys::encode_aborted(aborted),
            );
        }
        batch.put(
            keys::log(Table::Checkpoint, self.log_id),
            self.checkpoint_row(state).encode(),
        );
        self.dir.db.write(batch, Durability::Process)?;
        transactions.mark_stored();
        drop(transactions);
        self.mark_saved(state);
        Ok(())
    }

    fn put_segment(&self, batch: &mut WriteBatch, segment: &Segment) {
        put_block(batch, self.log_id, segment);
        batch.put(
            keys::segment(self.log_id, segment.base_offset),
            segment.facts().encode(),
        );
    }

    fn mark_saved(&self, state: &mut LogState) {
        for segment in state.changed_segments.drain(..) {
            segment.index.write().clear();
        }
        state.active.index.write().mark_stored();
        state.producers.clear_dirty();
        state.unsaved_bytes = 0;
        state.dirty = false;
    }

    /// Closes the active segment and begins a new one at the log end.
    pub(crate) fn roll(&self, state: &mut LogState) -> Result<(), EngineError> {
        let facts = SegmentFacts::empty(state.end_offset);
        let next = Arc::new(Segment::new(
            Arc::clone(&self.path),
            state.end_offset,
            facts,
            self.dir.now_ms(),
        ));
        let file = next.file_for_append()?;
        let options = self.options.load();
        if options.preallocate {
            let keep_size = rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&*file, keep_size, 0, u64::from(options.segment_bytes)).map_err(
                |error| EngineError::io(&next.path(), "reserve space for segment", error),
            )?;
        }
        let sealed = std::mem::replace(&mut state.active, Arc::clone(&next));
        sealed.update_facts(|facts| facts.sealed = true);
        state.changed_segments.push(sealed);
        let mut segments = Vec::clone(&self.segments.load());
        segments.push(next);
        self.segments.store(Arc::new(segments));
        self.dir.shared.metrics.segments.inc();
        self.mark_dirty(state);
        if let Err(error) = self.save(state) {
            tracing::warn!(topic = self.topic, partition = self.key.partition, %error, "log state is not saved");
        }
        self.dir
            .upkeep
            .wake(|work| work.unsynced.push(Weak::clone(&self.me)));
        Ok(())
    }

    /// Remembers since when records are only in the page cache, for topics with a `flush.ms`.
    pub(crate) fn note_unflushed(&self, state: &mut LogState) {
        if state.unflushed_since_ms.is_none() && self.options.load().flush_ms < i64::MAX {
            state.unflushed_since_ms = Some(self.dir.now_ms());
            self.dir
                .upkeep
                .add(|work| work.flush.push(Weak::clone(&self.me)));
        }
    }

    /// `flush.messages` above 1: the writer syncs the segment itself once that many records wait, as Kafka does.
    pub(crate) fn flush_if_due(&self, state: &mut LogState) -> Result<(), EngineError> {
        let limit = self.options.load().flush_messages;
        if limit <= 1 || limit == i64::MAX || state.unflushed_records < limit {
            return Ok(());
        }
        self.sync_with(state)
    }

    /// Puts everything appended so far on the disk. Blocks for as long as the disk takes, without holding up the writer.
    /// After a failure the directory is offline.
    pub fn flush(&self) -> Result<(), ChangeError> {
        self.check_usable()?;
        // The end is noted first: what is appended meanwhile is not promised.
        let end = self
            .segments
            .load()
            .last()
            .map(|active| (active.base_offset, active.size()));
        self.sync_identity()?;
        for segment in self.segments.load().iter() {
            self.sync_segment(segment)?;
        }
        let mut state = self.lock();
        self.note_synced(&mut state);
        self.mark_dirty(&mut state);
        if end == Some((state.active.base_offset, state.active.size())) {
            state.unflushed_records = 0;
            state.unflushed_since_ms = None;
        }
        Ok(())
    }

    /// Syncs segments that are sealed, in the background.
    pub(crate) fn sync_sealed(&self) -> Result<(), ChangeError> {
        self.check_usable()?;
        self.sync_identity()?;
        for segment in self
            .segments
            .load()
            .iter()
            .filter(|segment| segment.facts().sealed)
        {
            self.sync_segment(segment)?;
        }
        let mut state = self.lock();
        self.note_synced(&mut state);
        self.mark_dirty(&mut state);
        Ok(())
    }

    fn sync_with(&self, state: &mut LogState) -> Result<(), EngineError> {
        self.sync_identity()?;
        for segment in self.segments.load().iter() {
            self.sync_segment(segment)?;
        }
        self.note_synced(state);
        state.unflushed_records = 0;
        state.unflushed_since_ms = None;
        Ok(())
    }

    fn sync_segment(&self, segment: &Segment) -> Result<(), EngineError> {
        if segment.synced() >= segment.size() {
            return Ok(());
        }
        let timer = self.dir.shared.metrics.fsync_seconds.start_timer();
        let synced = segment.sync();
        timer.observe_duration();
        match synced {
            Ok(_) => Ok(()),
            // Retention or truncation took the file away meanwhile.
            Err(_) if self.is_deleted() || !self.lists(segment) => Ok(()),
            Err(error) => {
                self.dir.go_offline(&error.to_string());
                Err(error)
            }
        }
    }

    /// Whether the segment is still part of the log. Segments leave the list before their files go.
    pub(crate) fn lists(&self, segment: &Segment) -> bool {
        self.segments
            .load()
            .iter()
            .any(|listed| std::ptr::eq(&raw const **listed, segment))
    }

    /// Moves the mark below which every segment is on the disk.
    fn note_synced(&self, state: &mut LogState) {
        let segments = self.segments.load();
        let waiting = segments
            .iter()
            .find(|segment| !segment.facts().sealed || segment.synced() < segment.size());
        state.synced_base = waiting.map_or(state.active.base_offset, |segment| segment.base_offset);
    }

    /// Makes the directory entries durable that lead to this log's files: a synced file that no directory names is lost.
    pub(crate) fn sync_identity(&self) -> Result<(), EngineError> {
        let Some(newest) = self.segments.load().last().cloned() else {
            return Ok(());
        };
        let known = self.synced_entry.load(Ordering::Acquire);
        if known == newest.base_offset {
            return Ok(());
        }
        let synced = if known < 0 {
            self.sync_new_directory()
        } else {
            sync_dir(&self.path)
        };
        if let Err(error) = &synced
            && !self.is_deleted()
        {
            self.dir.go_offline(&error.to_string());
        }
        synced?;
        // The first segment's file appears with its first batch.
        if newest.size() > 0 {
            self.synced_entry
                .store(newest.base_offset, Ordering::Release);
        }
        Ok(())
    }

    fn sync_new_directory(&self) -> Result<(), EngineError> {
        let identity = self.path.join(IDENTITY_FILE);
        let sync = || std::fs::File::open(&identity)?.sync_all();
        sync().map_err(|error| EngineError::io(&identity, "sync", error))?;
        sync_dir(&self.path)?;
        sync_dir(&self.dir.logs_path())
    }
}
