//! One run of the cleaner over one log: the last offset of every dirty key, then the segments rewritten without what those
//! supersede (`Cleaner.doClean` in Kafka).
//!
//! Nothing here holds a lock of the log for longer than a look; only putting a cleaned segment in its place does.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wire::batch::{self, BatchHeader};

use super::filter::{Fate, Filter, LastOfProducer, MAX_OPENED_BYTES};
use super::offset_map::OffsetMap;
use super::plan::Cleanable;
use super::swap::Replacement;
use super::throttle::now;
use super::transactions::CleanedTransactions;
use super::{CleanError, Cleaning, Control};
use crate::append::index_batch;
use crate::disk::DiskPressure;
use crate::error::{ChangeError, EngineError};
use crate::index::IndexEntry;
use crate::options::SwapStep;
use crate::partition_log::PartitionLog;
use crate::scan::{Next, ScannedBatch, Scanner};
use crate::segment::{Segment, draft_name};

/// A file that is written for long is put on the disk in pieces of this size, so that the sync at its end is short.
const SYNC_BYTES: u64 = 32 << 20;
/// A pause looks this often whether the cleaner has to stop.
const STEP: Duration = Duration::from_millis(50);

/// A run over one log.
pub(crate) struct Pass<'a> {
    pub(crate) log: &'a PartitionLog,
    pub(crate) control: &'a Control<'a>,
    pub(crate) done: Cleaning,
}

