//! A member of a classic group.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::decision::Ticket;
use crate::event::JoinRequest;
use crate::records::MemberMetadata;

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// What it can speak, best first; no name twice.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    pub(super) awaiting_join: Option<Ticket>,
    pub(super) awaiting_sync: Option<Ticket>,
    /// It has not been through a generation: its id is not known to the client yet, so it cannot heartbeat.
    pub(super) is_new: bool,
    /// `None` once it has passed while the member waited for us.
    pub(super) session_deadline_ms: Option<i64>,
}

impl Member {
    pub(super) fn joining(id: String, request: &JoinRequest, ticket: Ticket) -> Self {
        Self {
            id,
            instance_id: request.group_instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: distinct(&request.protocols),
            assignment: Bytes::new(),
            awaiting_join: Some(ticket),
            awaiting_sync: None,
            is_new: true,
            session_deadline_ms: None,
        }
    }

    pub(super) fn from_record(record: &MemberMetadata, protocol: Option<&str>) -> Self {
        let rebalance_timeout_ms = match record.rebalance_timeout_ms {
            -1 => record.session_timeout_ms,
            timeout_ms => timeout_ms,
        };
        Self {
            id: record.member_id.clone(),
            instance_id: record.group_instance_id.clone(),
            client_id: record.client_id.clone(),
            client_host: record.client_host.clone(),
            rebalance_timeout_ms,
            session_timeout_ms: record.session_timeout_ms,
            protocols: vec![(
                protocol.unwrap_or_default().to_owned(),
                record.subscription.clone(),
            )],
            assignment: record.assignment.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            session_deadline_ms: None,
        }
    }

    pub(super) fn as_record(&self, protocol: Option<&str>, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// What the member sent for that protocol; empty if it cannot speak it.
    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let found = self
            .protocols
            .iter()
            .find(|(name, _)| Some(name.as_str()) == protocol);
        found
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    pub(super) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// A member that waits for us is not expected to heartbeat.
    pub(super) fn is_excused(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }
}

/// The protocols without repeated names, each with its own memory: a slice would hold on to the whole request.
pub(crate) fn distinct(protocols: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
    let mut kept: Vec<(String, Bytes)> = Vec::with_capacity(protocols.len().min(16));
    let mut names = BTreeSet::new();
    for (name, metadata) in protocols {
        if names.insert(name) {
            kept.push((name.clone(), Bytes::copy_from_slice(metadata)));
        }
    }
    kept
}
