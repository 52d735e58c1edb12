//! KIP-848 groups in the shard: their heartbeats, classic members in them, and the change from one protocol to the other.
//!
//! A group changes its type in memory with the decision that says so, since the group that is made carries deadlines of its
//! own; the group it was waits beside it, and is put back if the decision cannot be stored.

use std::sync::Arc;

use super::{Entry, Group, GroupShard, reindex};
use crate::classic::{ClassicGroup, Step, distinct};
use crate::consumer::{
    ClassicHeartbeat, ClassicIdentity, ClassicJoin, ClassicSync, ConsumerGroup,
    ConsumerGroupConfig, ConsumerHeartbeatReply, Context, Outcome,
};
use crate::decision::Decision;
use crate::error::GroupError;
use crate::event::{
    ConsumerHeartbeatRequest, HeartbeatRequest, JoinReply, JoinRequest, LeaveRequest, Reply,
    SyncReply, SyncRequest,
};
use crate::records::group_metadata::group_tombstone;
use crate::records::subscription::CONSUMER_PROTOCOL_TYPE;
use crate::topics::TopicView;

impl GroupShard {
    /// Settings of one consumer group (resource type 32), or `None` for the broker's. They count from the next event on.
    pub fn set_group_config(&mut self, group_id: &str, config: Option<ConsumerGroupConfig>) {
        match config {
            Some(config) => self.group_configs.insert(group_id.to_owned(), config),
            None => self.group_configs.remove(group_id),
        };
    }

    pub(super) fn group_config(&self, group_id: &str) -> ConsumerGroupConfig {
        let own = self.group_configs.get(group_id).copied();
        own.unwrap_or_else(|| ConsumerGroupConfig::from(&self.options.consumer))
    }

    pub(super) fn consumer_heartbeat(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        mut request: ConsumerHeartbeatRequest,
    ) -> Result<ConsumerHeartbeatReply, GroupError> {
        let group_id = request.group_id.as_str();
        if group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let heartbeat = &mut request.heartbeat;
        let joins = heartbeat.member_epoch == 0;
        if joins && heartbeat.member_id.is_empty() && !request.brings_member_id {
            heartbeat.member_id = (self.new_uuid)().to_string();
        }
        heartbeat.validate(&self.options)?;
        self.make_consumer_group(decision, topics, group_id, joins)?;

        let filter = request.may_describe.as_ref();
        let may_describe = filter.map(|filter| &*filter.0 as &dyn Fn(&str) -> bool);
        let result = self.with_consumer(topics, group_id, |group, ctx| {
            let ctx = Context {
                may_describe,
                ..*ctx
            };
            group.heartbeat(&ctx, &request.heartbeat)
        });
        match result {
            Some(Ok(outcome)) => Ok(self.take_outcome(decision, group_id, outcome)),
            Some(Err(error)) => {
                // What was prepared for it is not wanted then.
                self.take_back(decision, group_id, &GroupError::RebalanceInProgress);
                decision.records.clear();
                Err(error)
            }
            None => Err(not_a_consumer_group(group_id)),
        }
    }

    /// Sees to it that there is a consumer group of that name in memory: a new one, or a classic group made over, if a member
    /// joins. The records of the change are in the decision.
    fn make_consumer_group(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        group_id: &str,
        joins: bool,
    ) -> Result<(), GroupError> {
        let Some(entry) = self.entries.get(group_id) else {
            if !joins {
                return Err(GroupError::GroupIdNotFound(format!(
                    "Consumer group {group_id} not found."
                )));
            }
            self.entry_or_new(group_id);
            self.make(
                group_id,
                Group::Consumer(Box::new(ConsumerGroup::new(group_id))),
            );
            return Ok(());
        };
        let Group::Classic(classic) = &entry.group else {
            return Ok(());
        };
        if !joins {
            return Err(not_a_consumer_group(group_id));
        }
        let group = if classic.is_empty() {
            decision.records.push(group_tombstone(group_id));
            ConsumerGroup::new(group_id)
        } else {
            let ctx = self.context(topics, group_id);
            let (group, records) = ConsumerGroup::upgrade(&ctx, &classic.as_upgrade())?;
            decision.records.push(group_tombstone(group_id));
            decision.records.extend(records);
            group
        };
        self.make(group_id, Group::Consumer(Box::new(group)));
        Ok(())
    }

    pub(super) fn context<'a>(&'a self, topics: &'a dyn TopicView, group_id: &str) -> Context<'a> {
        Context {
            now_ms: self.now_ms,
            topics,
            options: &self.options,
            config: self.group_config(group_id),
            may_describe: None,
        }
    }

