//! All log directories of one broker: opening, finding and creating logs, taking batches in, and closing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use foldhash::HashMap;
use parking_lot::{Mutex, RwLock};
use prometheus::Registry;
use rocksdb::{Cache, WriteBatch};
use uuid::Uuid;

use crate::append::{AppendJob, Appended, BatchSource, QueuedBatch};
use crate::cleaner::{CleanError, Cleaner, CleanerStatus, Cleaning};
use crate::db::Durability;
use crate::disk::DiskPressure;
use crate::error::{AppendError, ChangeError, CreateError, EngineError, OpenError};
use crate::keys::{self, LogIdentity, Table};
use crate::log_dir::{LogDir, Shared};
use crate::metrics::Metrics;
use crate::open::{self, OpenedDir};
use crate::options::{CleanerOptions, Clock, LogEvents, LogKey, LogOptions, StoreOptions};
use crate::partition_log::PartitionLog;
use crate::recovery::{self, IDENTITY_FILE, LastStop, Source};
use crate::tail_cache::TailCache;
use crate::upkeep;
use crate::writer::{self, Done, Submission};

/// All log directories of one broker. Cheap calls are marked; the others block.
///
/// Dropping it without `close` is a crash: what was acknowledged is in the files, and the next open recovers it.
#[derive(Debug)]
pub struct Store {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    cleaner: Arc<Cleaner>,
}

struct Inner {
    dirs: Vec<Arc<LogDir>>,
    failed: Vec<DirStatus>,
    logs: RwLock<HashMap<LogKey, Arc<PartitionLog>>>,
    /// One creation or deletion at a time.
    changing: Mutex<()>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("dirs", &self.dirs)
            .field("logs", &self.logs.read().len())
            .finish_non_exhaustive()
    }
}

/// One log directory, as `DescribeLogDirs` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirStatus {
    /// The directory.
    pub path: PathBuf,
    /// Its own identity (KIP-858); `None` when it could not be read.
    pub directory_id: Option<Uuid>,
    /// Size of its disk.
    pub total_bytes: u64,
    /// Free space of its disk.
    pub usable_bytes: u64,
    /// How full the disk is.
    pub pressure: DiskPressure,
    /// Why it is offline, if it is.
    pub offline: Option<String>,
}

/// What opening found and did, for the start-up lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecoverySummary {
    /// Logs found.
    pub logs: usize,
    /// Directories that had not been closed in order.
    pub unclean_dirs: usize,
    /// Bytes read to find out what is whole.
    pub scanned_bytes: u64,
    /// Bytes cut off because they were not.
    pub cut_bytes: u64,
}

impl Store {
    /// Opens every directory and recovers every log. A directory that fails is offline; a directory that belongs to
    /// somebody else is an error, and so is not having one that works. Blocks, for long only after a crash.
    pub fn open(
        options: StoreOptions,
        clock: Arc<dyn Clock>,
        events: Arc<dyn LogEvents>,
        registry: &Registry,
    ) -> Result<Self, OpenError> {
        Self::open_with_summary(options, clock, events, registry).map(|(store, _)| store)
    }

    /// Like `open`, and says what was found.
    pub fn open_with_summary(
        options: StoreOptions,
        clock: Arc<dyn Clock>,
        events: Arc<dyn LogEvents>,
        registry: &Registry,
    ) -> Result<(Self, RecoverySummary), OpenError> {
        let metrics = Arc::new(Metrics::register(registry)?);
        let tail_cache = TailCache::new(options.tail_cache_bytes, Arc::clone(&metrics));
        let block_cache = Cache::new_lru_cache(options.rocksdb_cache_bytes);
        let shared = Arc::new(Shared {
            options,
            clock,
            events,
            metrics,
            tail_cache,
            block_cache,
        });
        let opened = open::open_dirs(&shared)?;
        let mut summary = RecoverySummary::default();
        let (mut dirs, mut logs) = (Vec::new(), HashMap::default());
        for OpenedDir {
            dir,
            logs: found,
            summary: of_dir,
        } in opened.working
        {
            summary.add(of_dir);
            // Before anybody asks for the metrics.
            upkeep::look_at_disk(&dir);
            logs.extend(found.into_iter().map(|log| (log.key(), log)));
            dirs.push(dir);
        }
        let changing = Mutex::new(());
        let inner = Arc::new(Inner {
            dirs,
            failed: opened.failed,
            logs: RwLock::new(logs),
            changing,
        });
        let all_logs = Arc::clone(&inner);
        let logs = Box::new(move || all_logs.logs.read().values().cloned().collect());
        let store = Self {
            inner,
            threads: Mutex::default(),
            cleaner: Cleaner::new(&shared, logs),
        };
        store.start_threads().map_err(OpenError::Thread)?;
        Ok((store, summary))
    }

