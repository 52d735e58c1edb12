//! The sparse index of one segment: where batches begin, and how late the records before them were.
//!
//! One entry per `index.interval.bytes`. Entries collect in memory and go to RocksDB in blocks, so that no append waits
//! for RocksDB; the block that is still filling is written at each checkpoint and written again when it grows.

use rocksdb::WriteBatch;

use crate::db::{Db, Lookup};
use crate::error::{EngineError, ReadError};
use crate::keys;
use crate::segment::Segment;

/// Entries a block holds at most: with 16 bytes each a block is one RocksDB page, and rewriting a half-full one at a
/// checkpoint stays cheap with thousands of logs.
pub(crate) const BLOCK_ENTRIES: usize = 256;

/// A batch begins at `position` with `offset`. Entries of a segment rise in both, and in the timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) offset: i64,
    pub(crate) position: u32,
    /// Greatest timestamp of everything before this entry in the segment, -1 when there is none.
    pub(crate) max_timestamp_before: i64,
}

/// The block that is filling.
#[derive(Debug, Default)]
pub(crate) struct IndexTail {
    entries: Vec<IndexEntry>,
    /// How many of the entries RocksDB has.
    stored: usize,
}

impl IndexTail {
    pub(crate) fn push(&mut self, entry: IndexEntry) {
        self.entries.push(entry);
    }

    /// Whether the block should be written now.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= BLOCK_ENTRIES
    }

    pub(crate) fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Entries to write under the first one's offset; empty when RocksDB has them all.
    pub(crate) fn unstored_block(&self) -> &[IndexEntry] {
        if self.stored == self.entries.len() {
            &[]
        } else {
            &self.entries
        }
    }

    /// The block was written; a full one is dropped, and the next entry opens a new one.
    pub(crate) fn mark_stored(&mut self) {
        if self.is_full() {
            self.clear();
        } else {
            self.stored = self.entries.len();
        }
    }

    /// Forgets what is in memory; only right when RocksDB has it.
    pub(crate) fn clear(&mut self) {
        self.entries = Vec::new();
        self.stored = 0;
    }
}

/// Adds the block that is filling to `batch`, unless RocksDB has it.
pub(crate) fn put_block(batch: &mut WriteBatch, log_id: u64, segment: &Segment) {
    let index = segment.index.read();
    if let Some(first) = index.unstored_block().first() {
        let key = keys::index_block(log_id, segment.base_offset, first.offset);
        batch.put(key, keys::encode_index_block(first.offset, index.entries()));
    }
}

/// Reads the stored part of one segment's index.
pub(crate) struct StoredIndex<'a> {
    pub(crate) db: &'a Db,
    pub(crate) log_id: u64,
    pub(crate) segment_base: i64,
}

impl StoredIndex<'_> {
    /// The last stored entry at or below `offset`.
    pub(crate) fn floor(
        &self,
        offset: i64,
        lookup: Lookup,
    ) -> Result<Option<IndexEntry>, ReadError> {
        let prefix = keys::index_prefix(self.log_id, self.segment_base);
        let target = keys::index_block(self.log_id, self.segment_base, offset);
        self.db
            .last_at_or_before(&prefix, &target, lookup, |key, value| {
                let block = keys::IndexBlock::decode(key, value).map_err(|_| self.bad())?;
                let at = block.partition_point(|entry| entry.offset <= offset);
                Ok(at.checked_sub(1).map(|at| block.get(at)))
            })
    }

    /// The last stored entry with a position at or below `position`, searched upwards from the block of `from`.
    pub(crate) fn floor_by_position(
        &self,
        from: i64,
        position: u64,
        lookup: Lookup,
    ) -> Result<Option<IndexEntry>, ReadError> {
        let mut best = None;
        let prefix = keys::index_prefix(self.log_id, self.segment_base);
        let start = keys::index_block(self.log_id, self.segment_base, from);
        self.db
            .scan_from_floor(&prefix, &start, lookup, |key, value| {
                let block = keys::IndexBlock::decode(key, value).map_err(|_| self.bad())?;
                let at = block.partition_point(|entry| u64::from(entry.position) <= position);
                if let Some(at) = at.checked_sub(1) {
                    best = Some(block.get(at));
                }
                Ok(at == block.len())
            })?;
        Ok(best)
    }

    /// The last stored entry before which every timestamp is below `timestamp`.
    pub(crate) fn floor_by_timestamp(
        &self,
        timestamp: i64,
    ) -> Result<Option<IndexEntry>, ReadError> {
        let mut best = None;
        let prefix = keys::index_prefix(self.log_id, self.segment_base);
        self.db
            .scan_from_floor(&prefix, &prefix, Lookup::MayRead, |key, value| {
                let block = keys::IndexBlock::decode(key, value).map_err(|_| self.bad())?;
                let at = block.partition_point(|entry| entry.max_timestamp_before < timestamp);
                if let Some(at) = at.checked_sub(1) {
                    best = Some(block.get(at));
                }
                Ok(at == block.len())
            })?;
        Ok(best)
    }

    fn bad(&self) -> ReadError {
        ReadError::Engine(EngineError::bad_value(self.db.path(), "index block"))
    }
}
