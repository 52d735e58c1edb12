//! LeaveGroup (key 13), v0–v5: members leave a classic group, or an administrator removes them.
//!
//! v1 throttle time · v3 several members, each by its id or its `group_instance_id`, and a result for each (KIP-345) · v4
//! flexible · v5 the reason (KIP-800).

use std::sync::Arc;

use coordinator::event::{LeaveRequest, LeavingMember};
use coordinator::{Event, GroupError, Reply};
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::leave_group_response::MemberResponse;
use wire::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::group_calls::{owned, owned_or_none, submit};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct LeaveGroup;

impl WaitingHandler for LeaveGroup {
    type Request = LeaveGroupRequest;
    const NAME: &'static str = "LeaveGroup";
    const MIN: i16 = 0;
    const MAX: i16 = 5;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<LeaveGroupRequest>,
    ) -> impl Future<Output = LeaveGroupResponse> + Send + 'static {
        let version = call.version;
        let members = members(call.request.clone(), version);
        let request = LeaveRequest {
            group_id: owned(&call.request.group_id),
            members: members.iter().map(leaving).collect(),
        };
        let submitted = submit(
            ctx,
            &call.request.group_id,
            move |ticket| Event::Leave(ticket, request),
            |reply| match reply {
                Reply::Leave(result) => Some(result),
                _ => None,
            },
        )
        .await;
        async move { answer(members, submitted.wait().await, version) }
    }
}

/// Before version 3 a request is of one member (`LeaveGroupRequest.normalizedData`).
fn members(request: LeaveGroupRequest, version: i16) -> Vec<MemberIdentity> {
    if version >= 3 {
        request.members
    } else {
        vec![MemberIdentity::default().with_member_id(request.member_id)]
    }
}

fn leaving(member: &MemberIdentity) -> LeavingMember {
    LeavingMember {
        member_id: owned(&member.member_id),
        group_instance_id: owned_or_none(&member.group_instance_id),
        reason: owned_or_none(&member.reason),
    }
}

fn answer(
    members: Vec<MemberIdentity>,
    left: Result<Vec<Result<(), GroupError>>, GroupError>,
    version: i16,
) -> LeaveGroupResponse {
    let code = |error: &GroupError| error_code::for_group(error).code();
    let results = match left {
        Ok(results) => results,
        Err(error) => return LeaveGroupResponse::default().with_error_code(code(&error)),
    };
    let codes = results
        .iter()
        .map(|result| result.as_ref().map_or_else(code, |()| 0));
    if version < 3 {
        let first = codes.into_iter().next().unwrap_or(0);
        return LeaveGroupResponse::default().with_error_code(first);
    }
    let members = members.into_iter().zip(codes).map(|(member, code)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code)
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
