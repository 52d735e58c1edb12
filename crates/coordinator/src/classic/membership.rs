//! Staying and leaving: Heartbeat, LeaveGroup, and whether a member may commit.

use tracing::info;

use super::{ClassicGroup, State, Step};
use crate::error::GroupError;
use crate::event::{CommitRequest, HeartbeatRequest, LeavingMember};
use crate::stats::RebalanceReason;

impl ClassicGroup {
    /// A heartbeat that finds a rebalance counts all the same: the member has to come and join, which takes time.
    pub(crate) fn heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match self.state {
            State::Empty => Err(GroupError::UnknownMember),
            State::PreparingRebalance { .. } => {
                self.restart_session(step.now_ms, &request.member_id);
                Err(GroupError::RebalanceInProgress)
            }
            State::CompletingRebalance | State::Stable => {
                self.restart_session(step.now_ms, &request.member_id);
                Ok(())
            }
        }
    }

    pub(crate) fn leave(
        &mut self,
        step: &mut Step<'_>,
        members: &[LeavingMember],
    ) -> Vec<Result<(), GroupError>> {
        let results: Vec<_> = members
            .iter()
            .map(|leaving| self.leave_one(step, leaving))
            .collect();
        if results.iter().any(Result::is_ok) {
            match self.state {
                State::Empty => {}
                State::PreparingRebalance { .. } => self.maybe_complete_join(step),
                State::CompletingRebalance | State::Stable => {
                    self.prepare_rebalance(step, RebalanceReason::MemberLeft);
                }
            }
        }
        results
    }

    fn leave_one(
        &mut self,
        step: &mut Step<'_>,
        leaving: &LeavingMember,
    ) -> Result<(), GroupError> {
        let instance_id = leaving.group_instance_id.as_deref();
        let member_id = if leaving.member_id.is_empty() {
            // An administrator removes a static member by the name it was configured with.
            let found = instance_id.and_then(|id| self.static_members.get(id));
            found.cloned().ok_or(GroupError::UnknownMember)?
        } else if self.pending_joins.contains_key(&leaving.member_id) {
            leaving.member_id.clone()
        } else {
            self.check_member(&leaving.member_id, instance_id)?;
            leaving.member_id.clone()
        };
        let reason = leaving.reason.as_deref().unwrap_or("not provided");
        info!(group = %self.id, member = %member_id, reason, "a member left");
        self.remove(step, &member_id, &GroupError::UnknownMember);
        Ok(())
    }

    /// Whether these offsets may be committed (`ClassicGroup.validateOffsetCommit`).
    pub(crate) fn check_commit(&self, request: &CommitRequest) -> Result<(), GroupError> {
        let generation = request.generation_or_epoch;
        if generation < 0 && self.is_empty() {
            // An administrator, or a consumer outside the membership.
            return Ok(());
        }
        let claims_membership =
            generation >= 0 || !request.member_id.is_empty() || request.group_instance_id.is_some();
        let is_transactional = request.transaction.is_some();
        if !claims_membership {
            // Producers before 2.5 do not say for whom they commit.
            return match is_transactional {
                true => Ok(()),
                false => Err(GroupError::UnknownMember),
            };
        }
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance && !is_transactional {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit shows that the member lives, unless the leader is assigning.
    pub(crate) fn committed(&mut self, now_ms: i64, member_id: &str) {
        if self.state == State::Stable || self.is_preparing() {
            self.restart_session(now_ms, member_id);
        }
    }

    pub(crate) fn check_delete_offsets(&self) -> Result<(), GroupError> {
        if self.is_empty() || self.uses_consumer_protocol() {
            Ok(())
        } else {
            Err(GroupError::NonEmptyGroup)
        }
    }
}
