//! AlterConfigs (key 33), v0–v2: the configs of topics and brokers are replaced; what is not named returns to its default.
//!
//! v2 flexible. Superseded by IncrementalAlterConfigs, still sent by older clients (A4).

use std::sync::Arc;

use wire::StrBytes;
use wire::messages::alter_configs_request::AlterConfigsResource;
use wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{AlterConfigsRequest, AlterConfigsResponse};

use crate::apis::{Call, Handler};
use crate::config_resources::{Refused, Resource};
use crate::context::Context;

pub(crate) struct AlterConfigs;

impl Handler for AlterConfigs {
    type Request = AlterConfigsRequest;
    const NAME: &'static str = "AlterConfigs";
    const MIN: i16 = 0;
    const MAX: i16 = 2;

    async fn handle(ctx: &Arc<Context>, call: Call<AlterConfigsRequest>) -> AlterConfigsResponse {
        let mut responses = Vec::with_capacity(call.request.resources.len());
        for resource in call.request.resources {
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            responses.push(
                match replace(ctx, resource, call.request.validate_only).await {
                    Ok(()) => response,
                    Err(refused) => response
                        .with_error_code(refused.code.code())
                        .with_error_message(Some(StrBytes::from_string(refused.message))),
                },
            );
        }
        AlterConfigsResponse::default().with_responses(responses)
    }
}

async fn replace(
    ctx: &Arc<Context>,
    resource: AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    let found = Resource::find(ctx, resource.resource_type, &resource.resource_name)?;
    let entries: Vec<(String, Option<String>)> = resource
        .configs
        .into_iter()
        .map(|config| {
            (
                config.name.to_string(),
                config.value.map(|value| value.to_string()),
            )
        })
        .collect();
    let config = ctx.config();
    found
        .alter(
            ctx,
            |overrides| config.replace_topic(overrides, &entries),
            |scope| config.replace_broker(scope, &entries),
            validate_only,
        )
        .await
}
