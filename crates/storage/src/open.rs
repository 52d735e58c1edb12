//! Opening a log directory and closing it: whose it is, how the last process left it, and all its logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::WriteBatch;
use rustix::fs::{AtFlags, CWD, StatxFlags};
use uuid::Uuid;
use wire::batch::BatchHeader;

use crate::append::{BatchSource, QueuedBatch};
use crate::db::{Db, Durability};
use crate::disk::{Disk, DiskPressure, Space};
use crate::error::{EngineError, OpenError};
use crate::journal::{self, Closed, Entry, Journal};
use crate::keys::{self, LogIdentity, Table};
use crate::log_dir::{LogDir, LogDirParts, Shared, sync_dir};
use crate::options::{LogKey, LogOptions};
use crate::partition_log::PartitionLog;
use crate::read::{ReadLimits, ReadMode};
use crate::recovery::{self, IDENTITY_FILE, LastStop, Source};
use crate::store::{DirStatus, RecoverySummary};

const META_FILE: &str = "meta.properties";
const CLEAN_FILE: &str = "clean";
const FORMAT_VERSION: &str = "1";

/// A directory that works, with its logs.
pub(crate) struct OpenedDir {
    pub(crate) dir: Arc<LogDir>,
    pub(crate) logs: Vec<Arc<PartitionLog>>,
    pub(crate) summary: RecoverySummary,
}

/// What became of the configured directories.
pub(crate) struct Opened {
    pub(crate) working: Vec<OpenedDir>,
    pub(crate) failed: Vec<DirStatus>,
}

/// Opens every configured directory.
pub(crate) fn open_dirs(shared: &Arc<Shared>) -> Result<Opened, OpenError> {
    let mut opened = Opened {
        working: Vec::new(),
        failed: Vec::new(),
    };
    let mut last_failure = None;
    for path in &shared.options.dirs {
        match open_dir(path, shared) {
            Ok(dir) => opened.working.push(dir),
            Err(DirError::Wrong(what)) => {
                return Err(OpenError::WrongDirectory {
                    dir: path.clone(),
                    what,
                });
            }
            Err(DirError::Failed(error)) => {
                tracing::error!(dir = %path.display(), %error, "log directory is offline");
                shared.metrics.offline_dirs.inc();
                shared.events.dir_went_offline(path, &error.to_string());
                opened.failed.push(failed(path, &error));
                last_failure = Some(OpenError::AllOffline {
                    dir: path.clone(),
                    reason: error.to_string(),
                });
            }
        }
    }
    if opened.working.is_empty() {
        return Err(last_failure.unwrap_or(OpenError::NoDirectory));
    }
    Ok(opened)
}

enum DirError {
    /// It belongs to somebody else: going on could mix two clusters' data.
    Wrong(String),
    Failed(EngineError),
}

impl From<EngineError> for DirError {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

fn failed(path: &Path, error: &EngineError) -> DirStatus {
    let space = Space::of(path).unwrap_or(Space { total: 0, free: 0 });
    DirStatus {
        path: path.to_path_buf(),
        directory_id: None,
        total_bytes: space.total,
        usable_bytes: space.free,
        pressure: DiskPressure::Normal,
        offline: Some(error.to_string()),
    }
}

fn open_dir(path: &Path, shared: &Arc<Shared>) -> Result<OpenedDir, DirError> {
    let fail = |error| EngineError::io(path, "create log directory", error);
    std::fs::create_dir_all(path.join("logs")).map_err(fail)?;
    let path = path.canonicalize().map_err(fail)?;
    let disk = Disk::new(&path, shared.options.disk)?;
    let ballast = Ballast::of(&path, disk.total());
    let directory_id = ballast.with_room(|| check_meta(&path, shared))?;
    let (db, db_is_new) = ballast.with_room(|| open_db(&path, shared, disk.total()))?;
    let last_stop = ballast.with_room(|| Ok(note_open(&path, &db, db_is_new)?))?;
    let journal = Journal::new(
        &path,
        shared.options.journal_file_bytes,
        Arc::clone(&shared.metrics),
    );
    let parts = LogDirParts {
        path,
        directory_id,
        db,
        disk,
        journal,
    };
    let dir = Arc::new(LogDir::new(parts, Arc::clone(shared)));
    let (logs, mut summary) = recover_all(&dir, last_stop)?;
    summary.logs = logs.len();
    summary.unclean_dirs = usize::from(last_stop != LastStop::Clean);
    take_journal(&dir, &logs, last_stop)?;
    Ok(OpenedDir { dir, logs, summary })
}

/// Reads `meta.properties`, or writes it in a new directory; the directory's own id.
fn check_meta(path: &Path, shared: &Shared) -> Result<Uuid, DirError> {
    let file = path.join(META_FILE);
    let options = &shared.options;
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return write_meta(path, shared);
        }
        Err(error) => return Err(EngineError::io(&file, "read", error).into()),
    };
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))
    };
    let expect = |name: &str, wanted: &str| match field(name).map(str::trim) {
        Some(found) if found == wanted => Ok(()),
        found => Err(DirError::Wrong(format!(
            "{name} is {}, not {wanted}",
            found.unwrap_or("missing")
        ))),
    };
    expect("version", FORMAT_VERSION)?;
    expect("cluster.id", &options.cluster_id)?;
    expect("node.id", &options.node_id.to_string())?;
    field("directory.id")
        .and_then(|id| id.trim().parse().ok())
        .ok_or_else(|| DirError::Wrong("directory.id is missing".to_owned()))
}

