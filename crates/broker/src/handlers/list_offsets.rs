//! ListOffsets (key 2), v1–v11: where a partition starts, ends, or stood at a time.
//!
//! v2 isolation level · v4 leader epochs (KIP-320) · v6 flexible · v7 −3 offset of the largest timestamp (KIP-734) · v8 −4
//! earliest local · v9 −5 last tiered · v10 timeout (KIP-1075) · v11 −6 earliest not yet uploaded (KIP-1023).
//! Nothing is tiered here: −4 is the log start, −5 and −6 are "none" (−1). A partition named twice is an error (42).

use std::collections::HashSet;
use std::sync::Arc;

use storage::{PartitionLog, ReadError};
use wire::ResponseError;
use wire::messages::list_offsets_request::ListOffsetsPartition;
use wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use wire::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::fetch::check_epoch;
use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::error_code;
use crate::topics::{Partition, TopicMap};

pub(crate) struct ListOffsets;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

impl Handler for ListOffsets {
    type Request = ListOffsetsRequest;
    const NAME: &'static str = "ListOffsets";
    const MIN: i16 = 1;
    const MAX: i16 = 11;

    async fn handle(ctx: &Arc<Context>, call: Call<ListOffsetsRequest>) -> ListOffsetsResponse {
        let table = ctx.topics.snapshot();
        let read_committed = call.version >= 2 && call.request.isolation_level == 1;
        let repeated = repeated(&call.request);
        let mut refused = HashSet::new();
        let mut topics = Vec::with_capacity(call.request.topics.len());
        for topic in call.request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let place = (topic.name.clone(), asked.partition_index);
                let answer = if !repeated.contains(&place) {
                    answer(&table, &topic.name, asked, read_committed, call.version).await
                } else if refused.insert(place) {
                    Err(ResponseError::InvalidRequest)
                } else {
                    continue;
                };
                partitions.push(rendered(asked.partition_index, answer, call.version));
            }
            if partitions.is_empty() {
                continue;
            }
            topics.push(
                ListOffsetsTopicResponse::default()
                    .with_name(topic.name)
                    .with_partitions(partitions),
            );
        }
        ListOffsetsResponse::default().with_topics(topics)
    }
}

/// The partitions that a request names more than once: each is refused, once (`ListOffsetsRequest.duplicatePartitions`).
fn repeated(request: &ListOffsetsRequest) -> HashSet<(TopicName, i32)> {
    let mut seen = HashSet::new();
    let places = request.topics.iter().flat_map(|topic| {
        let indexes = topic.partitions.iter().map(|asked| asked.partition_index);
        indexes.map(|index| (topic.name.clone(), index))
    });
    places.filter(|place| !seen.insert(place.clone())).collect()
}

struct Found {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

const NOTHING: Found = Found {
    offset: -1,
    timestamp: -1,
    leader_epoch: -1,
};

async fn answer(
    table: &TopicMap,
    name: &str,
    asked: &ListOffsetsPartition,
    read_committed: bool,
    version: i16,
) -> Result<Found, ResponseError> {
    let topic = table
        .named(name)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic.led(asked.partition_index)?;
    if version >= 4 {
        check_epoch(asked.current_leader_epoch, partition.leader_epoch)?;
    }
    let log = &partition.log;
    let end = if read_committed {
        log.last_stable_offset()
    } else {
        log.high_watermark()
    };
    match asked.timestamp {
        LATEST => Ok(Found {
            offset: end,
            timestamp: -1,
            leader_epoch: partition.leader_epoch,
        }),
        EARLIEST => Ok(start(log)),
        MAX_TIMESTAMP if version >= 7 => {
            search(partition, move |log| log.max_timestamp_offset(end)).await
        }
        EARLIEST_LOCAL if version >= 8 => Ok(start(log)),
        LATEST_TIERED if version >= 9 => Ok(NOTHING),
        EARLIEST_PENDING_UPLOAD if version >= 11 => Ok(NOTHING),
        timestamp if timestamp < 0 => Err(ResponseError::UnsupportedVersion),
        timestamp => {
            search(partition, move |log| {
                log.offset_for_timestamp(timestamp, end)
            })
            .await
        }
    }
}

fn start(log: &PartitionLog) -> Found {
    let offset = log.log_start_offset();
    Found {
        offset,
        timestamp: -1,
        leader_epoch: log.epoch_of_offset(offset).unwrap_or(-1),
    }
}

/// Looks a time up on a blocking thread: it reads an index and opens a batch.
async fn search<F>(partition: &Arc<Partition>, look: F) -> Result<Found, ResponseError>
where
    F: FnOnce(&PartitionLog) -> Result<Option<storage::TimestampOffset>, ReadError>
        + Send
        + 'static,
{
    let partition = Arc::clone(partition);
    let found = tokio::task::spawn_blocking(move || look(&partition.log)).await;
    match found {
        Ok(Ok(Some(at))) => Ok(Found {
            offset: at.offset,
            timestamp: at.timestamp,
            leader_epoch: at.leader_epoch,
        }),
        Ok(Ok(None)) => Ok(NOTHING),
        Ok(Err(error)) => Err(error_code::for_read(&error)),
        Err(panic) => {
            tracing::error!(%panic, "looking an offset up panicked");
            Err(ResponseError::UnknownServerError)
        }
    }
}

fn rendered(
    index: i32,
    answer: Result<Found, ResponseError>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
    match answer {
        Ok(found) => {
            let mut response = response
                .with_offset(found.offset)
                .with_timestamp(found.timestamp);
            if version >= 4 {
                response.leader_epoch = found.leader_epoch;
            }
            response
        }
        Err(code) => response
            .with_error_code(code.code())
            .with_offset(-1)
            .with_timestamp(-1),
    }
}
