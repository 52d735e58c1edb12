//! DescribeProducers (key 61), v0: who writes to a partition, idempotently or in transactions (KIP-664).
//!
//! v0 flexible. Asked of the partition's leader; −1 stands for no open transaction and for no coordinator yet.

use std::sync::Arc;

use storage::ProducerStatus;
use wire::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use wire::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::topics::TopicMap;

pub(crate) struct DescribeProducers;

impl Handler for DescribeProducers {
    type Request = DescribeProducersRequest;
    const NAME: &'static str = "DescribeProducers";
    const MIN: i16 = 0;
    const MAX: i16 = 0;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<DescribeProducersRequest>,
    ) -> DescribeProducersResponse {
        let table = ctx.topics.snapshot();
        let mut topics = Vec::with_capacity(call.request.topics.len());
        for topic in call.request.topics {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for index in topic.partition_indexes {
                let answer = PartitionResponse::default().with_partition_index(index);
                partitions.push(match producers(&table, &topic.name, index).await {
                    Ok(producers) => answer
                        .with_error_message(None)
                        .with_active_producers(producers),
                    Err((code, message)) => answer
                        .with_error_code(code.code())
                        .with_error_message(Some(StrBytes::from_string(message))),
                });
            }
            topics.push(
                TopicResponse::default()
                    .with_name(topic.name)
                    .with_partitions(partitions),
            );
        }
        DescribeProducersResponse::default().with_topics(topics)
    }
}

async fn producers(
    table: &TopicMap,
    name: &str,
    index: i32,
) -> Result<Vec<ProducerState>, (ResponseError, String)> {
    if let Err(error) = cluster::check_topic_name(name) {
        return Err((ResponseError::InvalidTopicException, error.to_string()));
    }
    let missing = || {
        let message = format!("Partition {name}-{index} is not led by this broker.");
        (ResponseError::UnknownTopicOrPartition, message)
    };
    let topic = table.named(name).ok_or_else(missing)?;
    let partition = topic.led(index).map_err(|code| (code, missing().1))?;
    let partition = Arc::clone(partition);
    // Waits for a write to the log that is in progress.
    let found = tokio::task::spawn_blocking(move || partition.log.producers()).await;
    let found = found.map_err(|panic| {
        tracing::error!(%panic, "describing producers panicked");
        (ResponseError::UnknownServerError, panic.to_string())
    })?;
    Ok(found.iter().map(state).collect())
}

fn state(status: &ProducerStatus) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(status.producer_id))
        .with_producer_epoch(i32::from(status.epoch))
        .with_last_sequence(status.last_sequence)
        .with_last_timestamp(status.last_timestamp)
        .with_coordinator_epoch(status.coordinator_epoch)
        .with_current_txn_start_offset(status.transaction_start.unwrap_or(-1))
}
