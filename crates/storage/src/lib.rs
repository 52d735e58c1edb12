//! One partition's log on this disk: append, read, truncate, retain, recover.
//!
//! The promise: what was acknowledged is read back byte for byte, also after a kill; bytes that are not what was written
//! are never served; a full or failing disk is an answer, not a crash. Payload lies in append-only segment files, which
//! are the truth; everything that is looked up or must change as a whole lies in RocksDB and is rebuilt from the files when
//! the two disagree.
//!
//! The crate knows no request, no client, no other broker and no async runtime. Calls that block say so. Time enters
//! through [`Clock`] alone, and the bytes of a batch are the caller's to validate before they come here.

mod append;
mod checkpoint;
mod cleaner;
mod db;
mod disk;
mod epochs;
mod error;
mod index;
mod journal;
mod keys;
mod log_dir;
mod lookup;
mod metrics;
mod open;
mod options;
mod partition_log;
mod producer_state;
mod read;
mod recovery;
mod rocksdb_log;
mod scan;
mod segment;
mod store;
mod tail_cache;
mod transactions;
mod trim;
mod upkeep;
pub mod validate;
mod verification;
mod view;
mod writer;

pub use append::{AppendJob, Appended, Origin};
pub use cleaner::{CleanError, CleanerStatus, Cleaning, DirCleaning};
pub use disk::DiskPressure;
pub use epochs::EpochEnd;
pub use error::{AppendError, ChangeError, CreateError, EngineError, OpenError, ReadError};
pub use lookup::TimestampOffset;
#[doc(hidden)]
pub use options::SwapStep;
pub use options::{
    CleanerOptions, Clock, DiskLimits, LogEvents, LogKey, LogOptions, NoEvents, StoreOptions,
};
pub use partition_log::{PartitionLog, ProducerStatus};
pub use read::{LogSlice, ReadLimits, ReadMode, ReadResult};
pub use rocksdb_log::check_rocksdb_logs;
pub use store::{DirStatus, RecoverySummary, Store};
pub use transactions::AbortedTransaction;
pub use verification::VerificationGuard;
