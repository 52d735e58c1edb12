//! The maintenance thread of one log directory: checkpoints, syncs, retention, delayed deletions, and a look at the disk.
//!
//! It wakes several times a second while there is something to do and once a second otherwise, and nothing it does holds
//! up the writer for longer than a small write to RocksDB.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::disk::DiskPressure;
use crate::error::ChangeError;
use crate::journal::Closed;
use crate::log_dir::LogDir;
use crate::open::Ballast;
use crate::partition_log::PartitionLog;

/// When each of the thread's duties is due next, in wall-clock milliseconds.
struct Schedule {
    checkpoint_ms: i64,
    disk_ms: i64,
    retention_ms: i64,
    journal_ms: i64,
    idle_files_ms: i64,
}

/// How long a segment file stays open without use, and how often the journal is emptied.
const IDLE_FILES_INTERVAL_MS: i64 = 30_000;
const JOURNAL_INTERVAL_MS: i64 = 2_000;

/// The body of the maintenance thread; `logs` lists the directory's logs. Returns when told to stop.
pub(crate) fn run(dir: &Arc<LogDir>, logs: &dyn Fn() -> Vec<Arc<PartitionLog>>) {
    let options = &dir.shared.options;
    let shortest = options
        .checkpoint_interval_ms
        .min(options.disk.check_interval_ms)
        .clamp(10, 1_000);
    let now = dir.now_ms();
    let retention_ms = after(now, options.retention_check_interval_ms);
    let mut schedule = Schedule {
        checkpoint_ms: now,
        disk_ms: now,
        retention_ms,
        journal_ms: now,
        idle_files_ms: after(now, IDLE_FILES_INTERVAL_MS.unsigned_abs()),
    };
    while let Some(run_retention) = wait(dir, Duration::from_millis(shortest)) {
        if run_retention {
            schedule.retention_ms = i64::MIN;
        }
        round(dir, logs, &mut schedule);
    }
}

/// Sleeps until the next tick or a wake-up; `None` to stop, otherwise whether retention was asked for.
fn wait(dir: &LogDir, tick: Duration) -> Option<bool> {
    let mut work = dir.upkeep.work.lock();
    if !work.stop && !work.run_retention {
        dir.upkeep.changed.wait_for(&mut work, tick);
    }
    (!work.stop).then(|| std::mem::take(&mut work.run_retention))
}

fn round(dir: &Arc<LogDir>, logs: &dyn Fn() -> Vec<Arc<PartitionLog>>, schedule: &mut Schedule) {
    let options = &dir.shared.options;
    let now = dir.now_ms();
    if due(&mut schedule.disk_ms, now, options.disk.check_interval_ms) {
        look_at_disk(dir);
    }
    if dir.offline().is_none() {
        sync_sealed(dir);
        flush_old(dir, now);
        if due(
            &mut schedule.checkpoint_ms,
            now,
            options.checkpoint_interval_ms,
        ) {
            checkpoint(dir);
        }
        if due(
            &mut schedule.journal_ms,
            now,
            JOURNAL_INTERVAL_MS.unsigned_abs(),
        ) {
            release_journal(dir);
        }
        if due(
            &mut schedule.retention_ms,
            now,
            options.retention_check_interval_ms,
        ) {
            retain(&logs());
        }
    }
    delete_due(dir, now);
    if due(
        &mut schedule.idle_files_ms,
        now,
        IDLE_FILES_INTERVAL_MS.unsigned_abs(),
    ) {
        for log in logs() {
            log.segments
                .load()
                .iter()
                .for_each(|segment| segment.close_if_idle());
        }
    }
}

/// Whether a duty is due; then it is scheduled again. A clock that was set back does not stop it for long.
fn due(at_ms: &mut i64, now_ms: i64, interval_ms: u64) -> bool {
    let next = after(now_ms, interval_ms);
    if now_ms < *at_ms && *at_ms <= next {
        return false;
    }
    *at_ms = next;
    true
}

fn after(now_ms: i64, interval_ms: u64) -> i64 {
    now_ms.saturating_add(i64::try_from(interval_ms).unwrap_or(i64::MAX))
}

fn upgrade(list: Vec<Weak<PartitionLog>>) -> impl Iterator<Item = Arc<PartitionLog>> {
    list.into_iter()
        .filter_map(|log| log.upgrade())
        .filter(|log| !log.is_deleted())
}

