//! FindCoordinator (key 10), v0–v6: who coordinates a group, a transaction or a share partition.
//!
//! v1 key types · v3 flexible · v4 several keys at once (KIP-699) · v6 share groups (KIP-932). This broker coordinates
//! nothing yet, and says so: 15 COORDINATOR_NOT_AVAILABLE for every key, 42 for an unknown type.

use std::sync::Arc;

use wire::messages::find_coordinator_response::Coordinator;
use wire::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::context::Context;

pub(crate) struct FindCoordinator;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

impl Handler for FindCoordinator {
    type Request = FindCoordinatorRequest;
    const NAME: &'static str = "FindCoordinator";
    const MIN: i16 = 0;
    const MAX: i16 = 6;

    async fn handle(
        _ctx: &Arc<Context>,
        call: Call<FindCoordinatorRequest>,
    ) -> FindCoordinatorResponse {
        let (code, message) = match call.request.key_type {
            // Share groups came with v6 (`KafkaApis.getCoordinator`).
            SHARE if call.version < 6 => {
                (ResponseError::InvalidRequest, "share groups need version 6")
            }
            GROUP | TRANSACTION | SHARE => (
                ResponseError::CoordinatorNotAvailable,
                "this broker has no coordinator of that kind",
            ),
            _ => (ResponseError::InvalidRequest, "unknown key type"),
        };
        let message = Some(StrBytes::from_static_str(message));
        if call.version >= 4 {
            let coordinators = call.request.coordinator_keys.into_iter().map(|key| {
                Coordinator::default()
                    .with_key(key)
                    .with_node_id(BrokerId(-1))
                    .with_port(-1)
                    .with_error_code(code.code())
                    .with_error_message(message.clone())
            });
            return FindCoordinatorResponse::default().with_coordinators(coordinators.collect());
        }
        let mut response = FindCoordinatorResponse::default()
            .with_error_code(code.code())
            .with_node_id(BrokerId(-1))
            .with_port(-1);
        if call.version >= 1 {
            response.error_message = message;
        }
        response
    }
}
