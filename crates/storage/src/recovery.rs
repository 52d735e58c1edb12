//! Bringing one log back: from RocksDB alone after an orderly close, by scanning what lies behind the last checkpoint
//! after a crash, and from the segment files alone when RocksDB knows less or something else.
//!
//! The files are the truth. Whole batches with the right checksum stay; the first thing in the newest file that is not
//! one ends the log there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::WriteBatch;
use wire::batch::BatchHeader;

use crate::append::index_batch;
use crate::cleaner;
use crate::db::{Db, Durability};
use crate::epochs::Epochs;
use crate::error::EngineError;
use crate::index::put_block;
use crate::keys::{self, Checkpoint, Cleaned, SegmentFacts, Table};
use crate::options::LogKey;
use crate::producer_state::Producers;
use crate::scan::{Next, Scanner, producer_batch};
use crate::segment::{Segment, parse_file_name};
use crate::transactions::{TransactionEffect, Transactions};

/// The file in a log's directory that says whose log it is.
pub(crate) const IDENTITY_FILE: &str = "partition";

/// What may be believed of the page cache when a directory is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastStop {
    /// Closed in order: everything is on the disk and in RocksDB.
    Clean,
    /// The process died, the machine did not: every write that returned is there.
    ProcessCrash,
    /// The machine stopped: only what was synced is certain.
    MachineCrash,
}

/// A log as it was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) key: LogKey,
    pub(crate) topic: String,
    pub(crate) path: Arc<Path>,
    pub(crate) log_start_offset: i64,
    pub(crate) log_end_offset: i64,
    pub(crate) high_watermark: i64,
    /// Ascending; the last is the active one.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) epochs: Epochs,
    pub(crate) producers: Producers,
    pub(crate) transactions: Transactions,
    pub(crate) synced_base: i64,
    /// Segments, besides the active one, whose rows RocksDB does not have.
    pub(crate) changed: Vec<Arc<Segment>>,
    pub(crate) cleaned: Cleaned,
    /// Bytes that had to be read, and whether something was cut off.
    pub(crate) scanned_bytes: u64,
    pub(crate) cut_bytes: u64,
}

/// Where a log is, and how to read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) db: &'a Db,
    pub(crate) log_id: u64,
    pub(crate) key: LogKey,
    pub(crate) topic: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) last_stop: LastStop,
    pub(crate) index_interval_bytes: u64,
    pub(crate) now_ms: i64,
}

/// What RocksDB says about the log.
#[derive(Debug, Default)]
struct Stored {
    checkpoint: Option<Checkpoint>,
    segments: BTreeMap<i64, SegmentFacts>,
    epochs: Epochs,
    producers: Producers,
    transactions: Transactions,
    log_start_offset: i64,
}

/// Opens the log. Blocks; reads little unless the last stop was a crash.
pub(crate) fn recover(source: Source<'_>) -> Result<Recovered, EngineError> {
    cleaner::finish_swaps(&source)?;
    let files = list_segments(source.path)?;
    let stored = source.load()?;
    match Recovery::resume(source, &files, stored)? {
        Some(recovered) => Ok(recovered),
        None => Recovery::rebuild(source, &list_segments(source.path)?),
    }
}

/// A log that was just created.
pub(crate) fn fresh(source: Source<'_>) -> Result<Recovered, EngineError> {
    let mut recovery = Recovery::new(source);
    recovery.add_empty(0);
    recovery.finish(0, 0, 0)
}

/// Rebuilds a log that was just cut from its files, for truncation.
pub(crate) fn rebuild(source: Source<'_>) -> Result<Recovered, EngineError> {
    Recovery::rebuild(source, &list_segments(source.path)?)
}

