//! The log of one coordinator, where its decisions are stored, and the view beside it.

use std::sync::Arc;
use std::time::Duration;

use coordinator::{CoordinatorRecord, Producer};
use storage::{AppendError, AppendJob, Appended, EngineError, Origin};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchOptions, Codec, EndTxnMarker};

use super::load::{self, Replay, Stored, ViewChanges};
use crate::clock;
use crate::context::Context;
use crate::topics::Partition;

/// Changes of the view are gathered for this long, or until there are this many: the log has them all, so what a crash takes
/// is read again.
const VIEW_DELAY: Duration = Duration::from_secs(1);
const VIEW_ROWS_MAX: usize = 1_000;

/// Why records were not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStored {
    /// They make no batch: too large.
    #[error("the records are too large for a batch")]
    TooLarge,
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// How records are stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storing {
    pub(crate) codec: Codec,
    pub(crate) origin: Origin,
}

/// Stores one coordinator's records and keeps their view.
pub(crate) struct Journal {
    partition: Arc<Partition>,
    /// Behind those that are being written.
    view: ViewChanges,
    view_due: Option<Instant>,
    /// One write at a time: a later one says that all before it is in the view.
    writing: Option<JoinHandle<(ViewChanges, Result<(), EngineError>)>>,
    /// Whether the last write failed: the next is not hurried.
    failed: bool,
}

impl Journal {
    pub(crate) fn of(partition: Arc<Partition>) -> Self {
        Self {
            partition,
            view: ViewChanges::default(),
            view_due: None,
            writing: None,
            failed: false,
        }
    }

    pub(crate) fn partition(&self) -> i32 {
        self.partition.log.key().partition
    }

    /// The offset behind everything that was stored.
    pub(crate) fn end(&self) -> i64 {
        self.partition.log.log_end_offset()
    }

    /// When the view is to be written.
    pub(crate) fn view_due(&self) -> Option<Instant> {
        self.view_due
    }

    /// Appends the records as one batch and applies each to `state`. Returns the offset behind them: whoever is told of them waits
    /// until the log is committed so far.
    pub(crate) async fn store<S: Replay>(
        &mut self,
        ctx: &Context,
        state: &mut S,
        records: &[CoordinatorRecord],
        transaction: Option<Producer>,
        storing: Storing,
    ) -> Result<i64, NotStored> {
        let batch =
            batch(ctx.now_ms(), records, transaction, storing.codec).ok_or(NotStored::TooLarge)?;
        let base_offset = self
            .append(ctx, batch, records.len(), storing.origin)
            .await?;
        let mut end = base_offset;
        for record in records {
            let stored = match transaction {
                Some(producer) => Stored::InTransaction(producer.id, record),
                None => Stored::Record(record),
            };
            load::replay(&self.partition.log, state, &mut self.view, stored, end);
            end = end.saturating_add(1);
        }
        self.keep_view().await;
        Ok(end)
    }

    /// Appends the end of a transaction and has `state` draw its consequences. Returns the offset behind it.
    pub(crate) async fn end_transaction<S: Replay>(
        &mut self,
        ctx: &Context,
        state: &mut S,
        marker: EndTxnMarker,
        bumps_epoch: bool,
    ) -> Result<i64, NotStored> {
        let batch = marker.to_batch(ctx.now_ms());
        let batch = batch.map_err(|_| NotStored::TooLarge)?;
        let origin = Origin::Marker { bumps_epoch };
        let offset = self.append(ctx, batch, 1, origin).await?;
        let end = Stored::End {
            producer_id: marker.producer_id,
            committed: marker.committed,
        };
        load::replay(&self.partition.log, state, &mut self.view, end, offset);
        self.keep_view().await;
        Ok(offset.saturating_add(1))
    }

    /// Where the batch stands, once it does.
    async fn append(
        &self,
        ctx: &Context,
        batch: Bytes,
        records: usize,
        origin: Origin,
    ) -> Result<i64, NotStored> {
        let bytes = batch.len() as u64;
        let job = AppendJob {
            log: Arc::clone(&self.partition.log),
            batch,
            leader_epoch: self.partition.leader_epoch,
            origin,
        };
        let (sender, receiver) = oneshot::channel::<Vec<Result<Appended, AppendError>>>();
        ctx.store.append(
            vec![job],
            Box::new(move |results| drop(sender.send(results))),
        );
        let result = receiver.await.ok().and_then(|mut results| results.pop());
        let appended = result.ok_or(NotStored::Closed)??;
        self.partition.traffic.appended(bytes, records as u64);
        Ok(appended.base_offset)
    }

    /// Begins to write the view's changes if they are due; nothing waits for it.
    pub(crate) async fn keep_view(&mut self) {
        if self.view.len() == 0 {
            return;
        }
        let now = clock::monotonic();
        let due = *self.view_due.get_or_insert(now + VIEW_DELAY);
        if due > now && (self.failed || self.view.len() < VIEW_ROWS_MAX) {
            return;
        }
        if self.writing.as_ref().is_some_and(|it| !it.is_finished()) {
            self.view_due = Some(now + VIEW_DELAY);
            return;
        }
        // It is finished, if there is one.
        if self.written().await {
            self.write_view();
        } else {
            self.view_due = Some(now + VIEW_DELAY);
        }
    }

    /// Writes all that the view does not have, as the last thing.
    pub(crate) async fn finish(mut self) {
        if self.written().await {
            self.write_view();
            self.written().await;
        }
    }

    fn write_view(&mut self) {
        self.view_due = None;
        if self.view.len() == 0 {
            return;
        }
        let changes = std::mem::take(&mut self.view);
        let log = Arc::clone(&self.partition.log);
        let write = move || {
            let result = changes.write(&log);
            (changes, result)
        };
        self.writing = Some(tokio::task::spawn_blocking(write));
    }

    /// Waits for the write on its way, and whether it went well. What it could not write goes with the next.
    async fn written(&mut self) -> bool {
        let Some(writing) = self.writing.take() else {
            return true;
        };
        let (changes, result) = match writing.await {
            Ok(written) => written,
            Err(end) => match end.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime goes down; the log has it all.
                Err(_) => return false,
            },
        };
        self.failed = result.is_err();
        if let Err(error) = result {
            let partition = self.partition();
            warn!(partition, %error, "a coordinator's view is not written; it will be tried again");
            let newer = std::mem::replace(&mut self.view, changes);
            self.view.merge(newer);
        }
        !self.failed
    }
}

fn batch(
    now_ms: i64,
    records: &[CoordinatorRecord],
    transaction: Option<Producer>,
    codec: Codec,
) -> Option<Bytes> {
    let mut options = BatchOptions {
        codec,
        ..BatchOptions::default()
    };
    if let Some(producer) = transaction {
        options = BatchOptions {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            // As Kafka has it; nobody counts the sequences of a coordinator.
            base_sequence: 0,
            transactional: true,
            ..options
        };
    }
    let mut builder = BatchBuilder::new(options);
    for record in records {
        builder
            .append(now_ms, Some(&record.key), record.value.as_deref(), &[])
            .ok()?;
    }
    builder.build().ok()
}
