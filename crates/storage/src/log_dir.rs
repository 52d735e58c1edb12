//! One log directory: its RocksDB, its disk, and whether it still works.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Condvar, Mutex};
use rocksdb::Cache;
use uuid::Uuid;

use crate::db::Db;
use crate::disk::Disk;
use crate::error::EngineError;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::options::{Clock, LogEvents, StoreOptions};
use crate::partition_log::PartitionLog;
use crate::tail_cache::TailCache;
use crate::writer::Queue;

/// What every directory and log of a store shares.
pub(crate) struct Shared {
    pub(crate) options: StoreOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<dyn LogEvents>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tail_cache: TailCache,
    pub(crate) block_cache: Cache,
}

pub(crate) struct LogDir {
    pub(crate) path: PathBuf,
    /// Label of this directory in metrics.
    pub(crate) label: String,
    /// Identity of the directory itself (KIP-858), kept in `meta.properties`.
    pub(crate) directory_id: Uuid,
    pub(crate) db: Db,
    pub(crate) disk: Disk,
    pub(crate) journal: Journal,
    pub(crate) queue: Queue,
    pub(crate) upkeep: Upkeep,
    pub(crate) shared: Arc<Shared>,
    /// The file system keeps files in memory (tmpfs), so no read of it waits for a disk.
    pub(crate) in_memory: bool,
    offline: OnceLock<Arc<str>>,
}

impl std::fmt::Debug for LogDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogDir")
            .field("path", &self.path)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// The parts that opening a directory produces one after the other.
pub(crate) struct LogDirParts {
    pub(crate) path: PathBuf,
    pub(crate) directory_id: Uuid,
    pub(crate) db: Db,
    pub(crate) disk: Disk,
    pub(crate) journal: Journal,
}

impl LogDir {
    pub(crate) fn new(parts: LogDirParts, shared: Arc<Shared>) -> Self {
        let LogDirParts {
            path,
            directory_id,
            db,
            disk,
            journal,
        } = parts;
        let (label, in_memory) = (path.display().to_string(), is_in_memory(&path));
        let (queue, upkeep) = (Queue::default(), Upkeep::default());
        let offline = OnceLock::new();
        Self {
            path,
            label,
            directory_id,
            db,
            disk,
            journal,
            queue,
            upkeep,
            shared,
            in_memory,
            offline,
        }
    }

    pub(crate) fn logs_path(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Why the directory is offline, if it is.
    pub(crate) fn offline(&self) -> Option<Arc<str>> {
        self.offline.get().map(Arc::clone)
    }

    /// An I/O error that is not want of space: nothing is served from here until the next start. A failed fsync is never
    /// tried again, because the kernel may have dropped the pages and would report success.
    pub(crate) fn go_offline(&self, reason: &str) {
        if self.offline.set(reason.into()).is_ok() {
            tracing::error!(dir = %self.path.display(), reason, "log directory is offline");
            self.shared.metrics.offline_dirs.inc();
            self.shared.events.dir_went_offline(&self.path, reason);
        }
    }

    /// The store was closed: whoever still holds a log learns it from the same answer.
    pub(crate) fn end_service(&self, reason: &str) {
        let _ = self.offline.set(reason.into());
    }

    /// Takes the directory offline unless the error is want of space or of something else that comes back.
    pub(crate) fn judge(&self, error: &EngineError) {
        if error.no_space {
            self.disk.refuse();
        } else if !error.transient {
            self.go_offline(&error.to_string());
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }
}

/// What the maintenance thread has to look at, and how it is woken.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    pub(crate) work: Mutex<UpkeepWork>,
    pub(crate) changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct UpkeepWork {
    /// Logs that changed since their last checkpoint.
    pub(crate) dirty: Vec<Weak<PartitionLog>>,
    /// Logs with sealed segments that are not on the disk yet.
    pub(crate) unsynced: Vec<Weak<PartitionLog>>,
    /// Logs with a `flush.ms` and appended data that is not on the disk yet.
    pub(crate) flush: Vec<Weak<PartitionLog>>,
    /// Files and directories to remove, with the time it is due.
    pub(crate) deletions: Vec<(i64, PathBuf)>,
    pub(crate) run_retention: bool,
    pub(crate) stop: bool,
}

impl Upkeep {
    pub(crate) fn add(&self, change: impl FnOnce(&mut UpkeepWork)) {
        change(&mut self.work.lock());
    }

    pub(crate) fn wake(&self, change: impl FnOnce(&mut UpkeepWork)) {
        change(&mut self.work.lock());
        self.changed.notify_all();
    }
}

fn is_in_memory(path: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    rustix::fs::statfs(path)
        .is_ok_and(|stat| matches!(u64::try_from(stat.f_type), Ok(TMPFS | RAMFS)))
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), EngineError> {
    let sync = || std::fs::File::open(path)?.sync_all();
    sync().map_err(|error| EngineError::io(path, "sync directory", error))
}
