//! ListPartitionReassignments (key 46), v0: the moves in progress, which the partitions' records tell (A7).
//!
//! v0 flexible. No topics named = all; what does not exist or does not move is left out.

use std::sync::Arc;

use cluster::{ClusterImage, PartitionState, TopicImage};
use wire::StrBytes;
use wire::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use wire::messages::{
    BrokerId, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, TopicName,
};

use crate::apis::{Call, Handler};
use crate::context::Context;

pub(crate) struct ListPartitionReassignments;

impl Handler for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    const NAME: &'static str = "ListPartitionReassignments";
    const MIN: i16 = 0;
    const MAX: i16 = 0;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<ListPartitionReassignmentsRequest>,
    ) -> ListPartitionReassignmentsResponse {
        let image = ctx.image();
        let topics = match call.request.topics {
            None => all(&image),
            Some(asked) => asked
                .iter()
                .filter_map(|asked| {
                    let topic = image.topic(&asked.name)?;
                    moving(topic, asked.partition_indexes.iter().copied())
                })
                .collect(),
        };
        ListPartitionReassignmentsResponse::default()
            .with_error_message(None)
            .with_topics(topics)
    }
}

fn all(image: &ClusterImage) -> Vec<OngoingTopicReassignment> {
    let topics = image.topics();
    topics
        .filter_map(|topic| moving(topic, (0..).take(topic.partitions.len())))
        .collect()
}

fn moving(
    topic: &TopicImage,
    partitions: impl Iterator<Item = i32>,
) -> Option<OngoingTopicReassignment> {
    let moving: Vec<_> = partitions
        .filter_map(|index| one(index, topic.partition(index)?))
        .collect();
    (!moving.is_empty()).then(|| {
        OngoingTopicReassignment::default()
            .with_name(TopicName(StrBytes::from_string(topic.name.to_string())))
            .with_partitions(moving)
    })
}

fn one(index: i32, state: &PartitionState) -> Option<OngoingPartitionReassignment> {
    if state.adding.is_empty() && state.removing.is_empty() {
        return None;
    }
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    Some(
        OngoingPartitionReassignment::default()
            .with_partition_index(index)
            .with_replicas(ids(&state.replicas))
            .with_adding_replicas(ids(&state.adding))
            .with_removing_replicas(ids(&state.removing)),
    )
}
