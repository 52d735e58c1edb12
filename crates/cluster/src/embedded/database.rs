//! The store's bytes in RocksDB: `key → mod_revision (8 bytes, big-endian) ++ value`, and the counter under a key that no
//! text key can equal.

use std::path::Path;

use bytes::Bytes;
use rocksdb::{BlockBasedOptions, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode};
use rocksdb::{LogLevel, Options, WriteBatch, WriteOptions};

use crate::store::{Event, Kv, Op, Outcome, Revision, StoreError, Txn};

/// `0x00 "revision"` → the last applied revision, 8 bytes, big-endian. Written in every batch.
const REVISION_KEY: &[u8] = b"\0revision";
/// `0x00 "format"` → [`FORMAT`], one byte. Written with the first batch.
const FORMAT_KEY: &[u8] = b"\0format";
/// How values are framed. Bumped when that changes.
const FORMAT: u8 = 1;
const REVISION_LEN: usize = 8;
/// Metadata of a hundred thousand partitions is a few megabytes: a small write buffer is written out rarely enough.
const WRITE_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// An open database and the revision that was read when it was opened.
pub(super) struct Database {
    rocks: DB,
    opened_at: Revision,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let rocks = DB::open(&options(), path).map_err(failure)?;
        match read(&rocks, FORMAT_KEY)?.as_deref() {
            None | Some([FORMAT]) => {}
            Some(other) => {
                return Err(StoreError::Corrupt {
                    reason: format!("unknown format {other:?} of the metadata store"),
                });
            }
        }
        let opened_at = match read(&rocks, REVISION_KEY)? {
            None => 0,
            Some(bytes) => revision_of(&bytes, "the revision counter")?,
        };
        Ok(Self { rocks, opened_at })
    }

    /// The revision at the time of opening.
    pub(super) fn revision(&self) -> Revision {
        self.opened_at
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Kv>, StoreError> {
        match read(&self.rocks, key.as_bytes())? {
            None => Ok(None),
            Some(stored) => kv(key, &stored).map(Some),
        }
    }

    /// Appends everything under `prefix` to `found`, in key order.
    pub(super) fn scan(&self, prefix: &str, found: &mut Vec<Kv>) -> Result<(), StoreError> {
        let start = if prefix.is_empty() {
            b"\x01".as_slice()
        } else {
            prefix.as_bytes()
        };
        for entry in self
            .rocks
            .iterator(IteratorMode::From(start, Direction::Forward))
        {
            let (key, stored) = entry.map_err(failure)?;
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            let key = std::str::from_utf8(&key).map_err(|_| StoreError::Corrupt {
                reason: format!("a key that is not text: {key:?}"),
            })?;
            found.push(kv(key, &stored)?);
        }
        Ok(())
    }

    /// The conflict that stops `txn`, if there is one.
    pub(super) fn conflict(&self, txn: &Txn) -> Result<Option<Outcome>, StoreError> {
        let mut found = Vec::with_capacity(txn.compares.len());
        let mut holds = true;
        for compare in &txn.compares {
            let kv = self.get(&compare.key)?;
            holds &= kv.as_ref().map_or(0, |kv| kv.mod_revision) == compare.mod_revision;
            found.push((compare.key.clone(), kv));
        }
        Ok((!holds).then_some(Outcome::Conflict(found)))
    }

    /// What `txn` changes if it becomes `revision`.
    pub(super) fn events(&self, txn: &Txn, revision: Revision) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::with_capacity(txn.ops.len());
        for op in &txn.ops {
            match op {
                Op::Put { key, value, .. } => {
                    events.push(Event::Put(Kv {
                        key: key.clone(),
                        value: value.clone(),
                        mod_revision: revision,
                    }));
                }
                Op::Delete { key } => {
                    if self.get(key)?.is_some() {
                        events.push(Event::Delete { key: key.clone() });
                    }
                }
                Op::DeletePrefix { prefix } => {
                    let mut found = Vec::new();
                    self.scan(prefix, &mut found)?;
                    events.extend(found.into_iter().map(|kv| Event::Delete { key: kv.key }));
                }
            }
        }
        Ok(events)
    }

    /// Writes `events` as one batch with its revision, and waits for the disk if it is to be `durable`; then everything written
    /// before is durable too. After an error it is unknown what was written.
    pub(super) fn write(
        &self,
        events: &[Event],
        revision: Revision,
        durable: bool,
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let mut framed = Vec::new();
        for event in events {
            match event {
                Event::Delete { key } => batch.delete(key),
                Event::Put(kv) => {
                    framed.clear();
                    framed.extend_from_slice(&kv.mod_revision.to_be_bytes());
                    framed.extend_from_slice(&kv.value);
                    batch.put(&kv.key, &framed);
                }
            }
        }
        batch.put(REVISION_KEY, revision.to_be_bytes());
        batch.put(FORMAT_KEY, [FORMAT]);
        let mut options = WriteOptions::default();
        options.set_sync(durable);
        self.rocks.write_opt(batch, &options).map_err(failure)
    }
}

fn read(rocks: &DB, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    rocks.get(key).map_err(failure)
}

fn kv(key: &str, stored: &[u8]) -> Result<Kv, StoreError> {
    let mod_revision = revision_of(stored.get(..REVISION_LEN).unwrap_or_default(), key)?;
    Ok(Kv {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(&stored[REVISION_LEN..]),
        mod_revision,
    })
}

fn revision_of(bytes: &[u8], place: &str) -> Result<Revision, StoreError> {
    let revision = bytes
        .try_into()
        .map(Revision::from_be_bytes)
        .ok()
        .filter(|&revision| revision > 0);
    revision.ok_or_else(|| StoreError::Corrupt {
        reason: format!("{place:?} has no revision"),
    })
}

fn failure(error: rocksdb::Error) -> StoreError {
    let reason = error.to_string();
    match error.kind() {
        rocksdb::ErrorKind::Corruption | rocksdb::ErrorKind::InvalidArgument => {
            StoreError::Corrupt { reason }
        }
        _ => StoreError::Unavailable { reason },
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_compression_type(DBCompressionType::None);
    // A torn end of the log is a write nobody was told of. Damage before it is lost metadata, and must be said aloud.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_skip_stats_update_on_db_open(true);
    // The default starts sixteen threads to open a handful of small tables.
    options.set_max_file_opening_threads(1);
    // RocksDB keeps a log file of its own beside the tables; what matters reaches the caller as an error.
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    let mut blocks = BlockBasedOptions::default();
    // Everything is read once, at the start; afterwards the image answers.
    blocks.disable_cache();
    options.set_block_based_table_factory(&blocks);
    options
}
