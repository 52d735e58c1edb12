//! Questions that change nothing. They see what has been replayed, which may be ahead of what all replicas have.

use std::collections::BTreeMap;

use super::{Entry, Group, GroupShard};
use crate::consumer::DescribedConsumerGroup;
use crate::error::GroupError;
use crate::event::{
    ClassicDescription, FetchOffsetsRequest, ListFilter, ListedGroup, TopicOffsets,
};
use crate::offsets::{GroupOffsets, PendingOffset};
use crate::records::subscription::CONSUMER_PROTOCOL_TYPE;
use crate::records::{GroupMetadata, OffsetCommitValue};
use crate::stats::{EndedRebalance, GroupStats};
use crate::topics::TopicView;

/// The durable state of one group, for comparing what was lived through with what the log gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableGroup {
    /// The group's id.
    pub group_id: String,
    /// The classic group's last stored record.
    pub classic: Option<GroupMetadata>,
    /// The consumer group, as far as its topics exist.
    pub consumer: Option<DescribedConsumerGroup>,
    /// Its committed offsets by topic and partition.
    pub offsets: BTreeMap<(String, i32), OffsetCommitValue>,
    /// Its pending offsets by topic, partition and producer id.
    pub pending: BTreeMap<(String, i32, i64), PendingOffset>,
}

impl GroupShard {
    /// OffsetFetch. A group or partition without an offset is no error. A partition that a transaction holds back is, if that is
    /// asked for.
    ///
    /// # Errors
    /// None for classic groups. Whoever claims to be a member of a consumer group: [`GroupError::UnknownMember`],
    /// [`GroupError::StaleMemberEpoch`], [`GroupError::IllegalGeneration`].
    pub fn fetch_offsets(
        &self,
        topics: &dyn TopicView,
        request: &FetchOffsetsRequest,
    ) -> Result<Vec<TopicOffsets>, GroupError> {
        let none = GroupOffsets::default();
        let entry = self.entries.get(request.group_id.as_str());
        if let Some(Group::Consumer(group)) = entry.map(|entry| &entry.group) {
            group.validate_fetch(request.member_id.as_deref(), request.member_epoch)?;
        }
        let offsets = entry.map_or(&none, |entry| &entry.offsets);
        let current_id = |topic: &str| topics.by_name(topic).map(|(id, _)| id);
        let stable = request.require_stable;
        let Some(asked) = &request.topics else {
            let all = offsets.partitions();
            let fetched = all.map(|(topic, partitions)| {
                let mut found = offsets.fetch(topic, &partitions, current_id(topic), stable);
                found.partitions.retain(|(_, offset)| *offset != Ok(None));
                found
            });
            return Ok(fetched
                .filter(|found| !found.partitions.is_empty())
                .collect());
        };
        let fetched = asked
            .iter()
            .map(|(topic, partitions)| offsets.fetch(topic, partitions, current_id(topic), stable));
        Ok(fetched.collect())
    }

    /// DescribeGroups, for one group.
    ///
    /// # Errors
    /// [`GroupError::GroupIdNotFound`] if there is no such classic group; older versions show that as a dead group.
    pub fn describe_classic(&self, group_id: &str) -> Result<ClassicDescription, GroupError> {
        let entry = self.entries.get(group_id);
        match entry.map(|entry| &entry.group) {
            Some(Group::Classic(group)) => Ok(group.describe()),
            Some(Group::Consumer(_)) => Err(GroupError::GroupIdNotFound(format!(
                "Group {group_id} is not a classic group."
            ))),
            None => Err(GroupError::GroupIdNotFound(format!(
                "Group {group_id} not found."
            ))),
        }
    }

    /// ConsumerGroupDescribe, for one group.
    ///
    /// # Errors
    /// [`GroupError::GroupIdNotFound`] if there is no such consumer group.
    pub fn describe_consumer(
        &self,
        topics: &dyn TopicView,
        group_id: &str,
    ) -> Result<DescribedConsumerGroup, GroupError> {
        let ctx = self.context(topics, group_id);
        match self.entries.get(group_id).map(|entry| &entry.group) {
            Some(Group::Consumer(group)) => Ok(group.describe(&ctx)),
            Some(Group::Classic(_)) => Err(GroupError::GroupIdNotFound(format!(
                "Group {group_id} is not a consumer group."
            ))),
            None => Err(GroupError::GroupIdNotFound(format!(
                "Group {group_id} not found."
            ))),
        }
    }

