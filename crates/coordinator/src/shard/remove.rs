//! What takes offsets and groups away: OffsetDelete, DeleteGroups, deleted topics, and age.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Group, GroupShard, RECORDS_PER_TICK, reindex};
use crate::decision::Decision;
use crate::error::GroupError;
use crate::event::{DeleteOffsetsRequest, Reply, TopicResults};
use crate::offsets::Expiry;
use crate::records::offset_commit::offset_tombstone;
use crate::topics::TopicView;

fn not_found(group_id: &str) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {group_id} not found."))
}

impl GroupShard {
    pub(super) fn delete_offsets(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        request: &DeleteOffsetsRequest,
    ) -> Result<Vec<TopicResults>, GroupError> {
        let group_id = request.group_id.as_str();
        if group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let entry = self
            .entries
            .get(group_id)
            .ok_or_else(|| not_found(group_id))?;
        if let Group::Classic(group) = &entry.group {
            group.check_delete_offsets()?;
        }
        let mut results = Vec::with_capacity(request.topics.len());
        for (topic, partitions) in &request.topics {
            let count = topics.by_name(topic).map_or(0, |(_, count)| count);
            let subscribed = entry.group.is_subscribed(topic);
            let partitions = partitions.iter().map(|&partition| {
                let result = if !(0..count).contains(&partition) {
                    Err(GroupError::UnknownTopicOrPartition)
                } else if subscribed {
                    Err(GroupError::SubscribedToTopic)
                } else {
                    Ok(())
                };
                if result.is_ok() && entry.offsets.contains(topic, partition) {
                    let record = offset_tombstone(group_id, topic, partition);
                    decision.records.push(record);
                }
                (partition, result)
            });
            results.push(TopicResults {
                topic: topic.clone(),
                partitions: partitions.collect(),
            });
        }
        self.counters.offset_deletions += decision.records.len() as u64;
        Ok(results)
    }

    pub(super) fn delete_groups(
        &mut self,
        decision: &mut Decision<Reply>,
        group_ids: Vec<String>,
    ) -> Vec<(String, Result<(), GroupError>)> {
        let mut seen = BTreeSet::new();
        let distinct: Vec<String> = group_ids
            .into_iter()
            .filter(|group_id| seen.insert(group_id.clone()))
            .collect();
        distinct
            .into_iter()
            .map(|group_id| {
                let result = self.delete_group(decision, &group_id);
                (group_id, result)
            })
            .collect()
    }

    fn delete_group(
        &mut self,
        decision: &mut Decision<Reply>,
        group_id: &str,
    ) -> Result<(), GroupError> {
        if group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let entry = self
            .entries
            .get(group_id)
            .ok_or_else(|| not_found(group_id))?;
        if !entry.group.is_empty() {
            return Err(GroupError::NonEmptyGroup);
        }
        let before = decision.records.len();
        let offsets = entry.offsets.keys();
        decision
            .records
            .extend(offsets.map(|(topic, partition)| offset_tombstone(group_id, topic, partition)));
        self.counters.offset_deletions += (decision.records.len() - before) as u64;
        decision.records.extend(entry.group.tombstones(group_id));
        Ok(())
    }

    /// Topics are gone for good: their offsets are due to be forgotten. [`Self::next_deadline`] is now, and the ticks that
    /// follow hold the tombstones, a batch each. A topic of the same name with another id is not touched.
    pub fn topics_deleted(&mut self, now_ms: i64, deleted: &[(String, Uuid)]) {
        self.now_ms = now_ms;
        for entry in self.entries.values_mut() {
            let mut marked = false;
            for (topic, topic_id) in deleted {
                marked |= entry.offsets.mark_deleted(topic, *topic_id);
            }
            if marked {
                entry.offsets_check_at_ms = now_ms;
                reindex(&mut self.deadlines, entry);
            }
        }
    }

    /// Looks a group's offsets over if their time has come: the old ones get tombstones, and an empty group that has none
    /// left goes with them (`GroupCoordinatorShard.cleanupGroupMetadata`).
    pub(super) fn expire_offsets(&mut self, decision: &mut Decision<Reply>, group_id: &str) {
        let next_check_ms = self.next_offsets_check_ms();
        let Some(entry) = self.entries.get_mut(group_id) else {
            return;
        };
        if entry.offsets_check_at_ms > self.now_ms || entry.is_changing() {
            return;
        }
        let limit = RECORDS_PER_TICK.saturating_sub(decision.records.len());
        let expiry = Expiry {
            now_ms: self.now_ms,
            retention_ms: self.options.offsets_retention_ms,
            base: entry.group.expiry_base(),
            subscribed: &|topic| entry.group.is_subscribed(topic),
        };
        let (expired, nothing_left) = entry.offsets.expired(&expiry, limit);
        let tombstones = expired
            .iter()
            .map(|(topic, partition)| offset_tombstone(group_id, topic, *partition));
        decision.records.extend(tombstones);
        self.counters.offset_expirations += expired.len() as u64;
        if nothing_left && entry.group.is_deserted() {
            decision.records.extend(entry.group.tombstones(group_id));
        }
        // With a full batch there may be more: the group stays due.
        if expired.len() < limit {
            entry.offsets_check_at_ms = next_check_ms;
        }
        reindex(&mut self.deadlines, entry);
    }
}
