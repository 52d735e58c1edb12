//! From one generation to the next: the barrier that members join at, and what happens when it falls.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tracing::info;

use super::{ClassicGroup, InitialDelay, PendingWrite, State, Step};
use crate::error::GroupError;
use crate::event::Reply;
use crate::records::subscription::subscribed_topics;
use crate::stats::RebalanceReason;

/// A barrier that nobody came to is not looked at more often, whatever rebalance timeout the members asked for.
const RETRY_AT_LEAST_MS: i32 = 100;

impl ClassicGroup {
    pub(super) fn prepare_or_complete(&mut self, step: &mut Step<'_>, reason: RebalanceReason) {
        if self.is_preparing() {
            self.maybe_complete_join(step);
        } else {
            self.prepare_rebalance(step, reason);
        }
    }

    pub(super) fn prepare_rebalance(&mut self, step: &mut Step<'_>, reason: RebalanceReason) {
        if self.state == State::CompletingRebalance {
            self.abandon_assignment(step, &GroupError::RebalanceInProgress);
        }
        self.pending_syncs.clear();
        self.sync_deadline_ms = None;
        self.rebalance.get_or_insert((step.now_ms, reason));
        step.counters.rebalance_began(reason);
        info!(group = %self.id, generation = self.generation, reason = reason.label(), "rebalancing");

        let initial = self.is_empty();
        self.enter(State::PreparingRebalance { initial }, step.now_ms);
        if initial {
            self.begin_initial_delay(step);
        } else if self.has_all_joined() {
            self.complete_join(step);
        } else {
            self.set_join_deadline(step.after(self.rebalance_timeout_ms()));
        }
    }

    /// A group that was empty waits a little before it forms, since members rarely come alone.
    fn begin_initial_delay(&mut self, step: &Step<'_>) {
        let delay_ms = step.options.initial_rebalance_delay_ms.max(0);
        self.new_member_added = false;
        self.initial_delay = Some(InitialDelay {
            delay_ms,
            remaining_ms: (self.rebalance_timeout_ms() - delay_ms).max(0),
        });
        self.set_join_deadline(step.after(delay_ms));
    }

    fn set_join_deadline(&mut self, at_ms: i64) {
        self.join_deadline_ms = Some(at_ms);
        self.wake_by(at_ms);
    }

    /// The barrier's time is over: it falls, unless it is a first one and members still come.
    pub(super) fn join_deadline_passed(&mut self, step: &mut Step<'_>) {
        if !self.is_preparing() {
            return;
        }
        match self.initial_delay {
            Some(delay) if self.new_member_added && delay.remaining_ms != 0 => {
                self.new_member_added = false;
                let next_ms = step
                    .options
                    .initial_rebalance_delay_ms
                    .max(0)
                    .min(delay.remaining_ms);
                self.initial_delay = Some(InitialDelay {
                    delay_ms: next_ms,
                    remaining_ms: (delay.remaining_ms - delay.delay_ms).max(0),
                });
                self.set_join_deadline(step.after(next_ms));
            }
            _ => self.complete_join(step),
        }
    }

