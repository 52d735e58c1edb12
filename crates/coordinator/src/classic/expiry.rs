//! Time that has run out: sessions, ids nobody joined with, barriers, and syncs that never came.

use tracing::info;

use super::{ClassicGroup, State, Step};
use crate::error::GroupError;
use crate::stats::RebalanceReason;

enum Due {
    Session(String),
    PendingJoin(String),
    JoinPhase,
    SyncPhase,
}

impl ClassicGroup {
    /// Does all that is due, in the order in which it became due.
    pub(crate) fn expire(&mut self, step: &mut Step<'_>) {
        if self.wake_at_ms > step.now_ms {
            return;
        }
        for (at_ms, due) in self.all_due(step.now_ms) {
            self.expire_one(step, at_ms, &due);
        }
        self.wake_at_ms = self.earliest_deadline_ms();
    }

    fn all_due(&self, now_ms: i64) -> Vec<(i64, Due)> {
        let sessions = self.members.values().filter_map(|member| {
            let at_ms = member.session_deadline_ms?;
            Some((at_ms, Due::Session(member.id.clone())))
        });
        let pending = self
            .pending_joins
            .iter()
            .map(|(member_id, at_ms)| (*at_ms, Due::PendingJoin(member_id.clone())));
        let join = self.join_deadline_ms.map(|at_ms| (at_ms, Due::JoinPhase));
        let sync = self.sync_deadline_ms.map(|at_ms| (at_ms, Due::SyncPhase));
        let mut due: Vec<(i64, Due)> = sessions
            .chain(pending)
            .chain(join)
            .chain(sync)
            .filter(|(at_ms, _)| *at_ms <= now_ms)
            .collect();
        due.sort_by_key(|(at_ms, _)| *at_ms);
        due
    }

    fn earliest_deadline_ms(&self) -> i64 {
        self.members
            .values()
            .filter_map(|member| member.session_deadline_ms)
            .chain(self.pending_joins.values().copied())
            .chain(self.join_deadline_ms)
            .chain(self.sync_deadline_ms)
            .min()
            .unwrap_or(i64::MAX)
    }

    /// What an earlier one of the same moment has moved or removed is left alone.
    fn expire_one(&mut self, step: &mut Step<'_>, at_ms: i64, due: &Due) {
        match due {
            Due::Session(member_id) => self.session_passed(step, at_ms, member_id),
            Due::PendingJoin(member_id) => {
                if self.pending_joins.get(member_id) == Some(&at_ms) {
                    self.remove(step, member_id, &GroupError::UnknownMember);
                    self.complete_join_if_all_there(step);
                }
            }
            Due::JoinPhase => {
                if self.join_deadline_ms == Some(at_ms) {
                    self.join_deadline_ms = None;
                    self.join_deadline_passed(step);
                }
            }
            Due::SyncPhase => {
                if self.sync_deadline_ms == Some(at_ms) {
                    self.sync_deadline_ms = None;
                    self.syncs_missing(step);
                }
            }
        }
    }

    fn session_passed(&mut self, step: &mut Step<'_>, at_ms: i64, member_id: &str) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        if member.session_deadline_ms != Some(at_ms) {
            return;
        }
        member.session_deadline_ms = None;
        if member.is_excused() {
            return;
        }
        info!(group = %self.id, member = %member_id, "a member's session expired");
        self.remove(step, member_id, &GroupError::UnknownMember);
        match self.state {
            State::Empty => {}
            State::PreparingRebalance { .. } => self.complete_join_if_all_there(step),
            State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(step, RebalanceReason::SessionExpired);
            }
        }
    }

    /// Also a first barrier: those who are there have waited for one that will not come.
    fn complete_join_if_all_there(&mut self, step: &mut Step<'_>) {
        if self.is_preparing() && self.has_all_joined() {
            self.complete_join(step);
        }
    }

    fn syncs_missing(&mut self, step: &mut Step<'_>) {
        if !matches!(self.state, State::CompletingRebalance | State::Stable)
            || self.pending_syncs.is_empty()
        {
            return;
        }
        for member_id in std::mem::take(&mut self.pending_syncs) {
            info!(group = %self.id, member = %member_id, "removed a member that did not sync");
            self.remove(step, &member_id, &GroupError::UnknownMember);
        }
        self.prepare_rebalance(step, RebalanceReason::SyncMissing);
    }
}
