//! What the coordinators of this broker have in common: one task for each partition of an internal topic that is led here. It
//! reads its state back, stores what it decides, and follows the partition's leadership.
//!
//! What is coordinated, and by which rules, is the business of the rooms that use this.

pub(crate) mod committing;
pub(crate) mod journal;
pub(crate) mod load;

use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock;
use crate::context::Context;
use crate::topics::{Partition, Topic};

/// The coordinators that run here, by partition of their topic; `H` talks to one.
pub(crate) type RunningAll<H> = HashMap<i32, Running<H>>;

/// A coordinator that runs here.
pub(crate) struct Running<H> {
    pub(crate) handle: H,
    topic_id: Uuid,
    leader_epoch: i32,
    stop: CancellationToken,
}

/// Stops the coordinators of partitions that are not led here any more, or under another leader epoch, and has `start` begin
/// those of others.
pub(crate) fn start_and_stop<H>(
    running: &mut RunningAll<H>,
    topic: Option<&Arc<Topic>>,
    stop_all: &CancellationToken,
    mut start: impl FnMut(Arc<Partition>, CancellationToken) -> H,
) {
    running.retain(|partition, one| {
        let stays = topic.is_some_and(|topic| {
            topic.id() == one.topic_id
                && topic
                    .led(*partition)
                    .is_ok_and(|led| led.leader_epoch == one.leader_epoch)
        });
        if !stays {
            one.stop.cancel();
        }
        stays
    });
    let Some(topic) = topic else { return };
    for index in (0..).take(topic.partition_count()) {
        let Ok(partition) = topic.led(index) else {
            continue;
        };
        if running.contains_key(&index) {
            continue;
        }
        let stop = stop_all.child_token();
        let one = Running {
            topic_id: topic.id(),
            leader_epoch: partition.leader_epoch,
            stop: stop.clone(),
            handle: start(Arc::clone(partition), stop),
        };
        running.insert(index, one);
    }
}

/// The partition of an internal topic that a name belongs to (`Utils.abs(name.hashCode()) % partitions`).
pub(crate) fn partition_of(name: &str, topic: &Topic) -> i32 {
    let count = i32::try_from(topic.partition_count())
        .unwrap_or(i32::MAX)
        .max(1);
    (java_hash(name) & i32::MAX) % count
}

/// `String.hashCode()` of Java: over UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// Milliseconds that only move forward, beginning at the wall clock's: nothing must run out because the clock was set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    wall_ms: i64,
    origin: Instant,
}

impl Time {
    pub(crate) fn starting(ctx: &Context) -> Self {
        Self {
            wall_ms: ctx.now_ms(),
            origin: clock::monotonic(),
        }
    }

    pub(crate) fn now_ms(self) -> i64 {
        let elapsed = i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.wall_ms.saturating_add(elapsed)
    }

    pub(crate) fn instant(self, at_ms: i64) -> Instant {
        let after = u64::try_from(at_ms.saturating_sub(self.wall_ms)).unwrap_or(0);
        // A far deadline is looked at again in a year.
        self.origin + Duration::from_millis(after.min(365 * 24 * 3_600_000))
    }
}

/// Until then, or for ever.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hash_as_java_strings_do() {
        // From `"…".hashCode()` in a JVM.
        for (text, hash) in [
            ("", 0),
            ("group", 98_629_247),
            ("my-transactional-id", -959_806_496),
            ("käse-𝄞", -1_477_845_364),
        ] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }
}