    pub(super) fn has_all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_joins.is_empty()
    }

    /// Lets the barrier fall if all are there; a first one stands until its time is over.
    pub(super) fn maybe_complete_join(&mut self, step: &mut Step<'_>) {
        if self.state == (State::PreparingRebalance { initial: false }) && self.has_all_joined() {
            self.complete_join(step);
        }
    }

    pub(super) fn complete_join(&mut self, step: &mut Step<'_>) {
        self.join_deadline_ms = None;
        self.initial_delay = None;
        self.remove_absent_members(step);
        if !self.members.is_empty() && !self.elect_leader() {
            // Static members keep their place until their sessions end; a generation needs at least one that has joined.
            let timeout_ms = self.rebalance_timeout_ms().max(RETRY_AT_LEAST_MS);
            self.set_join_deadline(step.after(timeout_ms));
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.pending_syncs.clear();
        if self.members.is_empty() {
            self.become_empty(step);
        } else {
            self.begin_generation(step);
        }
    }

    fn remove_absent_members(&mut self, step: &mut Step<'_>) {
        let absent: Vec<String> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && !member.is_static())
            .map(|member| member.id.clone())
            .collect();
        for member_id in absent {
            info!(group = %self.id, member = %member_id, "removed a member that did not rejoin");
            self.remove(step, &member_id, &GroupError::UnknownMember);
        }
    }

    /// The leader stays if it has joined; false if nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &String| {
            self.members
                .get(id)
                .is_some_and(|member| member.awaiting_join.is_some())
        };
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let joined = self.members.values().find(|m| m.awaiting_join.is_some());
        let Some(member) = joined else {
            return false;
        };
        self.leader = Some(member.id.clone());
        true
    }

    fn become_empty(&mut self, step: &mut Step<'_>) {
        self.protocol = None;
        self.subscribed_topics = self.read_subscriptions();
        self.rebalance = None;
        self.enter(State::Empty, step.now_ms);
        info!(group = %self.id, generation = self.generation, "the group is empty");
        let record = self.as_record(|_| Bytes::new());
        step.decision.records.push(record.record(&self.id));
        self.write = Some(PendingWrite::Emptied);
    }

    fn begin_generation(&mut self, step: &mut Step<'_>) {
        self.protocol = self.choose_protocol();
        self.subscribed_topics = self.read_subscriptions();
        self.enter(State::CompletingRebalance, step.now_ms);
        let member_ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in &member_ids {
            let reply = self.join_reply(member_id, self.is_leader(member_id));
            if let Some(member) = self.members.get_mut(member_id) {
                member.is_new = false;
                if let Some(ticket) = member.awaiting_join.take() {
                    step.reply(ticket, Reply::Join(Ok(reply)));
                }
            }
            self.restart_session(step.now_ms, member_id);
        }
        self.awaiting_join = 0;
        self.pending_syncs.extend(member_ids);
        let sync_deadline_ms = step.after(self.rebalance_timeout_ms());
        self.sync_deadline_ms = Some(sync_deadline_ms);
        self.wake_by(sync_deadline_ms);
    }

    /// Every member votes for the first of its protocols that all can speak; most votes win, and the leader's order decides
    /// between equals.
    pub(super) fn choose_protocol(&self) -> Option<String> {
        let spoken_by_all =
            |name: &str| self.supported.get(name).copied().unwrap_or(0) == self.members.len();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member
                .protocols
                .iter()
                .find(|(name, _)| spoken_by_all(name));
            if let Some((name, _)) = vote {
                *votes.entry(name).or_default() += 1;
            }
        }
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id))?;
        let mut best: Option<(&str, usize)> = None;
        for (name, _) in &leader.protocols {
            let count = votes.get(name.as_str()).copied().unwrap_or(0);
            if count > best.map_or(0, |(_, most)| most) {
                best = Some((name, count));
            }
        }
        best.map(|(name, _)| name.to_owned())
    }

    /// The topics all members together read; `None` if the type is another, or any member's bytes do not parse.
    pub(super) fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let protocol = self.protocol.as_deref();
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscribed_topics(member.metadata(protocol)).ok()?);
        }
        Some(topics)
    }

    /// Answers all that wait for an assignment with `error`, and forgets what was assigned.
    pub(super) fn abandon_assignment(&mut self, step: &mut Step<'_>, error: &GroupError) {
        let now_ms = step.now_ms;
        let mut earliest_ms = i64::MAX;
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(ticket) = member.awaiting_sync.take() {
                step.reply(ticket, Reply::Sync(Err(error.clone())));
                let deadline_ms = now_ms.saturating_add(i64::from(member.session_timeout_ms));
                member.session_deadline_ms = Some(deadline_ms);
                earliest_ms = earliest_ms.min(deadline_ms);
            }
        }
        self.wake_by(earliest_ms);
    }
}