impl Pass<'_> {
    /// Cleans what `cleanable` says. What was done before an error stays done.
    pub(crate) fn run(&mut self, cleanable: &Cleanable) -> Result<(), CleanError> {
        let ran = self.clean(cleanable);
        ran.map_err(|error| self.unless_gone(error, &[]))
    }

    /// Files that went with the log, or with these segments of it, are no fault of the disk.
    fn unless_gone(&self, error: CleanError, segments: &[Arc<Segment>]) -> CleanError {
        let log = self.log;
        let is_gone = || log.is_deleted() || !segments.iter().all(|segment| log.lists(segment));
        match error {
            CleanError::Engine(_) if is_gone() => CleanError::Gone,
            error => error,
        }
    }

    fn clean(&mut self, cleanable: &Cleanable) -> Result<(), CleanError> {
        let began = now();
        // From here on RocksDB counts on nothing within these segments but whole ones.
        self.log
            .sync_sealed()
            .and_then(|()| self.log.checkpoint())
            .map_err(changed)?;
        let mut filter = self.build_filter(cleanable)?;
        self.done.buffer_utilization = filter.map.utilization();
        let end = filter.mapped_to.saturating_add(1);
        let segment_bytes = u64::from(self.log.options.load().segment_bytes);
        let groups = cleanable.groups(end, segment_bytes);
        let rewritten_below = groups.iter().flat_map(|group| group.last()).last();
        let rewritten_below = rewritten_below.map_or(0, |last| last.facts().end_offset);
        self.log.announce_rewrite(rewritten_below)?;
        filter.producers = self.last_of_producers();
        for group in groups {
            self.clean_group(group, &mut filter)?;
        }
        self.log.note_cleaned(end)?;
        self.done.end_offset = end;
        self.done.elapsed = began.elapsed();
        Ok(())
    }

    fn build_filter(&mut self, cleanable: &Cleanable) -> Result<Filter, CleanError> {
        let (first_dirty, end) = (cleanable.first_dirty, cleanable.end);
        let records = u64::try_from(end.saturating_sub(first_dirty)).unwrap_or(0);
        let options = &self.control.options;
        let budget = options.dedupe_buffer_bytes / options.threads.max(1) as u64;
        let mut mapping = Mapping {
            map: OffsetMap::new(budget, options.dedupe_load_factor, records),
            first_dirty,
            mapped_to: first_dirty.saturating_sub(1),
            transactions: CleanedTransactions::new(self.log.aborted_transactions(first_dirty, end)),
        };
        let dirty = |segment: &&Arc<Segment>| segment.facts().end_offset > first_dirty;
        for segment in cleanable.segments.iter().filter(dirty) {
            let has_room = self
                .map_segment(segment, &mut mapping)
                .map_err(|error| self.unless_gone(error, std::slice::from_ref(segment)))?;
            if !has_room {
                break;
            }
        }
        let (now_ms, start) = (self.log.dir.now_ms(), self.log.log_start_offset());
        let aborted = self.log.aborted_transactions(start.min(first_dirty), end);
        Ok(Filter::new(
            mapping.map,
            mapping.mapped_to,
            CleanedTransactions::new(aborted),
            now_ms,
            self.log.options.load().delete_retention_ms,
        ))
    }

    /// Takes a segment's keys into the map; whether all of them found room.
    fn map_segment(
        &mut self,
        segment: &Segment,
        mapping: &mut Mapping,
    ) -> Result<bool, CleanError> {
        if segment.size() > 0 {
            let file = segment.file()?;
            let mut scanner =
                Scanner::new(&file, segment.base_offset, 0, segment.size()).without_crc();
            // What is behind bytes that are no batch is not known, and is left as it is when its turn comes.
            while let Next::Batch(found) =
                scanner.next().map_err(|error| read_error(segment, error))?
            {
                self.charge(found.bytes.len())?;
                self.done.mapped_bytes += found.bytes.len() as u64;
                if !mapping.take(&found) {
                    return Ok(false);
                }
            }
        }
        mapping.mapped_to = mapping.mapped_to.max(segment.facts().end_offset - 1);
        Ok(true)
    }

    fn last_of_producers(&self) -> foldhash::HashMap<i64, LastOfProducer> {
        let state = self.log.lock();
        let last = |entry: &crate::producer_state::ProducerEntry| LastOfProducer {
            epoch: entry.epoch,
            last_data_offset: entry.batches().last().map(|batch| batch.last_offset),
        };
        let known = state.producers.iter();
        known.map(|(id, entry)| (id, last(entry))).collect()
    }

    /// Makes one segment of the group and puts it in its place. A group with bytes that are no batches stays.
    fn clean_group(
        &mut self,
        group: &[Arc<Segment>],
        filter: &mut Filter,
    ) -> Result<(), CleanError> {
        if group.iter().all(|segment| segment.size() == 0) {
            return Ok(());
        }
        let draft = self.log.path.join(draft_name(group[0].base_offset));
        let written = self.write_group(group, filter, &draft);
        let gone = filter.transactions.take_gone();
        let outcome = written.and_then(|written| match written {
            Some(segment) => {
                self.control.pass_step(SwapStep::Written)?;
                let replacement = Replacement {
                    group,
                    segment: Arc::new(segment),
                    draft: &draft,
                    gone: &gone,
                };
                self.log.swap_in(replacement, self.control)?;
                self.done.replaced_segments += group.len();
                Ok(())
            }
            None => Ok(()),
        });
        // A cleaner that died leaves its files to whoever opens the log next.
        if !matches!(outcome, Err(CleanError::Died)) {
            let _ = std::fs::remove_file(&draft);
        }
        outcome.map_err(|error| self.unless_gone(error, group))
    }

    /// `None` where the group cannot be read to its end.
    fn write_group(
        &mut self,
        group: &[Arc<Segment>],
        filter: &mut Filter,
        draft: &Path,
    ) -> Result<Option<Segment>, CleanError> {
        let fail = |error| EngineError::io(draft, "create cleaned segment", error);
        let created = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(draft);
        let last = group.last().expect("groups are not empty");
        let end = last.facts().end_offset;
        let mut output = Output {
            segment: Segment::cleaned(&group[0], created.map_err(fail)?, last.created_ms),
            path: draft,
            interval: u64::from(self.log.options.load().index_interval_bytes),
            limit: (self.control.options.io_buffer_bytes / self.control.options.threads.max(1))
                .max(64 << 10),
            buffer: Vec::new(),
            written: 0,
            synced: 0,
            is_trusted: true,
        };
        for segment in group.iter().filter(|segment| segment.size() > 0) {
            let file = segment.file()?;
            if let Some(what) = self.filter_segment(segment, &file, end, filter, &mut output)? {
                self.report_poison(segment, &what);
                filter.lose_sight();
                return Ok(None);
            }
            self.control.pass_step(SwapStep::HalfWritten)?;
        }
        output.finish(end).map(Some).map_err(CleanError::from)
    }

    /// Copies what is left of a segment; what is wrong with it when it cannot be read to its end.
    fn filter_segment(
        &mut self,
        segment: &Segment,
        file: &File,
        group_end: i64,
        filter: &mut Filter,
        output: &mut Output<'_>,
    ) -> Result<Option<String>, CleanError> {
        let mut scanner = Scanner::new(file, segment.base_offset, 0, segment.size()).without_crc();
        loop {
            let found = match scanner.next().map_err(|error| read_error(segment, error))? {
                Next::Batch(found) => found,
                Next::End => return Ok(None),
                Next::Bad(what) => return Ok(Some(what)),
            };
            let (header, len) = (found.header, found.bytes.len());
            let is_last = header.next_offset() == group_end;
            self.done.read_bytes += len as u64;
            let kept = match filter.judge(&header, found.bytes, is_last) {
                Fate::Drop => 0,
                Fate::Keep => output.push(&header, found.bytes)?,
                Fate::Replace(batch) => {
                    let header = BatchHeader::parse(&batch)
                        .map_err(|error| output.error(error.to_string()))?;
                    output.push(&header, &batch)?
                }
                Fate::Poison(what) => {
                    output.is_trusted = false;
                    let kept = output.push(&header, found.bytes)?;
                    self.report_poison(segment, &format!("batch {}: {what}", header.base_offset));
                    kept
                }
            };
            self.done.written_bytes += kept as u64;
            self.charge(len + kept)?;
        }
    }

    /// Pauses as the throttle says, and ends the run when the log or the store is going away.
    fn charge(&self, bytes: usize) -> Result<(), CleanError> {
        self.log.check_usable().map_err(changed)?;
        if self.log.dir.disk.pressure() == DiskPressure::Hard {
            // The last bytes are not the cleaner's.
            return Err(CleanError::DiskFull);
        }
        self.control.charge(bytes)
    }

    fn report_poison(&mut self, segment: &Segment, what: &str) {
        self.done.poison_batches += 1;
        let (topic, partition) = (self.log.topic.as_str(), self.log.key.partition);
        let file = segment.path();
        tracing::warn!(topic, partition, file = %file.display(), what, "kept what compaction cannot read");
    }
}

