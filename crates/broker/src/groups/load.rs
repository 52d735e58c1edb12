//! Reads a coordinator's state back: from the view of its log, and from what the log has behind the view.

use coordinator::records::{RecordError, is_row_of_view};
use coordinator::{CoordinatorRecord, GroupShard, Replayed};
use foldhash::HashMap;
use storage::{EngineError, PartitionLog, ReadError, ReadLimits, ReadMode};
use tracing::warn;
use wire::Bytes;
use wire::batch::{self, EndTxnMarker};

/// The log is read in pieces of this size (`offsets.load.buffer.size`).
const READ_BYTES: usize = 5 << 20;
/// What one batch of coordinator records may grow to when it is opened.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// Why a coordinator's state could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    View(#[from] EngineError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("reading the log's file: {0}")]
    File(#[from] std::io::Error),
    #[error("a batch at or behind offset {offset} cannot be read: {what}")]
    Batch { offset: i64, what: String },
}

/// Changes that the log's view does not have yet.
#[derive(Debug, Default)]
pub(super) struct ViewChanges {
    rows: HashMap<Bytes, Option<Bytes>>,
    /// The offset behind the last of them.
    end: i64,
}

impl ViewChanges {
    fn note(&mut self, row: CoordinatorRecord) {
        self.rows.insert(row.key, row.value);
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Takes in what came later.
    pub(super) fn merge(&mut self, later: Self) {
        self.rows.extend(later.rows);
        self.end = self.end.max(later.end);
    }

    /// Writes the changes. Blocks; when it fails they go with the next: a later write says that all before it is in the view.
    pub(super) fn write(&self, log: &PartitionLog) -> Result<(), EngineError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = self
            .rows
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_deref()));
        log.write_view(rows, self.end)
    }
}

/// What stands in a coordinator's log at one offset.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stored<'a> {
    /// A record outside any transaction.
    Record(&'a CoordinatorRecord),
    /// A record of this producer's transaction.
    InTransaction(i64, &'a CoordinatorRecord),
    /// The end of this producer's transaction.
    End { producer_id: i64, committed: bool },
}

/// Puts everything that the log holds into `shard`, and brings the view up to the log's end. Blocks.
pub(super) fn load(log: &PartitionLog, shard: &mut GroupShard) -> Result<(), LoadError> {
    let mut next = log.view_end()?;
    log.read_view(|key, value| {
        let record = CoordinatorRecord {
            key: Bytes::copy_from_slice(key),
            value: Some(Bytes::copy_from_slice(value)),
        };
        passed_over(log, next, shard.restore(&record));
    })?;
    let end = log.log_end_offset();
    while next < end {
        let limits = ReadLimits {
            max_bytes: READ_BYTES,
            below: end,
            whole_first_batch: true,
        };
        let bytes = log.read(next, limits, ReadMode::Wait)?.to_bytes()?;
        let mut changes = ViewChanges::default();
        let reached = replay_batches(log, shard, &bytes, next, &mut changes)?;
        if reached <= next {
            break;
        }
        next = reached;
        changes.write(log)?;
    }
    Ok(())
}

/// Applies whole batches; the offset behind them.
fn replay_batches(
    log: &PartitionLog,
    shard: &mut GroupShard,
    bytes: &[u8],
    mut next: i64,
    changes: &mut ViewChanges,
) -> Result<i64, LoadError> {
    let bad = |offset, error: &dyn std::fmt::Display| LoadError::Batch {
        offset,
        what: error.to_string(),
    };
    for found in batch::batches(bytes) {
        let (header, bytes) = found.map_err(|error| bad(next, &error))?;
        if header.attributes.is_control() {
            let marker = EndTxnMarker::from_batch(bytes).map_err(|error| bad(next, &error))?;
            if let Some(marker) = marker {
                let end = Stored::End {
                    producer_id: marker.producer_id,
                    committed: marker.committed,
                };
                replay(log, shard, changes, end, header.last_offset());
            }
        } else {
            let records =
                batch::records(bytes, BATCH_BYTES_MAX).map_err(|error| bad(next, &error))?;
            for record in records.iter() {
                let record = record.map_err(|error| bad(next, &error))?;
                let offset = header.offset_of(&record);
                if offset < next {
                    continue;
                }
                let record = CoordinatorRecord {
                    key: Bytes::copy_from_slice(record.key.unwrap_or_default()),
                    value: record.value.map(Bytes::copy_from_slice),
                };
                let stored = match header.attributes.is_transactional() {
                    true => Stored::InTransaction(header.producer_id, &record),
                    false => Stored::Record(&record),
                };
                replay(log, shard, changes, stored, offset);
            }
        }
        next = header.next_offset();
    }
    Ok(next)
}

/// Applies what stands at `offset` to the state, and notes for the view what it came to.
pub(super) fn replay(
    log: &PartitionLog,
    shard: &mut GroupShard,
    changes: &mut ViewChanges,
    stored: Stored<'_>,
    offset: i64,
) {
    match stored {
        Stored::Record(record) => {
            passed_over(log, offset, shard.replay(record));
            if !is_row_of_view(&record.key) {
                changes.note(record.clone());
            }
        }
        Stored::InTransaction(producer_id, record) => {
            let replayed = shard.replay_in_transaction(producer_id, record, offset);
            passed_over(log, offset, replayed);
        }
        Stored::End {
            producer_id,
            committed,
        } => shard.replay_end(producer_id, committed),
    }
    for row in shard.take_rows() {
        changes.note(row);
    }
    changes.end = offset.saturating_add(1);
}

/// One record that cannot be read costs what it says, not the groups beside it.
fn passed_over(log: &PartitionLog, offset: i64, replayed: Result<Replayed, RecordError>) {
    if let Err(error) = replayed {
        let partition = log.key().partition;
        warn!(topic = log.topic(), partition, offset, %error, "a coordinator record cannot be read and is passed over");
    }
}
