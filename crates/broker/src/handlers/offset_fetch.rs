//! OffsetFetch (key 9), v1–v10: how far groups have read, by their last commits.
//!
//! v2 null topics = all, and an error for the whole · v3 throttle time · v5 leader epoch · v6 flexible · v7 `require_stable`
//! (KIP-447) · v8 several groups (KIP-709) · v9 member id and epoch (KIP-848) · v10 topic ids instead of names.
//! What is not committed is answered with −1 and no error (G14). A group, or a partition, that is asked for twice is answered
//! once: a small request must not be answered by the same metadata a million times.

use std::collections::HashSet;
use std::sync::Arc;

use coordinator::GroupError;
use coordinator::event::{FetchOffsetsRequest, FetchedOffset, TopicOffsets};
use uuid::Uuid;
use wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use wire::messages::{GroupId, OffsetFetchResponse, TopicName};
use wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use wire::{ResponseError, StrBytes};

use super::group_calls::{Asking, ask, owned, owned_or_none, text};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;
use crate::topics::TopicMap;

pub(crate) struct OffsetFetch;

const GROUP_ERROR_FROM: i16 = 2;
const GROUPS_FROM: i16 = 8;
const TOPIC_IDS_FROM: i16 = 10;

impl WaitingHandler for OffsetFetch {
    type Request = OffsetFetchRequest;
    const NAME: &'static str = "OffsetFetch";
    const MIN: i16 = 1;
    const MAX: i16 = 10;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<OffsetFetchRequest>,
    ) -> impl Future<Output = OffsetFetchResponse> + Send + 'static {
        let version = call.version;
        let require_stable = call.request.require_stable;
        let mut answered = HashSet::new();
        let mut fetching = Vec::new();
        for group in groups_of(call.request, version) {
            if answered.insert(group.group_id.clone()) {
                fetching.push(Fetching::begin(ctx, group, require_stable, version).await);
            }
        }
        async move {
            let mut groups = Vec::with_capacity(fetching.len());
            for fetching in fetching {
                groups.push(fetching.answered(version).await);
            }
            response(groups, version)
        }
    }
}

/// Before version 8 a request is of one group.
fn groups_of(request: OffsetFetchRequest, version: i16) -> Vec<OffsetFetchRequestGroup> {
    if version >= GROUPS_FROM {
        return request.groups;
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    vec![OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics,
        ..OffsetFetchRequestGroup::default()
    }]
}

/// One group whose coordinator has been asked.
struct Fetching {
    group_id: GroupId,
    table: Arc<TopicMap>,
    /// `None`: all there are.
    asked: Option<Asked>,
    offsets: Asking<Result<Vec<TopicOffsets>, GroupError>>,
}

impl Fetching {
    async fn begin(
        ctx: &Context,
        group: OffsetFetchRequestGroup,
        require_stable: bool,
        version: i16,
    ) -> Self {
        let table = ctx.topics.snapshot();
        let asked = group
            .topics
            .map(|topics| Asked::of(topics, &table, version));
        let request = FetchOffsetsRequest {
            group_id: owned(&group.group_id),
            member_id: owned_or_none(&group.member_id),
            member_epoch: group.member_epoch,
            topics: asked.as_ref().map(|asked| asked.known.clone()),
            require_stable,
        };
        let offsets = ask(ctx, &group.group_id, move |shard, topics| {
            shard.fetch_offsets(topics, &request)
        })
        .await;
        Self {
            offsets,
            group_id: group.group_id,
            table,
            asked,
        }
    }

    async fn answered(self, version: i16) -> OffsetFetchResponseGroup {
        let answer = OffsetFetchResponseGroup::default().with_group_id(self.group_id);
        match self.offsets.wait().await.and_then(|found| found) {
            Ok(found) => answer.with_topics(match self.asked {
                Some(asked) => asked.answered(found),
                None => all_topics(found, &self.table, version),
            }),
            Err(error) if version >= GROUP_ERROR_FROM => answer.with_error_code(code(&error)),
            Err(error) => {
                let asked = self.asked.unwrap_or_default().known.into_iter();
                let topics = asked.map(|(name, partitions)| {
                    failed(topic(Some(name), Uuid::nil()), partitions, code(&error))
                });
                answer.with_topics(topics.collect())
            }
        }
    }
}

/// Consumers before 3.9 know 14 and 16 as reasons to try again here, and give up at 15
/// (`GroupCoordinatorService.handleOffsetFetchException`).
fn code(error: &GroupError) -> i16 {
    let code = match error_code::for_group(error) {
        ResponseError::CoordinatorNotAvailable => ResponseError::NotCoordinator,
        code => code,
    };
    code.code()
}