impl Source<'_> {
    fn load(&self) -> Result<Stored, EngineError> {
        let mut stored = Stored::default();
        let bad = |what| EngineError::bad_value(self.db.path(), what);
        let read = |table| self.db.get(&keys::log(table, self.log_id));
        // A row that does not decode is as good as none: the files are read instead.
        stored.checkpoint =
            read(Table::Checkpoint)?.and_then(|value| Checkpoint::decode(&value).ok());
        stored.log_start_offset = self.log_start()?;
        if let Some(value) = read(Table::LeaderEpochs)? {
            stored.epochs = Epochs::from_list(keys::decode_epochs(&value).unwrap_or_default());
        }
        self.db
            .scan(&keys::log(Table::Segment, self.log_id), |key, value| {
                let base = keys::decode_segment(key).map_err(|_| bad("segment key"))?;
                if let Ok(facts) = SegmentFacts::decode(value) {
                    stored.segments.insert(base, facts);
                }
                Ok(())
            })?;
        self.db
            .scan(&keys::log(Table::Producer, self.log_id), |key, value| {
                let producer_id = keys::decode_producer(key).map_err(|_| bad("producer key"))?;
                let entry = keys::decode_producer_entry(value).map_err(|_| bad("producer"))?;
                if let Some(first_offset) = entry.transaction_start {
                    stored.transactions.apply(TransactionEffect::Begin {
                        producer_id,
                        epoch: entry.epoch,
                        first_offset,
                    });
                }
                stored.producers.load(producer_id, entry);
                Ok(())
            })?;
        self.db.scan(
            &keys::log(Table::AbortedTransaction, self.log_id),
            |key, value| {
                let aborted =
                    keys::decode_aborted(key, value).map_err(|_| bad("aborted transaction"))?;
                stored.transactions.load_aborted(aborted);
                Ok(())
            },
        )?;
        Ok(stored)
    }

    fn cleaned(&self) -> Result<Cleaned, EngineError> {
        let value = self.db.get(&keys::log(Table::Cleaned, self.log_id))?;
        let cleaned = value.and_then(|value| Cleaned::decode(&value).ok());
        Ok(cleaned.unwrap_or_default())
    }

    fn log_start(&self) -> Result<i64, EngineError> {
        let value = self.db.get(&keys::log(Table::LogStart, self.log_id))?;
        let number = value.and_then(|value| keys::decode_number(&value).ok());
        Ok(number
            .and_then(|number| i64::try_from(number).ok())
            .unwrap_or(0))
    }
}

/// Base offset and size of every segment file; what retention was about to remove goes now.
pub(crate) fn list_segments(path: &Path) -> Result<BTreeMap<i64, u64>, EngineError> {
    let fail = |error| EngineError::io(path, "list log directory", error);
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        // A cleaned segment that was not finished is nothing; the cleaner of a live log looks before it goes on.
        if name.ends_with(".deleted") || name.ends_with(".cleaned") {
            match std::fs::remove_file(entry.path()) {
                // Maintenance removes them as well.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(fail(error));
                }
                _ => {}
            }
        } else if let Some(base) = parse_file_name(name) {
            files.insert(base, entry.metadata().map_err(fail)?.len());
        }
    }
    Ok(files)
}

/// What was made of a segment file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replayed {
    /// All of them are batches.
    Whole,
    /// The log ends where they stopped being batches.
    Cut,
    /// Some are no batches, and stay to be reported to whoever reads them.
    Rotten,
}

/// A log while it is being put together.
struct Recovery<'a> {
    source: Source<'a>,
    path: Arc<Path>,
    segments: Vec<Arc<Segment>>,
    epochs: Epochs,
    producers: Producers,
    transactions: Transactions,
    /// The first segment that RocksDB does not know, or knows as the active one.
    unsaved_base: i64,
    next_offset: i64,
    scanned_bytes: u64,
    cut_bytes: u64,
}

impl<'a> Recovery<'a> {
    fn new(source: Source<'a>) -> Self {
        Self {
            source,
            path: source.path.into(),
            segments: Vec::new(),
            epochs: Epochs::default(),
            producers: Producers::default(),
            transactions: Transactions::default(),
            unsaved_base: 0,
            next_offset: 0,
            scanned_bytes: 0,
            cut_bytes: 0,
        }
    }

