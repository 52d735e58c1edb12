//! Markers: the control batches that end a transaction in the logs of its partitions.

use std::sync::Arc;

use coordinator::transactions::TransactionVersion;
use storage::{AppendError, AppendJob, Origin};
use tokio::sync::oneshot;
use wire::ResponseError;
use wire::batch::{BuildError, EndTxnMarker};

use crate::context::Context;
use crate::error_code;
use crate::groups::{EndTransactionError, OFFSETS_TOPIC};

/// Why a marker is not in a partition's log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MarkerError {
    #[error("the partition is not led here: {0:?}")]
    NotLed(ResponseError),
    #[error(transparent)]
    Append(#[from] AppendError),
    /// In a partition of the offsets topic, whose coordinator writes it.
    #[error(transparent)]
    Offsets(#[from] EndTransactionError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("the store is closed")]
    Closed,
}

impl MarkerError {
    /// What another broker, or an administrator, is told.
    pub(crate) fn code(&self) -> ResponseError {
        match self {
            Self::NotLed(code) => *code,
            Self::Append(error) | Self::Offsets(EndTransactionError::Append(error)) => {
                error_code::for_append(error)
            }
            Self::Offsets(EndTransactionError::Group(error)) => error_code::for_group(error),
            Self::Build(_) => ResponseError::UnknownServerError,
            Self::Closed => ResponseError::NotLeaderOrFollower,
        }
    }
}

/// What became of the marker of each partition.
pub(crate) type MarkerResults = Vec<(Arc<str>, i32, Result<(), MarkerError>)>;

/// Writes the markers of one transaction, those for the store in one submission. A partition that is gone has no use for one.
pub(crate) async fn write_markers(
    ctx: &Arc<Context>,
    producer_id: i64,
    epoch: i16,
    coordinator_epoch: i32,
    committed: bool,
    version: TransactionVersion,
    partitions: Vec<(Arc<str>, i32)>,
) -> MarkerResults {
    let marker = EndTxnMarker {
        producer_id,
        producer_epoch: epoch,
        committed,
        coordinator_epoch,
    };
    let bumps_epoch = version == TransactionVersion::V2;
    let origin = Origin::Marker { bumps_epoch };
    let (of_groups, of_store): (Vec<_>, Vec<_>) = partitions
        .into_iter()
        .partition(|(topic, _)| **topic == *OFFSETS_TOPIC);
    let (mut results, ended) = tokio::join!(
        append_all(ctx, marker, origin, of_store),
        end_all(ctx, marker, bumps_epoch, of_groups),
    );
    results.extend(ended);
    results
}

async fn append_all(
    ctx: &Arc<Context>,
    marker: EndTxnMarker,
    origin: Origin,
    partitions: Vec<(Arc<str>, i32)>,
) -> MarkerResults {
    let table = ctx.topics.snapshot();
    let (mut results, mut jobs, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for (name, index) in partitions {
        let Some(topic) = table.named(&name) else {
            results.push((name, index, Ok(())));
            continue;
        };
        let job = topic
            .led(index)
            .map_err(MarkerError::NotLed)
            .and_then(|partition| {
                Ok(AppendJob {
                    log: Arc::clone(&partition.log),
                    batch: marker.to_batch(ctx.now_ms())?,
                    leader_epoch: partition.leader_epoch,
                    origin,
                })
            });
        match job {
            Ok(job) => {
                jobs.push(job);
                asked.push((name, index));
            }
            Err(error) => results.push((name, index, Err(error))),
        }
    }
    if jobs.is_empty() {
        return results;
    }
    let (sender, receiver) = oneshot::channel();
    ctx.store
        .append(jobs, Box::new(move |appended| drop(sender.send(appended))));
    let mut appended = receiver.await.unwrap_or_default().into_iter();
    results.extend(asked.into_iter().map(|(name, index)| {
        let result = match appended.next() {
            Some(Ok(_)) => Ok(()),
            // Deleted while it was on its way.
            Some(Err(AppendError::Deleted)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
            None => Err(MarkerError::Closed),
        };
        (name, index, result)
    }));
    results
}

/// Has the coordinators of groups end the transaction, one after the other: there are rarely two.
async fn end_all(
    ctx: &Arc<Context>,
    marker: EndTxnMarker,
    bumps_epoch: bool,
    partitions: Vec<(Arc<str>, i32)>,
) -> MarkerResults {
    let mut results = Vec::with_capacity(partitions.len());
    let table = ctx.topics.snapshot();
    for (name, index) in partitions {
        if table.named(&name).is_none() {
            results.push((name, index, Ok(())));
            continue;
        }
        let ended = ctx.groups.end_transaction(index, marker, bumps_epoch).await;
        results.push((name, index, ended.map_err(MarkerError::from)));
    }
    results
}
