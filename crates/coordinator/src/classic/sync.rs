//! SyncGroup: the leader says who gets what, the others wait for it.

use std::collections::BTreeMap;

use bytes::Bytes;
use tracing::info;

use super::{ClassicGroup, PendingWrite, State, Step};
use crate::decision::Ticket;
use crate::error::GroupError;
use crate::event::{Reply, SyncReply, SyncRequest};

impl ClassicGroup {
    pub(crate) fn sync(&mut self, step: &mut Step<'_>, ticket: Ticket, request: &SyncRequest) {
        if let Err(error) = self.try_sync(step, ticket, request) {
            step.reply(ticket, Reply::Sync(Err(error)));
        }
    }

    fn try_sync(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        request: &SyncRequest,
    ) -> Result<(), GroupError> {
        let member_id = request.member_id.as_str();
        self.check_sync(request)?;
        match self.state {
            State::Empty => Err(GroupError::UnknownMember),
            State::PreparingRebalance { .. } => Err(GroupError::RebalanceInProgress),
            State::CompletingRebalance => {
                self.sync_arrived(member_id);
                self.park_sync(step, ticket, member_id);
                if self.is_leader(member_id) {
                    self.assign(step, &request.assignments);
                }
                Ok(())
            }
            State::Stable => {
                self.sync_arrived(member_id);
                let assignment = self
                    .members
                    .get(member_id)
                    .map(|member| member.assignment.clone());
                let reply = self.sync_reply(assignment.unwrap_or_default());
                step.reply(ticket, Reply::Sync(Ok(reply)));
                Ok(())
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |theirs: &Option<String>, ours: &Option<String>| {
            theirs.is_some() && ours.is_some() && theirs != ours
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn sync_arrived(&mut self, member_id: &str) {
        self.pending_syncs.remove(member_id);
        if self.pending_syncs.is_empty() {
            self.sync_deadline_ms = None;
        }
    }

    fn park_sync(&mut self, step: &mut Step<'_>, ticket: Ticket, member_id: &str) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        if let Some(replaced) = member.awaiting_sync.replace(ticket) {
            step.reply(replaced, Reply::Sync(Err(GroupError::RebalanceInProgress)));
        }
    }

    /// The leader's word: a record, and with it the answer to all that wait. The group is stable when the record is stored.
    fn assign(&mut self, step: &mut Step<'_>, assignments: &[(String, Bytes)]) {
        let assignments: BTreeMap<&str, &Bytes> = assignments
            .iter()
            .map(|(member_id, assignment)| (member_id.as_str(), assignment))
            .collect();
        let assignment_of = |member_id: &str| {
            let found = assignments.get(member_id);
            found.map(|bytes| (*bytes).clone()).unwrap_or_default()
        };
        info!(group = %self.id, generation = self.generation, members = self.members.len(), "assigned");
        let record = self.as_record(|member| assignment_of(&member.id));
        step.decision.records.push(record.record(&self.id));
        self.write = Some(PendingWrite::Assigned);

        let member_ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let waiting = self
                .members
                .get_mut(&member_id)
                .and_then(|member| member.awaiting_sync.take());
            if let Some(ticket) = waiting {
                let reply = self.sync_reply(assignment_of(&member_id));
                step.reply(ticket, Reply::Sync(Ok(reply)));
                // Its session may have passed while it waited, and nothing would look at it again.
                self.restart_session(step.now_ms, &member_id);
            }
        }
    }

    fn sync_reply(&self, assignment: Bytes) -> SyncReply {
        SyncReply {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment,
        }
    }
}
