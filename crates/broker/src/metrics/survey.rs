//! What this broker has of every topic, read once for a page: the families of a page are written one after the other, and
//! each would otherwise look at every partition again.

use std::sync::Arc;

use cluster::PartitionState;
use cluster::values::NO_LEADER;

use super::page::labels;
use super::traffic::Counted;
use crate::config::MetricsLevel;
use crate::context::Context;
use crate::topics::{Partition, Topic};

/// All topics in the order of their names, and sums over them.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) topics: Vec<TopicRow>,
    pub(super) sums: Sums,
}

#[derive(Debug)]
pub(super) struct TopicRow {
    /// `topic="…"`.
    pub(super) labels: String,
    pub(super) counted: Counted,
    pub(super) partitions_in_cluster: usize,
    pub(super) size_bytes: u64,
    /// Whether this broker speaks for the topic: the leader of its first partition does.
    pub(super) speaks: bool,
    /// Those with a log here; empty below the level of partitions.
    pub(super) partitions: Vec<PartitionRow>,
}

#[derive(Debug)]
pub(super) struct PartitionRow {
    /// `topic="…",partition="…"`.
    pub(super) labels: String,
    pub(super) is_led_here: bool,
    pub(super) leader_is_preferred: bool,
    pub(super) leader: i32,
    pub(super) replicas: usize,
    pub(super) in_sync: usize,
    pub(super) in_sync_min: usize,
    pub(super) start_offset: i64,
    pub(super) high_watermark: i64,
    pub(super) size_bytes: u64,
}

/// Over all partitions that concern this broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) partitions: usize,
    pub(super) led: usize,
    pub(super) under_replicated: usize,
    pub(super) under_min_isr: usize,
    pub(super) at_min_isr: usize,
    /// In the cluster: without a leader, or led here and not readable.
    pub(super) offline: usize,
}

impl Survey {
    /// Looks at all of it; below the level of partitions without keeping a row for each.
    pub(super) fn of(ctx: &Context, level: MetricsLevel) -> Self {
        let table = ctx.topics.snapshot();
        let mut sums = Sums::default();
        let topics = table.sorted().into_iter();
        Self {
            topics: topics
                .map(|topic| topic_row(ctx.node_id, topic, level, &mut sums))
                .collect(),
            sums,
        }
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &PartitionRow> {
        self.topics.iter().flat_map(|topic| &topic.partitions)
    }

    /// Those led here: what is said of them is said by nobody else.
    pub(super) fn led(&self) -> impl Iterator<Item = &PartitionRow> {
        self.partitions().filter(|partition| partition.is_led_here)
    }
}

fn topic_row(node_id: i32, topic: &Topic, level: MetricsLevel, sums: &mut Sums) -> TopicRow {
    let mut row = TopicRow {
        labels: labels(&[("topic", topic.name())]),
        counted: topic.traffic.counted(),
        partitions_in_cluster: topic.partition_count(),
        size_bytes: 0,
        speaks: topic
            .image
            .partition(0)
            .is_some_and(|state| state.leader == node_id),
        partitions: Vec::new(),
    };
    let in_sync_min = usize::try_from(topic.settings.min_insync_replicas).unwrap_or(1);
    for (index, state) in (0..).zip(&topic.image.partitions) {
        // No more than there are can be asked for (`Partition.effectiveMinIsr`).
        let in_sync_min = in_sync_min.min(state.replicas.len());
        let here = topic.partition(index);
        sums.add(node_id, state, here, in_sync_min);
        let Some(partition) = here else { continue };
        let size_bytes = partition.log.size_bytes();
        row.size_bytes += size_bytes;
        if level < MetricsLevel::Partition {
            continue;
        }
        row.partitions.push(PartitionRow {
            labels: format!("{},partition=\"{index}\"", row.labels),
            is_led_here: state.leader == node_id,
            leader_is_preferred: state.replicas.first() == Some(&state.leader),
            leader: state.leader,
            replicas: state.replicas.len(),
            in_sync: state.isr.len(),
            in_sync_min,
            start_offset: partition.log.log_start_offset(),
            high_watermark: partition.log.high_watermark(),
            size_bytes,
        });
    }
    row
}

impl Sums {
    fn add(
        &mut self,
        node_id: i32,
        state: &PartitionState,
        here: Option<&Arc<Partition>>,
        in_sync_min: usize,
    ) {
        let is_led_here = state.leader == node_id;
        let is_readable = here.is_some_and(|partition| !partition.log.is_offline());
        let count = |holds: bool| usize::from(holds);
        self.partitions += count(here.is_some());
        self.led += count(is_led_here && here.is_some());
        self.under_replicated += count(is_led_here && state.isr.len() < state.replicas.len());
        self.under_min_isr += count(is_led_here && state.isr.len() < in_sync_min);
        self.at_min_isr += count(is_led_here && state.isr.len() == in_sync_min);
        self.offline += count(state.leader == NO_LEADER || (is_led_here && !is_readable));
    }
}
