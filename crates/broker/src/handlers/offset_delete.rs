//! OffsetDelete (key 47), v0: committed offsets are forgotten, except those of topics that members of the group read.
//!

use std::sync::Arc;

use coordinator::event::{DeleteOffsetsRequest, TopicResults};
use coordinator::{Event, GroupError, Reply};
use wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse, TopicName};

use super::group_calls::{owned, submit, text};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct OffsetDelete;

impl WaitingHandler for OffsetDelete {
    type Request = OffsetDeleteRequest;
    const NAME: &'static str = "OffsetDelete";
    const MIN: i16 = 0;
    const MAX: i16 = 0;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<OffsetDeleteRequest>,
    ) -> impl Future<Output = OffsetDeleteResponse> + Send + 'static {
        let topics = call.request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|it| it.partition_index);
            (owned(&topic.name), partitions.collect())
        });
        let request = DeleteOffsetsRequest {
            group_id: owned(&call.request.group_id),
            topics: topics.collect(),
        };
        let submitted = submit(
            ctx,
            &call.request.group_id,
            move |ticket| Event::DeleteOffsets(ticket, request),
            |reply| match reply {
                Reply::DeleteOffsets(result) => Some(result),
                _ => None,
            },
        )
        .await;
        async move {
            match submitted.wait().await {
                Ok(topics) => OffsetDeleteResponse::default()
                    .with_topics(topics.into_iter().map(topic).collect()),
                Err(error) => OffsetDeleteResponse::default().with_error_code(code(&error)),
            }
        }
    }
}

fn topic(results: TopicResults) -> OffsetDeleteResponseTopic {
    let partitions = results.partitions.into_iter().map(|(index, result)| {
        OffsetDeleteResponsePartition::default()
            .with_partition_index(index)
            .with_error_code(result.as_ref().map_or_else(code, |()| 0))
    });
    OffsetDeleteResponseTopic::default()
        .with_name(TopicName(text(results.topic)))
        .with_partitions(partitions.collect())
}

fn code(error: &GroupError) -> i16 {
    error_code::for_group(error).code()
}