fn write_meta(path: &Path, shared: &Shared) -> Result<Uuid, DirError> {
    let directory_id = Uuid::new_v4();
    let options = &shared.options;
    let text = format!(
        "version={FORMAT_VERSION}\ncluster.id={}\nnode.id={}\ndirectory.id={directory_id}\n",
        options.cluster_id, options.node_id
    );
    write_durably(&path.join(META_FILE), &text)?;
    Ok(directory_id)
}

/// Writes a small file so that a crash leaves the old one or the new one.
fn write_durably(path: &Path, text: &str) -> Result<(), EngineError> {
    let draft = path.with_extension("tmp");
    let write = || {
        std::fs::write(&draft, text)?;
        std::fs::File::open(&draft)?.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(|error| EngineError::io(path, "write", error))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Opens RocksDB; a damaged one is put aside, because everything in it can be rebuilt. Whether it is a new one.
fn open_db(path: &Path, shared: &Shared, disk_total_bytes: u64) -> Result<(Db, bool), DirError> {
    let db_path = path.join("db");
    let is_new = !db_path.exists();
    let error = match Db::open(&db_path, &shared.block_cache, disk_total_bytes) {
        Ok(db) => return Ok((db, is_new)),
        Err(error) => error,
    };
    if !error.detail.starts_with("Corruption") {
        return Err(error.into());
    }
    let aside = path.join(format!("db.damaged-{}", shared.clock.now_ms()));
    tracing::error!(%error, aside = %aside.display(), "RocksDB is damaged; its content is rebuilt from the segment files");
    std::fs::rename(&db_path, &aside)
        .map_err(|error| EngineError::io(&db_path, "put aside", error))?;
    Ok((
        Db::open(&db_path, &shared.block_cache, disk_total_bytes)?,
        true,
    ))
}

/// Finds out how the directory was left, and marks it open.
fn note_open(path: &Path, db: &Db, db_is_new: bool) -> Result<LastStop, EngineError> {
    let clean = path.join(CLEAN_FILE);
    let identity = page_cache_identity(path);
    let last_identity = db.get(&keys::single(Table::PageCacheId))?;
    let last_stop = if db_is_new {
        LastStop::ProcessCrash
    } else if clean.exists() {
        LastStop::Clean
    } else if !identity.is_empty() && last_identity.as_ref() == Some(&identity) {
        LastStop::ProcessCrash
    } else {
        LastStop::MachineCrash
    };
    if clean.exists() {
        std::fs::remove_file(&clean).map_err(|error| EngineError::io(&clean, "remove", error))?;
        sync_dir(path)?;
    }
    if last_identity.as_ref() != Some(&identity) {
        let mut batch = WriteBatch::default();
        batch.put(keys::single(Table::PageCacheId), &identity);
        db.write(batch, Durability::Machine)?;
    }
    Ok(last_stop)
}

/// Changes whenever what was written and not synced may be gone: with the boot, and with the mount, because a file system
/// that is mounted again has only what reached its device. Empty when the system does not say.
fn page_cache_identity(path: &Path) -> Vec<u8> {
    // STATX_MNT_ID_UNIQUE, of Linux 6.8: unlike the older mount id it is never used again.
    const UNIQUE_MOUNT_ID: u32 = 0x4000;
    let mut identity = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let wanted = StatxFlags::from_bits_retain(UNIQUE_MOUNT_ID);
    if !identity.is_empty()
        && let Ok(stat) = rustix::fs::statx(CWD, path, AtFlags::empty(), wanted)
        && stat.stx_mask & UNIQUE_MOUNT_ID != 0
    {
        identity.extend_from_slice(stat.stx_mnt_id.to_string().as_bytes());
    }
    identity
}

/// A log directory found on the disk or in RocksDB.
struct Found {
    log_id: u64,
    key: LogKey,
    topic: String,
}

/// Every log that RocksDB or the disk knows. What the disk says wins.
fn find_logs(dir: &LogDir) -> Result<Vec<Found>, EngineError> {
    let mut known: BTreeMap<u64, (LogKey, String)> = BTreeMap::new();
    dir.db.scan(&keys::single(Table::LogMap), |key, value| {
        if let (Ok(key), Ok(identity)) = (keys::decode_log_map(key), LogIdentity::decode(value)) {
            known.insert(identity.log_id, (key, identity.topic));
        }
        Ok(())
    })?;
    let mut on_disk = BTreeMap::new();
    let root = dir.logs_path();
    let fail = |error| EngineError::io(&root, "list logs", error);
    for entry in std::fs::read_dir(&root).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".deleted") {
            dir.upkeep
                .add(|work| work.deletions.push((i64::MIN, entry.path())));
        } else if let Ok(log_id) = name.parse::<u64>() {
            on_disk.insert(log_id, entry.path());
        }
    }
    reconcile(dir, known, on_disk)
}

