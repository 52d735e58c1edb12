//! AlterPartitionReassignments (key 45), v0–v1: where partitions shall be.
//!
//! v0 flexible · v1 whether the number of copies may change (KIP-860). No replicas = cancel the move in progress (A7).

use std::sync::Arc;

use cluster::{ClusterImage, Reassignment, check_reassignment};
use wire::StrBytes;
use wire::messages::alter_partition_reassignments_request::ReassignablePartition;
use wire::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use wire::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct AlterPartitionReassignments;

impl Handler for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;
    const NAME: &'static str = "AlterPartitionReassignments";
    const MIN: i16 = 0;
    const MAX: i16 = 1;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<AlterPartitionReassignmentsRequest>,
    ) -> AlterPartitionReassignmentsResponse {
        let image = ctx.image();
        let may_change = call.request.allow_replication_factor_change;
        let topics = call.request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions = partitions.map(|asked| answer(&image, &topic.name, asked, may_change));
            let partitions = partitions.collect();
            ReassignableTopicResponse::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        });
        AlterPartitionReassignmentsResponse::default()
            .with_allow_replication_factor_change(may_change)
            .with_responses(topics.collect())
    }
}

fn answer(
    image: &ClusterImage,
    topic: &str,
    asked: &ReassignablePartition,
    replication_factor_may_change: bool,
) -> ReassignablePartitionResponse {
    let replicas: Option<Vec<i32>> = asked
        .replicas
        .as_ref()
        .map(|replicas| replicas.iter().map(|id| id.0).collect());
    let reassignment = match &replicas {
        Some(replicas) => Reassignment::To(replicas),
        None => Reassignment::Cancel,
    };
    let partition = asked.partition_index;
    let checked = check_reassignment(
        image,
        topic,
        partition,
        reassignment,
        replication_factor_may_change,
    );
    let answer = ReassignablePartitionResponse::default().with_partition_index(partition);
    match checked {
        Ok(()) => answer.with_error_message(None),
        Err(error) => answer
            .with_error_code(error_code::for_reassign(&error).code())
            .with_error_message(Some(StrBytes::from_string(error.to_string()))),
    }
}