    /// Goes on from the checkpoint. `None` when the files do not bear it out.
    fn resume(
        source: Source<'a>,
        files: &BTreeMap<i64, u64>,
        mut stored: Stored,
    ) -> Result<Option<Recovered>, EngineError> {
        let Some(checkpoint) = stored.checkpoint else {
            return Ok(None);
        };
        if !bears_out(&checkpoint, &stored.segments, files, source.last_stop) {
            return Ok(None);
        }
        let mut recovery = Self::new(source);
        recovery.epochs = std::mem::take(&mut stored.epochs);
        recovery.producers = std::mem::take(&mut stored.producers);
        recovery.transactions = std::mem::take(&mut stored.transactions);
        recovery.next_offset = checkpoint.log_end_offset;
        recovery.unsaved_base = checkpoint.segment_base;
        for base in files
            .range(..=checkpoint.segment_base)
            .map(|(base, _)| *base)
        {
            let facts = stored
                .segments
                .get(&base)
                .copied()
                .unwrap_or_else(|| SegmentFacts::empty(base));
            recovery.add_segment(base, facts, &checkpoint);
        }
        if recovery
            .segments
            .last()
            .is_none_or(|last| last.base_offset != checkpoint.segment_base)
        {
            recovery.add_segment(
                checkpoint.segment_base,
                SegmentFacts::empty(checkpoint.segment_base),
                &checkpoint,
            );
        }
        if source.last_stop == LastStop::MachineCrash && !recovery.verify_unsynced()? {
            return Ok(None);
        }
        if source.last_stop != LastStop::Clean {
            recovery.forget_beyond(&checkpoint, &stored.segments)?;
            recovery.replay_newer(files, &checkpoint)?;
        }
        recovery
            .finish(
                stored.log_start_offset,
                checkpoint.high_watermark,
                checkpoint.synced_base,
            )
            .map(Some)
    }

    /// Reads every file from its beginning.
    fn rebuild(source: Source<'a>, files: &BTreeMap<i64, u64>) -> Result<Recovered, EngineError> {
        let stored = source.load()?;
        let stored_end = stored
            .checkpoint
            .map_or(0, |checkpoint| checkpoint.log_end_offset);
        let log_start = source.log_start()?;
        let mut batch = WriteBatch::default();
        for table in [
            Table::Segment,
            Table::IndexBlock,
            Table::Producer,
            Table::AbortedTransaction,
        ] {
            source
                .db
                .delete_prefix(&mut batch, &keys::log(table, source.log_id))?;
        }
        batch.delete(keys::log(Table::Checkpoint, source.log_id));
        source.db.write(batch, Durability::Process)?;
        let mut recovery = Self::new(source);
        let newest = files.keys().next_back().copied();
        // Below this everything is on the disk, so what is bad there is rot, and what follows it is good. Above it a machine
        // crash may have left holes, and nothing behind one can be kept.
        let synced_base = match (source.last_stop, stored.checkpoint) {
            (LastStop::MachineCrash, Some(checkpoint)) => checkpoint.synced_base,
            (LastStop::MachineCrash, None) => 0,
            _ => i64::MAX,
        };
        let mut is_rotten = false;
        for (base, size) in files {
            // A rotten segment ends where the next one begins, however little of it can be read.
            if let Some(last) = recovery.segments.last().cloned()
                && *base >= synced_base
                && *base > recovery.next_offset
                && !is_rotten
            {
                // The file before this one ends early: what was between them is lost.
                recovery.cut_files(&last, last.size())?;
                break;
            }
            recovery.next_offset = recovery.next_offset.max(*base);
            let segment = recovery.add_empty(*base);
            let may_cut = Some(*base) == newest || *base >= synced_base;
            is_rotten = recovery.replay(&segment, *size, may_cut)? == Replayed::Rotten;
            if recovery.cut_bytes > 0 {
                break;
            }
        }
        if files.is_empty() {
            // No file is left to say where the log was, but an offset that was given once is never given again.
            recovery.next_offset = log_start.max(stored_end);
            recovery.add_empty(recovery.next_offset);
        }
        if recovery.scanned_bytes > 0 {
            let bytes = recovery.scanned_bytes;
            let (topic, partition) = (source.topic, source.key.partition);
            tracing::info!(
                topic,
                partition,
                bytes,
                "log state rebuilt from its segment files"
            );
        }
        let end = recovery.next_offset;
        // Epochs never fall, also those whose leaders wrote nothing that is left.
        for (epoch, start) in stored.epochs.list() {
            recovery.epochs.assign(*epoch, (*start).min(end));
        }
        recovery.finish(log_start, end, 0)
    }

