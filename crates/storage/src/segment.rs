//! One segment file and what is known of it: payload, size, index tail, and which of its bytes have been checked.
//!
//! A segment is shared between the writer, readers and maintenance. Its file is opened when it is first needed and
//! closed when nobody has used it for a while, so that ten thousand idle partitions hold no descriptors.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::error::EngineError;
use crate::index::IndexTail;
use crate::keys::SegmentFacts;

/// The most that an index position can say.
pub(crate) const MAX_SEGMENT_BYTES: u64 = u32::MAX as u64;

/// A segment as far as positions in it go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaceId {
    base_offset: i64,
    revision: u64,
}

#[derive(Debug)]
pub(crate) struct Segment {
    dir: Arc<Path>,
    pub(crate) base_offset: i64,
    /// How often compaction has replaced what stands at this base offset since the store was opened: positions in one
    /// revision mean nothing in another.
    pub(crate) revision: u64,
    /// Published bytes: whole batches whose offsets are below the log end.
    size: AtomicU64,
    /// Bytes known to be on the disk itself.
    synced: AtomicU64,
    /// When the segment was begun, for a segment whose batches carry no time.
    pub(crate) created_ms: i64,
    file: Mutex<Option<Arc<File>>>,
    used: AtomicBool,
    facts: RwLock<SegmentFacts>,
    pub(crate) index: RwLock<IndexTail>,
    checked: Mutex<Checked>,
    /// From here on every byte was written or checked by this process.
    checked_from: AtomicU64,
}

impl Segment {
    /// `facts.size` bytes of it are taken as published and not yet checked.
    pub(crate) fn new(
        dir: Arc<Path>,
        base_offset: i64,
        facts: SegmentFacts,
        created_ms: i64,
    ) -> Self {
        Self {
            dir,
            base_offset,
            revision: 0,
            size: AtomicU64::new(facts.size),
            synced: AtomicU64::new(0),
            created_ms,
            file: Mutex::new(None),
            used: AtomicBool::new(false),
            facts: RwLock::new(facts),
            index: RwLock::default(),
            checked: Mutex::default(),
            checked_from: AtomicU64::new(facts.size),
        }
    }

    /// What compaction made of `old` and the segments behind it, in a file that has another name yet. Its size and facts
    /// grow as it is written.
    pub(crate) fn cleaned(old: &Segment, file: File, created_ms: i64) -> Self {
        let facts = SegmentFacts::empty(old.base_offset);
        let segment = Self::new(Arc::clone(&old.dir), old.base_offset, facts, created_ms);
        *segment.file.lock() = Some(Arc::new(file));
        Self {
            revision: old.revision + 1,
            ..segment
        }
    }

