//! DeleteRecords (key 21), v0–v2: everything below an offset goes.
//!
//! v2 flexible. −1 = the high watermark; beyond it 1 OFFSET_OUT_OF_RANGE; a topic that is only compacted 44
//! POLICY_VIOLATION; an internal topic 17 (F18).

use std::sync::Arc;

use wire::ResponseError;
use wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::error_code;
use crate::topics::Topic;

pub(crate) struct DeleteRecords;

impl Handler for DeleteRecords {
    type Request = DeleteRecordsRequest;
    const NAME: &'static str = "DeleteRecords";
    const MIN: i16 = 0;
    const MAX: i16 = 2;

    async fn handle(ctx: &Arc<Context>, call: Call<DeleteRecordsRequest>) -> DeleteRecordsResponse {
        let table = ctx.topics.snapshot();
        let mut topics = Vec::with_capacity(call.request.topics.len());
        for topic in call.request.topics {
            let known = table.named(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let result = DeleteRecordsPartitionResult::default()
                    .with_partition_index(asked.partition_index);
                partitions.push(
                    match delete(known, asked.partition_index, asked.offset).await {
                        Ok(low_watermark) => result.with_low_watermark(low_watermark),
                        Err(code) => result.with_low_watermark(-1).with_error_code(code.code()),
                    },
                );
            }
            topics.push(
                DeleteRecordsTopicResult::default()
                    .with_name(topic.name)
                    .with_partitions(partitions),
            );
        }
        DeleteRecordsResponse::default().with_topics(topics)
    }
}

async fn delete(topic: Option<&Arc<Topic>>, index: i32, offset: i64) -> Result<i64, ResponseError> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    if topic.image.internal {
        return Err(ResponseError::InvalidTopicException);
    }
    let partition = topic.led(index)?;
    if !topic.settings.log.delete {
        return Err(ResponseError::PolicyViolation);
    }
    let high_watermark = partition.log.high_watermark();
    let before = if offset == -1 { high_watermark } else { offset };
    if !(0..=high_watermark).contains(&before) {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let partition = Arc::clone(partition);
    match tokio::task::spawn_blocking(move || partition.log.delete_records(before)).await {
        Ok(Ok(log_start)) => Ok(log_start),
        Ok(Err(error)) => Err(error_code::for_change(&error)),
        Err(panic) => {
            tracing::error!(%panic, "deleting records panicked");
            Err(ResponseError::UnknownServerError)
        }
    }
}
