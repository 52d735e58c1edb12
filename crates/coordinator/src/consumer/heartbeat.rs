//! The heartbeat of a member of the new protocol (API key 68; statements E1 to E5).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::deadlines::Timer;
use super::group::{ConsumerGroup, Member, after};
use super::progress::Step;
use super::{Context, Outcome};
use crate::error::GroupError;
use crate::options::GroupOptions;
use crate::records::consumer::{ConsumerGroupChange, PartitionEpochs, TopicPartitions};

/// The epoch with which a member joins.
const JOIN: i32 = 0;
/// The epoch with which a member leaves for good.
pub(super) const LEAVE: i32 = -1;
/// The epoch with which a static member leaves for a while.
pub(super) const LEAVE_FOR_A_WHILE: i32 = -2;

/// A ConsumerGroupHeartbeat request. What is `None` has not changed since the member last sent it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The member. Clients of version 0 may join without an id: the caller then makes one, so this is empty only where the
    /// request is not valid.
    pub member_id: String,
    /// 0 to join, −1 to leave, −2 for a static member that will be back, else the epoch it was last told.
    pub member_epoch: i32,
    /// The id it was configured with (KIP-345).
    pub instance_id: Option<String>,
    /// The rack it runs in.
    pub rack_id: Option<String>,
    /// How long it may take to give up partitions; `None` where the wire has −1.
    pub rebalance_timeout_ms: Option<i32>,
    /// Topics by name.
    pub subscribed_topic_names: Option<Vec<String>>,
    /// Topics by pattern; an empty one ends such a subscription.
    pub subscribed_topic_regex: Option<String>,
    /// The assignor it asks for.
    pub server_assignor: Option<String>,
    /// The partitions it owns.
    pub owned: Option<TopicPartitions>,
    /// The client's id.
    pub client_id: String,
    /// The client's address as Java prints it: a slash before it.
    pub client_host: String,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerHeartbeatReply {
    /// The member.
    pub member_id: String,
    /// Its epoch from now on.
    pub member_epoch: i32,
    /// When it should come again; 0 for a member that left.
    pub heartbeat_interval_ms: i32,
    /// What it may consume, if that is to be said (statement E5).
    pub assignment: Option<TopicPartitions>,
}

