//! Reading one log: recent batches from the tail cache, older ones as ranges of segment files.
//!
//! A reader takes no lock that the writer holds while it writes. It looks at a segment's size first and at the log end
//! afterwards, so whatever lies below that size also lies below that end.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rustix::io::{Errno, ReadWriteFlags};
use wire::batch::{BatchHeader, HEADER_LEN};

use crate::db::Lookup;
use crate::error::{EngineError, ReadError};
use crate::index::{IndexEntry, IndexTail, StoredIndex};
use crate::partition_log::PartitionLog;
use crate::scan::{Next, Scanner, may_hold};
use crate::segment::{PlaceId, Segment};

/// What a reader wants at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of whole batches.
    pub max_bytes: usize,
    /// Batches that begin at or above this offset are not visible to the reader: high watermark, last stable offset, or
    /// the log end for a replica.
    pub below: i64,
    /// Return the first batch even when it alone is larger than `max_bytes` (KIP-74).
    pub whole_first_batch: bool,
}

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// Only what is in memory; otherwise `ReadError::WouldBlock`. For threads that must not block.
    NoWait,
    /// Reads what is missing into the page cache, and checks bytes that nobody has checked since the start.
    Wait,
}

/// A piece of a log. Pieces in order are whole batches.
#[derive(Debug, Clone)]
pub enum LogSlice {
    /// In memory.
    Memory(Bytes),
    /// A range of a file that is in the page cache, for `sendfile` or `pread`. The file may lose its name meanwhile.
    File {
        /// The segment file.
        file: Arc<File>,
        /// First byte.
        position: u64,
        /// Number of bytes.
        len: usize,
    },
}

impl LogSlice {
    /// Bytes in the slice.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File { len, .. } => *len,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes; blocks for a file range that has left the page cache.
    pub fn to_bytes(&self) -> std::io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.clone()),
            Self::File {
                file,
                position,
                len,
            } => {
                let mut buffer = vec![0; *len];
                file.read_exact_at(&mut buffer, *position)?;
                Ok(buffer.into())
            }
        }
    }
}

/// What a read found.
#[derive(Debug, Clone)]
pub struct ReadResult {
    /// Whole batches, the first of which contains the offset asked for (its earlier records included).
    pub slices: Vec<LogSlice>,
    /// Their length together.
    pub bytes: usize,
    /// The log's first offset when it was read.
    pub log_start_offset: i64,
    /// The log's end when it was read.
    pub log_end_offset: i64,
}

impl ReadResult {
    /// All bytes in one buffer; blocks like `LogSlice::to_bytes`.
    pub fn to_bytes(&self) -> std::io::Result<Bytes> {
        if let [slice] = self.slices.as_slice() {
            return slice.to_bytes();
        }
        let mut all = Vec::with_capacity(self.bytes);
        for slice in &self.slices {
            all.extend_from_slice(&slice.to_bytes()?);
        }
        Ok(all.into())
    }
}

/// How far a cold sequential read asks the disk to read ahead.
const READ_AHEAD: u64 = 4 << 20;
/// Distance of the probes that find out whether a range is in the page cache.
const PROBE_STEP: u64 = 64 << 10;
const WARM_CHUNK: usize = 128 << 10;

impl PartitionLog {
    /// Whole batches from the one that contains `from`. Empty when `from` is at the log end or at `limits.below`.
    ///
    /// Fails with `OutOfRange` below the log start and above the log end. Blocks only with `ReadMode::Wait`.
    pub fn read(
        &self,
        from: i64,
        limits: ReadLimits,
        mode: ReadMode,
    ) -> Result<ReadResult, ReadError> {
        let (start, end) = self.check_range(from)?;
        let mut result = ReadResult {
            slices: Vec::new(),
            bytes: 0,
            log_start_offset: start,
            log_end_offset: end,
        };
        if from >= end.min(limits.below) {
            return Ok(result);
        }
        let metrics = &self.dir.shared.metrics;
        if let Some(found) = self.tail.read(
            from,
            limits.below,
            limits.max_bytes,
            limits.whole_first_batch,
        ) {
            metrics.tail_cache_hits.inc();
            result.bytes = found.bytes;
            result.slices = found.slices.into_iter().map(LogSlice::Memory).collect();
            return Ok(result);
        }
        metrics.tail_cache_misses.inc();
        if mode == ReadMode::Wait {
            metrics.cold_reads.inc();
        }
        if let Some(slice) = self.read_file(from, limits, mode)? {
            result.bytes = slice.len();
            result.slices.push(slice);
        }
        Ok(result)
    }

