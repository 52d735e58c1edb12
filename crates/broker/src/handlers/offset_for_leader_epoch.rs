//! OffsetForLeaderEpoch (key 23), v2–v4: where a leader epoch ended, so that a reader can tell whether its log was cut.
//!
//! v3 replica id · v4 flexible. The answer is the largest epoch at or below the one asked for, −1/−1 if there is none (F17).

use std::sync::Arc;

use wire::ResponseError;
use wire::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::fetch::check_epoch;
use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::topics::TopicMap;

pub(crate) struct OffsetForLeaderEpoch;

impl Handler for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    const NAME: &'static str = "OffsetForLeaderEpoch";
    const MIN: i16 = 2;
    const MAX: i16 = 4;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<OffsetForLeaderEpochRequest>,
    ) -> OffsetForLeaderEpochResponse {
        let table = ctx.topics.snapshot();
        let topics = call.request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let answer = EpochEndOffset::default().with_partition(asked.partition);
                match answer_one(&table, &topic.topic, asked) {
                    Ok((epoch, end_offset)) => {
                        answer.with_leader_epoch(epoch).with_end_offset(end_offset)
                    }
                    Err(code) => answer
                        .with_error_code(code.code())
                        .with_leader_epoch(-1)
                        .with_end_offset(-1),
                }
            });
            let partitions = partitions.collect();
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic)
                .with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }
}

fn answer_one(
    table: &TopicMap,
    name: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ResponseError> {
    let topic = table
        .named(name)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic.led(asked.partition)?;
    check_epoch(asked.current_leader_epoch, partition.leader_epoch)?;
    let end = partition.log.end_offset_for_epoch(asked.leader_epoch);
    Ok((end.epoch, end.end_offset))
}
