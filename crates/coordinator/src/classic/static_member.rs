//! Static members (KIP-345): one that comes back under its instance id takes its own place again.

use super::member::Member;
use super::{ClassicGroup, PendingWrite, State, Step};
use crate::decision::Ticket;
use crate::error::GroupError;
use crate::event::{JoinReply, JoinRequest, Reply};
use crate::stats::RebalanceReason;

impl ClassicGroup {
    pub(super) fn replace_static(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        request: &JoinRequest,
        old_member_id: &str,
        member_id: String,
    ) {
        let old_leader = self.leader.clone();
        let undo = self.rename(step, old_member_id, &member_id);
        let is_stable = self.state == State::Stable;
        self.update(step, &member_id, request, (!is_stable).then_some(ticket));
        self.restart_session(step.now_ms, &member_id);

        if !is_stable {
            // While the leader assigns, it does so for the old id: the new one would come away with nothing.
            if self.state == State::CompletingRebalance {
                self.prepare_rebalance(step, RebalanceReason::StaticMemberReplaced);
            } else {
                self.maybe_complete_join(step);
            }
        } else if self.choose_protocol() == self.protocol {
            let reply = self.replaced_reply(request, &member_id, old_leader.clone());
            step.reply(ticket, Reply::Join(Ok(reply)));
            let record = self.as_record(|member| member.assignment.clone());
            step.decision.records.push(record.record(&self.id));
            self.write = undo.map(|old| PendingWrite::StaticReplaced {
                old: Box::new(old),
                new_member_id: member_id,
                leader: old_leader,
            });
        } else {
            self.update(step, &member_id, request, Some(ticket));
            self.prepare_rebalance(step, RebalanceReason::StaticMemberReplaced);
        }
    }

    /// A leader of the old kind is told the old leader's id, so that it does not take itself for the leader and assign again;
    /// from version 9 on it is told outright.
    fn replaced_reply(
        &self,
        request: &JoinRequest,
        member_id: &str,
        old_leader: Option<String>,
    ) -> JoinReply {
        if request.supports_skipping_assignment {
            let is_leader = self.is_leader(member_id);
            return JoinReply {
                skip_assignment: is_leader,
                ..self.join_reply(member_id, is_leader)
            };
        }
        JoinReply {
            leader: old_leader.unwrap_or_default(),
            ..self.join_reply(member_id, false)
        }
    }

    /// Gives a static member another id, and fences whoever still waits under the old one. The member as it was, without its
    /// parked requests.
    fn rename(&mut self, step: &mut Step<'_>, from_id: &str, to_id: &str) -> Option<Member> {
        let mut member = self.members.remove(from_id)?;
        self.answer_join(step, &mut member, Err(GroupError::FencedInstance));
        if let Some(ticket) = member.awaiting_sync.take() {
            step.reply(ticket, Reply::Sync(Err(GroupError::FencedInstance)));
        }
        let old = member.clone();
        self.place(member, to_id);
        if self.is_leader(from_id) {
            self.leader = Some(to_id.to_owned());
        }
        if self.pending_syncs.remove(from_id) {
            self.pending_syncs.insert(to_id.to_owned());
        }
        Some(old)
    }

    fn place(&mut self, mut member: Member, id: &str) {
        member.id = id.to_owned();
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), id.to_owned());
        }
        self.members.insert(member.id.clone(), member);
    }

    /// The new id could not be stored: the old one holds again.
    pub(super) fn undo_replacement(
        &mut self,
        now_ms: i64,
        old: Member,
        new_member_id: &str,
        leader: Option<String>,
    ) {
        let Some(current) = self.members.remove(new_member_id) else {
            return;
        };
        self.uncount_protocols(&current);
        self.count_protocols(&old);
        if self.pending_syncs.remove(new_member_id) {
            self.pending_syncs.insert(old.id.clone());
        }
        self.leader = leader;
        let id = old.id.clone();
        self.place(old, &id);
        self.restart_session(now_ms, &id);
    }
}
