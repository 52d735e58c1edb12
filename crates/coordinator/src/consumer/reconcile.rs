//! One step of one member towards its target (statements E5 and E6, Kafka's `CurrentAssignmentBuilder`).
//!
//! The rule that keeps a partition with one owner: a member gives up first and stays on its epoch until it no longer reports
//! what it had to give up; only what nobody holds is handed out.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::error::GroupError;
use crate::records::consumer::{CurrentAssignment, MemberState, PartitionEpochs, TopicPartitions};

/// What the step depends on.
pub(super) struct Reconciliation<'a> {
    /// What the member has.
    pub(super) current: &'a CurrentAssignment,
    /// The epoch of the target assignment.
    pub(super) target_epoch: i32,
    /// What it shall have.
    pub(super) target: &'a TopicPartitions,
    /// The topics it is subscribed to now; the target may be older.
    pub(super) subscribed: &'a BTreeSet<Uuid>,
    /// Whether its subscription has just changed.
    pub(super) subscription_changed: bool,
    /// Whether some member holds the partition.
    pub(super) is_held: &'a dyn Fn(Uuid, i32) -> bool,
    /// What it says it owns; `None` if it does not say.
    pub(super) owned: Option<&'a TopicPartitions>,
}

impl Reconciliation<'_> {
    /// What the member has after the step.
    ///
    /// # Errors
    /// [`GroupError::FencedMemberEpoch`] if its state is one that only a newer broker knows, and it still owns something.
    pub(super) fn step(&self) -> Result<CurrentAssignment, GroupError> {
        let current = self.current;
        match current.state {
            MemberState::Stable if current.member_epoch != self.target_epoch => Ok(self.advance()),
            MemberState::Stable => Ok(self.drop_unsubscribed()),
            MemberState::UnrevokedPartitions if self.still_owns(&current.pending_revocation) => {
                Ok(self.drop_unsubscribed())
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => Ok(self.advance()),
            MemberState::Unknown(_) if self.owned.is_some_and(TopicPartitions::is_empty) => {
                Ok(self.advance())
            }
            MemberState::Unknown(_) => Err(GroupError::FencedMemberEpoch(
                "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin."
                    .to_owned(),
            )),
        }
    }

    /// Whether the member still reports any of these; a member that says nothing may own all of them.
    fn still_owns(&self, partitions: &PartitionEpochs) -> bool {
        self.owned.is_none_or(|owned| {
            owned.iter().any(|(topic, owned)| {
                partitions.get(topic).is_some_and(|pending| {
                    owned
                        .iter()
                        .any(|partition| pending.contains_key(partition))
                })
            })
        })
    }

    /// Takes away topics that the member no longer asks for, without waiting for a new target assignment.
    fn drop_unsubscribed(&self) -> CurrentAssignment {
        let unsubscribed = |topic: &Uuid| !self.subscribed.contains(topic);
        if !self.subscription_changed || !self.current.assigned.keys().any(unsubscribed) {
            return self.current.clone();
        }
        let mut next = self.current.clone();
        let assigned = std::mem::take(&mut next.assigned);
        for (topic, partitions) in assigned {
            if self.subscribed.contains(&topic) {
                next.assigned.insert(topic, partitions);
            } else {
                next.pending_revocation
                    .entry(topic)
                    .or_default()
                    .extend(partitions);
            }
        }
        next.previous_member_epoch = self.current.member_epoch;
        if self.still_owns(&next.pending_revocation) {
            next.state = MemberState::UnrevokedPartitions;
        } else {
            next.pending_revocation
                .clone_from(&self.current.pending_revocation);
        }
        next
    }

    /// The full step: keep, give up, or take.
    fn advance(&self) -> CurrentAssignment {
        let split = self.split();
        let mut next = CurrentAssignment {
            member_epoch: self.target_epoch,
            previous_member_epoch: self.current.member_epoch,
            state: MemberState::Stable,
            assigned: split.kept,
            pending_revocation: PartitionEpochs::new(),
        };
        if !split.to_revoke.is_empty() && self.still_owns(&split.to_revoke) {
            // Its epoch stays: what it commits for these partitions until it has let go of them counts.
            next.member_epoch = match self.current.state {
                MemberState::Unknown(_) => self.target_epoch,
                _ => self.current.member_epoch,
            };
            next.state = MemberState::UnrevokedPartitions;
            next.pending_revocation = split.to_revoke;
            return next;
        }
        for (topic, partitions) in split.to_assign {
            let fresh = partitions
                .into_iter()
                .map(|partition| (partition, self.target_epoch));
            next.assigned.entry(topic).or_default().extend(fresh);
        }
        if split.waits {
            next.state = MemberState::UnreleasedPartitions;
        }
        next
    }

    fn split(&self) -> Split {
        let mut split = Split::default();
        for (topic, partitions) in &self.current.assigned {
            let target = self.target_of(topic);
            let (kept, to_revoke): (BTreeMap<i32, i32>, BTreeMap<i32, i32>) =
                partitions.iter().partition(|(partition, _)| {
                    target.is_some_and(|target| target.contains(partition))
                });
            insert_unless_empty(&mut split.kept, *topic, kept);
            insert_unless_empty(&mut split.to_revoke, *topic, to_revoke);
        }
        for topic in self.target.keys() {
            let Some(target) = self.target_of(topic) else {
                continue;
            };
            let has = self.current.assigned.get(topic);
            let missing = target
                .iter()
                .filter(|partition| !has.is_some_and(|has| has.contains_key(partition)));
            for partition in missing {
                if self.is_free(*topic, *partition) {
                    split
                        .to_assign
                        .entry(*topic)
                        .or_default()
                        .insert(*partition);
                } else {
                    split.waits = true;
                }
            }
        }
        split
    }

    fn target_of(&self, topic: &Uuid) -> Option<&BTreeSet<i32>> {
        self.target
            .get(topic)
            .filter(|_| self.subscribed.contains(topic))
    }

    /// Whether the member may have the partition: nobody holds it, or it is itself about to give it up.
    fn is_free(&self, topic: Uuid, partition: i32) -> bool {
        let own = self.current.pending_revocation.get(&topic);
        own.is_some_and(|own| own.contains_key(&partition)) || !(self.is_held)(topic, partition)
    }
}

#[derive(Default)]
struct Split {
    kept: PartitionEpochs,
    to_revoke: PartitionEpochs,
    to_assign: TopicPartitions,
    waits: bool,
}

fn insert_unless_empty(into: &mut PartitionEpochs, topic: Uuid, partitions: BTreeMap<i32, i32>) {
    if !partitions.is_empty() {
        into.insert(topic, partitions);
    }
}
