//! OffsetCommit (key 8), v2–v10: a group, or a consumer without one, stores how far it has read.
//!
//! v3 throttle time · v5 no retention time · v6 leader epoch · v7 `group_instance_id` (KIP-345) · v8 flexible · v9 errors
//! of consumer groups (KIP-848) · v10 topic ids instead of names.

use std::sync::Arc;

use coordinator::event::{CommitRequest, PartitionCommit, TopicResults};
use coordinator::{Event, GroupError, Reply};
use uuid::Uuid;
use wire::ResponseError;
use wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use wire::messages::{OffsetCommitResponse, TopicName};
use wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};

use super::group_calls::{Submitted, owned, owned_or_none, submit};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;
use crate::topics::TopicMap;

pub(crate) struct OffsetCommit;

const TOPIC_IDS_FROM: i16 = 10;

impl WaitingHandler for OffsetCommit {
    type Request = OffsetCommitRequest;
    const NAME: &'static str = "OffsetCommit";
    const MIN: i16 = 2;
    const MAX: i16 = 10;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<OffsetCommitRequest>,
    ) -> impl Future<Output = OffsetCommitResponse> + Send + 'static {
        let version = call.version;
        let table = ctx.topics.snapshot();
        let asked: Vec<Asked> = call
            .request
            .topics
            .iter()
            .map(|topic| Asked::of(topic, &table, version))
            .collect();
        let submitted = hand_in(ctx, &call.request, &asked, version).await;
        async move {
            let results = match submitted {
                Some(submitted) => submitted.wait().await,
                None => Ok(Vec::new()),
            };
            answer(asked, results)
        }
    }
}

/// `None` if there is nothing to ask the coordinator about.
async fn hand_in(
    ctx: &Context,
    request: &OffsetCommitRequest,
    asked: &[Asked],
    version: i16,
) -> Option<Submitted<Vec<TopicResults>>> {
    let topics: Vec<_> = request
        .topics
        .iter()
        .zip(asked)
        .filter_map(|(topic, asked)| Some((asked.known_as.clone()?, commits(topic))))
        .collect();
    if topics.is_empty() {
        return None;
    }
    let commit = commit(request, topics, version);
    let submitted = submit(
        ctx,
        &request.group_id,
        move |ticket| Event::CommitOffsets(ticket, commit),
        |reply| match reply {
            Reply::CommitOffsets(result) => Some(result),
            _ => None,
        },
    );
    Some(submitted.await)
}

/// What a request says of one topic, for its answer.
struct Asked {
    name: TopicName,
    id: Uuid,
    partitions: Vec<i32>,
    /// `None` if the id means no topic.
    known_as: Option<String>,
}

impl Asked {
    fn of(topic: &OffsetCommitRequestTopic, table: &TopicMap, version: i16) -> Self {
        Self {
            name: topic.name.clone(),
            id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|it| it.partition_index)
                .collect(),
            known_as: if version >= TOPIC_IDS_FROM {
                table
                    .with_id(topic.topic_id)
                    .map(|it| it.name().to_string())
            } else {
                Some(owned(&topic.name))
            },
        }
    }

    fn answered(self, code: impl Fn(usize) -> i16) -> OffsetCommitResponseTopic {
        let partitions = self.partitions.into_iter().enumerate().map(|(at, index)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(at))
        });
        OffsetCommitResponseTopic::default()
            .with_name(self.name)
            .with_topic_id(self.id)
            .with_partitions(partitions.collect())
    }
}

fn commits(topic: &OffsetCommitRequestTopic) -> Vec<PartitionCommit> {
    let commits = topic.partitions.iter().map(|partition| PartitionCommit {
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: owned_or_none(&partition.committed_metadata),
    });
    commits.collect()
}

fn commit(
    request: &OffsetCommitRequest,
    topics: Vec<(String, Vec<PartitionCommit>)>,
    version: i16,
) -> CommitRequest {
    CommitRequest {
        group_id: owned(&request.group_id),
        generation_or_epoch: request.generation_id_or_member_epoch,
        member_id: owned(&request.member_id),
        group_instance_id: owned_or_none(&request.group_instance_id),
        retention_time_ms: Some(request.retention_time_ms).filter(|ms| *ms != -1),
        knows_new_group_errors: version >= 9,
        transaction: None,
        topics,
    }
}

/// A failure of the whole has no place of its own: every partition carries it.
fn answer(
    asked: Vec<Asked>,
    results: Result<Vec<TopicResults>, GroupError>,
) -> OffsetCommitResponse {
    let failed = results.as_ref().err().map(code);
    let mut results = results.unwrap_or_default().into_iter();
    let topics = asked.into_iter().map(|asked| {
        if asked.known_as.is_none() {
            return asked.answered(|_| ResponseError::UnknownTopicId.code());
        }
        if let Some(code) = failed {
            return asked.answered(|_| code);
        }
        let result = results.next().map(|topic| topic.partitions);
        let result = result.unwrap_or_default();
        asked.answered(|at| match result.get(at) {
            Some((_, Ok(()))) => 0,
            Some((_, Err(error))) => code(error),
            None => ResponseError::UnknownServerError.code(),
        })
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn code(error: &GroupError) -> i16 {
    error_code::for_group(error).code()
}
