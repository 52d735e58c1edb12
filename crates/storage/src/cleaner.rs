//! Compaction: of every key the newest record stays (Kafka's `LogCleaner`).
//!
//! The promise: offsets never change, what is kept is byte for byte what was written or says the same, and a crash at any
//! moment leaves old segments or new ones. Threads of its own take the dirtiest log each; they hold up neither the writer
//! nor readers, and their memory is bounded by options. What they cannot read they keep and report.

mod filter;
mod offset_map;
mod pass;
mod plan;
mod swap;
mod throttle;
mod transactions;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use foldhash::HashSet;
use parking_lot::{Condvar, Mutex};

use crate::disk::DiskPressure;
use crate::error::EngineError;
use crate::keys::Cleaned;
use crate::log_dir::{LogDir, Shared};
use crate::options::{CleanerOptions, LogKey};
use crate::partition_log::PartitionLog;
use pass::Pass;
use throttle::{Throttle, now};

pub(crate) use swap::finish_swaps;

/// Why a run over a log ended early. What it had replaced by then stays replaced.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CleanError {
    /// The log was deleted, cut or taken offline meanwhile.
    #[error("the log changed while it was compacted")]
    Gone,
    /// The cleaner was told to stop.
    #[error("compaction was told to stop")]
    Stopped,
    /// The disk is nearly full.
    #[error("the disk has no room for compaction")]
    DiskFull,
    /// A test wanted the cleaner to die here.
    #[doc(hidden)]
    #[error("compaction died for a test")]
    Died,
    /// A file or RocksDB failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What a run over one log did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cleaning {
    /// Bytes read to learn the keys of the dirty part.
    pub mapped_bytes: u64,
    /// Bytes read to be written again.
    pub read_bytes: u64,
    /// Bytes of them that are left.
    pub written_bytes: u64,
    /// Segments that were replaced.
    pub replaced_segments: usize,
    /// Batches, or ends of segments, that could not be read and were kept.
    pub poison_batches: u64,
    /// How full the table of keys became, from 0 to 1.
    pub buffer_utilization: f64,
    /// The dirty part begins here now.
    pub end_offset: i64,
    /// How long it took.
    pub elapsed: Duration,
}

/// The cleaner as a whole, as Kafka's metrics show it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CleanerStatus {
    /// The dirty share of the dirtiest log when logs were last looked at, in percent.
    pub max_dirty_percent: i64,
    /// Time since logs were last looked at.
    pub since_last_look: Duration,
    /// The last run.
    pub last: Cleaning,
    /// By how much a log had passed its `max.compaction.lag.ms` when logs were last looked at.
    pub max_compaction_delay_ms: i64,
    /// Threads that should run and do not.
    pub dead_threads: usize,
    /// Log by log directory.
    pub dirs: Vec<DirCleaning>,
}

/// What cannot be cleaned in one log directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirCleaning {
    /// The directory.
    pub path: PathBuf,
    /// Logs with batches that the cleaner cannot read, or whose cleaning failed.
    pub uncleanable_logs: usize,
    /// Dirty bytes of these logs.
    pub uncleanable_bytes: u64,
}

/// How far a log was cleaned.
#[derive(Debug)]
pub(crate) struct CleaningState {
    offsets: Mutex<Cleaned>,
    /// The last run met something that it could not read, or failed.
    uncleanable: AtomicBool,
    /// After a failure others come first.
    not_before: Mutex<Option<Instant>>,
}

impl CleaningState {
    pub(crate) fn new(cleaned: Cleaned) -> Self {
        Self {
            offsets: Mutex::new(cleaned),
            uncleanable: AtomicBool::new(false),
            not_before: Mutex::new(None),
        }
    }

    fn may_run(&self) -> bool {
        self.not_before.lock().is_none_or(|time| time <= now())
    }

    pub(crate) fn offsets(&self) -> Cleaned {
        *self.offsets.lock()
    }

    pub(crate) fn set_offsets(&self, cleaned: Cleaned) {
        *self.offsets.lock() = cleaned;
    }
}

/// What a run obeys.
pub(crate) struct Control<'a> {
    options: Arc<CleanerOptions>,
    throttle: &'a Throttle,
    stopped: &'a dyn Fn() -> bool,
}

