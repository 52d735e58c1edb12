//! Random requests, built from the decoder's own structs.
//!
//! The field lists and version ranges are those of the structs' documentation, written down independently of
//! the guard's tables, so that a mistake in one shows against the other.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use tidewater_wire::api_versions::ApiVersionsRequest;
use tidewater_wire::{Bytes, StrBytes, messages};

/// Bytes to make decisions from. Once they are used up every answer is zero, so that a shorter list makes a
/// smaller request and shrinking works.
pub(crate) struct Entropy<'a> {
    left: std::slice::Iter<'a, u8>,
    version: i16,
    flexible: bool,
}

impl<'a> Entropy<'a> {
    pub(crate) fn new(bytes: &'a [u8], version: i16, flexible: bool) -> Self {
        Self {
            left: bytes.iter(),
            version,
            flexible,
        }
    }

    fn byte(&mut self) -> u8 {
        self.left.next().copied().unwrap_or(0)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    fn has(&self, versions: impl RangeBounds<i16>) -> bool {
        versions.contains(&self.version)
    }

    fn null(&mut self) -> bool {
        self.byte() % 4 == 3
    }

    // Mostly short, sometimes past the border where a compact length takes two bytes.
    fn blob(&mut self) -> Vec<u8> {
        let len = match self.byte() {
            255 => 300,
            short => usize::from(short % 24),
        };
        (0..len).map(|_| self.byte()).collect()
    }

    fn tags(&mut self) -> BTreeMap<i32, Bytes> {
        let count = if self.flexible && self.byte() % 8 == 7 {
            self.byte() % 16
        } else {
            0
        };
        // Tags below 10 may have a meaning.
        (0..count)
            .map(|_| (i32::from(self.byte()) * 97 + 10, Bytes::from(self.blob())))
            .collect()
    }
}

/// A value made from entropy, and the memory it holds besides itself.
pub(crate) trait Random: Sized {
    fn random(from: &mut Entropy) -> Self;

    /// Bytes reserved on the heap, shared frame memory excluded.
    fn heap(&self) -> usize {
        0
    }
}

macro_rules! scalars {
    ($($kind:ty),*) => {$(
        impl Random for $kind {
            fn random(from: &mut Entropy) -> Self {
                Self::from_be_bytes(from.array())
            }
        }
    )*};
}
scalars!(i8, i16, i32, i64);

impl Random for bool {
    fn random(from: &mut Entropy) -> Self {
        from.byte() % 2 == 1
    }
}

impl Random for uuid::Uuid {
    fn random(from: &mut Entropy) -> Self {
        Self::from_bytes(from.array())
    }
}

impl Random for Bytes {
    fn random(from: &mut Entropy) -> Self {
        Bytes::from(from.blob())
    }
}

impl Random for StrBytes {
    fn random(from: &mut Entropy) -> Self {
        StrBytes::from_string(String::from_utf8_lossy(&from.blob()).into_owned())
    }
}

macro_rules! newtypes {
    ($($name:ident),*) => {$(
        impl Random for messages::$name {
            fn random(from: &mut Entropy) -> Self {
                Self(Random::random(from))
            }
        }
    )*};
}
newtypes!(BrokerId, GroupId, ProducerId, TopicName, TransactionalId);

impl<T: Random> Random for Option<T> {
    fn random(from: &mut Entropy) -> Self {
        if from.null() {
            None
        } else {
            Some(T::random(from))
        }
    }

    fn heap(&self) -> usize {
        self.as_ref().map_or(0, T::heap)
    }
}

impl<T: Random> Random for Vec<T> {
    fn random(from: &mut Entropy) -> Self {
        let len = match from.byte() {
            255 => 140,
            short => short % 4,
        };
        (0..len).map(|_| T::random(from)).collect()
    }

