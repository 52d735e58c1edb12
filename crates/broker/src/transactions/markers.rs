//! The markers of one transaction on their way: to every partition at once, and again to those that could not take theirs.

use std::sync::Arc;
use std::time::Duration;

use coordinator::transactions::{Markers, TopicPartition};
use foldhash::HashSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::Context;
use crate::markers::write_markers;

/// How long after a failed attempt the first next one begins; each further wait is twice as long.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// An attempt that takes longer is worth a word in the log, and more after as long again. It is waited for all the same: a marker
/// that is on its way must neither be sent once more nor be reported, since by the rules of version 1 it could still end the
/// next transaction.
const ATTEMPT_LONG: Duration = Duration::from_secs(30);

/// Writes until every partition has its marker or is gone. `None` when it was stopped: whoever coordinates the transaction next
/// writes them all again.
pub(super) async fn write(
    ctx: Arc<Context>,
    markers: Markers,
    stop: CancellationToken,
) -> Option<Markers> {
    let mut left = markers.partitions.clone();
    let mut delay = RETRY_MIN;
    loop {
        left = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            left = attempt(&ctx, &markers, left, delay == RETRY_MIN) => left,
        };
        if left.is_empty() {
            if delay > RETRY_MIN {
                info!(
                    transactional_id = &*markers.transactional_id,
                    "the markers that failed are written"
                );
            }
            return Some(markers);
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(delay) => delay = (delay * 2).min(RETRY_MAX),
        }
    }
}

/// What is left to be written afterwards.
async fn attempt(
    ctx: &Arc<Context>,
    markers: &Markers,
    partitions: Vec<TopicPartition>,
    is_first: bool,
) -> Vec<TopicPartition> {
    let names = partitions
        .iter()
        .map(|it| (Arc::clone(&it.topic), it.partition));
    let writing = write_markers(
        ctx,
        markers.producer_id,
        markers.epoch,
        markers.coordinator_epoch,
        markers.committed,
        markers.version,
        names.collect(),
    );
    tokio::pin!(writing);
    let results = loop {
        if let Ok(results) = tokio::time::timeout(ATTEMPT_LONG, &mut writing).await {
            break results;
        }
        warn!(
            transactional_id = &*markers.transactional_id,
            "markers are not written yet"
        );
    };
    let mut written = HashSet::default();
    for (topic, partition, result) in results {
        match result {
            Ok(()) => drop(written.insert((topic, partition))),
            // The others would only repeat it.
            Err(error) if is_first => {
                let transactional_id = &*markers.transactional_id;
                warn!(transactional_id, %topic, partition, %error, "a marker could not be written");
            }
            Err(_) => {}
        }
    }
    let mut left = partitions;
    left.retain(|it| !written.contains(&(Arc::clone(&it.topic), it.partition)));
    left
}
