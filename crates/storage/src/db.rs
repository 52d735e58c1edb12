//! RocksDB of one log directory: opened small, closed explicitly, read by prefix.

use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use rocksdb::statistics::{StatsLevel, Ticker};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBRawIterator, DBRecoveryMode, ErrorKind, LogLevel, Options,
    ReadOptions, ReadTier, WriteBatch, WriteOptions,
};

use crate::error::{EngineError, ReadError};

/// May a lookup go to the disk?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Only memtables and the block cache; otherwise `ReadError::WouldBlock`.
    MemoryOnly,
    MayRead,
}

/// How durable a write has to be when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Survives a crash of the process.
    Process,
    /// Survives a crash of the machine.
    Machine,
}

pub(crate) struct Db {
    path: PathBuf,
    /// `None` after close: late readers get an error, and the directory can be opened again in this process.
    db: RwLock<Option<DB>>,
    /// What it was opened with: its statistics are asked for through them.
    options: Options,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Db {
    /// Opens or creates. Blocks; a few milliseconds when the last close was orderly.
    pub(crate) fn open(
        path: &Path,
        cache: &Cache,
        disk_total_bytes: u64,
    ) -> Result<Self, EngineError> {
        crate::rocksdb_log::check_rocksdb_logs(path)?;
        let options = options(cache, disk_total_bytes);
        let db = DB::open(&options, path)
            .map_err(|error| EngineError::db(path, "open RocksDB", &error))?;
        Ok(Self {
            path: path.to_path_buf(),
            db: RwLock::new(Some(db)),
            options,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(
        &self,
        batch: WriteBatch,
        durability: Durability,
    ) -> Result<(), EngineError> {
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Machine);
        self.with(|db| {
            db.write_opt(batch, &options)
                .map_err(|error| EngineError::db(&self.path, "write to RocksDB", &error))
        })
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.with(|db| {
            db.get(key)
                .map_err(|error| EngineError::db(&self.path, "read from RocksDB", &error))
        })
    }

    /// Calls `each` for every row whose key starts with `prefix`, in order.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.with(|db| {
            let mut rows = iterator(db, prefix, Lookup::MayRead);
            rows.seek(prefix);
            while let Some((key, value)) = rows.item() {
                each(key, value)?;
                rows.next();
            }
            rows.status()
                .map_err(|error| EngineError::db(&self.path, "read from RocksDB", &error))
        })
    }

    /// Hands the last row at or before `target`, within `prefix`, to `read`.
    pub(crate) fn last_at_or_before<T>(
        &self,
        prefix: &[u8],
        target: &[u8],
        lookup: Lookup,
        read: impl FnOnce(&[u8], &[u8]) -> Result<Option<T>, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        self.with(|db| {
            let mut rows = iterator(db, prefix, lookup);
            rows.seek_for_prev(target);
            match rows.item() {
                Some((key, value)) => Ok(read(key, value)),
                None => self.ended(&rows).map(|()| Ok(None)),
            }
        })?
    }

    /// Walks rows within `prefix`, starting with the last one at or before `start` (or the first), while `more` says
    /// true.
    pub(crate) fn scan_from_floor(
        &self,
        prefix: &[u8],
        start: &[u8],
        lookup: Lookup,
        mut more: impl FnMut(&[u8], &[u8]) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        self.with(|db| {
            let mut rows = iterator(db, prefix, lookup);
            rows.seek_for_prev(start);
            if !rows.valid() {
                self.ended(&rows)?;
                rows.seek(prefix);
            }
            while let Some((key, value)) = rows.item() {
                if !more(key, value)? {
                    return Ok(());
                }
                rows.next();
            }
            self.ended(&rows)
        })
    }