fn checkpoint(dir: &LogDir) {
    let dirty = std::mem::take(&mut dir.upkeep.work.lock().dirty);
    for log in upgrade(dirty) {
        if let Err(error) = log.checkpoint() {
            tracing::warn!(topic = log.topic(), partition = log.key().partition, %error, "log state is not saved");
            // Still dirty, and asked again next time.
            dir.upkeep.add(|work| work.dirty.push(Weak::clone(&log.me)));
        }
    }
}

fn sync_sealed(dir: &LogDir) {
    let unsynced = std::mem::take(&mut dir.upkeep.work.lock().unsynced);
    for log in upgrade(unsynced) {
        if let Err(error) = log.sync_sealed() {
            report(&log, &error, "sealed segments are not synced");
        }
    }
}

fn flush_old(dir: &LogDir, now_ms: i64) {
    let waiting = std::mem::take(&mut dir.upkeep.work.lock().flush);
    for log in upgrade(waiting) {
        // A log whose lock is taken is being written; it is looked at again in a moment.
        let since = log.state.try_lock().map(|state| state.unflushed_since_ms);
        let is_due = |since: i64| now_ms.saturating_sub(since) >= log.options.load().flush_ms;
        match since {
            Some(None) => {}
            Some(Some(since)) if is_due(since) => {
                if let Err(error) = log.flush() {
                    report(&log, &error, "log is not flushed");
                }
                if log
                    .state
                    .try_lock()
                    .is_none_or(|state| state.unflushed_since_ms.is_some())
                {
                    dir.upkeep.add(|work| work.flush.push(Weak::clone(&log.me)));
                }
            }
            _ => dir.upkeep.add(|work| work.flush.push(Weak::clone(&log.me))),
        }
    }
}

fn release_journal(dir: &LogDir) {
    let mut kept = Vec::new();
    for closed in dir.journal.take_closed() {
        if let Err(error) = release(&closed) {
            tracing::warn!(dir = %dir.path.display(), %error, "journal file is kept");
            kept.push(closed);
        }
    }
    dir.journal.keep(kept);
}

fn release(closed: &Closed) -> Result<(), ChangeError> {
    for log in closed.logs().filter(|log| !log.is_deleted()) {
        log.flush()?;
    }
    Ok(closed.remove()?)
}

pub(crate) fn retain(logs: &[Arc<PartitionLog>]) {
    for log in logs {
        match log.retain() {
            Ok(_) | Err(ChangeError::Deleted | ChangeError::Offline { .. }) => {}
            Err(error) => report(log, &error, "retention failed"),
        }
    }
}

fn report(log: &PartitionLog, error: &ChangeError, what: &str) {
    if !log.is_deleted() {
        tracing::warn!(topic = log.topic(), partition = log.key().partition, %error, "{what}");
    }
}

fn delete_due(dir: &LogDir, now_ms: i64) {
    let mut due: Vec<PathBuf> = Vec::new();
    dir.upkeep.add(|work| {
        work.deletions.retain(|(at, path)| {
            if *at <= now_ms {
                due.push(path.clone());
            }
            *at > now_ms
        });
    });
    for path in due {
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot remove");
            }
            _ => {}
        }
    }
}

/// Free space and RocksDB's health, for the metrics and for the writer.
pub(crate) fn look_at_disk(dir: &LogDir) {
    let before = dir.disk.pressure();
    match dir.disk.look() {
        Ok(pressure) if pressure != before => {
            let free_bytes = dir.disk.free();
            tracing::warn!(dir = %dir.path.display(), ?pressure, free_bytes, "disk pressure changed");
        }
        Ok(_) => {}
        Err(error) => dir.go_offline(&error.to_string()),
    }
    if dir.disk.pressure() == DiskPressure::Normal {
        Ballast::of(&dir.path, dir.disk.total()).restore();
    }
    let metrics = &dir.shared.metrics;
    let label = [dir.label.as_str()];
    let set = |gauge: &prometheus::IntGaugeVec, value: u64| {
        gauge
            .with_label_values(&label)
            .set(i64::try_from(value).unwrap_or(i64::MAX));
    };
    set(&metrics.disk_free_bytes, dir.disk.free());
    set(&metrics.disk_total_bytes, dir.disk.total());
    set(&metrics.disk_pressure, dir.disk.pressure() as u64);
    let shared = &dir.shared;
    metrics
        .rocksdb
        .refresh(&dir.label, &dir.db, &shared.block_cache);
}
