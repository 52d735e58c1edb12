//! Groups: who coordinates them, who is in them, and the offsets they committed.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tokio::time::Instant;
use wire::delete_groups::DeleteGroupsRequest;
use wire::messages::find_coordinator_request::FindCoordinatorRequest;
use wire::messages::list_groups_request::ListGroupsRequest;
use wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use wire::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use wire::messages::{GroupId, OffsetFetchResponse};
use wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use wire::{ResponseError, StrBytes};

use super::{Client, Link, Node, PAUSE, TopicPartition, text, topic_name};
use crate::outcome::Refusal;

/// From v10 on, offsets are of topic ids alone (KIP-848), and who has committed may long be gone: names say more here.
const OFFSETS_BY_NAME: i16 = 9;
/// FindCoordinator takes several keys from here on, OffsetFetch several groups.
const COORDINATORS_BY_LIST: i16 = 4;
const OFFSETS_OF_GROUPS: i16 = 8;

/// FindCoordinator tells kinds of coordinators apart from here on (KIP-98).
const COORDINATOR_KINDS: i16 = 1;

/// What has a coordinator; the number is FindCoordinator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Coordinated {
    Group = 0,
    Transaction = 1,
}

impl Coordinated {
    fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Transaction => "transactional id",
        }
    }
}

/// A group as a broker lists those it coordinates.
#[derive(Debug, Clone)]
pub(crate) struct ListedGroup {
    pub(crate) id: String,
    /// "" from brokers before 2.6.
    pub(crate) state: String,
    /// In lower case; "" from brokers before 3.8.
    pub(crate) kind: String,
    pub(crate) protocol_type: String,
}

/// What a group last committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// `None` where the consumer did not say.
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) metadata: String,
}