    /// Adds the deletion of every row under `prefix` to `batch`: row by row while they are few, because each range
    /// tombstone costs every later read.
    pub(crate) fn delete_prefix(
        &self,
        batch: &mut WriteBatch,
        prefix: &[u8],
    ) -> Result<(), EngineError> {
        const FEW: usize = 1000;
        let mut found = Vec::new();
        self.with(|db| {
            let mut rows = iterator(db, prefix, Lookup::MayRead);
            rows.seek(prefix);
            while found.len() <= FEW
                && let Some(key) = rows.key()
            {
                found.push(key.to_vec());
                rows.next();
            }
            rows.status()
                .map_err(|error| EngineError::db(&self.path, "read from RocksDB", &error))
        })?;
        if found.len() > FEW {
            batch.delete_range(prefix.to_vec(), after(prefix));
        } else {
            found.iter().for_each(|key| batch.delete(key));
        }
        Ok(())
    }

    /// A RocksDB property, 0 when it has none.
    pub(crate) fn property(&self, name: &str) -> u64 {
        self.db
            .read()
            .as_ref()
            .and_then(|db| db.property_int_value(name).ok().flatten())
            .unwrap_or(0)
    }

    /// What RocksDB has counted since it was opened.
    pub(crate) fn ticker(&self, ticker: Ticker) -> u64 {
        self.options.get_ticker_count(ticker)
    }

    /// How many table files there are.
    pub(crate) fn sst_files(&self) -> u64 {
        const LEVELS: usize = 7;
        let db = self.db.read();
        let at = |level: usize| {
            let name = format!("rocksdb.num-files-at-level{level}");
            let files = db.as_ref()?.property_value(&name).ok()??;
            files.parse::<u64>().ok()
        };
        (0..LEVELS).filter_map(at).sum()
    }

    /// Puts everything on the disk and releases the directory. The memtable is flushed, so that the next open has no log to
    /// replay; on a full disk the log has to do.
    pub(crate) fn close(&self) -> Result<(), EngineError> {
        let Some(db) = self.db.write().take() else {
            return Ok(());
        };
        let fail = |error| EngineError::db(&self.path, "flush RocksDB", &error);
        db.flush_wal(true).map_err(fail)?;
        match db.flush().map_err(fail) {
            Err(error) if !error.no_space => Err(error),
            _ => Ok(()),
        }
    }

    /// Releases the directory without flushing, as a crash would.
    pub(crate) fn abandon(&self) {
        self.db.write().take();
    }

    fn ended(&self, rows: &DBRawIterator<'_>) -> Result<(), ReadError> {
        rows.status().map_err(|error| match error.kind() {
            ErrorKind::Incomplete => ReadError::WouldBlock,
            _ => ReadError::Engine(EngineError::db(&self.path, "read from RocksDB", &error)),
        })
    }

    fn with<T, E: From<EngineError>>(
        &self,
        call: impl FnOnce(&DB) -> Result<T, E>,
    ) -> Result<T, E> {
        match self.db.read().as_ref() {
            Some(db) => call(db),
            None => Err(EngineError {
                path: self.path.clone(),
                action: "use RocksDB",
                detail: "the store is closed".into(),
                no_space: false,
                transient: false,
            }
            .into()),
        }
    }
}

fn iterator<'a>(db: &'a DB, prefix: &[u8], lookup: Lookup) -> DBRawIterator<'a> {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(prefix.to_vec());
    options.set_iterate_upper_bound(after(prefix));
    if lookup == Lookup::MemoryOnly {
        options.set_read_tier(ReadTier::BlockCache);
    }
    db.raw_iterator_opt(options)
}

/// The least key after every key that starts with `prefix`. The first byte is a table number, never 255.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// RocksDB tuned for little state: what it holds is small, and the memory and threads of the broker are counted.
fn options(cache: &Cache, disk_total_bytes: u64) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // RocksDB reserves about this much for its log at once, which a small file system cannot spare.
    let buffer = usize::try_from(disk_total_bytes / 64)
        .unwrap_or(usize::MAX)
        .clamp(256 << 10, 8 << 20);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(buffer);
    options.set_max_write_buffer_number(3);
    options.set_max_total_wal_size(4 * buffer as u64);
    options.set_manifest_preallocation_size(64 << 10);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_background_jobs(2);
    options.set_max_open_files(64);
    options.set_max_file_opening_threads(1);
    options.set_skip_stats_update_on_db_open(true);
    // Tickers only: a few counters a core, and no clock.
    options.enable_statistics();
    options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(LogLevel::Warn);
    options
}
