//! Members of the classic protocol in a consumer group (statement E10): while an application is upgraded one instance at a
//! time, the old ones go on joining, syncing and heartbeating, and are answered from the same target assignment.
//!
//! A join is a full heartbeat; its generation is the member's epoch. A member that shall give up or may get partitions is
//! told that a rebalance is going on, and joins again. There is no leader and nobody waits for anybody.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tracing::info;

use super::deadlines::Timer;
use super::embedded::{CONSUMER, Subscription, encode_assignment, preferred_metadata};
use super::group::{ConsumerGroup, Member, after};
use super::heartbeat::{Entry, without_epochs};
use super::migration::Downgrade;
use super::progress::{Step, may_assign};
use super::{ClassicProtocols, Context, Outcome};
use crate::error::GroupError;
use crate::options::MigrationPolicy;
use crate::records::consumer::{ClassicMember, MemberState};

/// A JoinGroup request to a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicJoin {
    /// The member; for one that has no id yet, the one made for it.
    pub member_id: String,
    /// Whether the client brought no id.
    pub is_new: bool,
    /// Whether a new dynamic member must first learn its id (KIP-394: version 4 on).
    pub requires_known_id: bool,
    /// The id it was configured with (KIP-345).
    pub instance_id: Option<String>,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// How long it may take to join again and to sync.
    pub rebalance_timeout_ms: i32,
    /// Has to be "consumer".
    pub protocol_type: String,
    /// What it offers, the preferred one first.
    pub protocols: ClassicProtocols,
    /// The client's id.
    pub client_id: String,
    /// The client's address as Java prints it.
    pub client_host: String,
}

/// The answer to a join: no leader, no members, no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicJoined {
    /// The member.
    pub member_id: String,
    /// Its epoch.
    pub generation: i32,
    /// The protocol it prefers.
    pub protocol_name: String,
}

/// A SyncGroup request to a consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassicSync<'a> {
    /// Who asks, and in which generation.
    pub sender: ClassicHeartbeat<'a>,
    /// Has to be "consumer" if present.
    pub protocol_type: Option<&'a str>,
    /// Has to be the protocol that the join answered, if present.
    pub protocol_name: Option<&'a str>,
}

/// A Heartbeat request to a consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassicHeartbeat<'a> {
    /// The member.
    pub member_id: &'a str,
    /// The id it was configured with.
    pub instance_id: Option<&'a str>,
    /// Its generation.
    pub generation: i32,
}

/// One member of a LeaveGroup request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicIdentity {
    /// The member; empty where an administrator removes an instance.
    pub member_id: String,
    /// The id it was configured with.
    pub instance_id: Option<String>,
}

