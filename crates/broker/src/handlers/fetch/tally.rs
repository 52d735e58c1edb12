//! What an answer adds to the metrics.

use storage::LogSlice;

use super::encode::PartitionResponse;
use super::{NAME, Pass, Target};
use crate::context::Context;

/// Counts a whole answer. Also what a session then holds back, because nothing is new in it: it was asked for and looked at.
/// A topic's counters are touched once for all its partitions: others count there too, and a session may have thousands.
pub(super) fn count(ctx: &Context, targets: &[Target], pass: &Pass) {
    let mut answers = pass.answers.as_slice();
    for targets in targets.chunk_by(is_same_topic) {
        let (here, rest) = answers.split_at(targets.len().min(answers.len()));
        count_topic(ctx, targets, here);
        answers = rest;
    }
    ctx.metrics.fetched_bytes.inc_by(pass.bytes as u64);
}

fn is_same_topic(one: &Target, other: &Target) -> bool {
    one.id == other.id && one.name == other.name
}

fn count_topic(ctx: &Context, targets: &[Target], answers: &[PartitionResponse]) {
    let mut traffic = None;
    let (mut fetches, mut bytes) = (0, 0);
    for (target, answer) in targets.iter().zip(answers) {
        ctx.metrics.request_error(NAME, answer.error_code);
        let Ok(partition) = &target.partition else {
            continue;
        };
        if answer.error_code != 0 {
            partition.traffic.fetch_failed(answer.error_code);
        }
        traffic = Some(&partition.traffic);
        fetches += 1;
        bytes += answer.records.iter().map(LogSlice::len).sum::<usize>();
    }
    if let Some(traffic) = traffic {
        traffic.fetched(fetches, bytes as u64);
    }
}
