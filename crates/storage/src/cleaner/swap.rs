//! Putting a cleaned segment in the place of those it was made of, so that a crash at any moment leaves the old ones or the
//! new one.
//!
//! The cleaned file gets onto the disk under a name that means nothing. Renaming it to one that says which offsets it
//! replaces is the moment from which it counts: opening the log then completes what is missing. Readers get the new list
//! of segments before anything under the old ones changes, and look again when that happened while they read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rocksdb::WriteBatch;
use wire::batch::BatchHeader;

use super::pass::changed;
use super::{CleanError, Control};
use crate::append::index_batch;
use crate::db::Durability;
use crate::error::EngineError;
use crate::index::{BLOCK_ENTRIES, IndexEntry};
use crate::keys::{self, SegmentFacts, Table};
use crate::log_dir::sync_dir;
use crate::options::SwapStep;
use crate::partition_log::PartitionLog;
use crate::recovery::Source;
use crate::scan::{Next, Scanner};
use crate::segment::{Segment, file_name, parse_file_name, parse_swap_name, swap_name};
use crate::transactions::AbortedTransaction;

/// What is to take the place of what.
pub(crate) struct Replacement<'a> {
    pub(crate) group: &'a [Arc<Segment>],
    pub(crate) segment: Arc<Segment>,
    /// Where the segment's file lies.
    pub(crate) draft: &'a Path,
    /// Aborted transactions that leave the index with the group.
    pub(crate) gone: &'a [AbortedTransaction],
}

impl PartitionLog {
    /// Replaces the group. Fails, with the log as it was, when the group is no longer part of it: it was truncated, trimmed
    /// or deleted meanwhile. Blocks for a few file operations and one write to RocksDB, the log's writer only for a moment.
    pub(crate) fn swap_in(
        &self,
        replacement: Replacement<'_>,
        control: &Control<'_>,
    ) -> Result<(), CleanError> {
        let _trimming = self.trimming.lock();
        self.check_usable().map_err(changed)?;
        let before = self.segments.load_full();
        let Some(at) = position_of(&before, replacement.group) else {
            return Err(CleanError::Gone);
        };
        let (base, end) = (
            replacement.segment.base_offset,
            replacement.segment.facts().end_offset,
        );
        let swap = self.path.join(swap_name(base, end));
        std::fs::rename(replacement.draft, &swap)
            .map_err(|error| EngineError::io(&swap, "name cleaned segment", error))?;
        if let Err(error) = sync_dir(&self.path) {
            self.dir.go_offline(&error.to_string());
            return Err(error.into());
        }
        control.pass_step(SwapStep::Named)?;
        self.publish_group(replacement.group, &replacement.segment);
        if let Err(error) = self.describe_swap(&replacement) {
            self.take_back_swap(&replacement, &swap);
            return Err(error.into());
        }
        control.pass_step(SwapStep::Described)?;
        self.forget_replaced(&replacement, end);
        let renamed = self.retire_group(replacement.group, &swap, control);
        if let Err(CleanError::Engine(error)) = &renamed {
            // The segment has no file under its own name. Opening the directory again completes it.
            self.dir.go_offline(&error.to_string());
        }
        renamed?;
        // RocksDB has the index.
        replacement.segment.index.write().clear();
        tracing::debug!(
            topic = self.topic,
            partition = self.key.partition,
            base,
            end,
            segments = replacement.group.len(),
            first = at,
            "segments replaced by a cleaned one"
        );
        control.pass_step(SwapStep::Done)
    }

    /// Readers that come from now on use the new list; those who came earlier look again if they are not done yet.
    fn exchange(&self, old: &[Arc<Segment>], new: &[Arc<Segment>]) {
        // The writer adds segments under this lock.
        let mut state = self.lock();
        let listed = self.segments.load_full();
        if let Some(at) = position_of(&listed, old) {
            let (front, rest) = listed.split_at(at);
            let list = [front, new, &rest[old.len()..]].concat();
            self.segments.store(Arc::new(list));
            self.replacements.fetch_add(1, Ordering::AcqRel);
        }
        // What was noted for the next checkpoint would bring a replaced segment's row back.
        let is_old = |segment: &Arc<Segment>| old.iter().any(|known| Arc::ptr_eq(known, segment));
        let noted = state.changed_segments.iter().any(is_old);
        if noted {
            state.changed_segments.retain(|segment| !is_old(segment));
            state.changed_segments.extend(new.iter().cloned());
        }
    }

    fn publish_group(&self, group: &[Arc<Segment>], segment: &Arc<Segment>) {
        self.exchange(group, std::slice::from_ref(segment));
    }

