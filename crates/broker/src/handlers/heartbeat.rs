//! Heartbeat (key 12), v0–v4: a group member says it is alive and learns whether it must rejoin.
//!
//! v1 throttle time · v3 `group_instance_id` (KIP-345) · v4 flexible.

use std::sync::Arc;

use coordinator::event::HeartbeatRequest as GroupHeartbeat;
use coordinator::{Event, GroupError, Reply};
use wire::messages::{HeartbeatRequest, HeartbeatResponse};

use super::group_calls::{owned, owned_or_none, submit};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct Heartbeat;

impl WaitingHandler for Heartbeat {
    type Request = HeartbeatRequest;
    const NAME: &'static str = "Heartbeat";
    const MIN: i16 = 0;
    const MAX: i16 = 4;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<HeartbeatRequest>,
    ) -> impl Future<Output = HeartbeatResponse> + Send + 'static {
        let request = GroupHeartbeat {
            group_id: owned(&call.request.group_id),
            generation: call.request.generation_id,
            member_id: owned(&call.request.member_id),
            group_instance_id: owned_or_none(&call.request.group_instance_id),
        };
        let submitted = submit(
            ctx,
            &call.request.group_id,
            move |ticket| Event::Heartbeat(ticket, request),
            |reply| match reply {
                Reply::Heartbeat(result) => Some(result),
                _ => None,
            },
        )
        .await;
        async move {
            let code = match submitted.wait().await {
                // Sessions begin anew once it has loaded, so nothing is missed (`GroupCoordinatorService.heartbeat`).
                Ok(()) | Err(GroupError::CoordinatorLoading) => 0,
                Err(error) => error_code::for_group(&error).code(),
            };
            HeartbeatResponse::default().with_error_code(code)
        }
    }
}
