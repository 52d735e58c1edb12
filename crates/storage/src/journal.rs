//! The journal of one log directory: for topics that ask for every write on the disk before it is answered
//! (`flush.messages=1`), one file takes the batches of all such logs, with one `fdatasync` a round.
//!
//! The segments follow without their own sync. A file of the journal goes once the segments it covers were synced; after a
//! machine crash the files that are left are replayed into the logs. `docs/storage-format.md` has the record layout.

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use foldhash::HashMap;
use parking_lot::Mutex;
use wire::batch::{self, ATTRIBUTES, BatchHeader};

use crate::append::Run;
use crate::error::EngineError;
use crate::log_dir::sync_dir;
use crate::metrics::Metrics;
use crate::partition_log::PartitionLog;

const MAGIC: u32 = 0x5457_4a31;
/// magic u32, crc u32, kind u32, log id u64, offset i64, length u32.
const RECORD_HEADER: usize = 32;
const MAX_SLICES: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    /// A batch follows; the offset is its base offset.
    Batch = 1,
    /// Nothing follows; the log was cut at the offset.
    Truncation = 2,
}

/// One record of a journal file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Batch {
        log_id: u64,
        base_offset: i64,
        batch: Bytes,
    },
    Truncation {
        log_id: u64,
        offset: i64,
    },
}

pub(crate) struct Journal {
    path: PathBuf,
    file_bytes: u64,
    metrics: Arc<Metrics>,
    files: Mutex<Files>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Files {
    next_number: u64,
    current: Option<Current>,
    /// Full files, to be removed once their logs are synced.
    closed: Vec<Closed>,
}

struct Current {
    file: File,
    path: PathBuf,
    size: u64,
    covers: HashMap<u64, Weak<PartitionLog>>,
    /// Nothing was written since maintenance looked last.
    quiet: bool,
}

/// A file that is no longer written.
pub(crate) struct Closed {
    path: PathBuf,
    covers: Vec<Weak<PartitionLog>>,
}

impl Journal {
    pub(crate) fn new(dir: &Path, file_bytes: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            path: dir.join("journal"),
            file_bytes,
            metrics,
            files: Mutex::default(),
        }
    }

