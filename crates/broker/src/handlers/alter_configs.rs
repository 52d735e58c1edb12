//! AlterConfigs (key 33), v0–v2: the configs of a topic, broker, group or client metrics subscription are replaced; what is
//! not named returns to its default.
//!
//! v2 flexible. Superseded by IncrementalAlterConfigs, still sent by older clients (A4).

use std::sync::Arc;

use wire::StrBytes;
use wire::messages::alter_configs_request::AlterConfigsResource;
use wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{AlterConfigsRequest, AlterConfigsResponse};

use crate::apis::{Call, Handler};
use crate::config::alter::Wish;
use crate::config_resources::{BROKER_LOGGER, Naming, Refused, Resource, unknown_type};
use crate::context::Context;

pub(crate) struct AlterConfigs;

impl Handler for AlterConfigs {
    type Request = AlterConfigsRequest;
    const NAME: &'static str = "AlterConfigs";
    const MIN: i16 = 0;
    const MAX: i16 = 2;

    async fn handle(ctx: &Arc<Context>, call: Call<AlterConfigsRequest>) -> AlterConfigsResponse {
        let resources = call.request.resources.iter();
        let naming = Naming::of(resources.map(|one| (one.resource_type, &one.resource_name)));
        let mut responses = Vec::with_capacity(call.request.resources.len());
        for resource in call.request.resources {
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            responses.push(
                match replace(ctx, &naming, resource, call.request.validate_only).await {
                    Ok(()) => response.with_error_message(None),
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
    naming: &Naming,
    resource: AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    naming.check(resource.resource_type, &resource.resource_name)?;
    if resource.resource_type == BROKER_LOGGER {
        return Err(unknown_type(BROKER_LOGGER));
    }
    let found = Resource::to_alter(ctx, resource.resource_type, &resource.resource_name)?;
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
    found
        .alter(ctx, Wish::Replace(&entries), validate_only)
        .await
}