    /// What positions in this segment belong to.
    pub(crate) fn place_id(&self) -> PlaceId {
        PlaceId {
            base_offset: self.base_offset,
            revision: self.revision,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(file_name(self.base_offset))
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Must happen before the log end that it belongs to is published.
    pub(crate) fn publish_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    pub(crate) fn set_synced(&self, position: u64) {
        self.synced.store(position, Ordering::Release);
    }

    pub(crate) fn facts(&self) -> SegmentFacts {
        *self.facts.read()
    }

    pub(crate) fn update_facts(&self, change: impl FnOnce(&mut SegmentFacts)) {
        change(&mut self.facts.write());
    }

    /// The file for reading and writing; opened if need be.
    pub(crate) fn file(&self) -> Result<Arc<File>, EngineError> {
        self.open(false)
    }

    /// The same, creating the file when it is missing.
    pub(crate) fn file_for_append(&self) -> Result<Arc<File>, EngineError> {
        self.open(true)
    }

    fn open(&self, create: bool) -> Result<Arc<File>, EngineError> {
        self.used.store(true, Ordering::Relaxed);
        let mut slot = self.file.lock();
        if let Some(file) = slot.as_ref() {
            return Ok(Arc::clone(file));
        }
        let path = self.path();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(&path)
            .map_err(|error| EngineError::io(&path, "open segment", error))?;
        let file = Arc::new(file);
        *slot = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Closes the file, and forgets index entries that RocksDB has, when nobody asked for the file since the last call.
    /// Readers keep what they hold.
    pub(crate) fn close_if_idle(&self) {
        if self.used.swap(false, Ordering::Relaxed) {
            return;
        }
        self.file.lock().take();
        let mut index = self.index.write();
        if index.unstored_block().is_empty() {
            index.clear();
        }
    }

    /// Renames the file out of the log; a reader that holds it may finish.
    pub(crate) fn retire(&self) -> Result<PathBuf, EngineError> {
        let (path, retired) = (
            self.path(),
            self.dir
                .join(format!("{}.deleted", file_name(self.base_offset))),
        );
        self.file.lock().take();
        match std::fs::rename(&path, &retired) {
            Ok(()) => Ok(retired),
            // An empty segment may never have had a file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(retired),
            Err(error) => Err(EngineError::io(&path, "retire segment", error)),
        }
    }

    /// Puts the published bytes on the disk. Blocks. Returns the position that is safe afterwards.
    pub(crate) fn sync(&self) -> Result<u64, EngineError> {
        let size = self.size();
        if size > self.synced() {
            let file = self.file()?;
            rustix::fs::fdatasync(&*file)
                .map_err(|error| EngineError::io(&self.path(), "sync segment", error))?;
            self.synced.fetch_max(size, Ordering::AcqRel);
        }
        Ok(size)
    }

    /// Whether every batch in `start..end` was written or verified since the store was opened.
    pub(crate) fn is_checked(&self, start: u64, end: u64) -> bool {
        let from = self.checked_from.load(Ordering::Acquire);
        start >= from || start >= end || self.checked.lock().contains(start, end.min(from))
    }

    /// Only from `position` on is everything checked, besides the ranges that were marked.
    pub(crate) fn set_checked_from(&self, position: u64) {
        self.checked_from.store(position, Ordering::Release);
    }

    /// Notes that every batch in `start..end` has the right checksum.
    pub(crate) fn mark_checked(&self, start: u64, end: u64) {
        self.checked.lock().insert(start, end);
    }
}

pub(crate) fn file_name(base_offset: i64) -> String {
    format!("{base_offset:020}.log")
}

/// A cleaned segment that is being written: worthless after a crash.
pub(crate) fn draft_name(base_offset: i64) -> String {
    format!("{base_offset:020}.cleaned")
}

/// A cleaned segment that is whole: it is what the log holds from `base_offset` to `end_offset`, whatever other files
/// say.
pub(crate) fn swap_name(base_offset: i64, end_offset: i64) -> String {
    format!("{base_offset:020}.{end_offset:020}.swap")
}

/// What a name made by `swap_name` says.
pub(crate) fn parse_swap_name(name: &str) -> Option<(i64, i64)> {
    let (base, end) = name.strip_suffix(".swap")?.split_once('.')?;
    let parse = |digits: &str| parse_file_name(&format!("{digits}.log"));
    Some((parse(base)?, parse(end)?))
}

/// The base offset in a segment file's name; `None` for any other file.
pub(crate) fn parse_file_name(name: &str) -> Option<i64> {
    let digits = name.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Ranges of a file that were checked. Sequential readers keep it at one range; random ones are held to `MAX`, beyond
/// which the smallest range is forgotten and would be checked again.
#[derive(Debug, Default)]
struct Checked(Vec<(u64, u64)>);

impl Checked {
    const MAX: usize = 64;

    fn contains(&self, start: u64, end: u64) -> bool {
        let at = self.0.partition_point(|range| range.0 <= start);
        at.checked_sub(1).is_some_and(|at| self.0[at].1 >= end)
    }

    fn insert(&mut self, start: u64, end: u64) {
        let from = self.0.partition_point(|range| range.1 < start);
        let upto = self.0.partition_point(|range| range.0 <= end);
        let merged = self.0[from..upto].iter().fold((start, end), |sum, range| {
            (sum.0.min(range.0), sum.1.max(range.1))
        });
        self.0.splice(from..upto, [merged]);
        if self.0.len() > Self::MAX {
            let smallest = (0..self.0.len()).min_by_key(|at| self.0[*at].1 - self.0[*at].0);
            smallest.map(|at| self.0.remove(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_twenty_digit_names_are_segments() {
        assert_eq!(parse_file_name(&file_name(42)), Some(42));
        for name in [
            "42.log",
            "00000000000000000042.log.deleted",
            "99999999999999999999.log",
            "partition",
            "",
        ] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_swap_files_name_says_what_it_replaces() {
        assert_eq!(parse_swap_name(&swap_name(7, 1 << 40)), Some((7, 1 << 40)));
        for name in ["7.9.swap", &file_name(3), &draft_name(3), ".swap"] {
            assert_eq!(parse_swap_name(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn checked_ranges_are_exactly_what_was_inserted(ranges in prop::collection::vec((0..100u64, 1..20u64), 0..30)) {
            let mut checked = Checked::default();
            let mut model = [false; 128];
            for (start, len) in ranges {
                checked.insert(start, start + len);
                (start..start + len).for_each(|at| model[usize::try_from(at).unwrap()] = true);
            }
            for start in 0..100 {
                for end in start + 1..110 {
                    let expected = (start..end).all(|at| model[at]);
                    prop_assert_eq!(checked.contains(start as u64, end as u64), expected, "{}..{}", start, end);
                }
            }
        }
    }
}
