//! A group changes its type while it has members (statement E10): from classic when the first member of the new protocol
//! joins, to classic when the last one is gone. What the members have is carried over: nobody stops consuming for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tracing::{info, warn};

use super::embedded::{CONSUMER, Subscription, decode_assignment, encode_assignment};
use super::group::{ConsumerGroup, Member};
use super::{ClassicProtocols, Context, encode};
use crate::decision::CoordinatorRecord;
use crate::error::GroupError;
use crate::records::consumer::{
    ClassicMember, ConsumerGroupChange, CurrentAssignment, GroupEpoch, MemberMetadata, MemberState,
    PartitionEpochs, TargetEpoch, TopicPartitions,
};
use crate::topics::TopicView;

/// A classic group, as far as another type needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicDescription {
    /// Its name.
    pub group_id: String,
    /// The protocol type of its members; `None` or empty if none ever joined.
    pub protocol_type: Option<String>,
    /// Its generation.
    pub generation: i32,
    /// The protocol that its members agreed on.
    pub protocol: Option<String>,
    /// Its members.
    pub members: Vec<ClassicMemberDescription>,
}

/// A member of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMemberDescription {
    /// Its id.
    pub member_id: String,
    /// The id it was configured with.
    pub instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// How long a rebalance may take.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// What it offers, the preferred one first.
    pub protocols: ClassicProtocols,
    /// What it was given, in the bytes of its protocol.
    pub assignment: Bytes,
}

/// What a consumer group becomes when its last member of the new protocol is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downgrade {
    /// The classic group: stable, without a leader.
    pub group: ClassicDescription,
    /// Whether its members have to join again, because somebody left; not so where somebody took a place.
    pub rebalance: bool,
}

impl ConsumerGroup {
    /// A classic group as a consumer group: the group in memory, for the heartbeat that brings the change about, and the
    /// records that make it. The caller stores, as one batch, the tombstone of the classic group, these records, and those of
    /// the heartbeat; then it replays them into [`ConsumerGroup::new`] and calls [`ConsumerGroup::loaded`]. Members that wait
    /// in a join or sync of the classic group are told that it rebalances.
    ///
    /// # Errors
    /// [`GroupError::GroupIdNotFound`] if the policy, the protocol type or the size forbids it, or if what a member sent cannot
    /// be read (`validateOnlineUpgrade`).
    pub fn upgrade(
        ctx: &Context<'_>,
        classic: &ClassicDescription,
    ) -> Result<(Self, Vec<CoordinatorRecord>), GroupError> {
        check_upgrade(ctx, classic)?;
        let mut members = BTreeMap::new();
        for member in &classic.members {
            let converted = convert(member, classic, ctx.topics).map_err(|error| {
                warn!(group = %classic.group_id, member = %member.member_id, %error, "cannot upgrade a classic group");
                refused(classic, "the embedded consumer protocol is malformed")
            })?;
            members.insert(member.member_id.clone(), converted);
        }
        info!(group = %classic.group_id, generation = classic.generation, "classic group becomes a consumer group");
        let changes = creation(classic, &members, ctx.topics);
        let mut group = Self::new(classic.group_id.clone());
        for change in changes.clone() {
            group.replay(change);
        }
        group.loaded(ctx.now_ms, &ctx.config);
        Ok((group, encode(&classic.group_id, changes)))
    }
}

fn refused(classic: &ClassicDescription, why: &str) -> GroupError {
    let id = &classic.group_id;
    GroupError::GroupIdNotFound(format!(
        "Cannot upgrade classic group {id} to consumer group because {why}."
    ))
}

fn check_upgrade(ctx: &Context<'_>, classic: &ClassicDescription) -> Result<(), GroupError> {
    let max = usize::try_from(ctx.options.consumer.max_size).unwrap_or(0);
    let protocol_type = classic.protocol_type.as_deref().unwrap_or_default();
    if !ctx.options.consumer.migration_policy.may_upgrade() {
        return Err(refused(classic, "online upgrade is disabled"));
    }
    if protocol_type != CONSUMER {
        return Err(refused(
            classic,
            "the group does not use the consumer embedded protocol",
        ));
    }
    if classic.members.len() > max {
        return Err(refused(
            classic,
            "the group size exceeds the consumer group maximum size",
        ));
    }
    Ok(())
}

