//! A broker's new process: registered as fenced, then given what it leads with new epochs, then active.

use uuid::Uuid;

use super::{Packer, Step, put};
use crate::image::{ClusterImage, TopicImage};
use crate::keys::Key;
use crate::store::Txn;
use crate::transition::{PartitionEvent, transition};
use crate::values::{BrokerRecord, BrokerState, FeatureRange, Listener, SessionRecord};

/// A broker that has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Its node id, not negative.
    pub node_id: i32,
    /// Its process: new at every start.
    pub incarnation: Uuid,
    /// What clients are told to connect to.
    pub listeners: Vec<Listener>,
    /// The rack, where there is one.
    pub rack: Option<String>,
    /// Ids of its log directories.
    pub log_dirs: Vec<Uuid>,
    /// What it could speak if the cluster agreed on it.
    pub features: Vec<FeatureRange>,
    /// The last broker epoch that its own disk remembers, -1 if none: epochs then also grow when the metadata store was lost.
    pub remembered_epoch: i64,
    /// Whether its last life ended in order, with everything on disk.
    pub clean_shutdown: bool,
}

/// The record under which `registration` first appears.
pub(crate) fn fenced_record(
    image: &ClusterImage,
    registration: &BrokerRegistration,
) -> BrokerRecord {
    let stored = image
        .brokers
        .get(&registration.node_id)
        .map_or(-1, |broker| broker.broker_epoch);
    BrokerRecord {
        incarnation: registration.incarnation.as_bytes().to_vec(),
        broker_epoch: stored
            .max(registration.remembered_epoch)
            .max(-1)
            .saturating_add(1),
        listeners: registration.listeners.clone(),
        rack: registration.rack.clone(),
        log_dirs: registration
            .log_dirs
            .iter()
            .map(|dir| dir.as_bytes().to_vec())
            .collect(),
        features: registration.features.clone(),
        state: BrokerState::Fenced.into(),
        clean_shutdown: registration.clean_shutdown,
    }
}

/// The transaction that registers the process. It takes the place of whoever had the node id.
pub(crate) fn register(image: &ClusterImage, node_id: i32, record: &BrokerRecord) -> Txn {
    let key = Key::Broker(node_id).text();
    let session = SessionRecord {
        incarnation: record.incarnation.clone(),
        broker_epoch: record.broker_epoch,
    };
    let mut txn = Txn::default().when(
        key.clone(),
        image.tokens.brokers.get(&node_id).copied().unwrap_or(0),
    );
    txn.ops.push(put(key, record));
    txn.ops.push(put(Key::Session(node_id).text(), &session));
    txn
}

/// The transactions that make a registered broker active: first what it leads, so that from the moment it is active, every
/// partition it leads was touched after its registration.
pub(crate) fn activate(image: &ClusterImage, node_id: i32) -> Vec<Step> {
    let Some(record) = image.brokers.get(&node_id) else {
        return Vec::new();
    };
    let mut packer = Packer::default();
    let event = PartitionEvent::BrokerStarted {
        node: node_id,
        clean: record.clean_shutdown,
    };
    for topic in image.topics() {
        rewrite(
            topic,
            event,
            |node| node == node_id || image.is_active(node),
            0,
            &mut packer,
        );
    }
    let key = Key::Broker(node_id).text();
    let mut txn = Txn::default().when(
        key.clone(),
        image.tokens.brokers.get(&node_id).copied().unwrap_or(0),
    );
    txn.ops.push(put(
        key,
        &BrokerRecord {
            state: BrokerState::Active.into(),
            ..record.clone()
        },
    ));
    packer.add(0, txn, 1);
    packer.into_steps()
}

/// Packs what `event` means for each of a topic's partitions.
pub(crate) fn rewrite(
    topic: &TopicImage,
    event: PartitionEvent,
    may_lead: impl Fn(i32) -> bool,
    item: usize,
    packer: &mut Packer,
) {
    let partitions = topic
        .partitions
        .iter()
        .zip(&topic.partition_revisions)
        .zip(0..);
    for ((state, &revision), number) in partitions {
        if let Some(next) = transition(state, event, &may_lead) {
            let key = Key::Partition(topic.id, number).text();
            let mut txn = Txn::default().when(key.clone(), revision);
            txn.ops.push(put(key, &next));
            packer.add(item, txn, 1);
        }
    }
}
