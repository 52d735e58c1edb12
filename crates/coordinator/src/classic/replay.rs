//! Records: what they make of a group when they are stored, when they are read again, and when storing them failed.

use std::collections::BTreeMap;

use tracing::warn;

use super::member::Member;
use super::{ClassicGroup, PendingWrite, State, Step};
use crate::decision::Ticket;
use crate::error::GroupError;
use crate::event::Reply;
use crate::records::GroupMetadata;
use crate::stats::{Counters, EndedRebalance, RebalanceReason};

impl ClassicGroup {
    /// The first record of a group that a join has just made.
    pub(crate) fn record_creation(&mut self, step: &mut Step<'_>) {
        let record = GroupMetadata {
            protocol_type: String::new(),
            generation: 0,
            protocol: None,
            leader: None,
            state_timestamp_ms: self.state_since_ms.unwrap_or(-1),
            members: Vec::new(),
        };
        step.decision.records.push(record.record(&self.id));
        self.write = Some(PendingWrite::Created);
    }

    /// A record of the group is in the log. If it is one that a decision of ours waits for, that takes effect; otherwise the
    /// group is what the record says and all soft state is gone.
    pub(crate) fn replay(&mut self, record: GroupMetadata, now_ms: i64, counters: &mut Counters) {
        match self.write.take() {
            Some(PendingWrite::Created | PendingWrite::Converted | PendingWrite::Emptied) => {}
            Some(PendingWrite::Assigned) => self.assignment_stored(&record, now_ms, counters),
            Some(PendingWrite::StaticReplaced { .. }) => {
                self.subscribed_topics = self.read_subscriptions();
            }
            None => self.rebuild(&record),
        }
        self.stored = Some(record);
    }

    fn assignment_stored(&mut self, record: &GroupMetadata, now_ms: i64, counters: &mut Counters) {
        for assigned in &record.members {
            if let Some(member) = self.members.get_mut(&assigned.member_id) {
                member.assignment = assigned.assignment.clone();
            }
        }
        self.enter(State::Stable, now_ms);
        if let Some((began_ms, reason)) = self.rebalance.take() {
            counters.rebalance_ended(EndedRebalance {
                group_type: "classic",
                reason: reason.label(),
                duration_ms: now_ms.saturating_sub(began_ms),
            });
        }
    }

    fn rebuild(&mut self, record: &GroupMetadata) {
        let since_ms = (record.state_timestamp_ms != -1).then_some(record.state_timestamp_ms);
        let mut group = Self::new(self.id.clone(), since_ms);
        group.generation = record.generation;
        group.protocol = record.protocol.clone();
        group.leader = record.leader.clone();
        for member in &record.members {
            let member = Member::from_record(member, record.protocol.as_deref());
            group.insert(member, &record.protocol_type);
        }
        group.protocol_type =
            (!record.protocol_type.is_empty()).then(|| record.protocol_type.clone());
        if !group.members.is_empty() {
            group.state = State::Stable;
        }
        group.subscribed_topics = group.read_subscriptions();
        *self = group;
    }

    /// After replay: sessions count from now, so that members go on as if nothing had been. A group that is larger than it
    /// now may be rebalances, which gives its members time to commit before some are left out.
    pub(crate) fn loaded(&mut self, step: &mut Step<'_>) {
        let member_ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in &member_ids {
            self.restart_session(step.now_ms, member_id);
        }
        if member_ids.len() > usize::try_from(step.options.max_size).unwrap_or(0) {
            self.prepare_rebalance(step, RebalanceReason::OverCapacity);
        }
    }

    /// What a decision wanted to store is not stored. The requests answered in that decision get `error` from the shard; those
    /// that are still parked are answered here where they would wait in vain.
    pub(crate) fn write_failed(&mut self, step: &mut Step<'_>, error: &GroupError) {
        match self.write.take() {
            // As if nobody had come; the shard forgets the group if nothing else holds it.
            Some(PendingWrite::Created) => {
                self.answer_all(step, error);
                *self = Self::new(self.id.clone(), Some(step.now_ms));
            }
            // The log still names members. If this broker fails now they come back, and their sessions run out again.
            Some(PendingWrite::Emptied) => {
                warn!(group = %self.id, "could not store that the group is empty");
            }
            Some(PendingWrite::Assigned) => {
                self.prepare_rebalance(step, RebalanceReason::AppendFailed);
            }
            Some(PendingWrite::StaticReplaced {
                old,
                new_member_id,
                leader,
            }) => self.undo_replacement(step.now_ms, *old, &new_member_id, leader),
            // The shard takes the consumer group back.
            Some(PendingWrite::Converted) | None => {}
        }
    }

    /// Answers every parked request, in the order in which they came: the group ends, or is about to become another. Should it
    /// stay after all, its members have to be heard of again, also those whose sessions passed while they waited.
    pub(crate) fn answer_all(&mut self, step: &mut Step<'_>, error: &GroupError) {
        let mut parked: BTreeMap<Ticket, Reply> = BTreeMap::new();
        let mut answered = Vec::new();
        for member in self.members.values_mut() {
            if let Some(ticket) = member.awaiting_join.take() {
                self.awaiting_join -= 1;
                parked.insert(ticket, Reply::Join(Err(error.clone())));
                answered.push(member.id.clone());
            }
            if let Some(ticket) = member.awaiting_sync.take() {
                parked.insert(ticket, Reply::Sync(Err(error.clone())));
                answered.push(member.id.clone());
            }
        }
        step.decision.replies.extend(parked);
        for member_id in answered {
            self.restart_session(step.now_ms, &member_id);
        }
    }
}
