//! Markers: the control batches that end a transaction in the logs of its partitions.

use std::sync::Arc;

use coordinator::transactions::TransactionVersion;
use storage::{AppendError, AppendJob, Origin};
use tokio::sync::oneshot;
use wire::ResponseError;
use wire::batch::EndTxnMarker;

use crate::context::Context;

/// Why a marker is not in a partition's log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MarkerError {
    #[error("the partition is not led here: {0:?}")]
    NotLed(ResponseError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the store is closed")]
    Closed,
}

/// Writes the markers of one transaction, all in one submission. A partition that is gone has no use for one.
pub(crate) async fn write_markers(
    ctx: &Arc<Context>,
    producer_id: i64,
    epoch: i16,
    coordinator_epoch: i32,
    committed: bool,
    _version: TransactionVersion,
    partitions: Vec<(Arc<str>, i32)>,
) -> Vec<(Arc<str>, i32, Result<(), MarkerError>)> {
    let marker = EndTxnMarker {
        producer_id,
        producer_epoch: epoch,
        committed,
        coordinator_epoch,
    };
    let table = ctx.topics.snapshot();
    let (mut results, mut jobs, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for (name, index) in partitions {
        let Some(topic) = table.named(&name) else {
            results.push((name, index, Ok(())));
            continue;
        };
        let partition = match topic.led(index) {
            Ok(partition) => partition,
            Err(code) => {
                results.push((name, index, Err(MarkerError::NotLed(code))));
                continue;
            }
        };
        let Ok(batch) = marker.to_batch(ctx.now_ms()) else {
            continue;
        };
        jobs.push(AppendJob {
            log: Arc::clone(&partition.log),
            batch,
            leader_epoch: partition.leader_epoch,
            origin: Origin::Internal,
        });
        asked.push((name, index));
    }
    if jobs.is_empty() {
        return results;
    }
    let (sender, receiver) = oneshot::channel();
    ctx.store
        .append(jobs, Box::new(move |appended| drop(sender.send(appended))));
    let mut appended = receiver.await.unwrap_or_default().into_iter();
    for (name, index) in asked {
        let result = match appended.next() {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
            None => Err(MarkerError::Closed),
        };
        results.push((name, index, result));
    }
    results
}
