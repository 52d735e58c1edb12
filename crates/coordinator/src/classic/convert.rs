//! To a consumer group and back (KIP-848's online migration): what each side has to know of the other.

use std::sync::Arc;

use super::member::{Member, distinct};
use super::{ClassicGroup, PendingWrite, State, Step};
use crate::consumer::{ClassicDescription, ClassicMemberDescription, Downgrade};
use crate::stats::RebalanceReason;

impl ClassicGroup {
    /// The group as a consumer group takes it over.
    pub(crate) fn as_upgrade(&self) -> ClassicDescription {
        ClassicDescription {
            group_id: self.id.to_string(),
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            members: self
                .members
                .values()
                .map(|member| ClassicMemberDescription {
                    member_id: member.id.clone(),
                    instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    session_timeout_ms: member.session_timeout_ms,
                    protocols: member.protocols.clone(),
                    assignment: member.assignment.clone(),
                })
                .collect(),
        }
    }

    /// The stable group that a consumer group becomes, with its record in the decision. If somebody left, its members have to
    /// join again (`GroupMetadataManager.convertToClassicGroup`).
    pub(crate) fn from_downgrade(id: Arc<str>, downgrade: Downgrade, step: &mut Step<'_>) -> Self {
        let from = downgrade.group;
        let mut group = Self::new(id, Some(step.now_ms));
        group.generation = from.generation;
        group.protocol = from.protocol;
        let protocol_type = from.protocol_type.unwrap_or_default();
        for member in from.members {
            group.insert(converted(member), &protocol_type);
        }
        group.state = State::Stable;
        group.subscribed_topics = group.read_subscriptions();
        let record = group.as_record(|member| member.assignment.clone());
        step.decision.records.push(record.record(&group.id));
        group.write = Some(PendingWrite::Converted);
        let member_ids: Vec<String> = group.members.keys().cloned().collect();
        for member_id in &member_ids {
            group.restart_session(step.now_ms, member_id);
        }
        if downgrade.rebalance {
            group.prepare_rebalance(step, RebalanceReason::MemberLeft);
        }
        group
    }
}

fn converted(from: ClassicMemberDescription) -> Member {
    Member {
        id: from.member_id,
        instance_id: from.instance_id,
        client_id: from.client_id,
        client_host: from.client_host,
        rebalance_timeout_ms: from.rebalance_timeout_ms,
        session_timeout_ms: from.session_timeout_ms,
        protocols: distinct(&from.protocols),
        assignment: from.assignment,
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
        session_deadline_ms: None,
    }
}