    fn check_range(&self, offset: i64) -> Result<(i64, i64), ReadError> {
        if self.is_deleted() {
            return Err(ReadError::Deleted);
        }
        if let Some(reason) = self.dir.offline() {
            return Err(ReadError::Offline {
                dir: self.dir.path.clone(),
                reason,
            });
        }
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        if offset < start || offset > end {
            return Err(self.out_of_range(offset));
        }
        Ok((start, end))
    }

    fn out_of_range(&self, offset: i64) -> ReadError {
        ReadError::OutOfRange {
            offset,
            log_start_offset: self.log_start_offset(),
            log_end_offset: self.log_end_offset(),
        }
    }

    fn read_file(
        &self,
        from: i64,
        limits: ReadLimits,
        mode: ReadMode,
    ) -> Result<Option<LogSlice>, ReadError> {
        self.with_segments(|segments| self.read_segments(segments, from, limits, mode))
    }

    fn read_segments(
        &self,
        segments: &[Arc<Segment>],
        from: i64,
        limits: ReadLimits,
        mode: ReadMode,
    ) -> Result<Option<LogSlice>, ReadError> {
        let first = segments
            .partition_point(|segment| segment.base_offset <= from)
            .saturating_sub(1);
        // After a hole the batch that follows is in a later segment.
        for segment in &segments[first..] {
            if segment.base_offset >= limits.below {
                break;
            }
            let reader = SegmentReader::new(self, segment, mode);
            match reader.read(from, limits) {
                Ok(Found::NotHere) => {}
                Ok(Found::Nothing) => return Ok(None),
                Ok(Found::Slice(slice)) => return Ok(Some(slice)),
                Err(ReadError::Engine(error)) => return Err(self.judge_read(from, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A file that retention removed while it was looked for is no failure of the disk.
    fn judge_read(&self, from: i64, error: EngineError) -> ReadError {
        if self.is_deleted() {
            return ReadError::Deleted;
        }
        if from < self.log_start_offset() {
            return self.out_of_range(from);
        }
        ReadError::Engine(error)
    }
}

/// Reads one segment.
pub(crate) struct SegmentReader<'a> {
    log: &'a PartitionLog,
    segment: &'a Segment,
    mode: ReadMode,
    /// Published bytes when the reader came. Taken before the log end is looked at.
    size: u64,
}

/// What one segment has for a read.
enum Found {
    Slice(LogSlice),
    /// The batch is here, but the limits leave nothing of it.
    Nothing,
    /// The segment ends before the offset.
    NotHere,
}

/// A batch begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: i64,
    pub(crate) position: u64,
}

impl From<IndexEntry> for Place {
    fn from(entry: IndexEntry) -> Self {
        Self {
            offset: entry.offset,
            position: u64::from(entry.position),
        }
    }
}

impl<'a> SegmentReader<'a> {
    pub(crate) fn new(log: &'a PartitionLog, segment: &'a Segment, mode: ReadMode) -> Self {
        Self {
            log,
            segment,
            mode,
            size: segment.size(),
        }
    }

    fn read(&self, from: i64, limits: ReadLimits) -> Result<Found, ReadError> {
        if self.size == 0 {
            return Ok(Found::NotHere);
        }
        let generation = self.log.generation.load(Ordering::Acquire);
        let file = self.segment.file()?;
        let place_id = self.segment.place_id();
        let hint = self.log.hints.get(place_id, from, generation);
        let start = match hint {
            Some(place) => place,
            None => match self.find(&file, from)? {
                Some(place) => place,
                None => return Ok(Found::NotHere),
            },
        };
        let end = self.cut(&file, start, limits)?;
        if end.position <= start.position {
            return Ok(Found::Nothing);
        }
        let ready = self.make_ready(&file, start, end.position, hint.is_some())?;
        if ready == end.position && end.offset > start.offset {
            self.log.hints.put(place_id, from, end, generation);
        }
        let len = usize::try_from(ready - start.position).unwrap_or(usize::MAX);
        Ok(Found::Slice(LogSlice::File {
            file,
            position: start.position,
            len,
        }))
    }

    /// Where the batch begins that contains `offset`, or the first one after it. `None` behind the last.
    pub(crate) fn find(&self, file: &File, offset: i64) -> Result<Option<Place>, ReadError> {
        let mut place = self.floor(offset)?;
        while place.position < self.size {
            let header = self.header(file, place.position)?;
            if header.last_offset() >= offset {
                return Ok(Some(Place {
                    offset: header.base_offset,
                    position: place.position,
                }));
            }
            place = Place {
                offset: header.next_offset(),
                position: place.position + header.total_len() as u64,
            };
        }
        Ok(None)
    }

    /// The last indexed batch at or below `offset`; at worst the segment's first.
    fn floor(&self, offset: i64) -> Result<Place, ReadError> {
        {
            let tail = self.segment.index.read();
            let at = tail
                .entries()
                .partition_point(|entry| entry.offset <= offset);
            if let Some(at) = at.checked_sub(1) {
                return Ok(tail.entries()[at].into());
            }
        }
        let entry = self.stored().floor(offset, self.lookup())?;
        Ok(entry.map_or(self.beginning(), Place::from))
    }

    /// The last indexed batch that begins at or before `position`, at or above `from`.
    fn floor_by_position(&self, from: Place, position: u64) -> Result<Place, ReadError> {
        {
            let tail = self.segment.index.read();
            let at = tail
                .entries()
                .partition_point(|entry| u64::from(entry.position) <= position);
            if let Some(at) = at.checked_sub(1) {
                return Ok(Place::from(tail.entries()[at]).max_of(from));
            }
        }
        let entry = self
            .stored()
            .floor_by_position(from.offset, position, self.lookup())?;
        Ok(entry.map_or(from, |entry| Place::from(entry).max_of(from)))
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn index(&self) -> &RwLock<IndexTail> {
        &self.segment.index
    }

    pub(crate) fn stored(&self) -> StoredIndex<'_> {
        StoredIndex {
            db: &self.log.dir.db,
            log_id: self.log.log_id,
            segment_base: self.segment.base_offset,
        }
    }

    pub(crate) fn beginning(&self) -> Place {
        Place {
            offset: self.segment.base_offset,
            position: 0,
        }
    }

    fn lookup(&self) -> Lookup {
        match self.mode {
            ReadMode::NoWait => Lookup::MemoryOnly,
            ReadMode::Wait => Lookup::MayRead,
        }
    }

    /// Where the slice that starts at `start` has to end: by bytes, by visibility, and between two batches. The offset is
    /// that of the next batch, or `start`'s when it is not known.
    fn cut(&self, file: &File, start: Place, limits: ReadLimits) -> Result<Place, ReadError> {
        let log_end = self.log.log_end_offset();
        let limit = start.position.saturating_add(limits.max_bytes as u64);
        let all_visible = limits.below >= log_end;
        if all_visible && limit >= self.size {
            return Ok(Place {
                offset: start.offset,
                position: self.size,
            });
        }
        let mut place = if limit >= self.size {
            self.floor_by_position(start, self.size)?
        } else {
            self.floor_by_position(start, limit)?
        };
        if place.offset >= limits.below {
            place = self.floor(limits.below)?.max_of(start);
        } else if place.position > start.position && all_visible {
            return Ok(place);
        }
        self.walk(file, start, place, limit, limits)
    }

    /// Goes on batch by batch from `place` while batches fit.
    fn walk(
        &self,
        file: &File,
        start: Place,
        mut place: Place,
        limit: u64,
        limits: ReadLimits,
    ) -> Result<Place, ReadError> {
        while place.position < self.size {
            let header = self.header(file, place.position)?;
            let end = place.position + header.total_len() as u64;
            let first = place.position == start.position && limits.whole_first_batch;
            if header.base_offset >= limits.below || (end > limit && !first) {
                break;
            }
            place = Place {
                offset: header.next_offset(),
                position: end,
            };
        }
        Ok(place)
    }

    /// Reads and checks the header at `position`, which must lie below the published size.
    pub(crate) fn header(&self, file: &File, position: u64) -> Result<BatchHeader, ReadError> {
        let mut bytes = [0; HEADER_LEN];
        let left = self.size - position;
        if left < HEADER_LEN as u64 {
            return Err(self.corrupt(position, format!("{left} bytes are no batch header")));
        }
        match self.mode {
            ReadMode::NoWait => self.read_now(file, &mut bytes, position)?,
            ReadMode::Wait => self.read_exact(file, &mut bytes, position)?,
        }
        let header = BatchHeader::parse_prefix(&bytes)
            .map_err(|error| self.corrupt(position, error.to_string()))?;
        if header.total_len() as u64 > left || !may_hold(self.segment.base_offset, &header) {
            return Err(self.corrupt(position, "length or offset is out of bounds".to_owned()));
        }
        Ok(header)
    }

    fn read_exact(&self, file: &File, buffer: &mut [u8], position: u64) -> Result<(), ReadError> {
        file.read_exact_at(buffer, position)
            .map_err(|error| self.failed(position, error))
    }

    /// Reads what is in the page cache, or says `WouldBlock`.
    fn read_now(&self, file: &File, buffer: &mut [u8], position: u64) -> Result<(), ReadError> {
        let wanted = buffer.len();
        let read = rustix::io::preadv2(
            file,
            &mut [IoSliceMut::new(buffer)],
            position,
            ReadWriteFlags::NOWAIT,
        );
        match read {
            Ok(read) if read == wanted => Ok(()),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Err(ReadError::WouldBlock),
            Err(Errno::OPNOTSUPP) if self.log.dir.in_memory => {
                self.read_exact(file, buffer, position)
            }
            Err(Errno::OPNOTSUPP) => Err(ReadError::WouldBlock),
            Err(error) => Err(self.failed(position, error.into())),
        }
    }

    pub(crate) fn failed(&self, position: u64, error: std::io::Error) -> ReadError {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return self.corrupt(position, "the file is shorter than it was".to_owned());
        }
        let error = EngineError::io(&self.segment.path(), "read segment", error);
        self.log.dir.judge(&error);
        ReadError::Engine(error)
    }

    pub(crate) fn corrupt(&self, position: u64, what: String) -> ReadError {
        let file = self.segment.path();
        // Compaction may have replaced the segment under the reader, who then looks again.
        if self.log.lists(self.segment) {
            tracing::error!(file = %file.display(), position, what, "segment is corrupt");
        }
        ReadError::Corrupt {
            file,
            position,
            what,
        }
    }

    /// Sees to it that the range is in the page cache and has been checked. Returns where the good bytes end: behind at
    /// least one batch.
    fn make_ready(
        &self,
        file: &File,
        start: Place,
        end: u64,
        sequential: bool,
    ) -> Result<u64, ReadError> {
        let checked = self.segment.is_checked(start.position, end);
        match self.mode {
            ReadMode::NoWait if !checked => Err(ReadError::WouldBlock),
            ReadMode::NoWait => self.probe(file, start.position, end).map(|()| end),
            ReadMode::Wait => {
                self.read_ahead(file, start.position, end, sequential);
                if checked {
                    self.warm(file, start.position, end).map(|()| end)
                } else {
                    self.verify(file, start, end)
                }
            }
        }
    }

    /// Samples the range, first and last byte included.
    fn probe(&self, file: &File, start: u64, end: u64) -> Result<(), ReadError> {
        let mut at = start;
        while at < end {
            self.read_now(file, &mut [0], at)?;
            at += PROBE_STEP;
        }
        self.read_now(file, &mut [0], end - 1)
    }

    fn read_ahead(&self, file: &File, start: u64, end: u64, sequential: bool) {
        let end = if sequential {
            end.saturating_add(READ_AHEAD).min(self.size)
        } else {
            end
        };
        let len = std::num::NonZeroU64::new(end - start);
        // Only advice: without it the read below is slower.
        let _ = rustix::fs::fadvise(file, start, len, rustix::fs::Advice::WillNeed);
    }

    fn warm(&self, file: &File, start: u64, end: u64) -> Result<(), ReadError> {
        let mut buffer =
            vec![0; WARM_CHUNK.min(usize::try_from(end - start).unwrap_or(usize::MAX))];
        let mut at = start;
        while at < end {
            let len = buffer
                .len()
                .min(usize::try_from(end - at).unwrap_or(usize::MAX));
            self.read_exact(file, &mut buffer[..len], at)?;
            at += len as u64;
        }
        Ok(())
    }

    /// Checks every batch in the range, which brings it into the page cache as well. Good batches in front of a bad one
    /// are a result; the bad one is the next reader's error.
    fn verify(&self, file: &File, start: Place, end: u64) -> Result<u64, ReadError> {
        let mut scanner = Scanner::new(file, self.segment.base_offset, start.position, end);
        let bad = loop {
            match scanner.next() {
                Ok(Next::Batch(_)) => {}
                Ok(Next::End) => break None,
                Ok(Next::Bad(what)) => break Some(what),
                Err(error) => return Err(self.failed(start.position, error)),
            }
        };
        let position = scanner.position();
        match bad {
            Some(what) if position == start.position => Err(self.corrupt(position, what)),
            _ => {
                self.segment.mark_checked(start.position, position);
                Ok(position)
            }
        }
    }
}

impl Place {
    fn max_of(self, other: Place) -> Place {
        if self.position >= other.position {
            self
        } else {
            other
        }
    }
}

/// Where recent reads ended, so that a sequential reader needs no index.
#[derive(Debug, Default)]
pub(crate) struct Hints(Mutex<HintRing>);

#[derive(Debug, Default)]
struct HintRing {
    slots: [Option<Hint>; 8],
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Hint {
    segment: PlaceId,
    place: Place,
    generation: u32,
}

impl Hints {
    fn get(&self, segment: PlaceId, offset: i64, generation: u32) -> Option<Place> {
        let ring = self.0.lock();
        let hint = ring
            .slots
            .iter()
            .flatten()
            .find(|hint| hint.is(segment, offset, generation))?;
        Some(hint.place)
    }

    /// Leaves a hint where a read that began at `from` ended, in place of the one it used.
    fn put(&self, segment: PlaceId, from: i64, place: Place, generation: u32) {
        let mut ring = self.0.lock();
        let used = |slot: &Option<Hint>| {
            slot.as_ref()
                .is_some_and(|hint| hint.is(segment, from, generation))
        };
        let at = match ring.slots.iter().position(used) {
            Some(at) => at,
            None => {
                ring.next = (ring.next + 1) % ring.slots.len();
                ring.next
            }
        };
        ring.slots[at] = Some(Hint {
            segment,
            place,
            generation,
        });
    }
}

impl Hint {
    fn is(&self, segment: PlaceId, offset: i64, generation: u32) -> bool {
        self.segment == segment && self.place.offset == offset && self.generation == generation
    }
}
