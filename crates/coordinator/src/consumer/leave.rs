//! Members that go: by their own wish, or because they were not heard of in time (statements E2 and E7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::info;

use super::deadlines::Timer;
use super::group::{ConsumerGroup, Member};
use super::heartbeat::{ConsumerHeartbeat, ConsumerHeartbeatReply, LEAVE_FOR_A_WHILE, removal};
use super::migration::Downgrade;
use super::subscription::{PatternUpdate, Preview, Subscriptions};
use super::{Context, Outcome};
use crate::error::GroupError;
use crate::records::consumer::{
    ConsumerGroupChange, GroupEpoch, MemberState, PartitionEpochs, TargetEpoch,
};

/// When a member that was due is looked at again if its removal could not be stored, in milliseconds.
const RETRY_MS: i64 = 1_000;

impl ConsumerGroup {
    pub(super) fn leave(
        &mut self,
        ctx: &Context<'_>,
        request: &ConsumerHeartbeat,
    ) -> Result<Outcome<ConsumerHeartbeatReply>, GroupError> {
        let id = self.leaving(request)?;
        let reply = ConsumerHeartbeatReply {
            member_id: id.to_string(),
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        };
        info!(group = %self.group_id, member = %id, epoch = request.member_epoch, "member leaves");
        if request.member_epoch == LEAVE_FOR_A_WHILE {
            return Ok(Outcome::of(&self.group_id, self.pause(&id), reply));
        }
        Ok(self
            .remove(ctx, &BTreeSet::from([id]), "left")
            .map(|()| reply))
    }

    fn leaving(&self, request: &ConsumerHeartbeat) -> Result<Arc<str>, GroupError> {
        let Some(instance_id) = &request.instance_id else {
            let known = self
                .durable
                .members
                .get_key_value(request.member_id.as_str());
            return known
                .map(|(id, _)| Arc::clone(id))
                .ok_or(GroupError::UnknownMember);
        };
        let (id, _) = self
            .durable
            .static_member(instance_id)
            .ok_or(GroupError::UnknownMember)?;
        if **id != *request.member_id {
            return Err(GroupError::FencedInstance);
        }
        Ok(Arc::clone(id))
    }

    /// A static member that will be back keeps its place and its partitions until its session ends.
    fn pause(&self, id: &Arc<str>) -> Vec<ConsumerGroupChange> {
        let Some(member) = self.durable.members.get(id) else {
            return Vec::new();
        };
        let mut current = member.current.clone();
        current.member_epoch = LEAVE_FOR_A_WHILE;
        current.pending_revocation = PartitionEpochs::new();
        // Whoever comes back may commit from its first epoch on.
        for partitions in current.assigned.values_mut() {
            *partitions = partitions
                .keys()
                .map(|partition| (*partition, 0))
                .collect::<BTreeMap<_, _>>();
        }
        vec![ConsumerGroupChange::MemberCurrent(
            id.to_string(),
            Some(current),
        )]
    }

    /// Removes members; the group gets a new epoch, and ends as a classic group if all others speak that protocol.
    pub(super) fn remove(
        &mut self,
        ctx: &Context<'_>,
        removed: &BTreeSet<Arc<str>>,
        reason: &'static str,
    ) -> Outcome<()> {
        if removed.is_empty() {
            return Outcome::of(&self.group_id, Vec::new(), ());
        }
        if let Some(downgrade) = Downgrade::after_removal(self, ctx, removed) {
            let mut outcome = Outcome::of(&self.group_id, self.tombstone_changes(), ());
            outcome.downgrade = Some(downgrade);
            return outcome;
        }
        let durable = &self.durable;
        let mut changes: Vec<_> = removed.iter().flat_map(|id| removal(id)).collect();
        let preview = Preview {
            durable,
            updated: None,
            removed,
        };
        let patterns = PatternUpdate::default();
        let dropped = preview.dropped_patterns().into_iter();
        changes.extend(dropped.map(|pattern| ConsumerGroupChange::Regex(pattern, None)));
        let epoch = durable.group_epoch().saturating_add(1);
        let metadata_hash = Subscriptions::new(durable, &patterns).hash(preview, ctx.topics);
        changes.push(ConsumerGroupChange::Group(Some(GroupEpoch {
            epoch,
            metadata_hash,
        })));
        if durable.members.len() == removed.len() {
            // There is nobody to assign to; and whoever comes next need not wait.
            let timestamp_ms = 0;
            changes.push(ConsumerGroupChange::Target(Some(TargetEpoch {
                epoch,
                timestamp_ms,
            })));
        }
        self.soft.rebalance_began(ctx.now_ms, reason, epoch);
        Outcome::of(&self.group_id, changes, ())
    }

    /// Removes the members that were not heard of in time, or took too long to give up partitions. To be called at
    /// [`Self::next_deadline`]; costs nothing while nothing is due.
    pub fn tick(&mut self, ctx: &Context<'_>) -> Outcome<()> {
        let mut expired = BTreeSet::new();
        for (id, timer) in self.soft.deadlines.take_due(ctx.now_ms) {
            let Some(member) = self.durable.members.get(&id) else {
                continue;
            };
            if !is_late(member, timer) {
                continue;
            }
            info!(group = %self.group_id, member = %id, ?timer, "member removed: its time is up");
            // Forgotten once the removal is stored; until then it stays due.
            self.soft
                .deadlines
                .set(&id, timer, ctx.now_ms.saturating_add(RETRY_MS));
            expired.insert(id);
        }
        self.remove(ctx, &expired, "expired")
    }
}

/// Whether the member still is where the timer found it.
fn is_late(member: &Member, timer: Timer) -> bool {
    match timer {
        Timer::Rebalance { member_epoch } => {
            member.current.member_epoch == member_epoch
                && member.current.state == MemberState::UnrevokedPartitions
        }
        Timer::Session | Timer::Join | Timer::Sync => true,
    }
}