/// Keys of the dirty part.
struct Mapping {
    map: OffsetMap,
    first_dirty: i64,
    mapped_to: i64,
    transactions: CleanedTransactions,
}

impl Mapping {
    /// Takes the keys of a batch; `false` where the map is full. Aborted records supersede nothing, and what cannot be
    /// opened is passed over: without its keys nothing is removed for them.
    fn take(&mut self, found: &ScannedBatch<'_>) -> bool {
        let header = &found.header;
        let aborted = if header.attributes.is_control() {
            self.transactions.on_control(header, found.bytes);
            true
        } else {
            self.transactions.on_data(header)
        };
        if header.last_offset() < self.first_dirty {
            return true;
        }
        if !aborted && batch::check_crc(found.bytes) {
            let opened = batch::records(found.bytes, MAX_OPENED_BYTES).ok();
            // One that is poison further on must not have half of its keys known.
            let whole = opened.filter(|records| records.iter().all(|record| record.is_ok()));
            if whole.is_some_and(|records| !self.take_records(header, &records)) {
                return false;
            }
        }
        self.mapped_to = self.mapped_to.max(header.last_offset());
        true
    }

    fn take_records(&mut self, header: &BatchHeader, records: &batch::Records<'_>) -> bool {
        for record in records.iter().map_while(Result::ok) {
            let offset = header.offset_of(&record);
            if offset < self.first_dirty {
                continue;
            }
            if record.key.is_some_and(|key| !self.map.put(key, offset)) {
                return false;
            }
            self.mapped_to = self.mapped_to.max(offset);
        }
        true
    }
}

/// The cleaned segment while it is written.
struct Output<'a> {
    segment: Segment,
    path: &'a Path,
    interval: u64,
    limit: usize,
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
    /// Every batch was whole when it was read.
    is_trusted: bool,
}

impl Output<'_> {
    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Adds a batch; its length.
    fn push(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<usize, EngineError> {
        let position = self.position();
        if position == 0 {
            // With an entry in front of everything a reader needs nothing but the entries in memory.
            self.segment.index.write().push(IndexEntry {
                offset: header.base_offset,
                position: 0,
                max_timestamp_before: -1,
            });
        }
        index_batch(&self.segment, self.interval, header, position);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= self.limit {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        let file = self.segment.file()?;
        file.write_all_at(&self.buffer, self.written)
            .map_err(|error| EngineError::io(self.path, "write cleaned segment", error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.synced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        let file = self.segment.file()?;
        rustix::fs::fdatasync(&*file)
            .map_err(|error| EngineError::io(self.path, "sync cleaned segment", error))?;
        self.synced = self.written;
        Ok(())
    }

    /// The segment, whole and on the disk.
    fn finish(mut self, end_offset: i64) -> Result<Segment, EngineError> {
        self.flush()?;
        self.sync()?;
        let segment = self.segment;
        segment.update_facts(|facts| {
            facts.end_offset = end_offset;
            facts.sealed = true;
        });
        segment.publish_size(self.written);
        segment.set_synced(self.written);
        segment.set_checked_from(if self.is_trusted { 0 } else { self.written });
        Ok(segment)
    }

    fn error(&self, what: String) -> EngineError {
        EngineError::io(
            self.path,
            "write cleaned segment",
            std::io::Error::other(what),
        )
    }
}

pub(crate) fn changed(error: ChangeError) -> CleanError {
    match error {
        ChangeError::Engine(error) => CleanError::Engine(error),
        _ => CleanError::Gone,
    }
}

fn read_error(segment: &Segment, error: std::io::Error) -> EngineError {
    EngineError::io(&segment.path(), "read segment", error)
}

impl Control<'_> {
    /// Pauses as long as the throttle says for so many bytes. Fails when the cleaner has to stop.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), CleanError> {
        let rate = self.options.io_max_bytes_per_second;
        let mut pause = self.throttle.charge(bytes as u64, rate);
        loop {
            if (self.stopped)() {
                return Err(CleanError::Stopped);
            }
            if pause.is_zero() {
                return Ok(());
            }
            std::thread::sleep(pause.min(STEP));
            pause = pause.saturating_sub(STEP);
        }
    }

    /// Where tests let the cleaner die.
    pub(crate) fn pass_step(&self, step: SwapStep) -> Result<(), CleanError> {
        if self.options.die_behind == Some(step) {
            return Err(CleanError::Died);
        }
        Ok(())
    }
}
