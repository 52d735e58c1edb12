//! What a cluster says of itself: brokers, topics, partitions and who leads them.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, bail};
use uuid::Uuid;
use wire::ResponseError;
use wire::messages::BrokerId;
use wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use wire::messages::metadata_response::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};

use super::{Client, PAUSE, topic_name};
use crate::outcome::Refusal;

/// A topic still unknown after so many looks is not being created: the broker's configuration says no.
const UNKNOWN_AT_MOST: u32 = 30;

/// A broker as the cluster tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
}

impl Node {
    /// `host:port`, with brackets around an IPv6 address.
    pub(crate) fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

/// What the cluster says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller: Option<i32>,
    pub(crate) nodes: BTreeMap<i32, Node>,
    /// Sorted by name.
    pub(crate) topics: Vec<Topic>,
    /// Who said so.
    pub(crate) by: String,
}

/// A topic, or why nothing can be said of it.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) internal: bool,
    pub(crate) error_code: i16,
    /// Sorted by index.
    pub(crate) partitions: Vec<Partition>,
}

/// A partition's place in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    /// −1 without one.
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) offline: Vec<i32>,
}

impl Client {
    /// What the cluster says of these topics, or of all. Asking for a topic with `create` makes the broker create it where
    /// its configuration says so.
    pub(crate) async fn metadata(
        &mut self,
        topics: Option<&[String]>,
        create: bool,
    ) -> anyhow::Result<Metadata> {
        let wanted = topics.map(|topics| {
            topics
                .iter()
                .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))))
                .collect()
        });
        let link = self.seed().await?;
        let version = link.version::<MetadataRequest>()?;
        let request = MetadataRequest::default()
            .with_topics(wanted)
            .with_allow_auto_topic_creation(create || version < 4);
        let response = link.call(&request, version).await?;
        link.accept("describe the cluster", response.error_code, None)?;
        let metadata = Metadata::of(response, link.address.clone());
        self.nodes.clone_from(&metadata.nodes);
        Ok(metadata)
    }

    /// The topic with a leader for every partition in use, waiting for both at most the timeout. Fails at once on an error
    /// that waiting does not cure.
    pub(crate) async fn topic(&mut self, name: &str, create: bool) -> anyhow::Result<Topic> {
        let names = [name.to_owned()];
        let (timeout, mut last) = (self.timeout, None);
        let settled = async {
            for attempt in 0_u32.. {
                let metadata = self.metadata(Some(&names), create).await?;
                let by = metadata.by.clone();
                let topic = metadata
                    .topics
                    .into_iter()
                    .next()
                    .with_context(|| format!("{by} left out topic {name}"))?;
                let code = match topic
                    .partitions
                    .iter()
                    .find(|partition| partition.leader < 0)
                {
                    Some(_) if topic.error_code == 0 => ResponseError::LeaderNotAvailable.code(),
                    _ => topic.error_code,
                };
                if code == 0 {
                    return Ok(topic);
                }
                let refusal = Refusal {
                    asked: format!("use topic {name}"),
                    by,
                    code,
                    message: None,
                };
                // A topic that is just being created is unknown at first, and without leaders a little longer (M2).
                let unknown = code == ResponseError::UnknownTopicOrPartition.code();
                let passes = if unknown {
                    create && attempt < UNKNOWN_AT_MOST
                } else {
                    is_unsettled(code)
                };
                if !passes {
                    return Err(refusal.into());
                }
                last.replace(refusal);
                tokio::time::sleep(PAUSE).await;
            }
            bail!("no metadata of topic {name}")
        };
        match tokio::time::timeout(timeout, settled).await {
            Ok(result) => result,
            Err(_) => Err(last.map_or_else(
                || anyhow!("no metadata of topic {name} in time"),
                anyhow::Error::from,
            )),
        }
    }
}

/// Whether a partition's or topic's error passes by itself or with newer metadata.
pub(crate) fn is_unsettled(code: i16) -> bool {
    matches!(
        ResponseError::try_from_code(code),
        Some(
            ResponseError::UnknownTopicOrPartition
                | ResponseError::LeaderNotAvailable
                | ResponseError::NotLeaderOrFollower
                | ResponseError::ReplicaNotAvailable
                | ResponseError::KafkaStorageError
                | ResponseError::FencedLeaderEpoch
                | ResponseError::UnknownLeaderEpoch
                | ResponseError::ListenerNotFound
                | ResponseError::OffsetNotAvailable
                | ResponseError::UnknownTopicId
                | ResponseError::NotEnoughReplicas
        )
    )
}

/// The partitions by who leads them. Fails for one that does not exist or has no leader.
pub(crate) fn by_leader(
    topic: &Topic,
    wanted: impl IntoIterator<Item = i32>,
) -> anyhow::Result<BTreeMap<i32, Vec<&Partition>>> {
    let mut leaders: BTreeMap<i32, Vec<&Partition>> = BTreeMap::new();
    for index in wanted {
        let partition = topic.partition(index)?;
        if partition.leader < 0 {
            bail!("partition {}/{index} has no leader now", topic.name);
        }
        leaders.entry(partition.leader).or_default().push(partition);
    }
    Ok(leaders)
}

impl Topic {
    /// The topic with these partitions only, or with all if none are named. Fails if it has not got one of them.
    pub(crate) fn only(mut self, indexes: &[i32]) -> anyhow::Result<Topic> {
        for index in indexes {
            self.partition(*index)?;
        }
        self.partitions
            .retain(|partition| indexes.is_empty() || indexes.contains(&partition.index));
        Ok(self)
    }

    /// The partition of this index.
    pub(crate) fn partition(&self, index: i32) -> anyhow::Result<&Partition> {
        let found = self
            .partitions
            .iter()
            .find(|partition| partition.index == index);
        found.ok_or_else(|| {
            anyhow!(
                "topic {} has no partition {index}; it has {}",
                self.name,
                self.partitions.len()
            )
        })
    }
}

impl Metadata {
    fn of(response: MetadataResponse, by: String) -> Metadata {
        let nodes = response.brokers.into_iter().map(|broker| {
            let rack = broker.rack.map(|rack| rack.to_string());
            (
                broker.node_id.0,
                Node {
                    host: broker.host.to_string(),
                    port: broker.port,
                    rack,
                },
            )
        });
        let mut topics: Vec<Topic> = response.topics.into_iter().map(Topic::of).collect();
        topics.sort_by(|left, right| left.name.cmp(&right.name));
        Metadata {
            cluster_id: response.cluster_id.map(|id| id.to_string()),
            controller: (response.controller_id.0 >= 0).then_some(response.controller_id.0),
            nodes: nodes.collect(),
            topics,
            by,
        }
    }
}

impl Topic {
    fn of(topic: MetadataResponseTopic) -> Topic {
        let mut partitions: Vec<Partition> =
            topic.partitions.into_iter().map(Partition::of).collect();
        partitions.sort_by_key(|partition| partition.index);
        Topic {
            name: topic
                .name
                .map(|name| name.0.to_string())
                .unwrap_or_default(),
            id: topic.topic_id,
            internal: topic.is_internal,
            error_code: topic.error_code,
            partitions,
        }
    }
}

impl Partition {
    fn of(partition: MetadataResponsePartition) -> Partition {
        let ids = |brokers: Vec<BrokerId>| brokers.into_iter().map(|broker| broker.0).collect();
        Partition {
            index: partition.partition_index,
            leader: partition.leader_id.0,
            leader_epoch: partition.leader_epoch,
            replicas: ids(partition.replica_nodes),
            isr: ids(partition.isr_nodes),
            offline: ids(partition.offline_replicas),
        }
    }
}
