//! What a consumer group is: the part that records tell, the part that a restart forgets, and how a record changes the first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::deadlines::{Deadlines, Timer};
use super::subscription::Patterns;
use super::{ConsumerGroupConfig, GroupState, encode};
use crate::decision::CoordinatorRecord;
use crate::records::consumer::{
    ConsumerGroupChange, CurrentAssignment, GroupEpoch, MemberMetadata, MemberState,
    PartitionEpochs, ResolvedRegex, TargetEpoch, TopicPartitions,
};
use crate::stats::EndedRebalance;

/// A member as its records tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// What it said of itself.
    pub(super) metadata: MemberMetadata,
    /// What it has.
    pub(super) current: CurrentAssignment,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            metadata: MemberMetadata::default(),
            current: CurrentAssignment {
                member_epoch: 0,
                previous_member_epoch: -1,
                state: MemberState::Stable,
                assigned: PartitionEpochs::new(),
                pending_revocation: PartitionEpochs::new(),
            },
        }
    }
}

impl Member {
    /// Whether the member speaks the classic protocol.
    pub(super) fn is_classic(&self) -> bool {
        self.metadata.classic.is_some()
    }

    /// Whether it has all it shall have at the epoch of the target assignment.
    pub(super) fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.member_epoch == target_epoch
    }

    /// Its regular expression; an empty one is none (clients clear it that way).
    pub(super) fn regex(&self) -> Option<&str> {
        self.metadata
            .subscribed_topic_regex
            .as_deref()
            .filter(|pattern| !pattern.is_empty())
    }
}

/// What the records of a group tell. Changes by [`Self::replay`] alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Durable {
    pub(super) epoch: Option<GroupEpoch>,
    pub(super) target_epoch: Option<TargetEpoch>,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    pub(super) targets: BTreeMap<Arc<str>, TopicPartitions>,
    pub(super) regexes: BTreeMap<String, ResolvedRegex>,
    pub(super) has_legacy_partitions: bool,
    /// Who holds a partition, assigned or pending revocation. Derived.
    owners: HashMap<(Uuid, i32), Arc<str>>,
    /// Member ids by instance id. Derived.
    statics: BTreeMap<String, Arc<str>>,
}

static NOTHING: TopicPartitions = TopicPartitions::new();

impl Durable {
    /// A new group's is 1, so that its first members get 2 (`ModernGroup`, Kafka 4.4).
    pub(super) fn group_epoch(&self) -> i32 {
        self.epoch.map_or(1, |epoch| epoch.epoch)
    }

    pub(super) fn metadata_hash(&self) -> i64 {
        self.epoch.map_or(0, |epoch| epoch.metadata_hash)
    }

    pub(super) fn assignment_epoch(&self) -> i32 {
        self.target_epoch.map_or(0, |target| target.epoch)
    }

    pub(super) fn target(&self, member_id: &str) -> &TopicPartitions {
        self.targets.get(member_id).unwrap_or(&NOTHING)
    }

    pub(super) fn owner(&self, topic: Uuid, partition: i32) -> Option<&Arc<str>> {
        self.owners.get(&(topic, partition))
    }

    /// The member that holds an instance id.
    pub(super) fn static_member(&self, instance_id: &str) -> Option<(&Arc<str>, &Member)> {
        let id = self.statics.get(instance_id)?;
        self.members.get_key_value(id)
    }

