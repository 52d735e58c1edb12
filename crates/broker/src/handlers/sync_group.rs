//! SyncGroup (key 14), v0–v5: the leader says who gets what, and every member learns what it has got.
//!
//! v1 throttle time · v3 `group_instance_id` (KIP-345) · v4 flexible · v5 protocol type and name, which the member must
//! name then.

use std::sync::Arc;

use coordinator::event::{SyncReply, SyncRequest};
use coordinator::{Event, GroupError, Reply};
use wire::messages::{SyncGroupRequest, SyncGroupResponse};

use super::group_calls::{owned, owned_or_none, submit, text};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct SyncGroup;

impl WaitingHandler for SyncGroup {
    type Request = SyncGroupRequest;
    const NAME: &'static str = "SyncGroup";
    const MIN: i16 = 0;
    const MAX: i16 = 5;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<SyncGroupRequest>,
    ) -> impl Future<Output = SyncGroupResponse> + Send + 'static {
        let version = call.version;
        let submitted = if names_its_protocol(&call.request, version) {
            let request = sync(&call.request);
            let submitted = submit(
                ctx,
                &call.request.group_id,
                move |ticket| Event::Sync(ticket, request),
                |reply| match reply {
                    Reply::Sync(result) => Some(result),
                    _ => None,
                },
            );
            Ok(submitted.await)
        } else {
            Err(GroupError::InconsistentProtocol)
        };
        async move {
            let result = match submitted {
                Ok(submitted) => submitted.wait().await,
                Err(error) => Err(error),
            };
            match result {
                Ok(synced) => answer(synced, version),
                Err(error) => SyncGroupResponse::default()
                    .with_error_code(error_code::for_group(&error).code()),
            }
        }
    }
}

/// `SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent`.
fn names_its_protocol(request: &SyncGroupRequest, version: i16) -> bool {
    version < 5 || (request.protocol_type.is_some() && request.protocol_name.is_some())
}

fn sync(request: &SyncGroupRequest) -> SyncRequest {
    let assignments = request.assignments.iter();
    SyncRequest {
        group_id: owned(&request.group_id),
        generation: request.generation_id,
        member_id: owned(&request.member_id),
        group_instance_id: owned_or_none(&request.group_instance_id),
        protocol_type: owned_or_none(&request.protocol_type),
        protocol_name: owned_or_none(&request.protocol_name),
        assignments: assignments
            .map(|one| (owned(&one.member_id), one.assignment.clone()))
            .collect(),
    }
}

fn answer(synced: SyncReply, version: i16) -> SyncGroupResponse {
    let mut response = SyncGroupResponse::default().with_assignment(synced.assignment);
    if version >= 5 {
        response.protocol_type = synced.protocol_type.map(text);
        response.protocol_name = synced.protocol_name.map(text);
    }
    response
}