    /// Puts the batches of several logs on the disk with one sync. The caller holds the logs' locks, so that the order of
    /// records is the order of appends. An error leaves the directory unfit: the caller takes it offline.
    pub(crate) fn write<'a>(
        &self,
        runs: impl Iterator<Item = (&'a PartitionLog, &'a Run)>,
    ) -> Result<(), EngineError> {
        let mut covers = Vec::new();
        let mut heads = Vec::new();
        let mut bodies: Vec<[&Bytes; 2]> = Vec::new();
        for (log, run) in runs.filter(|(_, run)| !run.is_empty()) {
            log.sync_identity()?;
            covers.push((log.log_id, Weak::clone(&log.me)));
            for (base_offset, head, rest) in run.batches() {
                heads.push(record_head(
                    Kind::Batch,
                    log.log_id,
                    base_offset,
                    [head, rest],
                ));
                bodies.push([head, rest]);
            }
        }
        if heads.is_empty() {
            return Ok(());
        }
        let slices = heads
            .iter()
            .zip(&bodies)
            .flat_map(|(head, [first, rest])| [&head[..], &first[..], &rest[..]]);
        self.append(
            slices
                .filter(|slice| !slice.is_empty())
                .map(IoSlice::new)
                .collect(),
            covers,
        )
    }

    /// Records that a log was cut, when the journal has anything of it: replay must not bring back what went.
    pub(crate) fn note_truncation(
        &self,
        log: &PartitionLog,
        offset: i64,
    ) -> Result<(), EngineError> {
        let covered = {
            let files = self.files.lock();
            let in_current = files
                .current
                .as_ref()
                .is_some_and(|current| current.covers.contains_key(&log.log_id));
            in_current
                || files
                    .closed
                    .iter()
                    .any(|closed| closed.covers.iter().any(|weak| weak.ptr_eq(&log.me)))
        };
        if !covered {
            return Ok(());
        }
        let empty = Bytes::new();
        let head = record_head(Kind::Truncation, log.log_id, offset, [&empty, &empty]);
        self.append(
            vec![IoSlice::new(&head)],
            vec![(log.log_id, Weak::clone(&log.me))],
        )
    }

    fn append(
        &self,
        mut slices: Vec<IoSlice<'_>>,
        covers: Vec<(u64, Weak<PartitionLog>)>,
    ) -> Result<(), EngineError> {
        let mut files = self.files.lock();
        let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        let current = self.current(&mut files, bytes)?;
        if let Err(error) = write_all(current, &mut slices) {
            // Whole records of a refused round must not stand behind the next one.
            current
                .file
                .set_len(current.size)
                .map_err(|error| EngineError::io(&current.path, "cut journal", error))?;
            return Err(error);
        }
        current.size += bytes;
        current.quiet = false;
        current.covers.extend(covers);
        self.metrics.journal_bytes.inc_by(bytes);
        let timer = self.metrics.fsync_seconds.start_timer();
        let synced = rustix::fs::fdatasync(&current.file);
        timer.observe_duration();
        synced.map_err(|error| EngineError::io(&current.path, "sync journal", error))
    }

    /// The file to write to; a new one when the current one is full.
    fn current<'f>(
        &self,
        files: &'f mut Files,
        bytes: u64,
    ) -> Result<&'f mut Current, EngineError> {
        let full = files.current.as_ref().is_some_and(|current| {
            current.size > 0 && current.size.saturating_add(bytes) > self.file_bytes
        });
        if full {
            files.close_current();
        }
        let current = match files.current.take() {
            Some(current) => current,
            None => self.create(files.next_number)?,
        };
        files.next_number += u64::from(current.size == 0);
        Ok(files.current.insert(current))
    }

    fn create(&self, number: u64) -> Result<Current, EngineError> {
        let path = self.path.join(format!("{number:020}.jnl"));
        let fail = |error| EngineError::io(&path, "create journal file", error);
        std::fs::create_dir_all(&self.path).map_err(fail)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(fail)?;
        sync_dir(&self.path)?;
        if let Some(parent) = self.path.parent() {
            sync_dir(parent)?;
        }
        Ok(Current {
            file,
            path,
            size: 0,
            covers: HashMap::default(),
            quiet: false,
        })
    }

    /// Files whose logs can be synced now, so that they can go: full ones, and the current one when it has been quiet
    /// since the last call.
    pub(crate) fn take_closed(&self) -> Vec<Closed> {
        let mut files = self.files.lock();
        if files
            .current
            .as_ref()
            .is_some_and(|current| current.quiet && current.size > 0)
        {
            files.close_current();
        }
        if let Some(current) = &mut files.current {
            current.quiet = true;
        }
        std::mem::take(&mut files.closed)
    }

    /// Keeps files for the next round, because their logs could not be synced.
    pub(crate) fn keep(&self, closed: Vec<Closed>) {
        self.files.lock().closed.extend(closed);
    }

    /// Files an earlier process left, oldest first.
    pub(crate) fn leftovers(&self) -> Result<Vec<PathBuf>, EngineError> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(EngineError::io(&self.path, "list journal", error)),
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
            .collect();
        paths.sort();
        let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
        if let Some(last) = paths.last().and_then(number) {
            self.files.lock().next_number = last.saturating_add(1);
        }
        Ok(paths)
    }

    /// Removes every file; right only when all logs are synced.
    pub(crate) fn clear(&self) -> Result<(), EngineError> {
        let mut files = self.files.lock();
        files.close_current();
        files.closed.clear();
        drop(files);
        for path in self.leftovers()? {
            std::fs::remove_file(&path)
                .map_err(|error| EngineError::io(&path, "remove journal file", error))?;
        }
        Ok(())
    }
}

impl Files {
    fn close_current(&mut self) {
        if let Some(current) = self.current.take() {
            let covers = current.covers.into_values().collect();
            self.closed.push(Closed {
                path: current.path,
                covers,
            });
        }
    }
}

impl Closed {
    /// A file of an earlier process, with the logs it may concern.
    pub(crate) fn leftover(path: PathBuf, covers: Vec<Weak<PartitionLog>>) -> Self {
        Self { path, covers }
    }