    /// RocksDB did not take the new segment: the old ones are as valid as before.
    fn take_back_swap(&self, replacement: &Replacement<'_>, swap: &Path) {
        self.exchange(
            std::slice::from_ref(&replacement.segment),
            replacement.group,
        );
        if let Err(error) = std::fs::remove_file(swap) {
            self.dir
                .go_offline(&format!("cannot take back a cleaned segment: {error}"));
        }
    }

    /// One write: the rows of the old segments go, those of the new one come.
    fn describe_swap(&self, replacement: &Replacement<'_>) -> Result<(), EngineError> {
        let mut batch = WriteBatch::default();
        for segment in replacement.group {
            self.forget_rows(&mut batch, segment.base_offset)?;
        }
        let segment = &replacement.segment;
        put_segment(
            &mut batch,
            self.log_id,
            segment.base_offset,
            &segment.facts(),
            segment.index.read().entries(),
        );
        for aborted in replacement.gone {
            batch.delete(keys::aborted(self.log_id, aborted));
        }
        self.dir.db.write(batch, Durability::Machine)
    }

    fn forget_rows(&self, batch: &mut WriteBatch, base_offset: i64) -> Result<(), EngineError> {
        batch.delete(keys::segment(self.log_id, base_offset));
        let prefix = keys::index_prefix(self.log_id, base_offset);
        self.dir.db.delete_prefix(batch, &prefix)
    }

    /// What memory knows of the old segments besides the list.
    fn forget_replaced(&self, replacement: &Replacement<'_>, end: i64) {
        let old: u64 = replacement.group.iter().map(|segment| segment.size()).sum();
        let new = replacement.segment.size();
        self.offsets.size.fetch_add(new, Ordering::Relaxed);
        self.offsets.size.fetch_sub(old, Ordering::Relaxed);
        let fewer = i64::try_from(replacement.group.len()).unwrap_or(1) - 1;
        self.dir.shared.metrics.segments.sub(fewer);
        self.dir.shared.tail_cache.forget_below(&self.tail, end);
        self.transactions.lock().forget(replacement.gone);
    }

    /// The old files lose their names. The first one's goes to the new file, last of all and in one step.
    fn retire_group(
        &self,
        group: &[Arc<Segment>],
        swap: &Path,
        control: &Control<'_>,
    ) -> Result<(), CleanError> {
        let delay_ms = self.options.load().file_delete_delay_ms;
        let due = self.dir.now_ms().saturating_add(delay_ms);
        for segment in &group[1..] {
            let path = segment.retire()?;
            self.dir.upkeep.add(|work| work.deletions.push((due, path)));
            control.pass_step(SwapStep::HalfRetired)?;
        }
        if group.len() > 1 {
            sync_dir(&self.path)?;
        }
        control.pass_step(SwapStep::Retired)?;
        let path = group[0].path();
        std::fs::rename(swap, &path)
            .map_err(|error| EngineError::io(&path, "put cleaned segment in place", error))?;
        Ok(sync_dir(&self.path)?)
    }

    /// Says, before the first segment is replaced, up to where segments may be other than they were appended.
    pub(crate) fn announce_rewrite(&self, rewritten_below: i64) -> Result<(), EngineError> {
        let known = self.cleaning.offsets();
        if rewritten_below <= known.rewritten_below {
            return Ok(());
        }
        self.store_cleaned(
            keys::Cleaned {
                rewritten_below,
                ..known
            },
            Durability::Machine,
        )
    }

    /// The dirty part begins at `first_dirty` now, unless the log has become shorter than that meanwhile.
    pub(crate) fn note_cleaned(&self, first_dirty: i64) -> Result<(), CleanError> {
        let _trimming = self.trimming.lock();
        if self.is_deleted() || first_dirty > self.log_end_offset() {
            return Err(CleanError::Gone);
        }
        let known = self.cleaning.offsets();
        let cleaned = keys::Cleaned {
            first_dirty,
            ..known
        };
        Ok(self.store_cleaned(cleaned, Durability::Process)?)
    }

    fn store_cleaned(
        &self,
        cleaned: keys::Cleaned,
        durability: Durability,
    ) -> Result<(), EngineError> {
        let mut batch = WriteBatch::default();
        batch.put(keys::log(Table::Cleaned, self.log_id), cleaned.encode());
        self.dir.db.write(batch, durability)?;
        self.cleaning.set_offsets(cleaned);
        Ok(())
    }
}

/// Where the group stands in the list, if it still does.
fn position_of(listed: &[Arc<Segment>], group: &[Arc<Segment>]) -> Option<usize> {
    let first = group.first()?;
    let at = listed
        .iter()
        .position(|segment| Arc::ptr_eq(segment, first))?;
    let stands = listed.get(at..at + group.len())?;
    let same = stands.iter().zip(group).all(|(a, b)| Arc::ptr_eq(a, b));
    same.then_some(at)
}

