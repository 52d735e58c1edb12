//! PushTelemetry (key 72), v0: a client's metrics, as OpenTelemetry's protobuf encodes them (KIP-714).
//!
//! Whether the client may push is decided in the order of its requests; the payload is read beside them.

use std::sync::Arc;

use wire::messages::{PushTelemetryRequest, PushTelemetryResponse};

use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;
use crate::telemetry::{Client, Push};

pub(crate) struct PushTelemetry;

impl WaitingHandler for PushTelemetry {
    type Request = PushTelemetryRequest;
    const NAME: &'static str = "PushTelemetry";
    const MIN: i16 = 0;
    const MAX: i16 = 0;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<PushTelemetryRequest>,
    ) -> impl Future<Output = PushTelemetryResponse> + Send + 'static {
        let client = Client {
            connection: call.connection.id,
            client_id: call.client_id.as_deref(),
            software: call.connection.software(),
            peer: call.connection.peer,
        };
        let request = call.request;
        let push = Push {
            instance_id: request.client_instance_id,
            subscription_id: request.subscription_id,
            terminating: request.terminating,
            compression_type: request.compression_type,
            bytes: request.metrics.len(),
            bytes_max: ctx.config().telemetry_bytes_max,
        };
        let let_in = ctx.telemetry.let_in(client, push, request.metrics);
        let ctx = Arc::clone(ctx);
        async move {
            let taken = match let_in {
                Ok(let_in) => ctx.telemetry.take_in(let_in).await,
                Err(error) => Err(error),
            };
            let response = PushTelemetryResponse::default();
            match taken {
                Ok(()) => response,
                Err(error) => response.with_error_code(error_code::for_telemetry(&error).code()),
            }
        }
    }
}
