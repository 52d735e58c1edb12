//! Classic groups: join, sync, heartbeat, leave (KIP-134, KIP-345, KIP-394 and what grew around them).
//!
//! The promise: [`ClassicGroup::stored`] is the last record of the group that is in the log, and nothing else of a group
//! outlives the coordinator. Everything beside it is soft: it runs ahead of the record while members join and the leader
//! assigns, and a restart forgets it, so that members find the last stored generation and, where that is not theirs, join
//! again. Metadata and assignments are the members' own bytes and are not looked into, except to learn which topics a group
//! of type "consumer" reads.
//!
//! The behaviour is `ClassicGroup` and `GroupMetadataManager` of Apache Kafka. One thing differs on purpose: a request that is
//! parked is always answered in the end, also if the same member sends another in its place.

mod convert;
mod describe;
mod expiry;
mod join;
mod member;
mod membership;
mod rebalance;
mod replay;
mod static_member;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use join::is_joinable;
pub(crate) use member::distinct;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::decision::{Decision, Ticket};
use crate::error::GroupError;
use crate::event::Reply;
use crate::offsets::ExpiryBase;
use crate::options::GroupOptions;
use crate::records::GroupMetadata;
use crate::records::subscription::CONSUMER_PROTOCOL_TYPE;
use crate::stats::{Counters, RebalanceReason};

use member::Member;

/// What one event may use and what it comes to.
pub(crate) struct Step<'a> {
    pub(crate) now_ms: i64,
    pub(crate) options: &'a GroupOptions,
    pub(crate) decision: &'a mut Decision<Reply>,
    pub(crate) counters: &'a mut Counters,
}

impl Step<'_> {
    fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.decision.replies.push((ticket, reply));
    }

    fn after(&self, timeout_ms: i32) -> i64 {
        self.now_ms.saturating_add(i64::from(timeout_ms))
    }
}

/// Where a group is between two generations (`ClassicGroupState`; a dead group is simply not there).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No members.
    Empty,
    /// Members are joining; `initial` if the group was empty before, and so waits for more of them.
    PreparingRebalance { initial: bool },
    /// Members know the generation and wait for the leader's assignment.
    CompletingRebalance,
    /// Members are at work.
    Stable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance { .. } => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// The first barrier of a group that was empty: it is moved on as long as members keep coming.
#[derive(Debug, Clone, Copy)]
struct InitialDelay {
    delay_ms: i32,
    remaining_ms: i32,
}

/// What a record in a decision will change once it is stored, or has to be taken back if it is not.
#[derive(Debug)]
enum PendingWrite {
    /// The group exists.
    Created,
    /// The group was a consumer group.
    Converted,
    /// The last member is gone.
    Emptied,
    /// The leader has assigned.
    Assigned,
    /// A static member came back under another id. Holds the member as it was, and the leader.
    StaticReplaced {
        old: Box<Member>,
        new_member_id: String,
        leader: Option<String>,
    },
}

#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: Arc<str>,
    /// Durable, and changed by replay alone. `None` while the group has only offsets, or nothing yet.
    stored: Option<GroupMetadata>,
    write: Option<PendingWrite>,

    state: State,
    state_since_ms: Option<i64>,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Instance id → member id.
    static_members: BTreeMap<String, String>,
    /// Ids given out but not yet used to join, and when they lapse (KIP-394).
    pending_joins: BTreeMap<String, i64>,
    /// Members of the generation that have not asked for their assignment.
    pending_syncs: BTreeSet<String>,
    /// How many members can speak each protocol.
    supported: BTreeMap<String, usize>,
    awaiting_join: usize,
    /// `None` if the type is not "consumer", or a member's metadata could not be read.
    subscribed_topics: Option<BTreeSet<String>>,

    join_deadline_ms: Option<i64>,
    initial_delay: Option<InitialDelay>,
    new_member_added: bool,
    sync_deadline_ms: Option<i64>,
    /// When and why the rebalance under way began.
    rebalance: Option<(i64, RebalanceReason)>,
    /// No deadline of the group is earlier; the earliest may be later.
    wake_at_ms: i64,
}

impl ClassicGroup {
    /// A group without members, as the first join or the first offset makes it.
    pub(crate) fn new(id: Arc<str>, state_since_ms: Option<i64>) -> Self {
        Self {
            id,
            stored: None,
            write: None,
            state: State::Empty,
            state_since_ms,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeMap::new(),
            pending_syncs: BTreeSet::new(),
            supported: BTreeMap::new(),
            awaiting_join: 0,
            subscribed_topics: None,
            join_deadline_ms: None,
            initial_delay: None,
            new_member_added: false,
            sync_deadline_ms: None,
            rebalance: None,
            wake_at_ms: i64::MAX,
        }
    }

