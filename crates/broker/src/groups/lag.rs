//! How far groups are behind, computed where it is known: the coordinator knows what was committed, and the partitions
//! where their visible records end.

use std::sync::Arc;

use coordinator::GroupShard;

use super::Topics;

/// A group at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRow {
    pub(crate) id: Arc<str>,
    pub(crate) members: usize,
    /// In the order of their names; those that exist, and of which the group has committed something.
    pub(crate) topics: Vec<TopicLag>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicLag {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: Vec<PartitionLag>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionLag {
    pub(crate) index: i32,
    /// What the group has committed.
    pub(crate) offset: i64,
    /// Offsets from there to the high watermark; never negative.
    pub(crate) lag: i64,
}

impl TopicLag {
    pub(crate) fn lag(&self) -> i64 {
        sum(self.partitions.iter().map(|partition| partition.lag))
    }

    pub(crate) fn offset_sum(&self) -> i64 {
        sum(self.partitions.iter().map(|partition| partition.offset))
    }
}

impl GroupRow {
    pub(crate) fn lag(&self) -> i64 {
        sum(self.topics.iter().map(TopicLag::lag))
    }

    pub(crate) fn lag_max(&self) -> i64 {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.lag).max().unwrap_or(0)
    }
}

fn sum(values: impl Iterator<Item = i64>) -> i64 {
    values.fold(0, i64::saturating_add)
}

/// Every group of a coordinator. Offsets of topics that are gone, and of partitions led elsewhere, are left out.
pub(super) fn rows(shard: &GroupShard, topics: &Topics) -> Vec<GroupRow> {
    let groups = shard.groups().map(|group| {
        let mut row = GroupRow {
            id: Arc::clone(group.id()),
            members: group.member_count(),
            topics: Vec::new(),
        };
        for committed in group.committed(topics) {
            let Some(topic) = topics.0.named(committed.topic) else {
                continue;
            };
            let Ok(partition) = topic.led(committed.partition) else {
                continue;
            };
            let found = PartitionLag {
                index: committed.partition,
                offset: committed.offset,
                lag: lag(partition.log.high_watermark(), committed.offset),
            };
            match row.topics.last_mut() {
                Some(last) if last.name == *topic.name() => last.partitions.push(found),
                _ => row.topics.push(TopicLag {
                    name: Arc::clone(topic.name()),
                    partitions: vec![found],
                }),
            }
        }
        row
    });
    groups.collect()
}

/// An offset may be committed ahead of the end, or the end fall behind it with a leader that had less.
fn lag(high_watermark: i64, committed: i64) -> i64 {
    high_watermark.saturating_sub(committed).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_never_negative() {
        assert_eq!((lag(10, 4), lag(10, 10), lag(10, 11)), (6, 0, 0));
        assert_eq!(lag(10, i64::MIN), i64::MAX);
    }
}