fn reconcile(
    dir: &LogDir,
    mut known: BTreeMap<u64, (LogKey, String)>,
    on_disk: BTreeMap<u64, PathBuf>,
) -> Result<Vec<Found>, EngineError> {
    let mut batch = WriteBatch::default();
    let highest = known
        .keys()
        .chain(on_disk.keys())
        .max()
        .copied()
        .unwrap_or(0);
    let next = dir
        .db
        .get(&keys::single(Table::NextLogId))?
        .and_then(|value| keys::decode_number(&value).ok());
    if next.unwrap_or(1) <= highest {
        batch.put(
            keys::single(Table::NextLogId),
            keys::encode_number(highest.saturating_add(1)),
        );
    }
    for (log_id, path) in &on_disk {
        if known.contains_key(log_id) {
            continue;
        }
        let Some((key, topic)) = recovery::read_identity(path) else {
            tracing::warn!(path = %path.display(), "a log directory that says not whose it is; left alone");
            continue;
        };
        if known.values().any(|(other, _)| *other == key) {
            tracing::warn!(path = %path.display(), "a second directory of the same log; left alone");
            continue;
        }
        batch.put(
            keys::log_map(&key),
            LogIdentity {
                log_id: *log_id,
                topic: topic.clone(),
            }
            .encode(),
        );
        known.insert(*log_id, (key, topic));
    }
    if !batch.is_empty() {
        dir.db.write(batch, Durability::Process)?;
    }
    Ok(known
        .into_iter()
        .map(|(log_id, (key, topic))| Found { log_id, key, topic })
        .collect())
}