    pub(crate) fn logs(&self) -> impl Iterator<Item = Arc<PartitionLog>> {
        self.covers.iter().filter_map(Weak::upgrade)
    }

    pub(crate) fn remove(&self) -> Result<(), EngineError> {
        std::fs::remove_file(&self.path)
            .map_err(|error| EngineError::io(&self.path, "remove journal file", error))
    }
}

fn write_all(current: &Current, slices: &mut [IoSlice<'_>]) -> Result<(), EngineError> {
    let mut left = slices;
    let mut at = current.size;
    while !left.is_empty() {
        let some = left.len().min(MAX_SLICES);
        match rustix::io::pwritev(&current.file, &left[..some], at) {
            Ok(0) => {
                return Err(EngineError::io(
                    &current.path,
                    "write journal",
                    rustix::io::Errno::NOSPC,
                ));
            }
            Ok(written) => {
                at += written as u64;
                IoSlice::advance_slices(&mut left, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(EngineError::io(&current.path, "write journal", error)),
        }
    }
    Ok(())
}

/// The checksum covers this header and the part of the batch that the batch's own checksum leaves out.
fn record_head(kind: Kind, log_id: u64, offset: i64, body: [&Bytes; 2]) -> [u8; RECORD_HEADER] {
    let len = u32::try_from(body[0].len() + body[1].len()).unwrap_or(u32::MAX);
    let mut head = [0; RECORD_HEADER];
    head[0..4].copy_from_slice(&MAGIC.to_be_bytes());
    head[8..12].copy_from_slice(&(kind as u32).to_be_bytes());
    head[12..20].copy_from_slice(&log_id.to_be_bytes());
    head[20..28].copy_from_slice(&offset.to_be_bytes());
    head[28..32].copy_from_slice(&len.to_be_bytes());
    let mut crc = crc32c::crc32c(&head[8..]);
    let mut uncovered = ATTRIBUTES.start;
    for piece in body {
        let part = uncovered.min(piece.len());
        crc = crc32c::crc32c_append(crc, &piece[..part]);
        uncovered -= part;
    }
    head[4..8].copy_from_slice(&crc.to_be_bytes());
    head
}

/// Reads a journal file from the front until its first record that is not whole, which a crash leaves at the end.
pub(crate) fn replay(
    path: &Path,
    mut each: impl FnMut(Entry) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let fail = |error| EngineError::io(path, "read journal", error);
    let file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    let mut at = 0;
    while size.saturating_sub(at) >= RECORD_HEADER as u64 {
        let mut head = [0; RECORD_HEADER];
        file.read_exact_at(&mut head, at).map_err(fail)?;
        at += RECORD_HEADER as u64;
        let len = u64::from(u32::from_be_bytes([head[28], head[29], head[30], head[31]]));
        if len > size - at {
            break;
        }
        let mut body = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(&mut body, at).map_err(fail)?;
        at += len;
        match decode(&head, body) {
            Some(entry) => each(entry)?,
            None => break,
        }
    }
    Ok(())
}

fn decode(head: &[u8; RECORD_HEADER], body: Vec<u8>) -> Option<Entry> {
    let body = Bytes::from(body);
    let kind = u32::from_be_bytes(*head[8..].first_chunk()?);
    let log_id = u64::from_be_bytes(*head[12..].first_chunk()?);
    let offset = i64::from_be_bytes(*head[20..].first_chunk()?);
    if kind == Kind::Truncation as u32 {
        let expected = record_head(Kind::Truncation, log_id, offset, [&body, &Bytes::new()]);
        return (expected == *head && body.is_empty())
            .then_some(Entry::Truncation { log_id, offset });
    }
    let header = BatchHeader::parse(&body).ok()?;
    let expected = record_head(Kind::Batch, log_id, offset, [&body, &Bytes::new()]);
    let whole =
        header.total_len() == body.len() && header.base_offset == offset && batch::check_crc(&body);
    (expected == *head && whole).then_some(Entry::Batch {
        log_id,
        base_offset: offset,
        batch: body,
    })
}