impl Client {
    /// Has `ask` talk to the group's coordinator, and again while there is none, or it loads, at most for the timeout.
    pub(crate) async fn at_coordinator<T>(
        &mut self,
        group: &str,
        mut ask: impl AsyncFnMut(&mut Link) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + self.timeout();
        loop {
            let answer = match self.coordinator(group).await {
                Ok(node) => ask(self.link(node).await?).await,
                Err(error) => Err(error),
            };
            match answer {
                Err(error) if is_moving(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// The broker that coordinates the group, which [`Client::link`] knows from now on.
    pub(crate) async fn coordinator(&mut self, group: &str) -> anyhow::Result<i32> {
        self.coordinator_of(Coordinated::Group, group).await
    }

    /// The broker that coordinates what goes by this key, which [`Client::link`] knows from now on.
    pub(super) async fn coordinator_of(
        &mut self,
        what: Coordinated,
        key: &str,
    ) -> anyhow::Result<i32> {
        let link = self.seed().await?;
        let version = link.version::<FindCoordinatorRequest>()?;
        let mut request = FindCoordinatorRequest::default();
        if version >= COORDINATORS_BY_LIST {
            request.coordinator_keys = vec![text(key)];
        } else {
            request.key = text(key);
        }
        if version >= COORDINATOR_KINDS {
            request.key_type = what as i8;
        }
        let mut response = link.call(&request, version).await?;
        if let Some(found) = response.coordinators.pop() {
            response.error_code = found.error_code;
            response.error_message = found.error_message;
            response.node_id = found.node_id;
            response.host = found.host;
            response.port = found.port;
        }
        let asked = format!("find the coordinator of {} {key}", what.name());
        link.accept(&asked, response.error_code, response.error_message)?;
        let (id, rack) = (response.node_id.0, None);
        self.nodes.entry(id).or_insert(Node {
            host: response.host.to_string(),
            port: response.port,
            rack,
        });
        Ok(id)
    }
}

/// Whether a coordinator is being found, loads, or has moved.
pub(super) fn is_moving(error: &anyhow::Error) -> bool {
    let code = error
        .downcast_ref::<Refusal>()
        .and_then(|refusal| ResponseError::try_from_code(refusal.code));
    matches!(
        code,
        Some(
            ResponseError::CoordinatorLoadInProgress
                | ResponseError::CoordinatorNotAvailable
                | ResponseError::NotCoordinator
        )
    )
}

impl Link {
    /// The groups this broker coordinates. A filter that the broker is too old for is left to the caller.
    pub(crate) async fn list_groups(
        &mut self,
        states: &[String],
        kinds: &[String],
    ) -> anyhow::Result<Vec<ListedGroup>> {
        let version = self.version::<ListGroupsRequest>()?;
        let mut request = ListGroupsRequest::default();
        if version >= 4 {
            request.states_filter = states.iter().map(|state| text(state)).collect();
        }
        if version >= 5 {
            request.types_filter = kinds.iter().map(|kind| text(kind)).collect();
        }
        let response = self.call(&request, version).await?;
        self.accept("list groups", response.error_code, None)?;
        let listed = response.groups.into_iter().map(|group| ListedGroup {
            id: group.group_id.0.to_string(),
            state: group.group_state.to_string(),
            kind: group.group_type.to_lowercase(),
            protocol_type: group.protocol_type.to_string(),
        });
        Ok(listed.collect())
    }

    /// Everything the group has committed.
    pub(crate) async fn committed(
        &mut self,
        group: &str,
    ) -> anyhow::Result<BTreeMap<TopicPartition, Committed>> {
        let version = self.version::<OffsetFetchRequest>()?.min(OFFSETS_BY_NAME);
        let mut request = OffsetFetchRequest::default();
        if version >= OFFSETS_OF_GROUPS {
            request.groups.push(OffsetFetchRequestGroup {
                group_id: group_id(group),
                topics: None,
                ..OffsetFetchRequestGroup::default()
            });
        } else {
            request.group_id = group_id(group);
            request.topics = None;
        }
        let response = self.call(&request, version).await?;
        let asked = format!("read the offsets of group {group}");
        self.accept(&asked, response.error_code, None)?;
        for group in &response.groups {
            self.accept(&asked, group.error_code, None)?;
        }
        let mut committed = BTreeMap::new();
        for (topic, partition, code, offset) in flat(response) {
            self.accept(&format!("{asked} for {topic}/{partition}"), code, None)?;
            if offset.offset >= 0 {
                committed.insert((topic, partition), offset);
            }
        }
        Ok(committed)
    }

    /// Commits for the group from outside of it, which brokers allow while nobody is in it. Gives the refusals.
    pub(crate) async fn commit(
        &mut self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> anyhow::Result<BTreeMap<TopicPartition, Refusal>> {
        let version = self.version::<OffsetCommitRequest>()?.min(OFFSETS_BY_NAME);
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for ((topic, index), offset) in offsets {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(*index)
                .with_committed_offset(*offset)
                .with_committed_metadata(Some(StrBytes::new()));
            match topics.last_mut().filter(|last| **last.name == **topic) {
                Some(last) => last.partitions.push(partition),
                None => topics.push(OffsetCommitRequestTopic {
                    name: topic_name(topic),
                    partitions: vec![partition],
                    ..OffsetCommitRequestTopic::default()
                }),
            }
        }
        let request = OffsetCommitRequest {
            group_id: group_id(group),
            topics,
            ..OffsetCommitRequest::default()
        };
        let mut refused = BTreeMap::new();
        for topic in self.call(&request, version).await?.topics {
            let name = topic.name.0.to_string();
            for partition in topic.partitions {
                let index = partition.partition_index;
                let asked = format!("commit {name}/{index} for group {group}");
                if let Err(refusal) = self.accept(&asked, partition.error_code, None) {
                    refused.insert((name.clone(), index), refusal);
                }
            }
        }
        Ok(refused)
    }

    /// Deletes the group and what it has committed.
    pub(crate) async fn delete_group(&mut self, group: &str) -> anyhow::Result<()> {
        let version = self.version::<DeleteGroupsRequest>()?;
        let request = DeleteGroupsRequest {
            groups_names: vec![group_id(group)],
            ..DeleteGroupsRequest::default()
        };
        for result in self.call(&request, version).await?.results {
            let asked = format!("delete group {group}");
            self.accept(&asked, result.error_code, result.error_message)?;
        }
        Ok(())
    }

    /// Forgets what the group has committed for these partitions. Gives the refusals.
    pub(crate) async fn delete_offsets(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> anyhow::Result<BTreeMap<TopicPartition, Refusal>> {
        let version = self.version::<OffsetDeleteRequest>()?;
        let topics = partitions.chunk_by(|left, right| left.0 == right.0);
        let topics = topics.filter_map(|partitions| {
            let indexes = partitions.iter().map(|(_, index)| {
                OffsetDeleteRequestPartition::default().with_partition_index(*index)
            });
            let name = topic_name(&partitions.first()?.0);
            let topic = OffsetDeleteRequestTopic::default().with_name(name);
            Some(topic.with_partitions(indexes.collect()))
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(group_id(group))
            .with_topics(topics.collect());
        let response = self.call(&request, version).await?;
        let asked = format!("delete offsets of group {group}");
        self.accept(&asked, response.error_code, None)?;
        let mut refused = BTreeMap::new();
        for topic in response.topics {
            let name = topic.name.0.to_string();
            for partition in topic.partitions {
                let index = partition.partition_index;
                let asked = format!("{asked} for {name}/{index}");
                if let Err(refusal) = self.accept(&asked, partition.error_code, None) {
                    refused.insert((name.clone(), index), refusal);
                }
            }
        }
        Ok(refused)
    }
}

/// The two shapes of the answer, as one: topic, partition, error code, offset.
fn flat(response: OffsetFetchResponse) -> Vec<(String, i32, i16, Committed)> {
    let committed = |offset, epoch, metadata: Option<StrBytes>| Committed {
        offset,
        leader_epoch: (epoch >= 0).then_some(epoch),
        metadata: metadata.map(|text| text.to_string()).unwrap_or_default(),
    };
    let mut all = Vec::new();
    for topic in response.topics {
        let name = topic.name.0.to_string();
        all.extend(topic.partitions.into_iter().map(|p| {
            let offset = committed(p.committed_offset, p.committed_leader_epoch, p.metadata);
            (name.clone(), p.partition_index, p.error_code, offset)
        }));
    }
    for topic in response.groups.into_iter().flat_map(|group| group.topics) {
        let name = topic.name.0.to_string();
        all.extend(topic.partitions.into_iter().map(|p| {
            let offset = committed(p.committed_offset, p.committed_leader_epoch, p.metadata);
            (name.clone(), p.partition_index, p.error_code, offset)
        }));
    }
    all
}

/// A group's name as messages carry it.
pub(super) fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

impl Client {
    /// What the group is now; `None` if there is none of that name.
    pub(crate) async fn group(&mut self, id: &str) -> anyhow::Result<Option<super::Group>> {
        let ids = [id.to_owned()];
        let answer = self.at_coordinator(id, async |link| {
            let described = link.describe_groups(&ids).await?.into_iter().next();
            let (_, group) =
                described.with_context(|| format!("{} left out group {id}", link.address))?;
            Ok(group?)
        });
        answer.await
    }
}
