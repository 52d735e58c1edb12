//! DescribeTopicPartitions (key 75), v0: topics page by page (KIP-966).
//!
//! Topics come sorted by name; a page holds at most `response_partition_limit` partitions (and never more than
//! `max.request.partition.size.limit`), and `next_cursor` says where the next one starts (M13).

use std::sync::Arc;

use wire::messages::describe_topic_partitions_request::Cursor as RequestCursor;
use wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use wire::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::operations;
use crate::topics::{Topic, TopicMap};

pub(crate) struct DescribeTopicPartitions;

impl Handler for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    const NAME: &'static str = "DescribeTopicPartitions";
    const MIN: i16 = 0;
    const MAX: i16 = 0;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<DescribeTopicPartitionsRequest>,
    ) -> DescribeTopicPartitionsResponse {
        let table = ctx.topics.snapshot();
        let request = call.request;
        let mut names: Vec<String> = if request.topics.is_empty() {
            table
                .sorted()
                .into_iter()
                .map(|topic| topic.name().to_string())
                .collect()
        } else {
            request
                .topics
                .iter()
                .map(|topic| topic.name.to_string())
                .collect()
        };
        if let Some(cursor) = &request.cursor
            && !is_valid(cursor, &request)
        {
            return refused(&request);
        }
        names.sort_unstable();
        names.dedup();
        let (from_topic, from_partition) = match &request.cursor {
            Some(cursor) => (
                cursor.topic_name.to_string(),
                usize::try_from(cursor.partition_index).unwrap_or(0),
            ),
            None => (String::new(), 0),
        };
        let limit = usize::try_from(request.response_partition_limit)
            .unwrap_or(0)
            .clamp(1, ctx.config().describe_partitions_max.max(1));
        page(&table, &names, (&from_topic, from_partition), limit)
    }
}

/// A cursor names a topic and a partition, and one of the topics asked for if any are
/// (`DescribeTopicPartitionsRequestHandler`).
fn is_valid(cursor: &RequestCursor, request: &DescribeTopicPartitionsRequest) -> bool {
    let mut topics = request.topics.iter();
    !cursor.topic_name.is_empty()
        && cursor.partition_index >= 0
        && (request.topics.is_empty() || topics.any(|topic| topic.name == cursor.topic_name))
}

fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ResponseError::InvalidRequest.code())
            .with_name(Some(topic.name.clone()))
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

fn page(
    table: &TopicMap,
    names: &[String],
    (from_topic, from_partition): (&str, usize),
    limit: usize,
) -> DescribeTopicPartitionsResponse {
    let mut room = limit;
    let mut topics = Vec::new();
    for name in names.iter().filter(|name| name.as_str() >= from_topic) {
        let first = if name == from_topic {
            from_partition
        } else {
            0
        };
        if room == 0 {
            return cut(topics, name, first);
        }
        let Some(topic) = table.named(name) else {
            topics.push(unknown(name));
            continue;
        };
        let last = topic.partition_count().min(first.saturating_add(room));
        topics.push(rendered(topic, first, last));
        room -= last.saturating_sub(first);
        if last < topic.partition_count() {
            return cut(topics, name, last);
        }
    }
    DescribeTopicPartitionsResponse::default().with_topics(topics)
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn cut(
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    name: &str,
    partition: usize,
) -> DescribeTopicPartitionsResponse {
    let cursor = Cursor::default()
        .with_topic_name(topic_name(name))
        .with_partition_index(i32::try_from(partition).unwrap_or(i32::MAX));
    DescribeTopicPartitionsResponse::default()
        .with_topics(topics)
        .with_next_cursor(Some(cursor))
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let code = match cluster::check_topic_name(name) {
        Ok(()) => ResponseError::UnknownTopicOrPartition,
        Err(_) => ResponseError::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(code.code())
        .with_name(Some(topic_name(name)))
        .with_topic_authorized_operations(operations::TOPIC)
}

fn rendered(topic: &Topic, first: usize, last: usize) -> DescribeTopicPartitionsResponseTopic {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let partitions = (first..last).filter_map(|at| {
        let state = topic.image.partitions.get(at)?;
        let index = i32::try_from(at).ok()?;
        let served = topic
            .partition(index)
            .is_some_and(|partition| !partition.log.is_offline());
        let mut partition = DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(if served { state.leader } else { -1 }))
            .with_leader_epoch(state.leader_epoch)
            .with_replica_nodes(ids(&state.replicas))
            .with_isr_nodes(ids(&state.isr))
            .with_eligible_leader_replicas(Some(ids(&state.elr)))
            .with_last_known_elr(Some(ids(&state.last_known_elr)));
        if !served {
            partition.error_code = ResponseError::LeaderNotAvailable.code();
            partition.offline_replicas = ids(&state.replicas);
        }
        Some(partition)
    });
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(topic_name(topic.name())))
        .with_topic_id(topic.id())
        .with_is_internal(topic.image.internal)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(operations::TOPIC)
}