    fn heap(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(T::heap).sum::<usize>()
    }
}

// A node of the map has room for 11 entries and a few words of its own, and is half full at worst.
fn tags_heap(tags: &BTreeMap<i32, Bytes>) -> usize {
    tags.len().div_ceil(6) * (11 * (size_of::<i32>() + size_of::<Bytes>()) + 16)
}

macro_rules! present {
    ($from:ident) => {
        true
    };
    ($from:ident $versions:expr) => {
        $from.has($versions)
    };
}

macro_rules! random_structs {
    ($($module:ident :: $name:ident $(($rigid:ident))? { $($field:ident $([$versions:expr])? $(null [$nulls:expr])?),* })*) => {$(
        impl Random for messages::$module::$name {
            fn random(from: &mut Entropy) -> Self {
                let mut value = Self::default();
                $(if present!(from $($versions)?) {
                    value.$field = Random::random(from);
                    $(if value.$field.is_none() && !from.has($nulls) {
                        value.$field = Some(Default::default());
                    })?
                })*
                random_structs!(@tags $($rigid)? value from);
                value
            }

            fn heap(&self) -> usize {
                random_structs!(@heap $($rigid)? self) $(+ self.$field.heap())*
            }
        }
    )*};
    (@tags rigid $value:ident $from:ident) => {};
    (@tags $value:ident $from:ident) => { $value.unknown_tagged_fields = $from.tags(); };
    (@heap rigid $value:ident) => { 0 };
    (@heap $value:ident) => { tags_heap(&$value.unknown_tagged_fields) };
}

impl Random for ApiVersionsRequest {
    fn random(from: &mut Entropy) -> Self {
        let mut value = Self::default();
        if from.has(3..) {
            value.client_software_name = Random::random(from);
            value.client_software_version = Random::random(from);
        }
        if from.has(5..) {
            value.cluster_id = Random::random(from);
            value.node_id = Random::random(from);
        }
        value.unknown_tagged_fields = from.tags();
        value
    }

