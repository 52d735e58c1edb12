//! The log of one coordinator, where its decisions are stored, and the view beside it.

use std::sync::Arc;
use std::time::Duration;

use coordinator::CoordinatorRecord;
use storage::{AppendError, AppendJob, Appended, EngineError, Origin};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;
use wire::Bytes;
use wire::batch::{BatchBuilder, BatchOptions, Codec};

use super::load::{self, Replay, ViewChanges};
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

    /// When the view is to be written.
    pub(crate) fn view_due(&self) -> Option<Instant> {
        self.view_due
    }

    /// Appends the records as one batch and applies each to `state`.
    pub(crate) async fn store<S: Replay>(
        &mut self,
        ctx: &Context,
        state: &mut S,
        records: &[CoordinatorRecord],
        codec: Codec,
    ) -> Result<(), NotStored> {
        let batch = batch(ctx.now_ms(), records, codec).ok_or(NotStored::TooLarge)?;
        let bytes = batch.len() as u64;
        let base_offset = self.append(ctx, batch).await?;
        let traffic = &self.partition.traffic;
        traffic.appended(bytes, records.len() as u64);
        for (offset, record) in (base_offset..).zip(records) {
            load::replay(&self.partition.log, state, record, offset);
            self.view.note(record, offset);
        }
        self.keep_view().await;
        Ok(())
    }

    async fn append(&self, ctx: &Context, batch: Bytes) -> Result<i64, NotStored> {
        let job = AppendJob {
            log: Arc::clone(&self.partition.log),
            batch,
            leader_epoch: self.partition.leader_epoch,
            origin: Origin::Internal,
        };
        let (sender, receiver) = oneshot::channel::<Vec<Result<Appended, AppendError>>>();
        ctx.store.append(
            vec![job],
            Box::new(move |results| drop(sender.send(results))),
        );
        let result = receiver.await.ok().and_then(|mut results| results.pop());
        Ok(result.ok_or(NotStored::Closed)??.base_offset)
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

fn batch(now_ms: i64, records: &[CoordinatorRecord], codec: Codec) -> Option<Bytes> {
    let mut builder = BatchBuilder::new(BatchOptions {
        codec,
        ..BatchOptions::default()
    });
    for record in records {
        builder
            .append(now_ms, Some(&record.key), record.value.as_deref(), &[])
            .ok()?;
    }
    builder.build().ok()
}