/// The topics a group is asked for by name or id.
#[derive(Default)]
struct Asked {
    /// By name, each partition once.
    known: Vec<(String, Vec<i32>)>,
    /// The ids of `known`, nil before version 10.
    ids: Vec<Uuid>,
    /// Ids that mean no topic.
    unknown: Vec<(Uuid, Vec<i32>)>,
}

impl Asked {
    fn of(topics: Vec<OffsetFetchRequestTopics>, table: &TopicMap, version: i16) -> Self {
        let mut seen = HashSet::new();
        let mut asked = Self::default();
        for topic in topics {
            let mut partitions = topic.partition_indexes;
            partitions.retain(|index| seen.insert((topic.topic_id, topic.name.clone(), *index)));
            if version < TOPIC_IDS_FROM {
                asked.known.push((owned(&topic.name), partitions));
                asked.ids.push(Uuid::nil());
            } else if let Some(known) = table.with_id(topic.topic_id) {
                asked.known.push((known.name().to_string(), partitions));
                asked.ids.push(topic.topic_id);
            } else {
                asked.unknown.push((topic.topic_id, partitions));
            }
        }
        asked
    }

    /// The unknown ones after the others, as Kafka has it.
    fn answered(self, found: Vec<TopicOffsets>) -> Vec<OffsetFetchResponseTopics> {
        let known = found.into_iter().zip(self.ids).map(|(found, id)| {
            let name = id.is_nil().then_some(found.topic);
            topic(name, id).with_partitions(partitions(found.partitions))
        });
        let unknown = self.unknown.into_iter().map(|(id, partitions)| {
            let code = ResponseError::UnknownTopicId.code();
            failed(topic(None, id), partitions, code)
        });
        known.chain(unknown).collect()
    }
}

/// Everything that a group has committed. From version 10 on a topic without an id cannot be named, and is left out.
fn all_topics(
    found: Vec<TopicOffsets>,
    table: &TopicMap,
    version: i16,
) -> Vec<OffsetFetchResponseTopics> {
    let topics = found.into_iter().filter_map(|found| {
        let named = if version < TOPIC_IDS_FROM {
            topic(Some(found.topic), Uuid::nil())
        } else if found.topic_id.is_nil() {
            topic(None, table.named(&found.topic)?.id())
        } else {
            topic(None, found.topic_id)
        };
        Some(named.with_partitions(partitions(found.partitions)))
    });
    topics.collect()
}

fn topic(name: Option<String>, id: Uuid) -> OffsetFetchResponseTopics {
    OffsetFetchResponseTopics::default()
        .with_name(TopicName(name.map(text).unwrap_or_default()))
        .with_topic_id(id)
}

type Fetched = (i32, Result<Option<FetchedOffset>, GroupError>);

fn partitions(fetched: Vec<Fetched>) -> Vec<OffsetFetchResponsePartitions> {
    let partitions = fetched.into_iter().map(|(index, offset)| match offset {
        Ok(Some(offset)) => OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch)
            .with_metadata(Some(text(offset.metadata))),
        Ok(None) => nothing(index, 0),
        Err(error) => nothing(index, code(&error)),
    });
    partitions.collect()
}

fn nothing(index: i32, code: i16) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::from_static_str("")))
        .with_error_code(code)
}

fn failed(
    topic: OffsetFetchResponseTopics,
    partitions: Vec<i32>,
    code: i16,
) -> OffsetFetchResponseTopics {
    let partitions = partitions.into_iter().map(|index| nothing(index, code));
    topic.with_partitions(partitions.collect())
}

fn response(mut groups: Vec<OffsetFetchResponseGroup>, version: i16) -> OffsetFetchResponse {
    if version >= GROUPS_FROM {
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let group = groups.pop().unwrap_or_default();
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default()
        .with_error_code(group.error_code)
        .with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_that_do_not_know_15_here_are_sent_to_look_for_the_coordinator() {
        for (error, expected) in [
            (
                GroupError::CoordinatorUnavailable,
                ResponseError::NotCoordinator,
            ),
            (GroupError::NotCoordinator, ResponseError::NotCoordinator),
            (
                GroupError::CoordinatorLoading,
                ResponseError::CoordinatorLoadInProgress,
            ),
            (
                GroupError::UnstableOffsetCommit,
                ResponseError::UnstableOffsetCommit,
            ),
        ] {
            assert_eq!(code(&error), expected.code());
        }
    }
}
