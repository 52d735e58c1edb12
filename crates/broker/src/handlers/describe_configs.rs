//! DescribeConfigs (key 32), v1–v4: every config of a topic, broker, group or client metrics subscription, and the level of
//! every logger, with where each value comes from.
//!
//! v1 sources and synonyms (KIP-226) · v3 types and documentation (KIP-569) · v4 flexible. Sensitive values are null (A2).

use std::collections::HashSet;
use std::sync::Arc;

use wire::StrBytes;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use crate::apis::{Call, Handler};
use crate::config::describe::Row;
use crate::config_resources::Resource;
use crate::context::Context;

pub(crate) struct DescribeConfigs;

/// What the client wants to see of each config.
#[derive(Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
    types: bool,
}

impl Handler for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    const NAME: &'static str = "DescribeConfigs";
    const MIN: i16 = 1;
    const MAX: i16 = 4;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<DescribeConfigsRequest>,
    ) -> DescribeConfigsResponse {
        let detail = Detail {
            synonyms: call.request.include_synonyms,
            documentation: call.version >= 3 && call.request.include_documentation,
            types: call.version >= 3,
        };
        // Named twice is answered once: every answer is thousands of times as large as its question.
        let mut seen = HashSet::new();
        let results = call
            .request
            .resources
            .into_iter()
            .filter(|resource| {
                seen.insert((resource.resource_type, resource.resource_name.clone()))
            })
            .map(|resource| result(ctx, resource, detail))
            .collect();
        DescribeConfigsResponse::default().with_results(results)
    }
}

fn result(
    ctx: &Context,
    resource: DescribeConfigsResource,
    detail: Detail,
) -> DescribeConfigsResult {
    let wanted: Option<HashSet<String>> = resource
        .configuration_keys
        .as_ref()
        // No keys are all keys (`ConfigHelper.describeConfigs`).
        .filter(|keys| !keys.is_empty())
        .map(|keys| keys.iter().map(|key| key.to_string()).collect());
    let answer = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    match Resource::to_describe(ctx, resource.resource_type, &resource.resource_name) {
        Ok(found) => {
            let rows = found
                .describe(ctx)
                .into_iter()
                .filter(|row| wanted.as_ref().is_none_or(|keys| keys.contains(&row.name)));
            answer.with_configs(rows.map(|row| rendered(row, detail)).collect())
        }
        Err(refused) => answer
            .with_error_code(refused.code.code())
            .with_error_message(Some(StrBytes::from_string(refused.message))),
    }
}

fn rendered(row: Row, detail: Detail) -> DescribeConfigsResourceResult {
    let mut result = DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(row.name))
        .with_value(row.value.map(StrBytes::from_string))
        .with_read_only(row.read_only)
        .with_config_source(row.source.wire_source())
        .with_is_sensitive(row.sensitive);
    if detail.synonyms {
        let synonyms = row.synonyms.into_iter().map(|synonym| {
            DescribeConfigsSynonym::default()
                .with_name(StrBytes::from_string(synonym.name))
                .with_value(synonym.value.map(StrBytes::from_string))
                .with_source(synonym.source.wire_source())
        });
        result.synonyms = synonyms.collect();
    }
    if detail.types {
        result.config_type = row.wire_type;
    }
    result.documentation = detail.documentation.then(|| StrBytes::from_string(row.doc));
    result
}