/// Recovers all logs, several at a time.
fn recover_all(
    dir: &Arc<LogDir>,
    last_stop: LastStop,
) -> Result<(Vec<Arc<PartitionLog>>, RecoverySummary), EngineError> {
    let found = find_logs(dir)?;
    let total = found.len();
    let queue = Mutex::new(found.into_iter());
    let results = Mutex::new((Vec::with_capacity(total), RecoverySummary::default()));
    let error = Mutex::new(None);
    let work = || {
        loop {
            let Some(found) = queue.lock().next() else {
                return;
            };
            match recover_one(dir, &found, last_stop) {
                Ok((log, scanned_bytes, cut_bytes)) => {
                    let mut results = results.lock();
                    results.0.push(log);
                    results.1.scanned_bytes += scanned_bytes;
                    results.1.cut_bytes += cut_bytes;
                }
                Err(failure) => {
                    *error.lock() = Some(failure);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..dir.shared.options.recovery_threads.clamp(1, total.max(1)) {
            scope.spawn(work);
        }
        work();
    });
    match error.into_inner() {
        Some(error) => Err(error),
        None => Ok(results.into_inner()),
    }
}

fn recover_one(
    dir: &Arc<LogDir>,
    found: &Found,
    last_stop: LastStop,
) -> Result<(Arc<PartitionLog>, u64, u64), EngineError> {
    let path = dir.logs_path().join(found.log_id.to_string());
    if !path.exists() {
        tracing::warn!(
            topic = found.topic,
            partition = found.key.partition,
            "the log's directory is gone; it is empty now"
        );
        let fail = |error| EngineError::io(&path, "create log directory", error);
        std::fs::create_dir_all(&path).map_err(fail)?;
        std::fs::write(
            path.join(IDENTITY_FILE),
            recovery::identity_text(&found.key, &found.topic),
        )
        .map_err(fail)?;
    }
    let options = Arc::new(LogOptions::default());
    let recovered = recovery::recover(Source {
        db: &dir.db,
        log_id: found.log_id,
        key: found.key,
        topic: &found.topic,
        path: &path,
        last_stop,
        index_interval_bytes: u64::from(options.index_interval_bytes),
        now_ms: dir.now_ms(),
    })?;
    let (scanned, cut) = (recovered.scanned_bytes, recovered.cut_bytes);
    let log = PartitionLog::new(Arc::clone(dir), found.log_id, recovered, options);
    if scanned > 0 || cut > 0 {
        let mut state = log.lock();
        log.mark_dirty(&mut state);
        if let Err(error) = log.save(&mut state) {
            tracing::warn!(%error, "recovered state is not saved; the next start scans again");
        }
    }
    Ok((log, scanned, cut))
}

/// Deals with the journal files of the last process.
fn take_journal(
    dir: &Arc<LogDir>,
    logs: &[Arc<PartitionLog>],
    last_stop: LastStop,
) -> Result<(), EngineError> {
    let files = dir.journal.leftovers()?;
    if files.is_empty() {
        return Ok(());
    }
    if last_stop != LastStop::Clean {
        let by_id: BTreeMap<u64, &Arc<PartitionLog>> =
            logs.iter().map(|log| (log.log_id, log)).collect();
        for file in &files {
            journal::replay(file, |entry| replay_entry(&by_id, entry))?;
        }
        tracing::info!(dir = %dir.path.display(), files = files.len(), "journal replayed");
    }
    // The segments have it all now, but not yet on the disk. Maintenance syncs them and drops these files.
    let covers: Vec<Weak<PartitionLog>> = logs.iter().map(|log| Weak::clone(&log.me)).collect();
    dir.journal.keep(
        files
            .into_iter()
            .map(|file| Closed::leftover(file, covers.clone()))
            .collect(),
    );
    Ok(())
}

fn replay_entry(logs: &BTreeMap<u64, &Arc<PartitionLog>>, entry: Entry) -> Result<(), EngineError> {
    match entry {
        Entry::Truncation { log_id, offset } => match logs.get(&log_id) {
            Some(log) if log.log_end_offset() > offset => truncate(log, offset),
            _ => Ok(()),
        },
        Entry::Batch {
            log_id,
            base_offset,
            batch,
        } => match logs.get(&log_id) {
            Some(log) => replay_batch(log, base_offset, batch),
            None => Ok(()),
        },
    }
}

/// Appends a batch that the segment lost. A later record for the same offset wins: what stood there before was refused.
fn replay_batch(
    log: &Arc<PartitionLog>,
    base_offset: i64,
    batch: Bytes,
) -> Result<(), EngineError> {
    let end = log.log_end_offset();
    if base_offset > end {
        tracing::error!(
            topic = log.topic(),
            partition = log.key().partition,
            base_offset,
            end,
            "journal does not join the log"
        );
        return Ok(());
    }
    if base_offset < end {
        // Compaction may have made something else of it, of what was on the disk.
        if base_offset < log.cleaning.offsets().rewritten_below
            || base_offset < log.log_start_offset()
            || stored_crc(log, base_offset) == crc_of(&batch)
        {
            return Ok(());
        }
        truncate(log, base_offset)?;
    }
    let leader_epoch =
        BatchHeader::parse(&batch).map_or(-1, |header| header.partition_leader_epoch);
    let source = BatchSource::Journal;
    let log_ref = Arc::clone(log);
    let mut job = [QueuedBatch {
        log: log_ref,
        batch,
        leader_epoch,
        source,
        submission: 0,
        job: 0,
        outcome: None,
    }];
    log.append_group(&mut job);
    match job[0].outcome.take() {
        Some(Err(error)) => {
            Err(log.engine_error("replay journal", std::io::Error::other(error.to_string())))
        }
        _ => Ok(()),
    }
}

fn truncate(log: &PartitionLog, offset: i64) -> Result<(), EngineError> {
    match log.truncate_to(offset) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(log.engine_error("replay journal", std::io::Error::other(error.to_string())))
        }
    }
}