    fn start_threads(&self) -> std::io::Result<()> {
        let mut threads = self.threads.lock();
        for (number, dir) in self.inner.dirs.iter().enumerate() {
            let writer = Arc::clone(dir);
            let name = format!("log-writer-{number}");
            threads.push(
                std::thread::Builder::new()
                    .name(name)
                    .spawn(move || writer::run(&writer))?,
            );
            let (dir, inner) = (Arc::clone(dir), Arc::clone(&self.inner));
            let name = format!("log-upkeep-{number}");
            let body = move || upkeep::run(&dir, &|| inner.logs_of(&dir));
            threads.push(std::thread::Builder::new().name(name).spawn(body)?);
        }
        self.cleaner.start()
    }

    /// The log, created when it does not exist; an existing one takes the options. The directory with the fewest logs is
    /// chosen. Blocks for a few file operations.
    ///
    /// A log in a directory that failed is not known here: while one is offline, only the caller can tell a new partition
    /// from one whose data lies there.
    pub fn create_log(
        &self,
        key: LogKey,
        topic: &str,
        options: Arc<LogOptions>,
    ) -> Result<Arc<PartitionLog>, CreateError> {
        let _changing = self.inner.changing.lock();
        if let Some(log) = self.log(key) {
            log.configure(options);
            return Ok(log);
        }
        let dir = self.inner.emptiest_dir().ok_or(CreateError::AllOffline)?;
        let log = match create_in(&dir, key, topic, options) {
            Ok(log) => log,
            Err(error) if error.no_space => {
                dir.disk.refuse();
                return Err(CreateError::DiskFull {
                    dir: dir.path.clone(),
                    free_bytes: dir.disk.free(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        self.inner.logs.write().insert(key, Arc::clone(&log));
        Ok(log)
    }

    /// The log of a partition. Does not block.
    pub fn log(&self, key: LogKey) -> Option<Arc<PartitionLog>> {
        self.inner.logs.read().get(&key).cloned()
    }

    /// Every log, in no order. Does not block.
    pub fn logs(&self) -> Vec<Arc<PartitionLog>> {
        self.inner.logs.read().values().cloned().collect()
    }

    /// Removes a log. Its files go after `file.delete.delay.ms`; readers that have them open may finish. Blocks.
    pub fn delete_log(&self, key: LogKey) -> Result<(), ChangeError> {
        let _changing = self.inner.changing.lock();
        let log = self.log(key).ok_or(ChangeError::Deleted)?;
        log.mark_deleted();
        // It stays known until it is gone, so that a failure can be tried again.
        log.erase()?;
        self.inner.logs.write().remove(&key);
        Ok(())
    }

    /// Hands batches to the writers of their directories; `done` gets the results in the order of the jobs. It runs on a
    /// writer thread, or on this one before the call returns: when the store is closed, and when the writer is idle and the
    /// submission small enough to be written at once (`StoreOptions::inline_append_bytes`). So hold no lock that `done`
    /// takes. Jobs of one caller and one log are appended in the order of submission. Never waits for a sync or for another
    /// writer; the caller's own permits must bound what is queued.
    pub fn append(&self, jobs: Vec<AppendJob>, done: Done) {
        let Some(first) = jobs.first() else {
            return done(Vec::new());
        };
        let dir = Arc::clone(&first.log.dir);
        if jobs.iter().all(|job| Arc::ptr_eq(&job.log.dir, &dir)) {
            let jobs = jobs
                .into_iter()
                .enumerate()
                .map(|(at, job)| queued(at, job))
                .collect();
            return submit(&dir, Submission { jobs, done });
        }
        append_to_many(jobs, done);
    }

    /// Runs retention on every log now. Blocks.
    pub fn retain(&self) {
        upkeep::retain(&self.logs());
    }

    /// Compacts every log that is due, on this thread; what was done. The cleaner's own threads leave alone what this one
    /// has in hand. Blocks.
    pub fn clean(&self) -> Result<Vec<Cleaning>, CleanError> {
        self.cleaner.clean_all()
    }

    /// Puts other options of compaction in force. Waits for the cleaner's threads when their number changes; fails when
    /// one cannot be started.
    pub fn configure_cleaner(&self, options: CleanerOptions) -> std::io::Result<()> {
        self.cleaner.configure(options)
    }

    /// How compaction is. Looks at every log, and does not block.
    pub fn cleaner_status(&self) -> CleanerStatus {
        self.cleaner.status(&self.inner.dirs)
    }

    /// Writes the state of every changed log to RocksDB. Blocks. Failures are logged; the next run tries again.
    pub fn checkpoint(&self) {
        for log in self.logs() {
            if let Err(error) = log.checkpoint() {
                tracing::warn!(topic = log.topic(), partition = log.key().partition, %error, "log state is not saved");
            }
        }
    }

    /// Every directory, the failed ones included. Does not block.
    pub fn dirs(&self) -> Vec<DirStatus> {
        let working = self.inner.dirs.iter().map(|dir| DirStatus {
            path: dir.path.clone(),
            directory_id: Some(dir.directory_id),
            total_bytes: dir.disk.total(),
            usable_bytes: dir.disk.free(),
            pressure: dir.disk.pressure(),
            offline: dir.offline().map(|reason| reason.to_string()),
        });
        working.chain(self.inner.failed.iter().cloned()).collect()
    }

    /// How long the producer of a batch for this log should wait because its disk fills up; 0 normally. Does not block.
    pub fn produce_throttle_ms(&self, log: &PartitionLog) -> i32 {
        log.dir.disk.throttle_ms()
    }

    /// Writes what is queued, puts every file on the disk, saves all state and marks the directories clean. Blocks. Logs
    /// that somebody still holds answer `Offline` afterwards.
    pub fn close(&self) -> Result<(), EngineError> {
        self.stop_threads(|dir| dir.queue.close());
        let mut result = Ok(());
        for dir in &self.inner.dirs {
            let closed = open::close_dir(dir, &self.inner.logs_of(dir));
            result = result.and(closed);
        }
        result
    }

    fn stop_threads(&self, stop_writer: impl Fn(&LogDir)) {
        self.cleaner.stop();
        for dir in &self.inner.dirs {
            stop_writer(dir);
            dir.upkeep.wake(|work| work.stop = true);
        }
        for thread in self.threads.lock().drain(..) {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop_threads(|dir| dir.queue.abandon());
        self.inner.dirs.iter().for_each(|dir| dir.db.abandon());
    }
}

impl Inner {
    fn logs_of(&self, dir: &Arc<LogDir>) -> Vec<Arc<PartitionLog>> {
        self.logs
            .read()
            .values()
            .filter(|log| Arc::ptr_eq(&log.dir, dir))
            .cloned()
            .collect()
    }

    /// Kafka's choice for a new log: the working directory with the fewest.
    fn emptiest_dir(&self) -> Option<Arc<LogDir>> {
        let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
        if self.dirs.len() > 1 {
            for log in self.logs.read().values() {
                let dir = self.dirs.iter().find(|dir| Arc::ptr_eq(dir, &log.dir));
                *counts.entry(dir?.path.as_path()).or_default() += 1;
            }
        }
        let working = self.dirs.iter().filter(|dir| dir.offline().is_none());
        working
            .min_by_key(|dir| counts.get(dir.path.as_path()).copied().unwrap_or(0))
            .cloned()
    }
}

impl RecoverySummary {
    fn add(&mut self, other: RecoverySummary) {
        self.logs += other.logs;
        self.unclean_dirs += other.unclean_dirs;
        self.scanned_bytes += other.scanned_bytes;
        self.cut_bytes += other.cut_bytes;
    }
}

fn create_in(
    dir: &Arc<LogDir>,
    key: LogKey,
    topic: &str,
    options: Arc<LogOptions>,
) -> Result<Arc<PartitionLog>, EngineError> {
    let log_id = dir.db.get(&keys::single(Table::NextLogId))?;
    let log_id = log_id
        .and_then(|value| keys::decode_number(&value).ok())
        .unwrap_or(1);
    let path = dir.logs_path().join(log_id.to_string());
    let fail = |error| EngineError::io(&path, "create log directory", error);
    std::fs::create_dir_all(&path).map_err(fail)?;
    std::fs::write(
        path.join(IDENTITY_FILE),
        recovery::identity_text(&key, topic),
    )
    .map_err(fail)?;
    let mut batch = WriteBatch::default();
    batch.put(
        keys::single(Table::NextLogId),
        keys::encode_number(log_id + 1),
    );
    batch.put(
        keys::log_map(&key),
        LogIdentity {
            log_id,
            topic: topic.to_owned(),
        }
        .encode(),
    );
    dir.db.write(batch, Durability::Process)?;
    let recovered = recovery::fresh(Source {
        db: &dir.db,
        log_id,
        key,
        topic,
        path: &path,
        last_stop: LastStop::Clean,
        index_interval_bytes: u64::from(options.index_interval_bytes),
        now_ms: dir.now_ms(),
    })?;
    Ok(PartitionLog::new(
        Arc::clone(dir),
        log_id,
        recovered,
        options,
    ))
}

fn queued(at: usize, job: AppendJob) -> QueuedBatch {
    QueuedBatch {
        log: job.log,
        batch: job.batch,
        leader_epoch: job.leader_epoch,
        source: BatchSource::Job(job.origin),
        submission: 0,
        job: at,
        outcome: None,
    }
}

fn submit(dir: &Arc<LogDir>, submission: Submission) {
    if let Err(Submission { jobs, done }) = writer::submit(dir, submission) {
        let reason = dir
            .offline()
            .unwrap_or_else(|| "the store is closed".into());
        let error = AppendError::Offline {
            dir: dir.path.clone(),
            reason,
        };
        done(jobs.iter().map(|_| Err(error.clone())).collect());
    }
}

/// Splits jobs by directory and answers when the last writer is done.
fn append_to_many(jobs: Vec<AppendJob>, done: Done) {
    struct Gathering {
        results: Vec<Option<Result<Appended, AppendError>>>,
        missing: usize,
        done: Option<Done>,
    }
    let results = std::iter::repeat_with(|| None).take(jobs.len()).collect();
    let gathering = Arc::new(Mutex::new(Gathering {
        results,
        missing: jobs.len(),
        done: Some(done),
    }));
    let mut by_dir: Vec<(Arc<LogDir>, Vec<usize>, Vec<QueuedBatch>)> = Vec::new();
    for (at, job) in jobs.into_iter().enumerate() {
        let known = by_dir
            .iter()
            .position(|(dir, ..)| Arc::ptr_eq(dir, &job.log.dir));
        let slot = known.unwrap_or_else(|| {
            by_dir.push((Arc::clone(&job.log.dir), Vec::new(), Vec::new()));
            by_dir.len() - 1
        });
        let (_, places, jobs) = &mut by_dir[slot];
        jobs.push(queued(places.len(), job));
        places.push(at);
    }
    for (dir, places, jobs) in by_dir {
        let gathering = Arc::clone(&gathering);
        let part: Done = Box::new(move |results| {
            let mut all = gathering.lock();
            for (at, result) in places.into_iter().zip(results) {
                all.results[at] = Some(result);
                all.missing -= 1;
            }
            if all.missing > 0 {
                return;
            }
            let (results, done) = (std::mem::take(&mut all.results), all.done.take());
            drop(all);
            if let Some(done) = done {
                done(
                    results
                        .into_iter()
                        .map(|result| result.expect("none is missing"))
                        .collect(),
                );
            }
        });
        submit(&dir, Submission { jobs, done: part });
    }
}
