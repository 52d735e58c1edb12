//! ListConfigResources (key 74), v0–v1: what has a configuration of its own, by type.
//!
//! v0 client metrics subscriptions (KIP-714) · v1 the types asked for, all of them if none is (KIP-1142). Topics and
//! brokers are listed because they exist, subscriptions and groups because something is set for them. Flexible.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{ClusterImage, ConfigResource};
use wire::messages::list_config_resources_response::ConfigResource as Listed;
use wire::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::config_resources::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::context::Context;

pub(crate) struct ListConfigResources;

impl Handler for ListConfigResources {
    type Request = ListConfigResourcesRequest;
    const NAME: &'static str = "ListConfigResources";
    const MIN: i16 = 0;
    const MAX: i16 = 1;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<ListConfigResourcesRequest>,
    ) -> ListConfigResourcesResponse {
        const ALL: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
        let wanted: BTreeSet<i8> = match &call.request.resource_types[..] {
            _ if call.version == 0 => BTreeSet::from([CLIENT_METRICS]),
            [] => BTreeSet::from(ALL),
            types => types.iter().copied().collect(),
        };
        let response = ListConfigResourcesResponse::default();
        if !wanted.iter().all(|kind| ALL.contains(kind)) {
            return response.with_error_code(ResponseError::UnsupportedVersion.code());
        }
        let image = ctx.image();
        let mut found = Vec::new();
        for kind in wanted {
            let names = names(&image, kind);
            // The type is not in v0, and says there what its default is.
            found.extend(names.into_iter().map(|name| {
                Listed::default()
                    .with_resource_name(StrBytes::from_string(name))
                    .with_resource_type(kind)
            }));
        }
        response.with_config_resources(found)
    }
}

fn names(image: &ClusterImage, kind: i8) -> Vec<String> {
    let configured = |name: fn(&ConfigResource) -> Option<&String>, first| {
        let from_first = image.configs_from(&first);
        let of_kind = from_first.map_while(|(resource, _)| name(resource).cloned());
        of_kind.collect()
    };
    match kind {
        TOPIC => image.topics().map(|topic| topic.name.to_string()).collect(),
        BROKER | BROKER_LOGGER => image
            .active_brokers()
            .map(|(node_id, _)| node_id.to_string())
            .collect(),
        CLIENT_METRICS => configured(
            |resource| match resource {
                ConfigResource::ClientMetrics(name) => Some(name),
                _ => None,
            },
            ConfigResource::ClientMetrics(String::new()),
        ),
        _ => configured(
            |resource| match resource {
                ConfigResource::Group(name) => Some(name),
                _ => None,
            },
            ConfigResource::Group(String::new()),
        ),
    }
}
