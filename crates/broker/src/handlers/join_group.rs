//! JoinGroup (key 11), v0–v9: a member comes into a classic group, and waits until all that will come are there.
//!
//! v1 rebalance timeout · v4 a new dynamic member is first told its id (KIP-394) · v5 `group_instance_id` (KIP-345) · v6
//! flexible · v7 protocol type in the answer · v8 the client's reason (KIP-800) · v9 `skip_assignment` (KIP-814).

use std::sync::Arc;

use coordinator::event::{JoinReply, JoinRequest};
use coordinator::{Event, GroupError, Reply};
use wire::StrBytes;
use wire::messages::join_group_response::JoinGroupResponseMember;
use wire::messages::{JoinGroupRequest, JoinGroupResponse};

use super::group_calls::{java_host, owned, owned_or_none, submit, text};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct JoinGroup;

impl WaitingHandler for JoinGroup {
    type Request = JoinGroupRequest;
    const NAME: &'static str = "JoinGroup";
    const MIN: i16 = 0;
    const MAX: i16 = 9;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<JoinGroupRequest>,
    ) -> impl Future<Output = JoinGroupResponse> + Send + 'static {
        let version = call.version;
        let request = join(&call);
        let member_id = request.member_id.clone();
        let submitted = submit(
            ctx,
            &call.request.group_id,
            move |ticket| Event::Join(ticket, request),
            |reply| match reply {
                Reply::Join(result) => Some(result),
                _ => None,
            },
        )
        .await;
        async move {
            match submitted.wait().await {
                Ok(joined) => answer(joined, version),
                Err(error) => refusal(&error, member_id, version),
            }
        }
    }
}

fn join(call: &Call<JoinGroupRequest>) -> JoinRequest {
    let request = &call.request;
    let protocols = request.protocols.iter();
    JoinRequest {
        group_id: owned(&request.group_id),
        member_id: owned(&request.member_id),
        group_instance_id: owned_or_none(&request.group_instance_id),
        client_id: owned_or_none(&call.client_id).unwrap_or_default(),
        client_host: java_host(call.connection.peer.ip()),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if call.version == 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        protocol_type: owned(&request.protocol_type),
        protocols: protocols
            .map(|protocol| (owned(&protocol.name), protocol.metadata.clone()))
            .collect(),
        reason: owned_or_none(&request.reason),
        requires_known_member_id: call.version >= 4,
        supports_skipping_assignment: call.version >= 9,
    }
}

fn answer(joined: JoinReply, version: i16) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        let mut answer = JoinGroupResponseMember::default()
            .with_member_id(text(member.member_id))
            .with_metadata(member.metadata);
        if version >= 5 {
            answer.group_instance_id = member.group_instance_id.map(text);
        }
        answer
    });
    let mut response = JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_name(protocol_name(joined.protocol_name, version))
        .with_leader(text(joined.leader))
        .with_member_id(text(joined.member_id))
        .with_members(members.collect());
    if version >= 7 {
        response.protocol_type = joined.protocol_type.map(text);
    }
    if version >= 9 {
        response.skip_assignment = joined.skip_assignment;
    }
    response
}

fn refusal(error: &GroupError, member_id: String, version: i16) -> JoinGroupResponse {
    let member_id = match error {
        GroupError::MemberIdRequired { member_id } => member_id.clone(),
        _ => member_id,
    };
    JoinGroupResponse::default()
        .with_error_code(error_code::for_group(error).code())
        .with_generation_id(-1)
        .with_protocol_name(protocol_name(None, version))
        .with_member_id(text(member_id))
}

/// Null from version 7 on, empty before: there the field has no null (`JoinGroupResponse`).
fn protocol_name(name: Option<String>, version: i16) -> Option<StrBytes> {
    let name = name.filter(|name| !name.is_empty()).map(text);
    if version >= 7 {
        name
    } else {
        Some(name.unwrap_or_default())
    }
}