fn put_segment(
    batch: &mut WriteBatch,
    log_id: u64,
    base_offset: i64,
    facts: &SegmentFacts,
    index: &[IndexEntry],
) {
    batch.put(keys::segment(log_id, base_offset), facts.encode());
    for block in index.chunks(BLOCK_ENTRIES) {
        let first = block[0].offset;
        batch.put(
            keys::index_block(log_id, base_offset, first),
            keys::encode_index_block(first, block),
        );
    }
}

/// Completes what the last process had begun, before the log's files are looked at. Blocks.
pub(crate) fn finish_swaps(source: &Source<'_>) -> Result<(), EngineError> {
    let fail = |error| EngineError::io(source.path, "finish compaction", error);
    let (mut swaps, mut files) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(source.path).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let Some(name) = name.to_str() else { continue };
        swaps.extend(parse_swap_name(name));
        files.extend(parse_file_name(name));
    }
    for (base, end) in swaps {
        tracing::info!(
            topic = source.topic,
            partition = source.key.partition,
            base,
            end,
            "finishing an interrupted compaction"
        );
        for old in files.iter().filter(|old| base < **old && **old < end) {
            std::fs::remove_file(source.path.join(file_name(*old))).map_err(fail)?;
        }
        sync_dir(source.path)?;
        let path = source.path.join(file_name(base));
        std::fs::rename(source.path.join(swap_name(base, end)), &path).map_err(fail)?;
        sync_dir(source.path)?;
        describe_again(source, base, end)?;
    }
    Ok(())
}

/// Makes RocksDB know a segment that took the place of others, if it does not yet. Without rows that fit, the whole log
/// would be read again.
fn describe_again(source: &Source<'_>, base: i64, end: i64) -> Result<(), EngineError> {
    let path = source.path.join(file_name(base));
    let size = std::fs::metadata(&path)
        .map_err(|error| EngineError::io(&path, "look at segment", error))?
        .len();
    let rows = segment_rows(source)?;
    if rows.get(&base).is_some_and(|facts| facts.size == size)
        && rows.range(base + 1..end).next().is_none()
    {
        return Ok(());
    }
    let segment = Segment::new(source.path.into(), base, SegmentFacts::empty(base), 0);
    let markers = index_segment(source, &segment, size)?;
    segment.update_facts(|facts| {
        facts.end_offset = facts.end_offset.max(end);
        facts.sealed = true;
    });
    let mut batch = WriteBatch::default();
    for old in rows.range(base..end).map(|(old, _)| *old) {
        batch.delete(keys::segment(source.log_id, old));
        let prefix = keys::index_prefix(source.log_id, old);
        source.db.delete_prefix(&mut batch, &prefix)?;
    }
    put_segment(
        &mut batch,
        source.log_id,
        base,
        &segment.facts(),
        segment.index.read().entries(),
    );
    forget_markerless(source, &mut batch, base..end, &markers)?;
    source.db.write(batch, Durability::Machine)
}

fn segment_rows(source: &Source<'_>) -> Result<BTreeMap<i64, SegmentFacts>, EngineError> {
    let mut rows = BTreeMap::new();
    let prefix = keys::log(Table::Segment, source.log_id);
    source.db.scan(&prefix, |key, value| {
        if let (Ok(base), Ok(facts)) = (keys::decode_segment(key), SegmentFacts::decode(value)) {
            rows.insert(base, facts);
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Reads the segment into its facts and index; the offsets of its control batches.
fn index_segment(
    source: &Source<'_>,
    segment: &Segment,
    size: u64,
) -> Result<Vec<i64>, EngineError> {
    let file = segment.file()?;
    let mut scanner = Scanner::new(&file, segment.base_offset, 0, size).without_crc();
    let mut markers = Vec::new();
    let fail = |error| EngineError::io(&segment.path(), "read segment", error);
    while let Next::Batch(found) = scanner.next().map_err(fail)? {
        let header: BatchHeader = found.header;
        index_batch(
            segment,
            source.index_interval_bytes,
            &header,
            found.position,
        );
        if header.attributes.is_control() && header.record_count > 0 {
            markers.push(header.last_offset());
        }
    }
    Ok(markers)
}

/// Aborts whose marker the segment no longer has leave the index: a reader that is told of one waits for its marker.
fn forget_markerless(
    source: &Source<'_>,
    batch: &mut WriteBatch,
    range: std::ops::Range<i64>,
    markers: &[i64],
) -> Result<(), EngineError> {
    let prefix = keys::log(Table::AbortedTransaction, source.log_id);
    source.db.scan(&prefix, |key, value| {
        if let Ok(aborted) = keys::decode_aborted(key, value)
            && range.contains(&aborted.last_offset)
            && markers.binary_search(&aborted.last_offset).is_err()
        {
            batch.delete(key);
        }
        Ok(())
    })
}