    fn add_segment(&mut self, base: i64, facts: SegmentFacts, checkpoint: &Checkpoint) {
        let segment = Segment::new(Arc::clone(&self.path), base, facts, self.source.now_ms);
        segment.set_synced(match base.cmp(&checkpoint.synced_base) {
            _ if self.source.last_stop == LastStop::Clean => facts.size,
            std::cmp::Ordering::Less => facts.size,
            std::cmp::Ordering::Equal => checkpoint.synced_position.min(facts.size),
            std::cmp::Ordering::Greater => 0,
        });
        self.segments.push(Arc::new(segment));
    }

    fn add_empty(&mut self, base: i64) -> Arc<Segment> {
        let facts = SegmentFacts::empty(base);
        let segment = Arc::new(Segment::new(
            Arc::clone(&self.path),
            base,
            facts,
            self.source.now_ms,
        ));
        if let Some(previous) = self.segments.last() {
            previous.update_facts(|facts| facts.sealed = true);
        }
        self.segments.push(Arc::clone(&segment));
        segment
    }

    /// After a machine crash: is everything that the checkpoint counts on still there? Cuts the files where it is not.
    fn verify_unsynced(&mut self) -> Result<bool, EngineError> {
        for at in 0..self.segments.len() {
            let segment = Arc::clone(&self.segments[at]);
            let (start, end) = (segment.synced(), segment.size());
            if start >= end {
                continue;
            }
            let file = segment.file()?;
            // A synced position is a batch's end, but its offset is not known: any that rises will do.
            let mut scanner = Scanner::new(&file, segment.base_offset, start, end);
            while let Next::Batch(_) = scanner
                .next()
                .map_err(|error| segment_error(&segment, error))?
            {}
            self.scanned_bytes += scanner.position() - start;
            if scanner.position() < end {
                let position = scanner.position();
                self.cut_files(&segment, position)?;
                return Ok(false);
            }
            segment.mark_checked(start, end);
        }
        Ok(true)
    }

    /// Shortens a file and removes those after it.
    fn cut_files(&mut self, segment: &Segment, position: u64) -> Result<(), EngineError> {
        tracing::warn!(file = %segment.path().display(), position, "cutting off what was not written whole");
        let file = segment.file()?;
        let size = file
            .metadata()
            .map_err(|error| segment_error(segment, error))?
            .len();
        self.cut_bytes += size.saturating_sub(position);
        file.set_len(position)
            .map_err(|error| segment_error(segment, error))?;
        for (base, size) in list_segments(&self.path)?.range(segment.base_offset + 1..) {
            self.cut_bytes += size;
            let path = self.path.join(crate::segment::file_name(*base));
            std::fs::remove_file(&path)
                .map_err(|error| EngineError::io(&path, "remove segment", error))?;
        }
        Ok(())
    }

    /// Rows above the checkpoint describe bytes that are about to be replayed, or that are gone.
    fn forget_beyond(
        &mut self,
        checkpoint: &Checkpoint,
        rows: &BTreeMap<i64, SegmentFacts>,
    ) -> Result<(), EngineError> {
        let (db, log_id) = (self.source.db, self.source.log_id);
        let mut batch = WriteBatch::default();
        for base in rows
            .range(checkpoint.segment_base + 1..)
            .map(|(base, _)| *base)
        {
            batch.delete(keys::segment(log_id, base));
            db.delete_prefix(&mut batch, &keys::index_prefix(log_id, base))?;
        }
        let active = Arc::clone(
            self.segments
                .last()
                .expect("resume adds the checkpoint's segment"),
        );
        let mut last_block = Vec::new();
        db.scan(
            &keys::index_prefix(log_id, active.base_offset),
            |key, value| {
                let Ok(block) = keys::IndexBlock::decode(key, value) else {
                    return Ok(());
                };
                let keep = block.partition_point(|entry| entry.offset < checkpoint.log_end_offset);
                if keep == 0 {
                    batch.delete(key);
                } else {
                    last_block = block.entries().take(keep).collect();
                }
                Ok(())
            },
        )?;
        let mut index = active.index.write();
        last_block.into_iter().for_each(|entry| index.push(entry));
        drop(index);
        db.write(batch, Durability::Process)
    }

