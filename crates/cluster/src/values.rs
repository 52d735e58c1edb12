//! What the metadata store holds under each key: protobuf messages (field numbers are for ever), with every epoch inside the
//! value, so that a copy of the store into another one loses nothing.
//!
//! Unknown fields are dropped when a record is written again; a new field therefore needs a raised feature level.

use std::collections::BTreeMap;

use prost::Message;
use uuid::Uuid;

/// The cluster itself. Written once, by the first node.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClusterMeta {
    /// 22 characters, as Kafka prints ids; clients see it in Metadata.
    #[prost(string, tag = "1")]
    pub cluster_id: String,
    /// Version of the key layout.
    #[prost(uint32, tag = "2")]
    pub layout_version: u32,
    /// The program and version that created the cluster.
    #[prost(string, tag = "3")]
    pub created_by: String,
    /// Oldest layout version whose readers understand this store.
    #[prost(uint32, tag = "4")]
    pub reader_version_min: u32,
}

/// The broker that is controller now.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ControllerRecord {
    /// Its node id.
    #[prost(int32, tag = "1")]
    pub node_id: i32,
    /// Its process: 16 bytes, new at every start.
    #[prost(bytes = "vec", tag = "2")]
    pub incarnation: Vec<u8>,
    /// How many controllers there have been, this one included.
    #[prost(int32, tag = "3")]
    pub controller_epoch: i32,
    /// Where brokers reach it, `host:port`; empty while a node is alone.
    #[prost(string, tag = "4")]
    pub endpoint: String,
}

/// How many controllers there have been.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ControllerEpoch {
    /// The epoch of the last one.
    #[prost(int32, tag = "1")]
    pub epoch: i32,
}

/// A broker's registration (Kafka `RegisterBrokerRecord`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BrokerRecord {
    /// The process: 16 bytes, new at every start.
    #[prost(bytes = "vec", tag = "1")]
    pub incarnation: Vec<u8>,
    /// Grows with every registration of this node id.
    #[prost(int64, tag = "2")]
    pub broker_epoch: i64,
    /// What clients are told to connect to.
    #[prost(message, repeated, tag = "3")]
    pub listeners: Vec<Listener>,
    /// The rack, where there is one.
    #[prost(string, optional, tag = "4")]
    pub rack: Option<String>,
    /// Ids of its log directories, 16 bytes each.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub log_dirs: Vec<Vec<u8>>,
    /// What it could speak if the cluster agreed on it.
    #[prost(message, repeated, tag = "6")]
    pub features: Vec<FeatureRange>,
    /// Whether it may lead partitions.
    #[prost(enumeration = "BrokerState", tag = "7")]
    pub state: i32,
    /// Whether its last life ended in order.
    #[prost(bool, tag = "8")]
    pub clean_shutdown: bool,
}

impl BrokerRecord {
    /// Whether it may lead partitions and join their in-sync sets.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state() == BrokerState::Active
    }

    /// The listener called `name`, in Kafka's upper case.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}

/// One address of a broker (Kafka `BrokerEndpoint`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Listener {
    /// The listener's name, such as `PLAINTEXT`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The advertised host.
    #[prost(string, tag = "2")]
    pub host: String,
    /// The advertised port.
    #[prost(uint32, tag = "3")]
    pub port: u32,
    /// Kafka's number of the security protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    #[prost(int32, tag = "4")]
    pub security_protocol: i32,
}

/// The levels of a feature that a broker supports.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FeatureRange {
    /// The feature's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Lowest level.
    #[prost(int32, tag = "2")]
    pub min: i32,
    /// Highest level.
    #[prost(int32, tag = "3")]
    pub max: i32,
}

/// Whether a broker may lead partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum BrokerState {
    /// Registered, not serving: it never leads and never joins an in-sync set. Also what an unknown number reads as.
    Fenced = 0,
    /// Serving.
    Active = 1,
    /// Leaving in order: it keeps what it leads until that is moved, and gets nothing new.
    ShuttingDown = 2,
}

/// A broker's session: that its process is alive, and nothing else.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SessionRecord {
    /// The process: 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub incarnation: Vec<u8>,
    /// The registration it belongs to.
    #[prost(int64, tag = "2")]
    pub broker_epoch: i64,
}

/// A topic.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TopicRecord {
    /// 16 bytes. A topic created again under the same name gets another id.
    #[prost(bytes = "vec", tag = "1")]
    pub topic_id: Vec<u8>,
    /// How many partitions readers may see; raised after their records were written.
    #[prost(int32, tag = "2")]
    pub partition_count: i32,
    /// The replication factor the topic was created with.
    #[prost(int32, tag = "3")]
    pub replication_factor: i32,
    /// Only an active topic exists for clients.
    #[prost(enumeration = "TopicState", tag = "4")]
    pub state: i32,
    /// Whether it is one of the broker's own topics.
    #[prost(bool, tag = "5")]
    pub internal: bool,
}

/// How far a topic's creation or deletion has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TopicState {
    /// Partitions are still being written; never acknowledged to a client. Also what an unknown number reads as.
    Creating = 0,
    /// Exists.
    Active = 1,
    /// Gone for clients; its records are being removed.
    Deleting = 2,
}

