//! Reads a coordinator's state back: from the view of its log, and from what the log has behind the view.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use coordinator::CoordinatorRecord;
use foldhash::HashMap;
use storage::{EngineError, PartitionLog, ReadError, ReadLimits, ReadMode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use wire::Bytes;
use wire::batch::{self, EndTxnMarker};

use crate::clock;
use crate::topics::Partition;

/// The log is read in pieces of this size (`offsets.load.buffer.size`, `transaction.state.log.load.buffer.size`).
const READ_BYTES: usize = 5 << 20;
/// What one batch of coordinator records may grow to when it is opened.
const BATCH_BYTES_MAX: usize = 256 << 20;
/// How long after a failed load the next one is tried.
const RELOAD_DELAY: Duration = Duration::from_secs(5);

/// State that is made of stored records.
pub(crate) trait Replay: Send + 'static {
    /// Its coordinator, in the log's messages.
    const NAME: &'static str;
    /// Why a record cannot be read.
    type Error: Display;

    /// A row of the view: the latest record of its key, from somewhere below the view's end.
    fn restore(&mut self, row: &CoordinatorRecord) -> Result<(), Self::Error>;

    /// What stands in the log at `offset`. `note` is handed what the view has to say from now on.
    fn replay(
        &mut self,
        stored: Stored<'_>,
        offset: i64,
        note: &mut dyn FnMut(CoordinatorRecord),
    ) -> Result<(), Self::Error>;
}

/// What stands in a coordinator's log at one offset.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored<'a> {
    /// A record outside any transaction.
    Record(&'a CoordinatorRecord),
    /// A record of this producer's transaction.
    InTransaction(i64, &'a CoordinatorRecord),
    /// The end of this producer's transaction.
    End { producer_id: i64, committed: bool },
}

/// Why a coordinator's state could not be read.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    View(#[from] EngineError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("reading the log's file: {0}")]
    File(#[from] std::io::Error),
    #[error("a batch at or behind offset {offset} cannot be read: {what}")]
    Batch { offset: i64, what: String },
}

/// Why a coordinator that has no state yet refuses what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotLoaded {
    /// It is being read.
    Loading,
    /// It could not be read; there will be another try.
    Failed,
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

    /// Takes over what came later.
    pub(super) fn merge(&mut self, newer: ViewChanges) {
        self.rows.extend(newer.rows);
        self.end = self.end.max(newer.end);
    }

    /// Writes the changes. Blocks; when it fails they are only in the log, and the view must not move past them.
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

/// Reads the state off the async threads into what `new` makes; meanwhile, and between tries, messages are handed to `refuse`.
/// `None` when it was stopped.
pub(crate) async fn load<S: Replay, M>(
    partition: &Arc<Partition>,
    messages: &mut mpsc::Receiver<M>,
    stop: &CancellationToken,
    new: impl Fn() -> S,
    refuse: impl Fn(M, NotLoaded),
) -> Option<S> {
    loop {
        let began = clock::monotonic();
        let log = Arc::clone(&partition.log);
        let mut state = new();
        if log.log_end_offset() == 0 {
            // A new partition serves at once: the first client is there already.
            return Some(state);
        }
        let mut loading =
            tokio::task::spawn_blocking(move || read(&log, &mut state).map(|()| state));
        let loaded = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                loaded = &mut loading => break loaded,
                message = messages.recv() => refuse(message?, NotLoaded::Loading),
            }
        };
        let index = partition.log.key().partition;
        match loaded {
            Ok(Ok(state)) => {
                let end = partition.log.log_end_offset();
                info!(partition = index, end, took = ?began.elapsed(), "{} loaded", S::NAME);
                return Some(state);
            }
            Ok(Err(error)) => error!(partition = index, %error, "{} cannot load", S::NAME),
            Err(panic) => error!(partition = index, %panic, "{} cannot load", S::NAME),
        }
        let retry = tokio::time::sleep(RELOAD_DELAY);
        tokio::pin!(retry);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = &mut retry => break,
                message = messages.recv() => refuse(message?, NotLoaded::Failed),
            }
        }
    }
}

/// Puts everything that the log holds into `state`, and brings the view up to the log's end. Blocks.
fn read<S: Replay>(log: &PartitionLog, state: &mut S) -> Result<(), LoadError> {
    let mut next = log.view_end()?;
    log.read_view(|key, value| {
        let record = CoordinatorRecord {
            key: Bytes::copy_from_slice(key),
            value: Some(Bytes::copy_from_slice(value)),
        };
        passed_over(log, next, state.restore(&record));
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
        let reached = replay_batches(log, state, &bytes, next, &mut changes)?;
        if reached <= next {
            break;
        }
        next = reached;
        changes.write(log)?;
    }
    Ok(())
}

/// Applies whole batches; the offset behind them.
fn replay_batches<S: Replay>(
    log: &PartitionLog,
    state: &mut S,
    bytes: &[u8],
    mut next: i64,
    changes: &mut ViewChanges,
) -> Result<i64, LoadError> {
    let bad = |offset, error: &dyn Display| LoadError::Batch {
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
                replay(log, state, changes, end, header.last_offset());
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
                replay(log, state, changes, stored, offset);
            }
        }
        next = header.next_offset();
    }
    Ok(next)
}

/// Applies what stands at `offset` to the state, and notes for the view what it came to.
pub(super) fn replay<S: Replay>(
    log: &PartitionLog,
    state: &mut S,
    changes: &mut ViewChanges,
    stored: Stored<'_>,
    offset: i64,
) {
    let replayed = state.replay(stored, offset, &mut |row| changes.note(row));
    passed_over(log, offset, replayed);
    changes.end = offset.saturating_add(1);
}

/// One record that cannot be read costs what it says, not what stands beside it.
fn passed_over<E: Display>(log: &PartitionLog, offset: i64, replayed: Result<(), E>) {
    if let Err(error) = replayed {
        let partition = log.key().partition;
        warn!(topic = log.topic(), partition, offset, %error, "a coordinator record cannot be read and is passed over");
    }
}