    /// Asks the consumer group of that name; `None` if there is none.
    fn with_consumer<R>(
        &mut self,
        topics: &dyn TopicView,
        group_id: &str,
        ask: impl FnOnce(&mut ConsumerGroup, &Context<'_>) -> R,
    ) -> Option<R> {
        let config = self.group_config(group_id);
        let entry = self.entries.get_mut(group_id)?;
        let Group::Consumer(group) = &mut entry.group else {
            return None;
        };
        let ctx = Context {
            now_ms: self.now_ms,
            topics,
            options: &self.options,
            config,
            may_describe: None,
        };
        let result = ask(group, &ctx);
        reindex(&mut self.deadlines, entry);
        Some(result)
    }

    /// Puts what the group decided into the decision; a group that ends becomes the classic group it asks for.
    fn take_outcome<R>(
        &mut self,
        decision: &mut Decision<Reply>,
        group_id: &str,
        outcome: Outcome<R>,
    ) -> R {
        decision.records.extend(outcome.records);
        self.answer_members_of_previous(decision, group_id);
        if let Some(downgrade) = outcome.downgrade {
            let mut step = Step {
                now_ms: self.now_ms,
                options: &self.options,
                decision,
                counters: &mut self.counters,
            };
            let group = ClassicGroup::from_downgrade(Arc::from(group_id), downgrade, &mut step);
            self.make(group_id, Group::Classic(Box::new(group)));
        }
        outcome.reply
    }

    /// Members of a classic group that became a consumer group come back by joining: their generation is over.
    fn answer_members_of_previous(&mut self, decision: &mut Decision<Reply>, group_id: &str) {
        let Some(entry) = self.entries.get_mut(group_id) else {
            return;
        };
        if let Some(Group::Classic(group)) = &mut entry.previous {
            let mut step = Step {
                now_ms: self.now_ms,
                options: &self.options,
                decision,
                counters: &mut self.counters,
            };
            group.answer_all(&mut step, &GroupError::RebalanceInProgress);
        }
    }

    /// Makes the group another, until it is known whether that could be stored.
    pub(super) fn make(&mut self, group_id: &str, group: Group) {
        let Some(entry) = self.entries.get_mut(group_id) else {
            return;
        };
        let was = std::mem::replace(&mut entry.group, group);
        entry.previous.get_or_insert(was);
        self.in_flight.push(Arc::clone(&entry.id));
        reindex(&mut self.deadlines, entry);
    }

    /// Undoes [`Self::make`].
    pub(super) fn take_back(
        &mut self,
        decision: &mut Decision<Reply>,
        group_id: &str,
        error: &GroupError,
    ) {
        let Some(entry) = self.entries.get_mut(group_id) else {
            return;
        };
        let Some(previous) = entry.previous.take() else {
            return;
        };
        let mut made = std::mem::replace(&mut entry.group, previous);
        if let Group::Classic(group) = &mut made {
            let mut step = Step {
                now_ms: self.now_ms,
                options: &self.options,
                decision,
                counters: &mut self.counters,
            };
            group.answer_all(&mut step, error);
        }
        reindex(&mut self.deadlines, entry);
        self.in_flight.retain(|id| **id != *group_id);
        self.forget_if_void(group_id);
    }

    /// A record of the group is stored: what it was before is over.
    pub(super) fn settle(&mut self, group_id: &str) {
        self.in_flight.retain(|id| **id != *group_id);
        let entry = self.entries.get_mut(group_id);
        if let Some(previous) = entry.and_then(|entry| entry.previous.take()) {
            self.retire(&previous);
        }
    }

    /// Keeps the counts of a group that goes.
    pub(super) fn retire(&mut self, group: &Group) {
        if let Group::Consumer(group) = group {
            for (reason, count) in group.rebalances() {
                *self.counters.consumer_rebalances.entry(reason).or_default() += count;
            }
        }
    }

    /// True if the group is a consumer group with members: classic requests are then its to answer. One without members makes
    /// room for a classic group.
    pub(super) fn is_consumer_with_members(&self, group_id: &str) -> bool {
        let group = self.entries.get(group_id).map(|entry| &entry.group);
        matches!(group, Some(Group::Consumer(group)) if group.member_count() > 0)
    }

    /// An empty consumer group gives way to a classic one; true if there was one.
    pub(super) fn make_way_for_classic(
        &mut self,
        decision: &mut Decision<Reply>,
        group_id: &str,
    ) -> bool {
        let Some(entry) = self.entries.get(group_id) else {
            return false;
        };
        let Group::Consumer(group) = &entry.group else {
            return false;
        };
        decision.records.extend(group.tombstones());
        let classic = ClassicGroup::new(Arc::clone(&entry.id), Some(self.now_ms));
        self.make(group_id, Group::Classic(Box::new(classic)));
        true
    }

    pub(super) fn join_consumer(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        request: &JoinRequest,
    ) -> Result<JoinReply, GroupError> {
        let is_new = request.member_id.is_empty();
        let join = ClassicJoin {
            member_id: if is_new {
                (self.new_uuid)().to_string()
            } else {
                request.member_id.clone()
            },
            is_new,
            requires_known_id: request.requires_known_member_id,
            instance_id: request.group_instance_id.clone(),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocol_type: request.protocol_type.clone(),
            protocols: distinct(&request.protocols),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
        };
        let group_id = request.group_id.as_str();
        let result = self.with_consumer(topics, group_id, |group, ctx| {
            group.classic_join(ctx, &join)
        });
        let outcome = result.ok_or(GroupError::UnknownMember)??;
        let joined = self.take_outcome(decision, group_id, outcome);
        Ok(JoinReply {
            generation: joined.generation,
            protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(joined.protocol_name),
            leader: String::new(),
            skip_assignment: false,
            member_id: joined.member_id,
            members: Vec::new(),
        })
    }

    pub(super) fn sync_consumer(
        &mut self,
        topics: &dyn TopicView,
        request: &SyncRequest,
    ) -> Result<SyncReply, GroupError> {
        let sync = ClassicSync {
            sender: ClassicHeartbeat {
                member_id: &request.member_id,
                instance_id: request.group_instance_id.as_deref(),
                generation: request.generation,
            },
            protocol_type: request.protocol_type.as_deref(),
            protocol_name: request.protocol_name.as_deref(),
        };
        let result = self.with_consumer(topics, &request.group_id, |group, ctx| {
            group.classic_sync(ctx, &sync)
        });
        let assignment = result.ok_or(GroupError::UnknownMember)??;
        Ok(SyncReply {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment,
        })
    }

    pub(super) fn heartbeat_consumer(
        &mut self,
        topics: &dyn TopicView,
        request: &HeartbeatRequest,
    ) -> Result<(), GroupError> {
        let heartbeat = ClassicHeartbeat {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation,
        };
        let result = self.with_consumer(topics, &request.group_id, |group, ctx| {
            group.classic_heartbeat(ctx, &heartbeat)
        });
        result.ok_or(GroupError::UnknownMember)?
    }

    pub(super) fn leave_consumer(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        request: &LeaveRequest,
    ) -> Vec<Result<(), GroupError>> {
        let identities: Vec<ClassicIdentity> = request
            .members
            .iter()
            .map(|member| ClassicIdentity {
                member_id: member.member_id.clone(),
                instance_id: member.group_instance_id.clone(),
            })
            .collect();
        let result = self.with_consumer(topics, &request.group_id, |group, ctx| {
            group.classic_leave(ctx, &identities)
        });
        let Some(outcome) = result else {
            return vec![Err(GroupError::UnknownMember); identities.len()];
        };
        let answers = self.take_outcome(decision, &request.group_id, outcome);
        answers.into_iter().map(|answer| answer.map(drop)).collect()
    }

    pub(super) fn consumer_loaded(&mut self, group_id: &str) {
        let config = self.group_config(group_id);
        if let Some(entry) = self.entries.get_mut(group_id)
            && let Group::Consumer(group) = &mut entry.group
        {
            group.loaded(self.now_ms, &config);
            reindex(&mut self.deadlines, entry);
        }
    }

    pub(super) fn tick_consumer(
        &mut self,
        decision: &mut Decision<Reply>,
        topics: &dyn TopicView,
        group_id: &str,
    ) {
        let outcome = self.with_consumer(topics, group_id, |group, ctx| group.tick(ctx));
        if let Some(outcome) = outcome {
            self.take_outcome(decision, group_id, outcome);
        }
    }
}

impl Entry {
    pub(super) fn is_consumer(&self) -> bool {
        matches!(self.group, Group::Consumer(_))
    }

    /// Whether something of the group is being stored, so that it may not be what it seems.
    pub(super) fn is_changing(&self) -> bool {
        let writes = match &self.group {
            Group::Classic(group) => group.has_pending_write(),
            Group::Consumer(_) => false,
        };
        writes || self.previous.is_some()
    }
}

fn not_a_consumer_group(group_id: &str) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {group_id} is not a consumer group."))
}
