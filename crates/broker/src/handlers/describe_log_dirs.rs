//! DescribeLogDirs (key 35), v1–v5: what lies where on this broker's disks.
//!
//! v2 flexible · v3 top-level error · v4 total and usable bytes (KIP-827) · v5
//! cordoned directories (KIP-1066). `null` topics = all (A8).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use storage::{DirStatus, PartitionLog};
use wire::log_dirs::LogDirsResponse;
use wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use wire::{ResponseError, StrBytes};

use crate::apis::{self, Answer, Incoming};
use crate::context::Context;

pub(crate) const MIN: i16 = 1;
pub(crate) const MAX: i16 = 5;

pub(crate) async fn run(ctx: Arc<Context>, incoming: Incoming, body: Bytes) -> Answer {
    let head = &incoming.head;
    let request = match apis::decode::<DescribeLogDirsRequest>(head, body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    // No directory is ever cordoned here.
    let response = LogDirsResponse {
        described: described(&ctx, request, head.api_version),
        cordoned: Vec::new(),
    };
    apis::encode(&ctx, response, &incoming, head.api_version)
}

fn described(
    ctx: &Context,
    request: DescribeLogDirsRequest,
    version: i16,
) -> DescribeLogDirsResponse {
    let wanted: Option<HashSet<(String, i32)>> = request.topics.map(|topics| {
        let pairs = topics.iter().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|&at| (topic.topic.to_string(), at))
        });
        pairs.collect()
    });
    let table = ctx.topics.snapshot();
    let is_wanted = |log: &PartitionLog| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&(log.topic().to_owned(), log.key().partition)))
    };
    let logs: Vec<Arc<PartitionLog>> = table
        .sorted()
        .into_iter()
        .flat_map(|topic| {
            topic
                .local_partitions()
                .map(|partition| Arc::clone(&partition.log))
        })
        .filter(|log| is_wanted(log))
        .collect();
    let results = ctx
        .store
        .dirs()
        .iter()
        .map(|dir| result(dir, &logs, version))
        .collect();
    DescribeLogDirsResponse::default().with_results(results)
}

fn result(dir: &DirStatus, logs: &[Arc<PartitionLog>], version: i16) -> DescribeLogDirsResult {
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for log in logs.iter().filter(|log| log.dir() == dir.path) {
        let partition = DescribeLogDirsPartition::default()
            .with_partition_index(log.key().partition)
            .with_partition_size(i64::try_from(log.size_bytes()).unwrap_or(i64::MAX));
        topics.entry(log.topic()).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        DescribeLogDirsTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partitions(partitions)
    });
    let mut result = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(dir.path.display().to_string()))
        .with_topics(topics.collect());
    if dir.offline.is_some() {
        result.error_code = ResponseError::KafkaStorageError.code();
        result.topics.clear();
    }
    if version >= 4 {
        result.total_bytes = i64::try_from(dir.total_bytes).unwrap_or(-1);
        result.usable_bytes = i64::try_from(dir.usable_bytes).unwrap_or(-1);
    }
    result
}
