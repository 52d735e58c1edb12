//! Who may commit and fetch the group's offsets (statement E9).

use uuid::Uuid;

use super::group::{ConsumerGroup, Member};
use crate::error::GroupError;

/// What a commit says of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerCommit<'a> {
    /// The member; empty for an administrator or a consumer without a group.
    pub member_id: &'a str,
    /// The id it was configured with.
    pub instance_id: Option<&'a str>,
    /// Its epoch, or its generation if it speaks the classic protocol; −1 for who is no member.
    pub member_epoch: i32,
    /// Whether it is part of a transaction.
    pub is_transactional: bool,
    /// The version of the OffsetCommit request; irrelevant in a transaction.
    pub version: i16,
}

/// Which partitions a sender may commit.
#[derive(Debug)]
pub struct CommitScope<'a> {
    /// `None`: all. Else the member, and the epoch it named, which is an older one of its.
    older: Option<(&'a Member, i32)>,
}

impl CommitScope<'_> {
    /// Whether the sender may commit this partition. A member that has not heard of its newest epoch yet may, for what was its
    /// own at the epoch it names (KIP-1251, `ConsumerGroup.createAssignmentEpochValidator`).
    ///
    /// # Errors
    /// [`GroupError::StaleMemberEpoch`]; [`GroupError::IllegalGeneration`] for a member of the classic protocol.
    pub fn check(&self, topic: Uuid, partition: i32) -> Result<(), GroupError> {
        let Some((member, received)) = self.older else {
            return Ok(());
        };
        let current = &member.current;
        let epoch_in = |held: &crate::records::consumer::PartitionEpochs| {
            held.get(&topic)
                .and_then(|partitions| partitions.get(&partition))
                .copied()
        };
        match epoch_in(&current.assigned).or_else(|| epoch_in(&current.pending_revocation)) {
            Some(epoch) if epoch <= received => Ok(()),
            _ => Err(stale(member, received)),
        }
    }
}

fn stale(member: &Member, received: i32) -> GroupError {
    if member.is_classic() {
        return GroupError::IllegalGeneration;
    }
    let expected = member.current.member_epoch;
    GroupError::StaleMemberEpoch(format!(
        "The received member epoch {received} does not match the expected member epoch {expected}."
    ))
}

impl ConsumerGroup {
    /// Whether the sender may commit offsets, and which.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::StaleMemberEpoch`] or [`GroupError::IllegalGeneration`],
    /// [`GroupError::UnsupportedVersion`] from a member of the new protocol below version 9.
    pub fn validate_commit(
        &self,
        commit: &ConsumerCommit<'_>,
    ) -> Result<CommitScope<'_>, GroupError> {
        let everything = CommitScope { older: None };
        if commit.member_epoch < 0 && self.durable.members.is_empty() {
            return Ok(everything);
        }
        // Producers before 2.5 do not say for whom they commit.
        let anonymous = commit.member_epoch == -1
            && commit.member_id.is_empty()
            && commit.instance_id.is_none();
        if commit.is_transactional && anonymous {
            return Ok(everything);
        }
        let member = self
            .durable
            .members
            .get(commit.member_id)
            .ok_or(GroupError::UnknownMember)?;
        if !commit.is_transactional && !member.is_classic() && commit.version < 9 {
            return Err(GroupError::UnsupportedVersion);
        }
        let known = member.current.member_epoch;
        match commit.member_epoch {
            received if received == known => Ok(everything),
            received if received > known => Err(stale(member, received)),
            received => Ok(CommitScope {
                older: Some((member, received)),
            }),
        }
    }

    /// Whether the sender may fetch offsets. Without a member id it is an administrator, or a client before version 9.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::StaleMemberEpoch`], [`GroupError::IllegalGeneration`].
    pub fn validate_fetch(
        &self,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), GroupError> {
        let Some(member_id) = member_id else {
            return if member_epoch < 0 {
                Ok(())
            } else {
                Err(GroupError::UnknownMember)
            };
        };
        let member = self
            .durable
            .members
            .get(member_id)
            .ok_or(GroupError::UnknownMember)?;
        if member.current.member_epoch != member_epoch {
            return Err(stale(member, member_epoch));
        }
        Ok(())
    }
}