/// The cleaner's threads, and what they share.
pub(crate) struct Cleaner {
    shared: Arc<Shared>,
    options: ArcSwap<CleanerOptions>,
    throttle: Throttle,
    logs: Box<dyn Fn() -> Vec<Arc<PartitionLog>> + Send + Sync>,
    /// Rises to make the threads of earlier generations stop.
    generation: AtomicU64,
    work: Mutex<Work>,
    changed: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cleaner")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Work {
    in_progress: HashSet<LogKey>,
    closed: bool,
    status: CleanerStatus,
    looked: Option<Instant>,
}

/// A log whose cleaning failed is left alone for so many times `log.cleaner.backoff.ms`.
const BACKOFFS_AFTER_FAILURE: u32 = 10;
/// The niceness of the cleaner's threads: producers come first.
const NICENESS: i32 = 10;

impl Cleaner {
    /// `logs` lists all logs there are.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        logs: Box<dyn Fn() -> Vec<Arc<PartitionLog>> + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            options: ArcSwap::from_pointee(shared.options.cleaner.clone()),
            throttle: Throttle::default(),
            logs,
            generation: AtomicU64::new(0),
            work: Mutex::default(),
            changed: Condvar::new(),
            threads: Mutex::default(),
        })
    }

    /// Starts as many threads as the options say; those that run end first.
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let mut threads = self.threads.lock();
        self.end_threads(&mut threads);
        if self.work.lock().closed {
            return Ok(());
        }
        let generation = self.generation.load(Ordering::Acquire);
        let options = self.options.load();
        let count = if options.enable { options.threads } else { 0 };
        for number in 0..count {
            let cleaner = Arc::clone(self);
            let name = format!("log-cleaner-{number}");
            let body = move || cleaner.run(generation);
            threads.push(std::thread::Builder::new().name(name).spawn(body)?);
        }
        Ok(())
    }

    /// Ends the threads for good, in the middle of a log if need be.
    pub(crate) fn stop(&self) {
        self.work.lock().closed = true;
        self.end_threads(&mut self.threads.lock());
    }

    fn end_threads(&self, threads: &mut Vec<JoinHandle<()>>) {
        {
            let _work = self.work.lock();
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        self.changed.notify_all();
        for thread in threads.drain(..) {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }

    /// Puts options in force; the threads start anew when that is needed.
    pub(crate) fn configure(self: &Arc<Self>, options: CleanerOptions) -> std::io::Result<()> {
        let before = self.options.swap(Arc::new(options));
        let options = self.options.load();
        if (before.enable, before.threads) == (options.enable, options.threads) {
            self.changed.notify_all();
            return Ok(());
        }
        self.start()
    }

    fn run(&self, generation: u64) {
        // Linux keeps it for each thread; without the permission the cleaner is only less polite.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let stopped = || self.generation.load(Ordering::Acquire) != generation;
        while !stopped() {
            if !self.clean_dirtiest(&stopped) {
                let mut work = self.work.lock();
                let backoff = Duration::from_millis(self.options.load().backoff_ms.max(1));
                if !stopped() {
                    self.changed.wait_for(&mut work, backoff);
                }
            }
        }
    }

    /// Cleans the log that needs it most; whether there was one and it could be cleaned.
    fn clean_dirtiest(&self, stopped: &dyn Fn() -> bool) -> bool {
        let Some((log, cleanable)) = self.take_dirtiest() else {
            return false;
        };
        let outcome = self.clean_log(&log, &cleanable, stopped);
        self.work.lock().in_progress.remove(&log.key());
        outcome.is_ok()
    }

    fn take_dirtiest(&self) -> Option<(Arc<PartitionLog>, plan::Cleanable)> {
        let logs = (self.logs)();
        let mut work = self.work.lock();
        let compacted = logs.into_iter().filter(|log| {
            log.options.load().compact
                && log.check_usable().is_ok()
                && log.cleaning.may_run()
                && !work.in_progress.contains(&log.key())
        });
        let dirty: Vec<_> = compacted
            .map(|log| {
                let cleanable = log.cleanable(log.dir.now_ms());
                (log, cleanable)
            })
            .collect();
        let greatest = dirty.iter().map(|(_, cleanable)| cleanable.ratio());
        let greatest = greatest.fold(0.0, f64::max);
        let delays = dirty.iter().map(|(_, cleanable)| cleanable.overdue_ms);
        work.status.max_compaction_delay_ms = delays.max().unwrap_or(0);
        work.status.max_dirty_percent = percent(greatest);
        work.looked = Some(now());
        let due = dirty.into_iter().filter(|(log, cleanable)| {
            cleanable.is_due(&log.options.load()) && log.dir.disk.pressure() != DiskPressure::Hard
        });
        let dirtiest = due.max_by(|(_, a), (_, b)| a.ratio().total_cmp(&b.ratio()))?;
        work.in_progress.insert(dirtiest.0.key());
        Some(dirtiest)
    }

    /// Cleans one log, reports, and counts.
    fn clean_log(
        &self,
        log: &Arc<PartitionLog>,
        cleanable: &plan::Cleanable,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Cleaning, CleanError> {
        let control = Control {
            options: self.options.load_full(),
            throttle: &self.throttle,
            stopped,
        };
        let mut pass = Pass {
            log,
            control: &control,
            done: Cleaning::default(),
        };
        let outcome = pass.run(cleanable);
        let done = pass.done;
        self.count(log, &done, outcome.as_ref().err());
        match outcome {
            Ok(()) => {
                report_done(log, &done);
                Ok(done)
            }
            Err(error) => {
                report_failed(log, &error);
                let pause =
                    Duration::from_millis(control.options.backoff_ms) * BACKOFFS_AFTER_FAILURE;
                *log.cleaning.not_before.lock() = now().checked_add(pause);
                Err(error)
            }
        }
    }

    fn count(&self, log: &PartitionLog, done: &Cleaning, error: Option<&CleanError>) {
        let metrics = &self.shared.metrics.cleaner;
        metrics
            .read_bytes
            .inc_by(done.mapped_bytes + done.read_bytes);
        metrics.written_bytes.inc_by(done.written_bytes);
        metrics.poison_batches.inc_by(done.poison_batches);
        let failed = match error {
            None => {
                metrics.run_seconds.observe(done.elapsed.as_secs_f64());
                self.work.lock().status.last = *done;
                false
            }
            Some(CleanError::Engine(error)) => {
                metrics.failures.inc();
                !error.no_space && !error.transient
            }
            Some(_) => return,
        };
        let uncleanable = failed || done.poison_batches > 0;
        log.cleaning
            .uncleanable
            .store(uncleanable, Ordering::Relaxed);
    }

    /// Cleans every log that is due, here and now.
    pub(crate) fn clean_all(&self) -> Result<Vec<Cleaning>, CleanError> {
        let mut all = Vec::new();
        while let Some((log, cleanable)) = self.take_dirtiest() {
            let outcome = self.clean_log(&log, &cleanable, &|| false);
            self.work.lock().in_progress.remove(&log.key());
            all.push(outcome?);
        }
        Ok(all)
    }

    pub(crate) fn status(&self, dirs: &[Arc<LogDir>]) -> CleanerStatus {
        let logs = (self.logs)();
        let of_dir = |dir: &Arc<LogDir>| {
            let mut found = DirCleaning {
                path: dir.path.clone(),
                ..DirCleaning::default()
            };
            let here = logs.iter().filter(|log| Arc::ptr_eq(&log.dir, dir));
            for log in here.filter(|log| log.cleaning.uncleanable.load(Ordering::Relaxed)) {
                found.uncleanable_logs += 1;
                found.uncleanable_bytes += log.cleanable(dir.now_ms()).dirty_bytes;
            }
            found
        };
        let dirs = dirs.iter().map(of_dir).collect();
        let threads = self.threads.lock();
        let dead_threads = threads.iter().filter(|thread| thread.is_finished()).count();
        drop(threads);
        let work = self.work.lock();
        CleanerStatus {
            dirs,
            dead_threads,
            since_last_look: work
                .looked
                .map_or(Duration::ZERO, |looked| looked.elapsed()),
            ..work.status.clone()
        }
    }
}

fn report_done(log: &PartitionLog, done: &Cleaning) {
    tracing::info!(
        topic = log.topic,
        partition = log.key.partition,
        read_bytes = done.read_bytes,
        written_bytes = done.written_bytes,
        upto = done.end_offset,
        took = ?done.elapsed,
        "log compacted"
    );
}

fn report_failed(log: &PartitionLog, error: &CleanError) {
    let (topic, partition) = (log.topic.as_str(), log.key.partition);
    match error {
        CleanError::Gone | CleanError::Stopped | CleanError::Died => {
            tracing::debug!(topic, partition, %error, "compaction ended early");
        }
        CleanError::DiskFull => tracing::warn!(topic, partition, %error, "log is not compacted"),
        CleanError::Engine(failure) => {
            tracing::warn!(topic, partition, %error, "log is not compacted");
            log.dir.judge(failure);
        }
    }
}

fn percent(share: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
    let percent = (share * 100.0) as i64;
    percent
}