    pub(crate) fn stored(&self) -> Option<&GroupMetadata> {
        self.stored.as_ref()
    }

    pub(crate) fn has_pending_write(&self) -> bool {
        self.write.is_some()
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Empty, and nobody is on the way in either.
    pub(crate) fn is_deserted(&self) -> bool {
        self.is_empty() && self.pending_joins.is_empty()
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// No later than the group's next deadline; `i64::MAX` if it has none.
    pub(crate) fn wake_at_ms(&self) -> i64 {
        self.wake_at_ms
    }

    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether a member reads the topic; a consumer group whose subscriptions are unreadable may read any.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// From when on the group's offsets grow old (`ClassicGroup.offsetExpirationCondition`).
    pub(crate) fn expiry_base(&self) -> ExpiryBase {
        if self.protocol_type.is_none() {
            // Nobody has ever joined: offsets of a client that assigns its partitions itself.
            return ExpiryBase::Commit;
        }
        match self.state {
            State::Empty => self
                .state_since_ms
                .map_or(ExpiryBase::Commit, ExpiryBase::Emptied),
            State::Stable if self.uses_consumer_protocol() && self.subscribed_topics.is_some() => {
                ExpiryBase::Commit
            }
            _ => ExpiryBase::Never,
        }
    }

    fn enter(&mut self, state: State, now_ms: i64) {
        self.state = state;
        self.state_since_ms = Some(now_ms);
    }

    fn is_preparing(&self) -> bool {
        matches!(self.state, State::PreparingRebalance { .. })
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn wake_by(&mut self, at_ms: i64) {
        self.wake_at_ms = self.wake_at_ms.min(at_ms);
    }

    /// The member a request speaks for (`ClassicGroup.validateMember`).
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(current) if current != member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    fn insert(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending_joins.remove(&member.id);
        self.count_protocols(&member);
        self.awaiting_join += usize::from(member.awaiting_join.is_some());
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out. Its parked requests are answered with `error`: it may still be there, and then tries again.
    fn remove(&mut self, step: &mut Step<'_>, member_id: &str, error: &GroupError) {
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
        let Some(mut member) = self.members.remove(member_id) else {
            return;
        };
        self.answer_join(step, &mut member, Err(error.clone()));
        if let Some(ticket) = member.awaiting_sync.take() {
            step.reply(ticket, Reply::Sync(Err(error.clone())));
        }
        self.uncount_protocols(&member);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn answer_join(
        &mut self,
        step: &mut Step<'_>,
        member: &mut Member,
        reply: Result<crate::event::JoinReply, GroupError>,
    ) {
        if let Some(ticket) = member.awaiting_join.take() {
            self.awaiting_join -= 1;
            step.reply(ticket, Reply::Join(reply));
        }
    }

    fn count_protocols(&mut self, member: &Member) {
        for (name, _) in &member.protocols {
            *self.supported.entry(name.clone()).or_default() += 1;
        }
    }

    fn uncount_protocols(&mut self, member: &Member) {
        for (name, _) in &member.protocols {
            if let Some(count) = self.supported.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(name);
                }
            }
        }
    }

    /// How long members may take to join again: as long as the slowest asks for.
    fn rebalance_timeout_ms(&self) -> i32 {
        let slowest = self.members.values().map(|m| m.rebalance_timeout_ms).max();
        slowest.unwrap_or(0).max(0)
    }

    fn set_session_deadline(&mut self, member_id: &str, at_ms: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.session_deadline_ms = Some(at_ms);
            self.wake_by(at_ms);
        }
    }

    fn restart_session(&mut self, now_ms: i64, member_id: &str) {
        if let Some(member) = self.members.get(member_id) {
            let timeout_ms = i64::from(member.session_timeout_ms);
            self.set_session_deadline(member_id, now_ms.saturating_add(timeout_ms));
        }
    }

    /// The group as its next record shows it, with these assignments.
    fn as_record(&self, assignment_of: impl Fn(&Member) -> Bytes) -> GroupMetadata {
        let protocol = self.protocol.as_deref();
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: self.state_since_ms.unwrap_or(-1),
            members: self
                .members
                .values()
                .map(|member| member.as_record(protocol, assignment_of(member)))
                .collect(),
        }
    }
}