    fn replay_newer(
        &mut self,
        files: &BTreeMap<i64, u64>,
        checkpoint: &Checkpoint,
    ) -> Result<(), EngineError> {
        let newest = files.keys().next_back().copied();
        let may_cut_all = self.source.last_stop == LastStop::MachineCrash;
        for (base, size) in files.range(checkpoint.segment_base..) {
            let last = Arc::clone(
                self.segments
                    .last()
                    .expect("resume adds the checkpoint's segment"),
            );
            let segment = if last.base_offset == *base {
                last
            } else if may_cut_all && *base != self.next_offset {
                // A hole: what comes after bytes that were lost cannot be kept.
                return self.cut_files(&last, last.size());
            } else {
                self.next_offset = *base;
                self.add_empty(*base)
            };
            self.replay(&segment, *size, Some(*base) == newest || may_cut_all)?;
            if self.cut_bytes > 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes batches from the segment's known end to the file's end into the state. What is no batch is cut off when
    /// `may_cut`; in a segment that others follow it stays, to be reported by whoever reads it.
    fn replay(
        &mut self,
        segment: &Segment,
        file_size: u64,
        may_cut: bool,
    ) -> Result<Replayed, EngineError> {
        let start = segment.size();
        if file_size == start {
            return Ok(Replayed::Whole);
        }
        let file = segment.file()?;
        let mut scanner =
            Scanner::new(&file, segment.base_offset, start, file_size).expecting(self.next_offset);
        let bad = loop {
            match scanner
                .next()
                .map_err(|error| segment_error(segment, error))?
            {
                Next::Batch(found) => {
                    self.absorb(segment, &found.header, found.bytes, found.position)
                }
                Next::End => break None,
                Next::Bad(what) => break Some(what),
            }
        };
        let position = scanner.position();
        self.next_offset = scanner.next_offset();
        self.scanned_bytes += position - start;
        segment.mark_checked(start, position);
        match bad {
            None => {
                segment.publish_size(position);
                Ok(Replayed::Whole)
            }
            Some(what) if may_cut => {
                tracing::warn!(file = %segment.path().display(), position, what, "the log ends here");
                segment.publish_size(position);
                self.cut_files(segment, position)?;
                Ok(Replayed::Cut)
            }
            Some(what) => {
                tracing::error!(file = %segment.path().display(), position, what, "segment is corrupt");
                segment.set_checked_from(file_size);
                segment.publish_size(file_size);
                segment.update_facts(|facts| facts.size = file_size);
                Ok(Replayed::Rotten)
            }
        }
    }

    fn absorb(&mut self, segment: &Segment, header: &BatchHeader, bytes: &[u8], position: u64) {
        index_batch(segment, self.source.index_interval_bytes, header, position);
        if segment.index.read().is_full() {
            self.save_index_block(segment);
        }
        self.epochs
            .assign(header.partition_leader_epoch, header.base_offset);
        if let Some(batch) = producer_batch(header, bytes) {
            let effect = self.producers.apply(&batch, None);
            self.transactions.apply(effect);
        }
    }

    fn save_index_block(&self, segment: &Segment) {
        let mut batch = WriteBatch::default();
        put_block(&mut batch, self.source.log_id, segment);
        match self.source.db.write(batch, Durability::Process) {
            Ok(()) => segment.index.write().mark_stored(),
            Err(error) => tracing::debug!(%error, "index block is not saved"),
        }
    }

    fn finish(
        mut self,
        log_start: i64,
        high_watermark: i64,
        synced_base: i64,
    ) -> Result<Recovered, EngineError> {
        let first = self
            .segments
            .first()
            .map_or(0, |segment| segment.base_offset);
        let log_start_offset = log_start.clamp(first, self.next_offset.max(first));
        if self.source.last_stop != LastStop::Clean {
            // The epoch of a leader that has written nothing yet begins exactly here.
            self.epochs
                .truncate_from_end(self.next_offset.saturating_add(1));
            self.transactions.forget_from(self.next_offset);
            let mut batch = WriteBatch::default();
            let epochs = keys::encode_epochs(self.epochs.list());
            batch.put(keys::log(Table::LeaderEpochs, self.source.log_id), epochs);
            let cleaned = self.source.cleaned()?.cut(self.next_offset);
            batch.put(
                keys::log(Table::Cleaned, self.source.log_id),
                cleaned.encode(),
            );
            self.source.db.write(batch, Durability::Process)?;
        }
        let known = self.segments.len() - 1;
        let changed = self.segments[..known]
            .iter()
            .filter(|segment| segment.base_offset >= self.unsaved_base);
        let changed = changed.cloned().collect();
        let recovered = Recovered {
            key: self.source.key,
            topic: self.source.topic.to_owned(),
            path: Arc::clone(&self.path),
            log_start_offset,
            log_end_offset: self.next_offset,
            high_watermark: high_watermark.clamp(log_start_offset, self.next_offset),
            segments: self.segments,
            epochs: self.epochs,
            producers: self.producers,
            transactions: self.transactions,
            synced_base,
            changed,
            cleaned: self.source.cleaned()?.cut(self.next_offset),
            scanned_bytes: self.scanned_bytes,
            cut_bytes: self.cut_bytes,
        };
        Ok(recovered)
    }
}

/// Whether the files have at least what the checkpoint counts on.
fn bears_out(
    checkpoint: &Checkpoint,
    rows: &BTreeMap<i64, SegmentFacts>,
    files: &BTreeMap<i64, u64>,
    last_stop: LastStop,
) -> bool {
    let active_size = files.get(&checkpoint.segment_base).copied();
    let sealed_agree = files.range(..checkpoint.segment_base).all(|(base, size)| {
        rows.get(base)
            .is_some_and(|facts| facts.sealed && facts.size == *size)
    });
    let active_agrees = match active_size {
        None => {
            checkpoint.position == 0 && !files.keys().any(|base| *base > checkpoint.segment_base)
        }
        Some(size) if last_stop == LastStop::Clean => {
            size == checkpoint.position
                && files.keys().next_back() == Some(&checkpoint.segment_base)
        }
        Some(size) => size >= checkpoint.position,
    };
    let row_agrees = match rows.get(&checkpoint.segment_base) {
        Some(facts) => facts.size == checkpoint.position,
        None => checkpoint.position == 0,
    };
    sealed_agree && active_agrees && row_agrees
}

fn segment_error(segment: &Segment, error: std::io::Error) -> EngineError {
    EngineError::io(&segment.path(), "read segment", error)
}

/// The text of a log's identity file.
pub(crate) fn identity_text(key: &LogKey, topic: &str) -> String {
    format!(
        "version=1\ntopic.id={}\ntopic={topic}\npartition={}\n",
        key.topic_id, key.partition
    )
}

/// Reads a log's identity file; `None` when it is missing or makes no sense.
pub(crate) fn read_identity(path: &Path) -> Option<(LogKey, String)> {
    const MAX: u64 = 4096;
    let file: PathBuf = path.join(IDENTITY_FILE);
    if std::fs::metadata(&file).ok()?.len() > MAX {
        return None;
    }
    let text = std::fs::read_to_string(file).ok()?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    let topic_id = field("topic.id")?.parse().ok()?;
    let partition = field("partition")?.parse().ok()?;
    Some((
        LogKey {
            topic_id,
            partition,
        },
        field("topic")?.to_owned(),
    ))
}