impl ConsumerHeartbeat {
    /// What can be said against the request whatever the group (statement E1,
    /// `GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid`). That the group has a name, and that a client
    /// of version 1 brings its own member id, is for the caller to see to.
    ///
    /// # Errors
    /// [`GroupError::InvalidRequest`], [`GroupError::UnsupportedAssignor`].
    pub fn validate(&self, options: &GroupOptions) -> Result<(), GroupError> {
        let is_empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
        if self.member_id.is_empty() {
            return invalid("MemberId can't be empty.");
        }
        if is_empty(&self.instance_id) {
            return invalid("InstanceId can't be empty.");
        }
        if is_empty(&self.rack_id) {
            return invalid("RackId can't be empty.");
        }
        match self.member_epoch {
            JOIN if self.rebalance_timeout_ms.is_none() => {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            JOIN if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            JOIN if self.subscribed_topic_names.is_none()
                && self.subscribed_topic_regex.is_none() =>
            {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
            LEAVE_FOR_A_WHILE if self.instance_id.is_none() => {
                return invalid("InstanceId can't be null.");
            }
            epoch if epoch < LEAVE_FOR_A_WHILE => return invalid("MemberEpoch is invalid."),
            _ => {}
        }
        self.check_assignor(options)
    }

    fn check_assignor(&self, options: &GroupOptions) -> Result<(), GroupError> {
        let supported = &options.consumer.assignors;
        match &self.server_assignor {
            Some(name) if !supported.contains(name) => {
                Err(GroupError::UnsupportedAssignor(format!(
                    "ServerAssignor {name} is not supported. Supported assignors: {}.",
                    supported.join(", ")
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether the request carries everything: the member does not know how its last one ended.
    fn is_full(&self) -> bool {
        self.rebalance_timeout_ms.is_some()
            && (self.subscribed_topic_names.is_some() || self.subscribed_topic_regex.is_some())
            && self.owned.is_some()
    }

    /// The member with what the request says of it.
    fn apply_to(&self, member: &Member) -> Member {
        let mut updated = member.clone();
        let metadata = &mut updated.metadata;
        let update = |old: &mut Option<String>, new: &Option<String>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        update(&mut metadata.instance_id, &self.instance_id);
        update(&mut metadata.rack_id, &self.rack_id);
        update(&mut metadata.server_assignor, &self.server_assignor);
        update(
            &mut metadata.subscribed_topic_regex,
            &self.subscribed_topic_regex,
        );
        if let Some(timeout_ms) = self.rebalance_timeout_ms {
            metadata.rebalance_timeout_ms = timeout_ms;
        }
        if let Some(names) = &self.subscribed_topic_names {
            metadata.subscribed_topic_names = names.iter().cloned().collect();
        }
        metadata.client_id.clone_from(&self.client_id);
        metadata.client_host.clone_from(&self.client_host);
        metadata.classic = None;
        updated
    }
}

fn invalid<T>(reason: &str) -> Result<T, GroupError> {
    Err(GroupError::InvalidRequest {
        reason: reason.to_owned(),
    })
}

/// A member that takes part from now on, or went on doing so.
pub(super) struct Entry {
    pub(super) id: Arc<str>,
    /// As it was; for one that takes the place of another, as the other was.
    pub(super) member: Member,
    /// The static member whose place it takes.
    pub(super) replaced: Option<Arc<str>>,
}

impl ConsumerGroup {
    /// A member's heartbeat: joins, goes on, or leaves.
    ///
    /// # Errors
    /// [`GroupError::InvalidRequest`], [`GroupError::UnsupportedAssignor`], [`GroupError::GroupMaxSize`],
    /// [`GroupError::UnknownMember`], [`GroupError::FencedMemberEpoch`], [`GroupError::UnreleasedInstance`],
    /// [`GroupError::FencedInstance`], [`GroupError::InvalidRegex`]. The caller answers for a group that does not exist and
    /// an epoch other than 0 ([`GroupError::GroupIdNotFound`]).
    pub fn heartbeat(
        &mut self,
        ctx: &Context<'_>,
        request: &ConsumerHeartbeat,
    ) -> Result<Outcome<ConsumerHeartbeatReply>, GroupError> {
        request.validate(ctx.options)?;
        if matches!(request.member_epoch, LEAVE | LEAVE_FOR_A_WHILE) {
            return self.leave(ctx, request);
        }
        self.check_size(ctx, request.instance_id.as_deref(), &request.member_id)?;
        let entry = self.entry(request)?;
        let mut changes = self.replacement(&entry);
        let step = Step {
            id: &entry.id,
            before: &entry.member,
            after: request.apply_to(&entry.member),
            replaced: entry.replaced.as_ref(),
            owned: request.owned.as_ref(),
        };
        let after_step = self.progress(ctx, step, &mut changes)?;
        let session_at_ms = after(ctx.now_ms, ctx.config.session_timeout_ms);
        self.soft
            .deadlines
            .set(&entry.id, Timer::Session, session_at_ms);
        let current = &after_step.current;
        let told = request.member_epoch == JOIN
            || request.is_full()
            || current.assigned != entry.member.current.assigned;
        let reply = ConsumerHeartbeatReply {
            member_id: entry.id.to_string(),
            member_epoch: current.member_epoch,
            heartbeat_interval_ms: ctx.config.heartbeat_interval_ms,
            assignment: told.then(|| without_epochs(&current.assigned)),
        };
        Ok(Outcome::of(&self.group_id, changes, reply))
    }

    /// Refuses a new member of a full group; a static member takes the place it has.
    pub(super) fn check_size(
        &self,
        ctx: &Context<'_>,
        instance_id: Option<&str>,
        member_id: &str,
    ) -> Result<(), GroupError> {
        let known = instance_id.is_some_and(|id| self.durable.static_member(id).is_some())
            || self.durable.members.contains_key(member_id);
        let max = usize::try_from(ctx.options.consumer.max_size).unwrap_or(0);
        if !known && self.durable.members.len() >= max {
            return Err(GroupError::GroupMaxSize);
        }
        Ok(())
    }

    fn entry(&self, request: &ConsumerHeartbeat) -> Result<Entry, GroupError> {
        match &request.instance_id {
            None => self.dynamic_entry(request),
            Some(instance_id) => self.static_entry(request, instance_id),
        }
    }

    fn dynamic_entry(&self, request: &ConsumerHeartbeat) -> Result<Entry, GroupError> {
        let known = self
            .durable
            .members
            .get_key_value(request.member_id.as_str());
        let Some((id, member)) = known else {
            if request.member_epoch != JOIN {
                return Err(GroupError::UnknownMember);
            }
            return Ok(Entry::new(&request.member_id));
        };
        check_epoch(member, request)?;
        Ok(Entry::of(id, member))
    }

    fn static_entry(
        &self,
        request: &ConsumerHeartbeat,
        instance_id: &str,
    ) -> Result<Entry, GroupError> {
        let holder = self.durable.static_member(instance_id);
        if request.member_epoch != JOIN {
            let (id, member) = holder.ok_or(GroupError::UnknownMember)?;
            if **id != *request.member_id {
                return Err(GroupError::FencedInstance);
            }
            check_epoch(member, request)?;
            return Ok(Entry::of(id, member));
        }
        let Some((id, member)) = holder else {
            // An instance id for a member that had none: it keeps what it has.
            let known = self
                .durable
                .members
                .get_key_value(request.member_id.as_str());
            return Ok(known.map_or_else(
                || Entry::new(&request.member_id),
                |(id, member)| Entry::of(id, member),
            ));
        };
        if !member.is_classic() && member.current.member_epoch != LEAVE_FOR_A_WHILE {
            return Err(GroupError::UnreleasedInstance(format!(
                "Static member {} with instance id {instance_id} cannot join the group because the instance id is owned by {id} member.",
                request.member_id
            )));
        }
        Ok(Entry::in_place_of(&request.member_id, id, member))
    }

    /// The changes that put a static member under its new id in the place of the old one (`replaceMember`).
    pub(super) fn replacement(&self, entry: &Entry) -> Vec<ConsumerGroupChange> {
        let Some(replaced) = &entry.replaced else {
            return Vec::new();
        };
        let id = entry.id.to_string();
        let mut changes = removal(replaced);
        changes.push(ConsumerGroupChange::Member(
            id.clone(),
            Some(entry.member.metadata.clone()),
        ));
        let target = self.durable.target(replaced).clone();
        changes.push(ConsumerGroupChange::MemberTarget(id.clone(), Some(target)));
        changes.push(ConsumerGroupChange::MemberCurrent(
            id,
            Some(entry.member.current.clone()),
        ));
        changes
    }
}

impl Entry {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            member: Member::default(),
            replaced: None,
        }
    }

    pub(super) fn of(id: &Arc<str>, member: &Member) -> Self {
        Self {
            id: Arc::clone(id),
            member: member.clone(),
            replaced: None,
        }
    }

    /// A member that has what another had, and begins anew with its epochs. One that comes back under its own id takes
    /// nobody's place: replaying its own tombstones would forget its deadlines.
    pub(super) fn in_place_of(id: &str, replaced: &Arc<str>, member: &Member) -> Self {
        let mut member = member.clone();
        member.current.member_epoch = 0;
        member.current.previous_member_epoch = 0;
        Self {
            id: id.into(),
            member,
            replaced: (**replaced != *id).then(|| Arc::clone(replaced)),
        }
    }
}

/// The tombstones of one member.
pub(super) fn removal(member_id: &str) -> Vec<ConsumerGroupChange> {
    let id = || member_id.to_owned();
    vec![
        ConsumerGroupChange::MemberCurrent(id(), None),
        ConsumerGroupChange::MemberTarget(id(), None),
        ConsumerGroupChange::Member(id(), None),
    ]
}

/// Statement E3. The epoch before is taken too, since the answer with the new one may have been lost; but only from a member
/// that owns nothing it does not have.
fn check_epoch(member: &Member, request: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let (known, received) = (member.current.member_epoch, request.member_epoch);
    if received == JOIN || received == known {
        return Ok(());
    }
    let assigned = &member.current.assigned;
    let lost_answer = received == member.current.previous_member_epoch
        && request
            .owned
            .as_ref()
            .is_some_and(|owned| is_within(owned, assigned));
    if received < known && lost_answer {
        return Ok(());
    }
    let relation = if received > known {
        "greater"
    } else {
        "smaller"
    };
    Err(GroupError::FencedMemberEpoch(format!(
        "The consumer group member has a {relation} member epoch ({received}) than the one known by the group coordinator \
         ({known}). The member must abandon all its partitions and rejoin."
    )))
}

fn is_within(owned: &TopicPartitions, assigned: &PartitionEpochs) -> bool {
    owned.iter().all(|(topic, partitions)| {
        let assigned = assigned.get(topic);
        assigned.is_some_and(|assigned| {
            partitions
                .iter()
                .all(|partition| assigned.contains_key(partition))
        })
    })
}

pub(super) fn without_epochs(partitions: &PartitionEpochs) -> TopicPartitions {
    let ids = |partitions: &std::collections::BTreeMap<i32, i32>| -> BTreeSet<i32> {
        partitions.keys().copied().collect()
    };
    partitions
        .iter()
        .map(|(topic, partitions)| (*topic, ids(partitions)))
        .collect()
}