impl ConsumerGroup {
    /// A classic member joins, or joins again.
    ///
    /// # Errors
    /// [`GroupError::InconsistentProtocol`], [`GroupError::GroupMaxSize`], [`GroupError::MemberIdRequired`],
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`], [`GroupError::InvalidRequest`] for metadata that cannot
    /// be read.
    pub fn classic_join(
        &mut self,
        ctx: &Context<'_>,
        join: &ClassicJoin,
    ) -> Result<Outcome<ClassicJoined>, GroupError> {
        if ctx.options.consumer.migration_policy == MigrationPolicy::Disabled {
            return Err(GroupError::InconsistentProtocol);
        }
        self.check_size(ctx, join.instance_id.as_deref(), &join.member_id)?;
        let protocol_name = self.check_protocols(join)?;
        if join.is_new && join.requires_known_id && join.instance_id.is_none() {
            let member_id = join.member_id.clone();
            return Err(GroupError::MemberIdRequired { member_id });
        }
        let subscription = read_subscription(join)?;
        let owned = subscription.owned_by_id(ctx.topics);
        let entry = self.classic_entry(join)?;
        let mut changes = self.replacement(&entry);
        let step = Step {
            id: &entry.id,
            before: &entry.member,
            after: joined(&entry.member, join, subscription),
            replaced: entry.replaced.as_ref(),
            owned: Some(&owned),
        };
        let member = self.progress(ctx, step, &mut changes)?;
        let reply = ClassicJoined {
            member_id: entry.id.to_string(),
            generation: member.current.member_epoch,
            protocol_name,
        };
        let downgrade = entry.replaced.as_ref().and_then(|replaced| {
            Downgrade::after_replacement(self, ctx, replaced, (&entry.id, &member))
        });
        if downgrade.is_some() {
            let outcome = Outcome::of(&self.group_id, self.tombstone_changes(), reply);
            return Ok(Outcome {
                downgrade,
                ..outcome
            });
        }
        self.await_sync(ctx, &entry.id, join);
        Ok(Outcome::of(&self.group_id, changes, reply))
    }

    fn await_sync(&mut self, ctx: &Context<'_>, id: &Arc<str>, join: &ClassicJoin) {
        let deadlines = &mut self.soft.deadlines;
        deadlines.cancel(id, Timer::Join);
        deadlines.cancel(id, Timer::Rebalance { member_epoch: 0 });
        deadlines.set(
            id,
            Timer::Session,
            after(ctx.now_ms, join.session_timeout_ms),
        );
        deadlines.set(
            id,
            Timer::Sync,
            after(ctx.now_ms, join.rebalance_timeout_ms),
        );
    }

    /// The name of the preferred protocol, if the group can take the member: all its classic members have to support one of
    /// the protocols offered (`ConsumerGroup.supportsClassicProtocols`).
    fn check_protocols(&self, join: &ClassicJoin) -> Result<String, GroupError> {
        let classic = || {
            self.durable
                .members
                .values()
                .filter_map(|member| member.metadata.classic.as_ref())
        };
        let by_all = |name: &String| {
            classic().all(|member| member.protocols.iter().any(|(other, _)| other == name))
        };
        let (preferred, _) = join
            .protocols
            .first()
            .ok_or(GroupError::InconsistentProtocol)?;
        let fits =
            join.protocol_type == CONSUMER && join.protocols.iter().any(|(name, _)| by_all(name));
        if fits {
            Ok(preferred.clone())
        } else {
            Err(GroupError::InconsistentProtocol)
        }
    }

    fn classic_entry(&self, join: &ClassicJoin) -> Result<Entry, GroupError> {
        let holder = join
            .instance_id
            .as_ref()
            .map(|id| self.durable.static_member(id));
        match holder {
            Some(Some((id, member))) if join.is_new => {
                Ok(Entry::in_place_of(&join.member_id, id, member))
            }
            Some(Some((id, member))) if **id == *join.member_id => Ok(Entry::of(id, member)),
            Some(Some(_)) => Err(GroupError::FencedInstance),
            Some(None) if !join.is_new => Err(GroupError::UnknownMember),
            Some(None) | None => {
                let known = self.durable.members.get_key_value(join.member_id.as_str());
                Ok(known.map_or_else(
                    || Entry::new(&join.member_id),
                    |(id, member)| Entry::of(id, member),
                ))
            }
        }
    }

    fn classic_member(
        &self,
        sender: &ClassicHeartbeat<'_>,
    ) -> Result<(&Arc<str>, &Member, &ClassicMember), GroupError> {
        let (id, member) = match sender.instance_id {
            None => self
                .durable
                .members
                .get_key_value(sender.member_id)
                .ok_or(GroupError::UnknownMember)?,
            Some(instance_id) => {
                let holder = self
                    .durable
                    .static_member(instance_id)
                    .ok_or(GroupError::UnknownMember)?;
                if **holder.0 != *sender.member_id {
                    return Err(GroupError::FencedInstance);
                }
                holder
            }
        };
        let classic = member
            .metadata
            .classic
            .as_ref()
            .ok_or(GroupError::UnknownMember)?;
        if member.current.member_epoch != sender.generation {
            return Err(GroupError::IllegalGeneration);
        }
        Ok((id, member, classic))
    }

    /// A classic member asks for its assignment: what it may consume, in the bytes of its own protocol.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`], [`GroupError::IllegalGeneration`],
    /// [`GroupError::InconsistentProtocol`], [`GroupError::RebalanceInProgress`].
    pub fn classic_sync(
        &mut self,
        ctx: &Context<'_>,
        sync: &ClassicSync<'_>,
    ) -> Result<Bytes, GroupError> {
        let (id, member, classic) = self.classic_member(&sync.sender)?;
        let offered = classic.protocols.first().map(|(name, _)| name.as_str());
        if sync
            .protocol_type
            .is_some_and(|protocol_type| protocol_type != CONSUMER)
            || sync.protocol_name.is_some_and(|name| Some(name) != offered)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        let id = Arc::clone(id);
        let current = &member.current;
        // While it has partitions to give up it has joined already: it syncs first, and is then asked to join again.
        if self.durable.assignment_epoch() > current.member_epoch
            && current.state != MemberState::UnrevokedPartitions
        {
            let at_ms = after(ctx.now_ms, member.metadata.rebalance_timeout_ms);
            self.soft.deadlines.set_if_absent(&id, Timer::Join, at_ms);
            return Err(GroupError::RebalanceInProgress);
        }
        let partitions = without_epochs(&current.assigned);
        let assignment = encode_assignment(&partitions, ctx.topics, &preferred_metadata(member));
        let session_at_ms = after(ctx.now_ms, classic.session_timeout_ms);
        self.soft.deadlines.cancel(&id, Timer::Sync);
        self.soft.deadlines.set(&id, Timer::Session, session_at_ms);
        Ok(assignment)
    }

    /// A classic member says that it is alive.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`], [`GroupError::IllegalGeneration`];
    /// [`GroupError::RebalanceInProgress`] if it has to join again, because there is a new target assignment, or partitions to
    /// give up, or some that it waited for are free.
    pub fn classic_heartbeat(
        &mut self,
        ctx: &Context<'_>,
        heartbeat: &ClassicHeartbeat<'_>,
    ) -> Result<(), GroupError> {
        // Where only classic members are left, somebody's join has to compute the next target assignment: Kafka leaves such a
        // group, which a policy without downgrades makes possible, as it is.
        let is_behind = self.durable.group_epoch() > self.durable.assignment_epoch();
        let assigns =
            (self.topics_changed(ctx) || is_behind) && may_assign(self.durable.target_epoch, ctx);
        let (id, member, classic) = self.classic_member(heartbeat)?;
        let id = Arc::clone(id);
        let must_join = assigns
            || member.current.member_epoch < self.durable.assignment_epoch()
            || match member.current.state {
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !self.waits_for_others(&id, member),
                MemberState::Stable | MemberState::Unknown(_) => false,
            };
        let session_at_ms = after(ctx.now_ms, classic.session_timeout_ms);
        let join_at_ms = after(ctx.now_ms, member.metadata.rebalance_timeout_ms);
        self.soft.deadlines.set(&id, Timer::Session, session_at_ms);
        if must_join {
            self.soft
                .deadlines
                .set_if_absent(&id, Timer::Join, join_at_ms);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether some partition that the member shall have is still held by another.
    fn waits_for_others(&self, id: &Arc<str>, member: &Member) -> bool {
        self.durable.target(id).iter().any(|(topic, partitions)| {
            let has = member.current.assigned.get(topic);
            partitions.iter().any(|partition| {
                !has.is_some_and(|has| has.contains_key(partition))
                    && self.durable.owner(*topic, *partition).is_some()
            })
        })
    }

    /// Members leave by the classic LeaveGroup, or are removed by an administrator (statement G12), whichever protocol they
    /// speak. An answer for each, in their order: the member's id, or why it was not removed.
    pub fn classic_leave(
        &mut self,
        ctx: &Context<'_>,
        identities: &[ClassicIdentity],
    ) -> Outcome<Vec<Result<String, GroupError>>> {
        let mut removed = BTreeSet::new();
        let mut answers = Vec::new();
        for identity in identities {
            let found = self.leaving_classic(identity);
            answers.push(
                found
                    .as_ref()
                    .map(ToString::to_string)
                    .map_err(Clone::clone),
            );
            removed.extend(found);
        }
        for id in &removed {
            info!(group = %self.group_id, member = %id, "member leaves");
        }
        self.remove(ctx, &removed, "left").map(|()| answers)
    }

    fn leaving_classic(&self, identity: &ClassicIdentity) -> Result<Arc<str>, GroupError> {
        let (id, _) = match &identity.instance_id {
            None => self
                .durable
                .members
                .get_key_value(identity.member_id.as_str())
                .ok_or(GroupError::UnknownMember)?,
            Some(instance_id) => {
                let holder = self
                    .durable
                    .static_member(instance_id)
                    .ok_or(GroupError::UnknownMember)?;
                if !identity.member_id.is_empty() && **holder.0 != *identity.member_id {
                    return Err(GroupError::FencedInstance);
                }
                holder
            }
        };
        Ok(Arc::clone(id))
    }
}

fn read_subscription(join: &ClassicJoin) -> Result<Subscription, GroupError> {
    let (_, metadata) = join
        .protocols
        .first()
        .ok_or(GroupError::InconsistentProtocol)?;
    Subscription::decode(metadata).map_err(|error| GroupError::InvalidRequest {
        reason: format!("the subscription inside the join cannot be read: {error}"),
    })
}

/// The member with what the join says of it.
fn joined(member: &Member, join: &ClassicJoin, subscription: Subscription) -> Member {
    let mut updated = member.clone();
    let metadata = &mut updated.metadata;
    if join.instance_id.is_some() {
        metadata.instance_id.clone_from(&join.instance_id);
    }
    if subscription.rack_id.is_some() {
        metadata.rack_id = subscription.rack_id;
    }
    if join.rebalance_timeout_ms != -1 {
        metadata.rebalance_timeout_ms = join.rebalance_timeout_ms;
    }
    metadata.subscribed_topic_names = subscription.topics.into_iter().collect();
    metadata.client_id.clone_from(&join.client_id);
    metadata.client_host.clone_from(&join.client_host);
    metadata.classic = Some(ClassicMember {
        session_timeout_ms: join.session_timeout_ms,
        protocols: join.protocols.clone(),
    });
    updated
}