fn crc_of(batch: &[u8]) -> Option<(i64, u32)> {
    BatchHeader::parse(batch)
        .ok()
        .map(|header| (header.base_offset, header.crc))
}

fn stored_crc(log: &PartitionLog, offset: i64) -> Option<(i64, u32)> {
    let limits = ReadLimits {
        max_bytes: 1,
        below: i64::MAX,
        whole_first_batch: true,
    };
    let found = log.read(offset, limits, ReadMode::Wait).ok()?;
    crc_of(&found.to_bytes().ok()?)
}

/// The orderly end of a directory: everything on the disk, then the mark that says so.
pub(crate) fn close_dir(dir: &Arc<LogDir>, logs: &[Arc<PartitionLog>]) -> Result<(), EngineError> {
    if dir.offline().is_some() {
        dir.db.abandon();
        return Ok(());
    }
    let saved = save_all(dir, logs);
    let closed = saved.and_then(|()| dir.db.close());
    let result = closed.and_then(|()| {
        dir.journal.clear()?;
        write_durably(&dir.path.join(CLEAN_FILE), "")
    });
    dir.db.abandon();
    dir.end_service("the store is closed");
    match result {
        Err(error) if error.no_space => {
            tracing::warn!(dir = %dir.path.display(), %error, "the disk is full; the next start has to look through the logs");
            Ok(())
        }
        other => other,
    }
}

fn save_all(dir: &LogDir, logs: &[Arc<PartitionLog>]) -> Result<(), EngineError> {
    let root = std::fs::File::open(&dir.path)
        .map_err(|error| EngineError::io(&dir.path, "open", error))?;
    // One call for the whole file system instead of one sync for each of perhaps thousands of files.
    rustix::fs::syncfs(&root)
        .map_err(|error| EngineError::io(&dir.path, "sync file system", error))?;
    for log in logs {
        let mut state = log.lock();
        for segment in log.segments.load().iter() {
            segment.set_synced(segment.size());
        }
        state.synced_base = state.active.base_offset;
        if state.dirty {
            log.save(&mut state)?;
        }
    }
    Ok(())
}

/// A reserve of disk space that is given up so that RocksDB can open on a full disk, and taken again when there is room.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    pub(crate) fn of(dir: &Path, disk_total_bytes: u64) -> Self {
        Self {
            path: dir.join("ballast"),
            bytes: (disk_total_bytes / 16).min(8 << 20),
        }
    }

    /// Reserves the space unless that has been done. Failing is no harm: the reserve is missing then.
    pub(crate) fn restore(&self) {
        if self.path.exists() || self.bytes == 0 {
            return;
        }
        let reserve = || -> std::io::Result<()> {
            let file = std::fs::File::create(&self.path)?;
            Ok(rustix::fs::fallocate(
                &file,
                rustix::fs::FallocateFlags::empty(),
                0,
                self.bytes,
            )?)
        };
        if reserve().is_err() {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Does something that may need a little space, giving up the reserve when there is none.
    fn with_room<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, DirError>,
    ) -> Result<T, DirError> {
        match attempt() {
            Err(DirError::Failed(error)) if error.no_space && self.path.exists() => {
                tracing::warn!(path = %self.path.display(), "the disk is full; giving up the reserve");
                let removed = std::fs::remove_file(&self.path);
                removed.map_err(|error| EngineError::io(&self.path, "remove", error))?;
                attempt()
            }
            other => other,
        }
    }
}
