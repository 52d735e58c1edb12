//! Who leads, who coordinates, and what brokers say of replicas.

use std::collections::BTreeMap;

use kcheck::history::Replication;
use wire::messages::describe_topic_partitions_request::TopicRequest;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{
    BrokerId, DescribeTopicPartitionsRequest, FindCoordinatorRequest, MetadataRequest,
};

use super::{missing, text};
use crate::raw::{Answer, Failure, Raw, checked};

/// The address of the partition's leader.
pub(crate) async fn leader(raw: &mut Raw, topic: &str, partition: i32) -> Answer<String> {
    const LEADER_NOT_AVAILABLE: i16 = 5;
    let place = (topic.to_owned(), partition);
    if !raw.leaders.contains_key(&place) {
        metadata(raw, topic).await?;
    }
    let leader = raw.leaders.get(&place).cloned();
    // Nothing was sent to anybody who could have done it.
    leader.ok_or_else(|| Failure::NotSent(format!("error code {LEADER_NOT_AVAILABLE}")))
}

/// Learns who leads the topic's partitions, from any broker that answers.
pub(crate) async fn metadata(raw: &mut Raw, topic: &str) -> Answer<()> {
    let mut failure = Failure::NotSent("no address".to_owned());
    for address in raw.bootstrap.clone() {
        let image = match describe(raw, &address, &[topic]).await {
            Ok(image) => image,
            // Asking changes nothing, so it is as if nothing was sent.
            Err(error) => {
                failure = Failure::NotSent(error.to_string());
                continue;
            }
        };
        for (place, told) in image.partitions {
            if let Some(address) = told.leader.and_then(|leader| image.brokers.get(&leader)) {
                raw.leaders.insert(place.clone(), address.clone());
            }
            raw.replication.insert(place, told);
        }
        raw.brokers.extend(image.brokers);
        return Ok(());
    }
    Err(failure)
}

/// What one broker says of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// Node id → address, of the brokers that are there.
    pub(crate) brokers: BTreeMap<i32, String>,
    pub(crate) partitions: BTreeMap<(String, i32), Replication>,
}

/// Asks the broker at `address` about some topics.
pub(crate) async fn describe(raw: &mut Raw, address: &str, topics: &[&str]) -> Answer<Image> {
    let asked = |topic: &&str| MetadataRequestTopic::default().with_name(Some(text(topic).into()));
    let request = MetadataRequest::default()
        .with_topics(Some(topics.iter().map(asked).collect()))
        .with_allow_auto_topic_creation(false);
    let answer = raw.call(address, &request, 12).await?;
    let mut image = Image::default();
    for broker in &answer.brokers {
        let address = format!("{}:{}", broker.host.as_str(), broker.port);
        image.brokers.insert(broker.node_id.0, address);
    }
    for topic in &answer.topics {
        let name = topic.name.as_ref().map(|name| name.to_string());
        for told in &topic.partitions {
            let replication = Replication {
                leader: Some(told.leader_id.0).filter(|leader| *leader >= 0),
                epoch: told.leader_epoch,
                replicas: ids(&told.replica_nodes),
                isr: ids(&told.isr_nodes),
                ..Replication::default()
            };
            let place = (name.clone().unwrap_or_default(), told.partition_index);
            image.partitions.insert(place, replication);
        }
    }
    Ok(image)
}

/// The address of a coordinator.
pub(crate) async fn coordinator(raw: &mut Raw, kind: i8, key: &str) -> Answer<String> {
    let place = (kind, key.to_owned());
    if let Some(address) = raw.coordinators.get(&place) {
        return Ok(address.clone());
    }
    let request = FindCoordinatorRequest::default()
        .with_key_type(kind)
        .with_coordinator_keys(vec![text(key)]);
    let address = raw.bootstrap[0].clone();
    let answer = raw.call(&address, &request, 6).await;
    // Asking changes nothing.
    let answer = answer.map_err(|failure| Failure::NotSent(failure.to_string()))?;
    let found = answer
        .coordinators
        .first()
        .ok_or_else(|| missing("coordinator"))?;
    checked(found.error_code)?;
    let address = format!("{}:{}", found.host.as_str(), found.port);
    raw.coordinators.insert(place, address.clone());
    Ok(address)
}

/// What DescribeTopicPartitions says, which unlike Metadata knows of eligible leaders (KIP-966).
pub(crate) async fn eligible_leaders(
    raw: &mut Raw,
    address: &str,
    topics: &[&str],
) -> Answer<Vec<((String, i32), Replication)>> {
    let asked = |topic: &&str| TopicRequest::default().with_name(text(topic).into());
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(topics.iter().map(asked).collect())
        .with_response_partition_limit(2_000);
    let answer = raw.call(address, &request, 0).await?;
    let mut all = Vec::new();
    for topic in &answer.topics {
        let name = topic.name.as_ref().map(|name| name.to_string());
        for told in &topic.partitions {
            let elr = told.eligible_leader_replicas.as_deref();
            let place = (name.clone().unwrap_or_default(), told.partition_index);
            let replication = Replication {
                leader: Some(told.leader_id.0).filter(|leader| *leader >= 0),
                epoch: told.leader_epoch,
                replicas: ids(&told.replica_nodes),
                isr: ids(&told.isr_nodes),
                elr: ids(elr.unwrap_or_default()),
                ..Replication::default()
            };
            all.push((place, replication));
        }
    }
    Ok(all)
}

fn ids(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}