    fn heap(&self) -> usize {
        tags_heap(&self.unknown_tagged_fields)
    }
}

// A field without a range exists in every version of its request. `null` says where null is legal when that
// is not wherever the field exists. `rigid` structs have no tagged section in any version.
random_structs! {
    produce_request::PartitionProduceData { index, records }
    produce_request::ProduceRequest { transactional_id, acks, timeout_ms, topic_data }
    produce_request::TopicProduceData { name[..=12], topic_id[13..], partition_data }
    fetch_request::FetchPartition {
        partition, current_leader_epoch[9..], fetch_offset, last_fetched_epoch[12..], log_start_offset[5..],
        partition_max_bytes, replica_directory_id[17..], high_watermark[18..]
    }
    fetch_request::FetchRequest {
        cluster_id[12..], replica_id[..=14], replica_state[15..], max_wait_ms, min_bytes, max_bytes, isolation_level,
        session_id[7..], session_epoch[7..], topics, forgotten_topics_data[7..], rack_id[11..]
    }
    fetch_request::FetchTopic { topic[..=12], topic_id[13..], partitions }
    fetch_request::ForgottenTopic { topic[7..=12], topic_id[13..], partitions[7..] }
    fetch_request::ReplicaState { replica_id[15..], replica_epoch[15..] }
    list_offsets_request::ListOffsetsPartition { partition_index, current_leader_epoch[4..], timestamp }
    list_offsets_request::ListOffsetsRequest { replica_id, isolation_level[2..], topics, timeout_ms[10..] }
    list_offsets_request::ListOffsetsTopic { name, partitions }
    metadata_request::MetadataRequest {
        topics null [1..], allow_auto_topic_creation[4..], include_cluster_authorized_operations[8..=10],
        include_topic_authorized_operations[8..]
    }
    metadata_request::MetadataRequestTopic { topic_id[10..], name null [10..] }
    offset_commit_request::OffsetCommitRequest {
        group_id, generation_id_or_member_epoch, member_id, group_instance_id[7..], retention_time_ms[..=4], topics
    }
    offset_commit_request::OffsetCommitRequestPartition {
        partition_index, committed_offset, committed_leader_epoch[6..], committed_metadata
    }
    offset_commit_request::OffsetCommitRequestTopic { name, partitions }
    offset_fetch_request::OffsetFetchRequest { group_id[..=7], topics[..=7] null [2..], groups[8..], require_stable[7..] }
    offset_fetch_request::OffsetFetchRequestGroup { group_id[8..], member_id[9..], member_epoch[9..], topics[8..] }
    offset_fetch_request::OffsetFetchRequestTopic { name[..=7], partition_indexes[..=7] }
    offset_fetch_request::OffsetFetchRequestTopics { name[8..], partition_indexes[8..] }
    find_coordinator_request::FindCoordinatorRequest { key[..=3], key_type[1..], coordinator_keys[4..] }
    join_group_request::JoinGroupRequest {
        group_id, session_timeout_ms, rebalance_timeout_ms[1..], member_id, group_instance_id[5..], protocol_type,
        protocols, reason[8..]
    }
    join_group_request::JoinGroupRequestProtocol { name, metadata }
    heartbeat_request::HeartbeatRequest { group_id, generation_id, member_id, group_instance_id[3..] }
    leave_group_request::LeaveGroupRequest { group_id, member_id[..=2], members[3..] }
    leave_group_request::MemberIdentity { member_id[3..], group_instance_id[3..], reason[5..] }
    sync_group_request::SyncGroupRequest {
        group_id, generation_id, member_id, group_instance_id[3..], protocol_type[5..], protocol_name[5..], assignments
    }
    sync_group_request::SyncGroupRequestAssignment { member_id, assignment }
    describe_groups_request::DescribeGroupsRequest { groups, include_authorized_operations[3..] }
    list_groups_request::ListGroupsRequest { states_filter[4..], types_filter[5..] }
    sasl_handshake_request::SaslHandshakeRequest (rigid) { mechanism }
    create_topics_request::CreatableReplicaAssignment { partition_index, broker_ids }
    create_topics_request::CreatableTopic { name, num_partitions, replication_factor, assignments, configs }
    create_topics_request::CreatableTopicConfig { name, value }
    create_topics_request::CreateTopicsRequest { topics, timeout_ms, validate_only }
    delete_topics_request::DeleteTopicState { name[6..], topic_id[6..] }
    delete_topics_request::DeleteTopicsRequest { topics[6..], topic_names[..=5], timeout_ms }
    delete_records_request::DeleteRecordsPartition { partition_index, offset }
    delete_records_request::DeleteRecordsRequest { topics, timeout_ms }
    delete_records_request::DeleteRecordsTopic { name, partitions }
    init_producer_id_request::InitProducerIdRequest { transactional_id, transaction_timeout_ms, producer_id[3..], producer_epoch[3..] }
    offset_for_leader_epoch_request::OffsetForLeaderEpochRequest { replica_id[3..], topics }
    offset_for_leader_epoch_request::OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch }
    offset_for_leader_epoch_request::OffsetForLeaderTopic { topic, partitions }
    describe_configs_request::DescribeConfigsRequest { resources, include_synonyms, include_documentation[3..] }
    describe_configs_request::DescribeConfigsResource { resource_type, resource_name, configuration_keys }
    alter_configs_request::AlterConfigsRequest { resources, validate_only }
    alter_configs_request::AlterConfigsResource { resource_type, resource_name, configs }
    alter_configs_request::AlterableConfig { name, value }
    describe_log_dirs_request::DescribableLogDirTopic { topic, partitions }
    describe_log_dirs_request::DescribeLogDirsRequest { topics }
    sasl_authenticate_request::SaslAuthenticateRequest { auth_bytes }
    create_partitions_request::CreatePartitionsAssignment { broker_ids }
    create_partitions_request::CreatePartitionsRequest { topics, timeout_ms, validate_only }
    create_partitions_request::CreatePartitionsTopic { name, count, assignments }
    delete_groups_request::DeleteGroupsRequest { groups_names }
    incremental_alter_configs_request::AlterConfigsResource { resource_type, resource_name, configs }
    incremental_alter_configs_request::AlterableConfig { name, config_operation, value }
    incremental_alter_configs_request::IncrementalAlterConfigsRequest { resources, validate_only }
    offset_delete_request::OffsetDeleteRequest (rigid) { group_id, topics }
    offset_delete_request::OffsetDeleteRequestPartition (rigid) { partition_index }
    offset_delete_request::OffsetDeleteRequestTopic (rigid) { name, partitions }
    describe_cluster_request::DescribeClusterRequest {
        include_cluster_authorized_operations, endpoint_type[1..], include_fenced_brokers[2..]
    }
    describe_topic_partitions_request::Cursor { topic_name, partition_index }
    describe_topic_partitions_request::DescribeTopicPartitionsRequest { topics, response_partition_limit, cursor }
    describe_topic_partitions_request::TopicRequest { name }
}
