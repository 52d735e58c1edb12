//! GetTelemetrySubscriptions (key 71), v0: which metrics a client is to push, and how often (KIP-714).
//!
//! A client without an instance id is given one. It is asked for deltas, so that what clients count can be added up.

use std::sync::Arc;

use wire::StrBytes;
use wire::messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::error_code;
use crate::telemetry::Client;

pub(crate) struct GetTelemetrySubscriptions;

/// zstd, lz4, gzip, snappy: the best first.
const COMPRESSION_TYPES: [i8; 4] = [4, 3, 1, 2];

impl Handler for GetTelemetrySubscriptions {
    type Request = GetTelemetrySubscriptionsRequest;
    const NAME: &'static str = "GetTelemetrySubscriptions";
    const MIN: i16 = 0;
    const MAX: i16 = 0;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<GetTelemetrySubscriptionsRequest>,
    ) -> GetTelemetrySubscriptionsResponse {
        let client = Client {
            connection: call.connection.id,
            client_id: call.client_id.as_deref(),
            software: call.connection.software(),
            peer: call.connection.peer,
        };
        let response = GetTelemetrySubscriptionsResponse::default();
        let instance_id = call.request.client_instance_id;
        match ctx.telemetry.subscription(client, instance_id) {
            Err(error) => response.with_error_code(error_code::for_telemetry(&error).code()),
            Ok(granted) => {
                let metrics = granted.metrics.iter().cloned();
                let bytes_max = ctx.config().telemetry_bytes_max;
                response
                    .with_client_instance_id(granted.instance_id)
                    .with_subscription_id(granted.subscription_id)
                    .with_accepted_compression_types(COMPRESSION_TYPES.to_vec())
                    .with_push_interval_ms(granted.interval_ms)
                    .with_telemetry_max_bytes(i32::try_from(bytes_max).unwrap_or(i32::MAX))
                    .with_delta_temporality(true)
                    .with_requested_metrics(metrics.map(StrBytes::from_string).collect())
            }
        }
    }
}