    pub(super) fn state(&self) -> GroupState {
        if self.members.is_empty() {
            return GroupState::Empty;
        }
        if self.group_epoch() > self.assignment_epoch() {
            return GroupState::Assigning;
        }
        let epoch = self.assignment_epoch();
        if self
            .members
            .values()
            .all(|member| member.is_reconciled_to(epoch))
        {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    fn replay(&mut self, change: ConsumerGroupChange) {
        match change {
            ConsumerGroupChange::Group(epoch) => self.epoch = epoch,
            ConsumerGroupChange::LegacyPartitions(topics) => {
                self.has_legacy_partitions = topics.is_some()
            }
            ConsumerGroupChange::Member(id, Some(metadata)) => self.update_metadata(&id, metadata),
            ConsumerGroupChange::Member(id, None) => self.remove_member(&id),
            ConsumerGroupChange::Target(epoch) => self.target_epoch = epoch,
            ConsumerGroupChange::MemberTarget(id, Some(partitions)) => {
                self.targets.insert(id.into(), partitions);
            }
            ConsumerGroupChange::MemberTarget(id, None) => {
                self.targets.remove(id.as_str());
            }
            ConsumerGroupChange::MemberCurrent(id, Some(current)) => {
                self.members.entry(Arc::from(id.as_str())).or_default();
                self.update_current(&id, current);
            }
            ConsumerGroupChange::MemberCurrent(id, None) => {
                let gone = CurrentAssignment {
                    member_epoch: -1,
                    ..Member::default().current
                };
                self.update_current(&id, gone);
            }
            ConsumerGroupChange::Regex(pattern, Some(resolved)) => {
                self.regexes.insert(pattern, resolved);
            }
            ConsumerGroupChange::Regex(pattern, None) => {
                self.regexes.remove(&pattern);
            }
        }
    }

    fn update_metadata(&mut self, id: &str, metadata: MemberMetadata) {
        let id: Arc<str> = id.into();
        if let Some(instance_id) = &metadata.instance_id {
            self.statics.insert(instance_id.clone(), Arc::clone(&id));
        }
        self.members.entry(id).or_default().metadata = metadata;
    }

    fn update_current(&mut self, id: &str, current: CurrentAssignment) {
        self.release(id);
        let Some((id, _)) = self.members.get_key_value(id) else {
            return;
        };
        let id = Arc::clone(id);
        for held in [&current.assigned, &current.pending_revocation] {
            for (topic, partitions) in held {
                for partition in partitions.keys() {
                    self.owners.insert((*topic, *partition), Arc::clone(&id));
                }
            }
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.current = current;
        }
    }

    fn remove_member(&mut self, id: &str) {
        self.release(id);
        let instance_id = self
            .members
            .remove(id)
            .and_then(|member| member.metadata.instance_id);
        if let Some(instance_id) = instance_id
            && self
                .statics
                .get(&instance_id)
                .is_some_and(|holder| &**holder == id)
        {
            self.statics.remove(&instance_id);
        }
    }

    /// Frees the partitions a member holds. One that meanwhile was given to another stays with that one: in the middle of a
    /// compacted log, the record that took it away may be missing.
    fn release(&mut self, id: &str) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        for held in [&member.current.assigned, &member.current.pending_revocation] {
            for (topic, partitions) in held {
                for partition in partitions.keys() {
                    let key = (*topic, *partition);
                    if self.owners.get(&key).is_some_and(|owner| &**owner == id) {
                        self.owners.remove(&key);
                    }
                }
            }
        }
    }
}

/// What a restart forgets.
#[derive(Debug, Default)]
pub(super) struct Soft {
    pub(super) deadlines: Deadlines,
    /// The revision of the topics, and the group epoch, for which the metadata hash was last compared.
    pub(super) hash_checked: Option<(i64, i32)>,
    pub(super) patterns: Patterns,
    /// Epoch bumps by reason, since the start.
    pub(super) rebalances: BTreeMap<&'static str, u64>,
    rebalance: Option<Rebalance>,
}

/// A rebalance under way.
#[derive(Debug, Clone, Copy)]
struct Rebalance {
    began_ms: i64,
    /// Of the first of the epochs it went through.
    reason: &'static str,
    /// Its last epoch.
    epoch: i32,
}

impl Soft {
    /// The group is about to have a new epoch.
    pub(super) fn rebalance_began(&mut self, now_ms: i64, reason: &'static str, epoch: i32) {
        *self.rebalances.entry(reason).or_default() += 1;
        let rebalance = self.rebalance.get_or_insert(Rebalance {
            began_ms: now_ms,
            reason,
            epoch,
        });
        rebalance.epoch = epoch;
    }
}

/// A consumer group of the new protocol.
#[derive(Debug)]
pub struct ConsumerGroup {
    pub(super) group_id: String,
    pub(super) durable: Durable,
    pub(super) soft: Soft,
}

impl ConsumerGroup {
    /// A group without members, of which nothing is stored yet.
    #[must_use]
    pub fn new(group_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            durable: Durable::default(),
            soft: Soft::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// Applies one stored record: the only way durable state changes, live or at start-up. Any order that a compacted log
    /// can show is taken, and a tombstone for what is not there.
    pub fn replay(&mut self, change: ConsumerGroupChange) {
        if let ConsumerGroupChange::Member(id, None) = &change {
            self.soft.deadlines.forget(&Arc::from(id.as_str()));
        }
        self.durable.replay(change);
    }

    /// Whether nothing of the group is stored: whoever keeps it may drop it.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let durable = &self.durable;
        durable.epoch.is_none()
            && durable.target_epoch.is_none()
            && durable.members.is_empty()
            && durable.targets.is_empty()
            && durable.regexes.is_empty()
            && !durable.has_legacy_partitions
    }

    /// The group's state in Kafka's terms. Costs a look at each member.
    #[must_use]
    pub fn state(&self) -> GroupState {
        self.durable.state()
    }

    /// How many members it has.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.durable.members.len()
    }