    /// ListGroups, in the order of the ids.
    #[must_use]
    pub fn list_groups(&self, filter: &ListFilter) -> Vec<ListedGroup> {
        let wanted = |names: &[String], name: &str| {
            let mut names = names.iter().map(|wanted| wanted.trim());
            names.len() == 0 || names.any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        self.entries
            .values()
            .map(listed)
            .filter(|group| wanted(&filter.states, group.state))
            .filter(|group| wanted(&filter.types, group.group_type))
            .collect()
    }

    /// Counts for the metrics. Costs a look at every group.
    #[must_use]
    pub fn stats(&self) -> GroupStats {
        let mut by_state: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
        let mut stats = GroupStats {
            rebalances: self.counters.rebalances,
            consumer_rebalances: self.counters.consumer_rebalances.clone(),
            offset_commits: self.counters.offset_commits,
            offset_deletions: self.counters.offset_deletions,
            offset_expirations: self.counters.offset_expirations,
            records_ignored: self.counters.records_ignored,
            records_refused: self.counters.records_refused,
            ..GroupStats::default()
        };
        for entry in self.entries.values() {
            let key = (entry.group.type_name(), entry.group.state_name());
            *by_state.entry(key).or_default() += 1;
            stats.members += entry.group.member_count() as u64;
            stats.offsets += entry.offsets.len() as u64;
            if let Group::Consumer(group) = &entry.group {
                for (reason, count) in group.rebalances() {
                    *stats.consumer_rebalances.entry(reason).or_default() += count;
                }
            }
        }
        let flat = by_state.into_iter();
        stats.groups = flat
            .map(|((kind, state), count)| (kind, state, count))
            .collect();
        stats
    }

    /// The rebalances that have ended since the last call; at most the first thousand or so.
    pub fn take_ended_rebalances(&mut self) -> Vec<EndedRebalance> {
        std::mem::take(&mut self.counters.ended_rebalances)
    }

    /// Everything a restart would find again.
    #[must_use]
    pub fn durable(&self, topics: &dyn TopicView) -> Vec<DurableGroup> {
        let ctx = |group_id: &str| self.context(topics, group_id);
        let groups = self.entries.values().map(|entry| {
            let (classic, consumer) = match &entry.group {
                Group::Classic(group) => (group.stored().cloned(), None),
                Group::Consumer(group) if group.is_absent() => (None, None),
                Group::Consumer(group) => (None, Some(group.describe(&ctx(&entry.id)))),
            };
            let offsets = entry.offsets.iter();
            let pending = entry.offsets.pending.iter();
            DurableGroup {
                group_id: entry.id.to_string(),
                classic,
                consumer,
                offsets: offsets
                    .map(|(topic, partition, offset)| {
                        ((topic.to_owned(), partition), offset.clone())
                    })
                    .collect(),
                pending: pending
                    .map(|(topic, partition, producer_id, offset)| {
                        ((topic.to_owned(), partition, producer_id), offset.clone())
                    })
                    .collect(),
            }
        });
        groups
            .filter(|group| {
                let has_group = group.classic.is_some() || group.consumer.is_some();
                has_group || !group.offsets.is_empty() || !group.pending.is_empty()
            })
            .collect()
    }
}

fn listed(entry: &Entry) -> ListedGroup {
    let protocol_type = match &entry.group {
        Group::Classic(group) => group.protocol_type(),
        Group::Consumer(_) => CONSUMER_PROTOCOL_TYPE,
    };
    ListedGroup {
        group_id: entry.id.to_string(),
        protocol_type: protocol_type.to_owned(),
        state: entry.group.state_name(),
        group_type: entry.group.type_name(),
    }
}
