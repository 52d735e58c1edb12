//! One error type per kind of operation. They carry facts; what a client is told is decided elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No directory was named.
    #[error("no log directory is configured")]
    NoDirectory,
    /// The directory was written by another node, cluster or format version, or is named twice.
    #[error("{} is not a log directory of this node: {what}", dir.display())]
    WrongDirectory {
        /// The directory.
        dir: PathBuf,
        /// Which fact disagrees.
        what: String,
    },
    /// None of the directories could be opened; the last reason is given.
    #[error("no log directory could be opened; {}: {reason}", dir.display())]
    AllOffline {
        /// The directory that was tried last.
        dir: PathBuf,
        /// Why it failed.
        reason: String,
    },
    /// A background thread could not be started.
    #[error("cannot start a storage thread")]
    Thread(#[source] std::io::Error),
    /// A metric name is already taken on the given registry.
    #[error("cannot register the storage metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Why a log was not created.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateError {
    /// Every log directory is offline.
    #[error("every log directory is offline")]
    AllOffline,
    /// The directory has no space left.
    #[error("{} is full: {free_bytes} bytes are free", dir.display())]
    DiskFull {
        /// The directory.
        dir: PathBuf,
        /// Its free space.
        free_bytes: u64,
    },
    /// Files or state could not be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why a batch was not appended. Nothing of it is in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The sequence does not follow the producer's last one (KIP-98).
    #[error("producer {producer_id}: sequence {found} does not follow {last}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// The last sequence in the log, or -1 when the epoch is new.
        last: i32,
        /// The batch's first sequence.
        found: i32,
    },
    /// A newer epoch of the producer has written here (KIP-98).
    #[error("producer {producer_id}: epoch {found} is older than {current}")]
    StaleProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// The epoch the log knows.
        current: i16,
        /// The batch's epoch.
        found: i16,
    },
    /// A transaction marker comes from a deposed coordinator.
    #[error("coordinator epoch {found} is older than {current}")]
    StaleCoordinatorEpoch {
        /// The coordinator epoch the log knows.
        current: i32,
        /// The marker's.
        found: i32,
    },
    /// The batch would begin a transaction that its coordinator has not vouched for, or not since the last one ended (KIP-890).
    #[error("producer {producer_id} has no transaction that this partition is part of")]
    UnverifiedTransaction {
        /// The producer.
        producer_id: i64,
    },
    /// The batch does not fit the producer's open transaction on this partition.
    #[error("producer {producer_id} has an open transaction and wrote outside of it")]
    TransactionConflict {
        /// The producer.
        producer_id: i64,
    },
    /// The leader epoch under which the batch was accepted is over.
    #[error("leader epoch {found}, but the log is at {current}")]
    FencedLeaderEpoch {
        /// The log's leader epoch.
        current: i32,
        /// The job's.
        found: i32,
    },
    /// The batch is larger than a whole segment may be.
    #[error("a batch of {bytes} bytes does not fit a segment of {segment_bytes}")]
    BatchExceedsSegment {
        /// The batch.
        bytes: usize,
        /// The limit.
        segment_bytes: u32,
    },
    /// The bytes are not one whole v2 batch; the caller broke its promise.
    #[error("not a valid batch: {0}")]
    InvalidBatch(String),
    /// The disk is full or nearly so. Heals by itself when space is freed.
    #[error("{} is full: {free_bytes} bytes are free", dir.display())]
    DiskFull {
        /// The log directory.
        dir: PathBuf,
        /// Its free space.
        free_bytes: u64,
    },
    /// The log directory failed earlier, or the store is closing.
    #[error("{} is offline: {reason}", dir.display())]
    Offline {
        /// The log directory.
        dir: PathBuf,
        /// Why.
        reason: Arc<str>,
    },
    /// The log was deleted.
    #[error("the log was deleted")]
    Deleted,
    /// Files or state could not be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why a read gave nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The offset is below the log start or above the log end.
    #[error("offset {offset} is not within {log_start_offset}..={log_end_offset}")]
    OutOfRange {
        /// The offset asked for.
        offset: i64,
        /// The first offset of the log.
        log_start_offset: i64,
        /// The end of the log.
        log_end_offset: i64,
    },
    /// Answering needs the disk, and the caller asked not to touch it. Ask again with `ReadMode::Wait` from a thread
    /// that may block.
    #[error("the data is not in memory")]
    WouldBlock,
    /// The bytes on disk are not what was written. Never served; a replica heals from its leader.
    #[error("{} is corrupt at byte {position}: {what}", file.display())]
    Corrupt {
        /// The segment file.
        file: PathBuf,
        /// Where the bad batch starts.
        position: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The log directory failed earlier.
    #[error("{} is offline: {reason}", dir.display())]
    Offline {
        /// The log directory.
        dir: PathBuf,
        /// Why.
        reason: Arc<str>,
    },
    /// The log was deleted.
    #[error("the log was deleted")]
    Deleted,
    /// A file or the index could not be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why an administrative change of a log failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangeError {
    /// The offset is negative or above the high watermark.
    #[error("offset {offset} is not within 0..={high_watermark}")]
    OutOfRange {
        /// The offset asked for.
        offset: i64,
        /// The log's high watermark.
        high_watermark: i64,
    },
    /// The leader epoch is older than the log's.
    #[error("leader epoch {found}, but the log is at {current}")]
    FencedLeaderEpoch {
        /// The log's leader epoch.
        current: i32,
        /// The one given.
        found: i32,
    },
    /// The log directory failed earlier.
    #[error("{} is offline: {reason}", dir.display())]
    Offline {
        /// The log directory.
        dir: PathBuf,
        /// Why.
        reason: Arc<str>,
    },
    /// No such log.
    #[error("the log was deleted")]
    Deleted,
    /// Files or state could not be read or written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The machinery below failed: the file system or RocksDB. Clonable, because one failure answers many requests.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {action}: {detail}", path.display())]
pub struct EngineError {
    /// The file or directory.
    pub path: PathBuf,
    /// What was being done.
    pub action: &'static str,
    /// The system's words.
    pub detail: Arc<str>,
    /// The operating system said that no space or quota is left.
    pub no_space: bool,
    /// Something else is short for the moment, such as file descriptors; the disk is not at fault.
    pub transient: bool,
}

impl EngineError {
    pub(crate) fn io(path: &Path, action: &'static str, error: impl Into<std::io::Error>) -> Self {
        let error = error.into();
        let no_space = matches!(
            error.kind(),
            std::io::ErrorKind::StorageFull
                | std::io::ErrorKind::QuotaExceeded
                | std::io::ErrorKind::FileTooLarge
        );
        let transient = matches!(
            Errno::from_io_error(&error),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN)
        );
        Self {
            path: path.to_path_buf(),
            action,
            detail: error.to_string().into(),
            no_space,
            transient,
        }
    }

    pub(crate) fn db(path: &Path, action: &'static str, error: &rocksdb::Error) -> Self {
        let text = error.to_string();
        let no_space = text.contains("No space left") || text.contains("NoSpace");
        Self {
            path: path.to_path_buf(),
            action,
            detail: text.into(),
            no_space,
            transient: false,
        }
    }

    pub(crate) fn bad_value(path: &Path, what: &'static str) -> Self {
        Self {
            path: path.to_path_buf(),
            action: "decode a stored value",
            detail: what.into(),
            no_space: false,
            transient: false,
        }
    }
}
