//! IncrementalAlterConfigs (key 44), v0–v1: some configs of topics and brokers are set, deleted, or changed as lists (KIP-339).
//!
//! v1 flexible. All or nothing for each resource; dynamic configs are in force before the answer leaves (A3).

use std::collections::HashMap;
use std::sync::Arc;

use wire::messages::incremental_alter_configs_request::AlterableConfig;
use wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::config::alter::{Alteration, Operation};
use crate::config_resources::{Refused, Resource};
use crate::context::Context;

pub(crate) struct IncrementalAlterConfigs;

impl Handler for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    const NAME: &'static str = "IncrementalAlterConfigs";
    const MIN: i16 = 0;
    const MAX: i16 = 1;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<IncrementalAlterConfigsRequest>,
    ) -> IncrementalAlterConfigsResponse {
        let mut times: HashMap<(i8, StrBytes), usize> = HashMap::new();
        for resource in &call.request.resources {
            *times
                .entry((resource.resource_type, resource.resource_name.clone()))
                .or_default() += 1;
        }
        let mut responses = Vec::with_capacity(call.request.resources.len());
        for resource in call.request.resources {
            let (kind, name) = (resource.resource_type, resource.resource_name);
            let altered = if times.get(&(kind, name.clone())) == Some(&1) {
                alter(
                    ctx,
                    kind,
                    &name,
                    resource.configs,
                    call.request.validate_only,
                )
                .await
            } else {
                Err(Refused::new(
                    ResponseError::InvalidRequest,
                    "Each resource must appear at most once.",
                ))
            };
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(kind)
                .with_resource_name(name);
            responses.push(match altered {
                Ok(()) => response,
                Err(refused) => response
                    .with_error_code(refused.code.code())
                    .with_error_message(Some(StrBytes::from_string(refused.message))),
            });
        }
        IncrementalAlterConfigsResponse::default().with_responses(responses)
    }
}

async fn alter(
    ctx: &Arc<Context>,
    resource_type: i8,
    name: &str,
    configs: Vec<AlterableConfig>,
    validate_only: bool,
) -> Result<(), Refused> {
    let resource = Resource::find(ctx, resource_type, name)?;
    let alterations: Vec<Alteration> = configs
        .into_iter()
        .map(alteration)
        .collect::<Result<_, _>>()?;
    let config = ctx.config();
    resource
        .alter(
            ctx,
            |overrides| config.alter_topic(overrides, &alterations),
            |scope| config.alter_broker(scope, &alterations),
            validate_only,
        )
        .await
}

fn alteration(config: AlterableConfig) -> Result<Alteration, Refused> {
    let operation = Operation::from_wire(config.config_operation).ok_or_else(|| {
        Refused::new(
            ResponseError::InvalidRequest,
            format!("Unknown operation {}", config.config_operation),
        )
    })?;
    Ok(Alteration {
        name: config.name.to_string(),
        operation,
        value: config.value.map(|value| value.to_string()),
    })
}
