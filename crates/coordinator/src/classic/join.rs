//! JoinGroup: who may come in, and what it does to the generation.

use bytes::Bytes;
use uuid::Uuid;

use super::member::{Member, distinct};
use super::{ClassicGroup, State, Step};
use crate::decision::Ticket;
use crate::error::GroupError;
use crate::event::{JoinReply, JoinRequest, JoinedMember, Reply};
use crate::stats::RebalanceReason;

impl ClassicGroup {
    pub(crate) fn join(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        request: &JoinRequest,
        new_uuid: &mut dyn FnMut() -> Uuid,
    ) {
        let result = self.try_join(step, ticket, request, new_uuid);
        if let Err(error) = result {
            step.reply(ticket, Reply::Join(Err(error)));
        }
    }

    fn try_join(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        request: &JoinRequest,
        new_uuid: &mut dyn FnMut() -> Uuid,
    ) -> Result<(), GroupError> {
        let member_id = request.member_id.as_str();
        if !self.has_room_for(member_id, step.options.max_size) {
            self.remove(step, member_id, &GroupError::GroupMaxSize);
            self.maybe_complete_join(step);
            return Err(GroupError::GroupMaxSize);
        }
        if !self.supports(&request.protocol_type, &request.protocols) {
            return Err(GroupError::InconsistentProtocol);
        }
        if member_id.is_empty() {
            self.join_without_id(step, ticket, request, new_uuid)
        } else if self.pending_joins.contains_key(member_id) {
            if request.group_instance_id.is_some() {
                // The id was made for a dynamic member.
                return Err(GroupError::UnknownMember);
            }
            self.add(step, ticket, request, member_id.to_owned());
            Ok(())
        } else {
            self.check_member(member_id, request.group_instance_id.as_deref())?;
            self.rejoin(step, ticket, request)
        }
    }

    /// In a rebalance those count that have joined, so that the last ones to come are the ones left out when the limit was
    /// lowered (`GroupMetadataManager.acceptJoiningMember`).
    fn has_room_for(&self, member_id: &str, max_size: i32) -> bool {
        let max_size = usize::try_from(max_size).unwrap_or(0);
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance { .. } => {
                member.is_some_and(|m| m.awaiting_join.is_some()) || self.awaiting_join < max_size
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < max_size
            }
        }
    }

    pub(super) fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.is_empty() {
            return is_joinable(protocol_type, protocols);
        }
        let spoken_by_all =
            |name: &String| self.supported.get(name).copied().unwrap_or(0) == self.members.len();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| spoken_by_all(name))
    }

    fn join_without_id(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        request: &JoinRequest,
        new_uuid: &mut dyn FnMut() -> Uuid,
    ) -> Result<(), GroupError> {
        let prefix = request
            .group_instance_id
            .as_ref()
            .unwrap_or(&request.client_id);
        let member_id = format!("{prefix}-{}", new_uuid());
        let known_instance = request
            .group_instance_id
            .as_ref()
            .and_then(|instance_id| self.static_members.get(instance_id));
        if let Some(old_member_id) = known_instance.cloned() {
            self.replace_static(step, ticket, request, &old_member_id, member_id);
        } else if request.group_instance_id.is_none() && request.requires_known_member_id {
            let lapses_at_ms = step.after(request.session_timeout_ms);
            self.pending_joins.insert(member_id.clone(), lapses_at_ms);
            self.wake_by(lapses_at_ms);
            return Err(GroupError::MemberIdRequired { member_id });
        } else {
            self.add(step, ticket, request, member_id);
        }
        Ok(())
    }

    fn add(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        request: &JoinRequest,
        member_id: String,
    ) {
        if self.state == (State::PreparingRebalance { initial: true }) {
            self.new_member_added = true;
        }
        let member = Member::joining(member_id.clone(), request, ticket);
        self.insert(member, &request.protocol_type);
        // It cannot heartbeat before it knows its id, and a client that went away while its request is parked is not seen.
        // So the wait itself is limited.
        let deadline_ms = step.after(step.options.new_member_join_timeout_ms);
        self.set_session_deadline(&member_id, deadline_ms);
        self.prepare_or_complete(step, RebalanceReason::MemberJoined);
    }

    fn rejoin(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        request: &JoinRequest,
    ) -> Result<(), GroupError> {
        let member_id = request.member_id.as_str();
        let unchanged = self
            .members
            .get(member_id)
            .is_some_and(|member| member.protocols == distinct(&request.protocols));
        match self.state {
            State::Empty => return Err(GroupError::UnknownMember),
            // It may not have seen the first answer.
            State::CompletingRebalance if unchanged => {
                let reply = self.join_reply(member_id, self.is_leader(member_id));
                step.reply(ticket, Reply::Join(Ok(reply)));
            }
            // A leader comes because something changed that its metadata does not show, such as the number of partitions.
            State::Stable if unchanged && !self.is_leader(member_id) => {
                let reply = self.join_reply(member_id, false);
                step.reply(ticket, Reply::Join(Ok(reply)));
            }
            State::PreparingRebalance { .. } | State::CompletingRebalance | State::Stable => {
                self.update(step, member_id, request, Some(ticket));
                self.prepare_or_complete(step, RebalanceReason::MemberRejoined);
            }
        }
        Ok(())
    }

    /// Takes over what the member now says of itself. With a ticket it waits for the next generation; a request it had parked
    /// already is told to come again.
    pub(super) fn update(
        &mut self,
        step: &mut Step<'_>,
        member_id: &str,
        request: &JoinRequest,
        ticket: Option<Ticket>,
    ) {
        let Some(mut member) = self.members.remove(member_id) else {
            return;
        };
        self.uncount_protocols(&member);
        self.answer_join(step, &mut member, Err(GroupError::RebalanceInProgress));
        member.protocols = distinct(&request.protocols);
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        member.awaiting_join = ticket;
        self.awaiting_join += usize::from(ticket.is_some());
        self.count_protocols(&member);
        self.members.insert(member.id.clone(), member);
    }

    pub(super) fn join_reply(&self, member_id: &str, with_members: bool) -> JoinReply {
        JoinReply {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: if with_members {
                self.joined_members()
            } else {
                Vec::new()
            },
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref();
        self.members
            .values()
            .map(|member| JoinedMember {
                member_id: member.id.clone(),
                group_instance_id: member.instance_id.clone(),
                metadata: member.metadata(protocol),
            })
            .collect()
    }
}

/// Whether a first member may bring these: some type, and something to choose from.
pub(crate) fn is_joinable(protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
    !protocol_type.is_empty() && !protocols.is_empty()
}