    /// Whether some member is subscribed to the topic, by name or by pattern (statements G15 and G16).
    #[must_use]
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        let by_name = |member: &Member| member.metadata.subscribed_topic_names.contains(topic);
        self.durable.members.values().any(by_name)
            || self
                .durable
                .regexes
                .values()
                .any(|resolved| resolved.topics.contains(topic))
    }

    /// When [`Self::tick`] should be called next, in milliseconds.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        self.soft.deadlines.next()
    }

    /// How often the group's epoch was bumped since the start, by reason (a small closed set of words).
    #[must_use]
    pub fn rebalances(&self) -> &BTreeMap<&'static str, u64> {
        &self.soft.rebalances
    }

    /// The rebalance that what was replayed has brought to its end, if it has: every member has what it shall have. One that
    /// leaves nobody in the group ends without a word.
    pub fn take_ended_rebalance(&mut self, now_ms: i64) -> Option<EndedRebalance> {
        let rebalance = self.soft.rebalance?;
        // Until its epoch is stored, the group looks as stable as it was before.
        if self.durable.group_epoch() < rebalance.epoch {
            return None;
        }
        match self.durable.state() {
            GroupState::Assigning | GroupState::Reconciling => return None,
            GroupState::Empty => {
                self.soft.rebalance = None;
                return None;
            }
            GroupState::Stable => self.soft.rebalance = None,
        }
        Some(EndedRebalance {
            group_type: "consumer",
            reason: rebalance.reason,
            duration_ms: now_ms.saturating_sub(rebalance.began_ms),
        })
    }

    /// Begins the sessions of all members anew, once the log has been read: they go on heartbeating, and nobody rebalances
    /// (statement G19, `GroupMetadataManager.onLoaded`). Also after a classic group has become this one.
    pub fn loaded(&mut self, now_ms: i64, config: &ConsumerGroupConfig) {
        self.soft.deadlines = Deadlines::default();
        for (id, member) in &self.durable.members {
            let classic = member.metadata.classic.as_ref();
            let session_ms = classic.map_or(config.session_timeout_ms, |classic| {
                classic.session_timeout_ms
            });
            self.soft
                .deadlines
                .set(id, Timer::Session, after(now_ms, session_ms));
            if member.current.state == MemberState::UnrevokedPartitions && classic.is_none() {
                let timer = Timer::Rebalance {
                    member_epoch: member.current.member_epoch,
                };
                let at_ms = after(now_ms, member.metadata.rebalance_timeout_ms);
                self.soft.deadlines.set(id, timer, at_ms);
            }
        }
    }

    /// The group as records: replayed in this or any order, they make the same group. Only what Kafka before 4.1 stored of the
    /// topics is left out: the next change removes it.
    #[must_use]
    pub fn records(&self) -> Vec<CoordinatorRecord> {
        let durable = &self.durable;
        let mut changes = Vec::new();
        changes.extend(
            durable
                .epoch
                .map(|epoch| ConsumerGroupChange::Group(Some(epoch))),
        );
        changes.extend(
            durable
                .target_epoch
                .map(|epoch| ConsumerGroupChange::Target(Some(epoch))),
        );
        for (id, member) in &durable.members {
            let (metadata, current) = (member.metadata.clone(), member.current.clone());
            changes.push(ConsumerGroupChange::Member(id.to_string(), Some(metadata)));
            changes.push(ConsumerGroupChange::MemberCurrent(
                id.to_string(),
                Some(current),
            ));
        }
        for (id, target) in &durable.targets {
            changes.push(ConsumerGroupChange::MemberTarget(
                id.to_string(),
                Some(target.clone()),
            ));
        }
        for (pattern, resolved) in &durable.regexes {
            changes.push(ConsumerGroupChange::Regex(
                pattern.clone(),
                Some(resolved.clone()),
            ));
        }
        encode(&self.group_id, changes)
    }

    /// Records that remove the group, for its deletion: the caller has made sure that it is empty.
    #[must_use]
    pub fn tombstones(&self) -> Vec<CoordinatorRecord> {
        encode(&self.group_id, self.tombstone_changes())
    }

    /// In Kafka's order: the group's own record goes last.
    pub(super) fn tombstone_changes(&self) -> Vec<ConsumerGroupChange> {
        let durable = &self.durable;
        let ids: BTreeSet<&Arc<str>> = durable
            .members
            .keys()
            .chain(durable.targets.keys())
            .collect();
        let ids = || ids.iter().map(ToString::to_string);
        let mut changes: Vec<_> = ids()
            .map(|id| ConsumerGroupChange::MemberCurrent(id, None))
            .collect();
        changes.extend(ids().map(|id| ConsumerGroupChange::MemberTarget(id, None)));
        changes.push(ConsumerGroupChange::Target(None));
        changes.extend(ids().map(|id| ConsumerGroupChange::Member(id, None)));
        let patterns = durable.regexes.keys().cloned();
        changes.extend(patterns.map(|pattern| ConsumerGroupChange::Regex(pattern, None)));
        if durable.has_legacy_partitions {
            changes.push(ConsumerGroupChange::LegacyPartitions(None));
        }
        changes.push(ConsumerGroupChange::Group(None));
        changes
    }
}

/// A time so many milliseconds later; a negative timeout counts as none.
pub(super) fn after(now_ms: i64, timeout_ms: i32) -> i64 {
    now_ms.saturating_add(i64::from(timeout_ms.max(0)))
}