type Converted = (MemberMetadata, TopicPartitions);

fn convert(
    member: &ClassicMemberDescription,
    classic: &ClassicDescription,
    topics: &dyn TopicView,
) -> Result<Converted, crate::records::RecordError> {
    let chosen = member
        .protocols
        .iter()
        .find(|(name, _)| Some(name) == classic.protocol.as_ref())
        .or_else(|| member.protocols.first());
    let subscription = chosen.map_or_else(
        || Ok(Subscription::default()),
        |(_, bytes)| Subscription::decode(bytes),
    )?;
    let assigned = decode_assignment(&member.assignment, topics)?;
    let metadata = MemberMetadata {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: subscription.topics.into_iter().collect(),
        subscribed_topic_regex: None,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: None,
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    };
    Ok((metadata, assigned))
}

/// The records of the new group: everyone has, and shall have, what the classic leader gave it.
fn creation(
    classic: &ClassicDescription,
    members: &BTreeMap<String, Converted>,
    topics: &dyn TopicView,
) -> Vec<ConsumerGroupChange> {
    let epoch = classic.generation;
    let mut changes: Vec<_> = members
        .iter()
        .map(|(id, (metadata, _))| ConsumerGroupChange::Member(id.clone(), Some(metadata.clone())))
        .collect();
    // No hash: the heartbeat that follows computes it.
    let metadata_hash = 0;
    changes.push(ConsumerGroupChange::Group(Some(GroupEpoch {
        epoch,
        metadata_hash,
    })));
    let mut taken = BTreeSet::new();
    for (id, (_, assigned)) in members {
        let assigned = valid(assigned, topics, &mut taken);
        let current = CurrentAssignment {
            member_epoch: epoch,
            previous_member_epoch: epoch,
            state: MemberState::Stable,
            assigned: with_epoch(&assigned, epoch),
            pending_revocation: PartitionEpochs::new(),
        };
        changes.push(ConsumerGroupChange::MemberTarget(
            id.clone(),
            Some(assigned),
        ));
        changes.push(ConsumerGroupChange::MemberCurrent(
            id.clone(),
            Some(current),
        ));
    }
    // Time 0: the first new assignment need not keep a distance.
    changes.push(ConsumerGroupChange::Target(Some(TargetEpoch {
        epoch,
        timestamp_ms: 0,
    })));
    changes
}

/// A classic leader is a client: it may have given a partition to two members, or one that does not exist. The first keeps it.
fn valid(
    assigned: &TopicPartitions,
    topics: &dyn TopicView,
    taken: &mut BTreeSet<(uuid::Uuid, i32)>,
) -> TopicPartitions {
    let mut kept = TopicPartitions::new();
    for (topic, partitions) in assigned {
        let count = topics.by_id(*topic).map_or(0, |(_, count)| count);
        let partitions: BTreeSet<i32> = partitions
            .iter()
            .copied()
            .filter(|partition| {
                (0..count).contains(partition) && taken.insert((*topic, *partition))
            })
            .collect();
        if !partitions.is_empty() {
            kept.insert(*topic, partitions);
        }
    }
    kept
}

fn with_epoch(partitions: &TopicPartitions, epoch: i32) -> PartitionEpochs {
    let at_epoch = |partitions: &BTreeSet<i32>| {
        partitions
            .iter()
            .map(|partition| (*partition, epoch))
            .collect()
    };
    partitions
        .iter()
        .map(|(topic, partitions)| (*topic, at_epoch(partitions)))
        .collect()
}

