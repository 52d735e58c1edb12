//! OffsetCommit and TxnOffsetCommit: who may, and what is stored.

use uuid::Uuid;

use super::{Group, GroupShard};
use crate::consumer::{CommitScope, ConsumerCommit};
use crate::decision::Decision;
use crate::error::GroupError;
use crate::event::{CommitRequest, PartitionCommit, Reply, TopicResults};
use crate::records::OffsetCommitValue;
use crate::topics::TopicView;

impl GroupShard {
    pub(super) fn commit_offsets(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        request: &CommitRequest,
    ) -> Result<Vec<TopicResults>, GroupError> {
        let any_known = request.topics.iter().any(|(topic, partitions)| {
            let mut indexes = partitions.iter().map(|commit| commit.partition);
            indexes.any(|partition| known(topics, topic, partition).is_some())
        });
        let mut scope = None;
        // As in Kafka, a group is not even asked about partitions that do not exist.
        if any_known {
            self.check_commit(request)?;
            self.commit_counts_as_heartbeat(decision, request);
            scope = self.commit_scope(request)?;
        }
        let mut results = Vec::with_capacity(request.topics.len());
        for (topic, partitions) in &request.topics {
            let partitions = partitions.iter().map(|commit| {
                let value = self.offset_value(
                    request,
                    commit,
                    known(topics, topic, commit.partition),
                    scope.as_ref(),
                );
                let result = value.map(|value| {
                    let record = value.record(&request.group_id, topic, commit.partition);
                    decision.records.push(record);
                });
                (commit.partition, result)
            });
            results.push(TopicResults {
                topic: topic.clone(),
                partitions: partitions.collect(),
            });
        }
        decision.transaction = request.transaction;
        self.counters.offset_commits += decision.records.len() as u64;
        Ok(results)
    }

    fn check_commit(&self, request: &CommitRequest) -> Result<(), GroupError> {
        if request.transaction.is_some() && request.group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        match self.entries.get(request.group_id.as_str()) {
            // Outside any membership a commit makes the group.
            None if request.generation_or_epoch < 0 => Ok(()),
            None if request.knows_new_group_errors => Err(GroupError::GroupIdNotFound(format!(
                "Group {} not found.",
                request.group_id
            ))),
            None => Err(GroupError::IllegalGeneration),
            Some(entry) => match &entry.group {
                Group::Classic(group) => group.check_commit(request),
                Group::Consumer(_) => Ok(()),
            },
        }
    }

    /// What a member of a consumer group may commit; `None` for other groups, where it may all.
    fn commit_scope(&self, request: &CommitRequest) -> Result<Option<CommitScope<'_>>, GroupError> {
        let entry = self.entries.get(request.group_id.as_str());
        let Some(Group::Consumer(group)) = entry.map(|entry| &entry.group) else {
            return Ok(None);
        };
        let commit = ConsumerCommit {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            member_epoch: request.generation_or_epoch,
            is_transactional: request.transaction.is_some(),
            version: if request.knows_new_group_errors { 9 } else { 8 },
        };
        let scope = group.validate_commit(&commit).map(Some);
        scope.map_err(|error| known_to(request, error))
    }

    fn commit_counts_as_heartbeat(
        &mut self,
        decision: &mut Decision<Reply>,
        request: &CommitRequest,
    ) {
        // A transaction is the producer's, and says nothing of the member.
        if request.transaction.is_some() {
            return;
        }
        self.step(decision, &request.group_id, |group, step| {
            group.committed(step.now_ms, &request.member_id);
        });
    }

    fn offset_value(
        &self,
        request: &CommitRequest,
        commit: &PartitionCommit,
        topic_id: Option<Uuid>,
        scope: Option<&CommitScope<'_>>,
    ) -> Result<OffsetCommitValue, GroupError> {
        let topic_id = topic_id.ok_or(GroupError::UnknownTopicOrPartition)?;
        let metadata = commit.metadata.clone().unwrap_or_default();
        let limit = usize::try_from(self.options.offset_metadata_max_bytes).unwrap_or(0);
        // UTF-16 units are never more than bytes, and Kafka counts units.
        if metadata.len() > limit && metadata.encode_utf16().count() > limit {
            return Err(GroupError::OffsetMetadataTooLarge);
        }
        if let Some(scope) = scope {
            let checked = scope.check(topic_id, commit.partition);
            checked.map_err(|error| known_to(request, error))?;
        }
        let kept_for_ms = request.retention_time_ms;
        Ok(OffsetCommitValue {
            offset: commit.offset,
            leader_epoch: commit.leader_epoch,
            metadata,
            commit_timestamp_ms: self.now_ms,
            expire_timestamp_ms: kept_for_ms.map_or(-1, |ms| self.now_ms.saturating_add(ms)),
            topic_id,
        })
    }
}

/// TxnOffsetCommit knows no stale epoch before its version 6
/// (`OffsetMetadataManager.validateTransactionalOffsetCommit`).
fn known_to(request: &CommitRequest, error: GroupError) -> GroupError {
    match error {
        GroupError::StaleMemberEpoch(_)
            if request.transaction.is_some() && !request.knows_new_group_errors =>
        {
            GroupError::IllegalGeneration
        }
        error => error,
    }
}

/// The id of a topic that has this partition.
fn known(topics: &dyn TopicView, topic: &str, partition: i32) -> Option<Uuid> {
    let (topic_id, count) = topics.by_name(topic)?;
    (0..count).contains(&partition).then_some(topic_id)
}
