//! IncrementalAlterConfigs (key 44), v0–v1: some configs of a topic, broker, group or client metrics subscription are set,
//! deleted, or changed as lists (KIP-339); levels of loggers are set and deleted (KIP-412).
//!
//! v1 flexible. All or nothing for each resource; dynamic configs are in force before the answer leaves (A3).

use std::sync::Arc;

use wire::messages::incremental_alter_configs_request::AlterableConfig;
use wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::config::alter::{Alteration, Operation, Wish};
use crate::config_resources::{BROKER_LOGGER, Naming, Refused, Resource};
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
        let resources = call.request.resources.iter();
        let naming = Naming::of(resources.map(|one| (one.resource_type, &one.resource_name)));
        let mut responses = Vec::with_capacity(call.request.resources.len());
        for resource in call.request.resources {
            let (kind, name) = (resource.resource_type, resource.resource_name);
            let altered = match naming.check(kind, &name) {
                Ok(()) => {
                    let validate_only = call.request.validate_only;
                    alter(ctx, kind, &name, resource.configs, validate_only).await
                }
                Err(refused) => Err(refused),
            };
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(kind)
                .with_resource_name(name);
            responses.push(match altered {
                Ok(()) => response.with_error_message(None),
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
    let resource = Resource::to_alter(ctx, resource_type, name)?;
    let alterations: Vec<Alteration> = configs
        .into_iter()
        .map(|config| alteration(resource_type, config))
        .collect::<Result<_, _>>()?;
    resource
        .alter(ctx, Wish::Alter(&alterations), validate_only)
        .await
}

fn alteration(resource_type: i8, config: AlterableConfig) -> Result<Alteration, Refused> {
    let operation = Operation::from_wire(config.config_operation).ok_or_else(|| {
        let number = config.config_operation;
        let message = match resource_type {
            BROKER_LOGGER => format!(
                "Unknown operation type {number} is not allowed for the BROKER_LOGGER resource"
            ),
            _ => format!("Unknown operation {number}"),
        };
        Refused::new(ResponseError::InvalidRequest, message)
    })?;
    Ok(Alteration {
        name: config.name.to_string(),
        operation,
        value: config.value.map(|value| value.to_string()),
    })
}