impl Downgrade {
    /// The classic group that is left once these members are gone; `None` if the group stays what it is.
    pub(super) fn after_removal(
        group: &ConsumerGroup,
        ctx: &Context<'_>,
        removed: &BTreeSet<Arc<str>>,
    ) -> Option<Self> {
        let rest = || {
            group
                .durable
                .members
                .iter()
                .filter(|(id, _)| !removed.contains(*id))
        };
        // A group of classic members only stays one of its type if it was not changed before: an empty one has none.
        if rest().next().is_none() || !rest().all(|(_, member)| member.is_classic()) {
            return None;
        }
        let members = rest().map(|(id, member)| (id, member, id)).collect();
        Self::of(group, ctx, members, true)
    }

    /// The classic group in which a classic member has taken the place of the last one of the new protocol.
    pub(super) fn after_replacement(
        group: &ConsumerGroup,
        ctx: &Context<'_>,
        replaced: &Arc<str>,
        joining: (&Arc<str>, &Member),
    ) -> Option<Self> {
        let members = &group.durable.members;
        if members.get(replaced).is_none_or(Member::is_classic) {
            return None;
        }
        let mut rest = Vec::new();
        for (id, member) in members.iter().filter(|(id, _)| *id != replaced) {
            if !member.is_classic() {
                return None;
            }
            rest.push((id, member, id));
        }
        rest.push((joining.0, joining.1, replaced));
        Self::of(group, ctx, rest, false)
    }

    /// Each member with the id under which it has a target.
    fn of(
        group: &ConsumerGroup,
        ctx: &Context<'_>,
        members: Vec<(&Arc<str>, &Member, &Arc<str>)>,
        rebalance: bool,
    ) -> Option<Self> {
        let max = usize::try_from(ctx.options.max_size).unwrap_or(0);
        if !ctx.options.consumer.migration_policy.may_downgrade() || members.len() > max {
            info!(group = %group.group_id, "consumer group of classic members stays: the policy or its size forbids the change");
            return None;
        }
        let protocol = common_protocol(&members)?;
        let describe = |(id, member, target): (&Arc<str>, &Member, &Arc<str>)| {
            describe(
                id,
                member,
                group.durable.target(target),
                &protocol,
                ctx.topics,
            )
        };
        info!(group = %group.group_id, epoch = group.durable.group_epoch(), "consumer group becomes a classic group");
        Some(Self {
            group: ClassicDescription {
                group_id: group.group_id.clone(),
                protocol_type: Some(CONSUMER.to_owned()),
                generation: group.durable.group_epoch(),
                members: members.into_iter().filter_map(describe).collect(),
                protocol: Some(protocol),
            },
            rebalance,
        })
    }
}

/// The protocol that every member offers; the one most of them prefer among those.
fn common_protocol(members: &[(&Arc<str>, &Member, &Arc<str>)]) -> Option<String> {
    let offers: Vec<&ClassicProtocols> = members
        .iter()
        .filter_map(|(_, member, _)| member.metadata.classic.as_ref())
        .map(|classic| &classic.protocols)
        .collect();
    let by_all = |name: &String| {
        offers
            .iter()
            .all(|offer| offer.iter().any(|(other, _)| other == name))
    };
    let mut votes: BTreeMap<&String, usize> = BTreeMap::new();
    for offer in &offers {
        if let Some((name, _)) = offer.iter().find(|(name, _)| by_all(name)) {
            *votes.entry(name).or_default() += 1;
        }
    }
    let most = votes.into_iter().max_by_key(|(_, votes)| *votes)?;
    Some(most.0.clone())
}

fn describe(
    id: &str,
    member: &Member,
    target: &TopicPartitions,
    protocol: &str,
    topics: &dyn TopicView,
) -> Option<ClassicMemberDescription> {
    let metadata = &member.metadata;
    let classic = metadata.classic.as_ref()?;
    let (_, subscription) = classic
        .protocols
        .iter()
        .find(|(name, _)| name == protocol)?;
    Some(ClassicMemberDescription {
        member_id: id.to_owned(),
        instance_id: metadata.instance_id.clone(),
        client_id: metadata.client_id.clone(),
        client_host: metadata.client_host.clone(),
        rebalance_timeout_ms: metadata.rebalance_timeout_ms,
        session_timeout_ms: classic.session_timeout_ms,
        protocols: classic.protocols.clone(),
        assignment: encode_assignment(target, topics, subscription),
    })
}