/// Who has a partition and who leads it: one record, because leader, in-sync set and replicas must change together
/// (Kafka `PartitionRecord`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PartitionState {
    /// The leader's node id, [`NO_LEADER`] when there is none.
    #[prost(int32, tag = "1")]
    pub leader: i32,
    /// Grows whenever leadership is given anew, also to the same broker after its restart. Never falls.
    #[prost(int32, tag = "2")]
    pub leader_epoch: i32,
    /// Grows with every write of this record.
    #[prost(int32, tag = "3")]
    pub partition_epoch: i32,
    /// Node ids that shall have a copy, preferred leader first.
    #[prost(int32, repeated, tag = "4")]
    pub replicas: Vec<i32>,
    /// Those that have everything up to the high watermark.
    #[prost(int32, repeated, tag = "5")]
    pub isr: Vec<i32>,
    /// Outside the in-sync set, yet safe to elect (KIP-966).
    #[prost(int32, repeated, tag = "6")]
    pub elr: Vec<i32>,
    /// Who could be elected last, kept when neither set has anyone (KIP-966).
    #[prost(int32, repeated, tag = "7")]
    pub last_known_elr: Vec<i32>,
    /// Replicas that a reassignment adds.
    #[prost(int32, repeated, tag = "8")]
    pub adding: Vec<i32>,
    /// Replicas that a reassignment removes.
    #[prost(int32, repeated, tag = "9")]
    pub removing: Vec<i32>,
    /// Whether the leader still has to confirm its log after an unclean election.
    #[prost(enumeration = "RecoveryState", tag = "10")]
    pub recovery: i32,
    /// `min.insync.replicas`, copied here so that leader and controller decide with the same number.
    #[prost(int32, tag = "11")]
    pub min_isr: i32,
    /// Log directory ids in the order of `replicas`, 16 bytes each; empty while unassigned (KIP-858).
    #[prost(bytes = "vec", repeated, tag = "12")]
    pub dirs: Vec<Vec<u8>>,
}

/// What stands for a partition without a leader.
pub const NO_LEADER: i32 = -1;

/// Whether a leader was elected from outside the in-sync set and has not confirmed its log yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RecoveryState {
    /// Nothing to confirm.
    Recovered = 0,
    /// The in-sync set stays the leader alone until it confirms.
    Recovering = 1,
}

/// The dynamic configuration of one resource: overrides only.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ConfigRecord {
    /// Kafka's key names and values as text.
    #[prost(btree_map = "string, string", tag = "1")]
    pub values: BTreeMap<String, String>,
}

/// The quotas of one entity.
#[derive(Clone, PartialEq, Message)]
pub struct QuotaRecord {
    /// Kafka's key names and the limits.
    #[prost(btree_map = "string, double", tag = "1")]
    pub values: BTreeMap<String, f64>,
}

/// The producer ids that were given out.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ProducerIdBlock {
    /// The first id that nobody was given.
    #[prost(int64, tag = "1")]
    pub next_producer_id: i64,
    /// The broker that took the last block.
    #[prost(int32, tag = "2")]
    pub broker_id: i32,
    /// The registration under which it took it.
    #[prost(int64, tag = "3")]
    pub broker_epoch: i64,
}

/// 16 stored bytes as an id; `None` when there are not 16.
pub(crate) fn id_of(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> impl Strategy<Value = Vec<i32>> {
        prop::collection::vec(any::<i32>(), 0..6)
    }

    prop_compose! {
        fn any_partition()(epochs: [i32; 4], lists in (ids(), ids(), ids(), ids(), ids(), ids()), recovering: bool,
                           dirs in prop::collection::vec(any::<[u8; 16]>(), 0..3)) -> PartitionState {
            let (replicas, isr, elr, last_known_elr, adding, removing) = lists;
            PartitionState {
                leader: epochs[0], leader_epoch: epochs[1], partition_epoch: epochs[2], min_isr: epochs[3],
                replicas, isr, elr, last_known_elr, adding, removing, recovery: i32::from(recovering),
                dirs: dirs.into_iter().map(|dir| dir.to_vec()).collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_partition_is_read_as_it_was_written(state in any_partition()) {
            prop_assert_eq!(PartitionState::decode(state.encode_to_vec().as_slice()).ok(), Some(state));
        }

        #[test]
        fn configs_are_read_as_they_were_written(values in prop::collection::btree_map(".{0,20}", ".{0,20}", 0..8)) {
            let record = ConfigRecord { values };
            prop_assert_eq!(ConfigRecord::decode(record.encode_to_vec().as_slice()).ok(), Some(record));
        }

        #[test]
        fn quotas_are_read_as_they_were_written(values in prop::collection::btree_map(".{0,20}", prop::num::f64::NORMAL, 0..5)) {
            let record = QuotaRecord { values };
            prop_assert_eq!(QuotaRecord::decode(record.encode_to_vec().as_slice()).ok(), Some(record));
        }

        #[test]
        fn any_bytes_are_safe_to_decode(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = PartitionState::decode(bytes.as_slice());
            let _ = TopicRecord::decode(bytes.as_slice());
            let _ = BrokerRecord::decode(bytes.as_slice());
            let _ = ConfigRecord::decode(bytes.as_slice());
            let _ = QuotaRecord::decode(bytes.as_slice());
        }
    }

    #[test]
    fn the_bytes_of_a_partition_are_the_published_ones() {
        let state = PartitionState {
            leader: 1,
            leader_epoch: 2,
            partition_epoch: 3,
            replicas: vec![1, 2],
            isr: vec![1],
            min_isr: 1,
            ..Default::default()
        };
        assert_eq!(
            state.encode_to_vec(),
            [
                0x08, 1, 0x10, 2, 0x18, 3, 0x22, 2, 1, 2, 0x2a, 1, 1, 0x58, 1
            ]
        );
    }
}
