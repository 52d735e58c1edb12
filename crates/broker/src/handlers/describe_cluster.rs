//! DescribeCluster (key 60), v0–v2: the cluster's id, brokers and controller.
//!
//! v1 endpoint type (KIP-919): this listener serves brokers, so 2 (controllers) is 114, anything else 115 · v2 fenced
//! brokers (KIP-1073); none is fenced on a single node.

use std::sync::Arc;

use wire::messages::describe_cluster_response::DescribeClusterBroker;
use wire::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::operations;

pub(crate) struct DescribeCluster;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

impl Handler for DescribeCluster {
    type Request = DescribeClusterRequest;
    const NAME: &'static str = "DescribeCluster";
    const MIN: i16 = 0;
    const MAX: i16 = 2;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<DescribeClusterRequest>,
    ) -> DescribeClusterResponse {
        if call.version >= 1 && call.request.endpoint_type != BROKERS {
            return wrong_endpoint(call.request.endpoint_type);
        }
        let (host, port) = ctx.advertised(&call.connection);
        let broker = DescribeClusterBroker::default()
            .with_broker_id(BrokerId(ctx.node_id))
            .with_host(StrBytes::from_string(host))
            .with_port(port)
            .with_rack(ctx.config().rack.clone().map(StrBytes::from_string));
        let mut response = DescribeClusterResponse::default()
            .with_cluster_id(StrBytes::from_string(ctx.image().cluster_id.clone()))
            .with_controller_id(BrokerId(ctx.node_id))
            .with_brokers(vec![broker]);
        if call.request.include_cluster_authorized_operations {
            response.cluster_authorized_operations = operations::CLUSTER;
        }
        response
    }
}

fn wrong_endpoint(endpoint_type: i8) -> DescribeClusterResponse {
    let (code, message) = match endpoint_type {
        CONTROLLERS => (
            ResponseError::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                .to_owned(),
        ),
        _ => (
            ResponseError::UnsupportedEndpointType,
            format!("Unsupported endpoint type {endpoint_type}"),
        ),
    };
    DescribeClusterResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}
