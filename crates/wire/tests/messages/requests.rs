//! Requests as the decoder documents them, written down independently of the guard's tables, so that a mistake
//! in one shows against the other.

use tidewater_wire::api_versions::ApiVersionsRequest;
use tidewater_wire::messages::*;
use tidewater_wire::{delete_groups, offset_commit, offset_fetch};

use crate::random::{Entropy, Random, random_structs, tags_heap};

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
    offset_commit::OffsetCommitRequest {
        group_id, generation_id_or_member_epoch, member_id, group_instance_id[7..], retention_time_ms[..=4], topics
    }
    offset_commit_request::OffsetCommitRequestPartition {
        partition_index, committed_offset, committed_leader_epoch[6..], committed_metadata
    }
    offset_commit::OffsetCommitRequestTopic { name[..=9], topic_id[10..], partitions }
    offset_fetch::OffsetFetchRequest { group_id[..=7], topics[..=7] null [2..], groups[8..], require_stable[7..] }
    offset_fetch::OffsetFetchRequestGroup { group_id[8..], member_id[9..], member_epoch[9..], topics[8..] }
    offset_fetch_request::OffsetFetchRequestTopic { name[..=7], partition_indexes[..=7] }
    offset_fetch::OffsetFetchRequestTopics { name[8..=9], topic_id[10..], partition_indexes[8..] }
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
    add_partitions_to_txn_request::AddPartitionsToTxnRequest {
        transactions[4..], v3_and_below_transactional_id[..=3], v3_and_below_producer_id[..=3],
        v3_and_below_producer_epoch[..=3], v3_and_below_topics[..=3]
    }
    add_partitions_to_txn_request::AddPartitionsToTxnTopic { name, partitions }
    add_partitions_to_txn_request::AddPartitionsToTxnTransaction {
        transactional_id[4..], producer_id[4..], producer_epoch[4..], verify_only[4..], topics[4..]
    }
    add_offsets_to_txn_request::AddOffsetsToTxnRequest { transactional_id, producer_id, producer_epoch, group_id }
    end_txn_request::EndTxnRequest { transactional_id, producer_id, producer_epoch, committed }
    write_txn_markers_request::WritableTxnMarker {
        producer_id, producer_epoch, transaction_result, topics, coordinator_epoch
    }
    write_txn_markers_request::WritableTxnMarkerTopic { name, partition_indexes }
    write_txn_markers_request::WriteTxnMarkersRequest { markers }
    txn_offset_commit_request::TxnOffsetCommitRequest {
        transactional_id, group_id, producer_id, producer_epoch, generation_id[3..], member_id[3..],
        group_instance_id[3..], topics
    }
    txn_offset_commit_request::TxnOffsetCommitRequestPartition {
        partition_index, committed_offset, committed_leader_epoch[2..], committed_metadata
    }
    txn_offset_commit_request::TxnOffsetCommitRequestTopic { name, partitions }
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
    delete_groups::DeleteGroupsRequest { groups_names }
    elect_leaders_request::ElectLeadersRequest { election_type[1..], topic_partitions, timeout_ms }
    elect_leaders_request::TopicPartitions { topic, partitions }
    incremental_alter_configs_request::AlterConfigsResource { resource_type, resource_name, configs }
    incremental_alter_configs_request::AlterableConfig { name, config_operation, value }
    incremental_alter_configs_request::IncrementalAlterConfigsRequest { resources, validate_only }
    alter_partition_reassignments_request::AlterPartitionReassignmentsRequest {
        timeout_ms, allow_replication_factor_change[1..], topics
    }
    alter_partition_reassignments_request::ReassignablePartition { partition_index, replicas }
    alter_partition_reassignments_request::ReassignableTopic { name, partitions }
    list_partition_reassignments_request::ListPartitionReassignmentsRequest { timeout_ms, topics }
    list_partition_reassignments_request::ListPartitionReassignmentsTopics { name, partition_indexes }
    offset_delete_request::OffsetDeleteRequest (rigid) { group_id, topics }
    offset_delete_request::OffsetDeleteRequestPartition (rigid) { partition_index }
    offset_delete_request::OffsetDeleteRequestTopic (rigid) { name, partitions }
    describe_client_quotas_request::ComponentData { entity_type, match_type, _match }
    describe_client_quotas_request::DescribeClientQuotasRequest { components, strict }
    alter_client_quotas_request::AlterClientQuotasRequest { entries, validate_only }
    alter_client_quotas_request::EntityData { entity_type, entity_name }
    alter_client_quotas_request::EntryData { entity, ops }
    alter_client_quotas_request::OpData { key, value, remove }
    describe_cluster_request::DescribeClusterRequest {
        include_cluster_authorized_operations, endpoint_type[1..], include_fenced_brokers[2..]
    }
    describe_producers_request::DescribeProducersRequest { topics }
    describe_producers_request::TopicRequest { name, partition_indexes }
    describe_transactions_request::DescribeTransactionsRequest { transactional_ids }
    list_transactions_request::ListTransactionsRequest {
        state_filters, producer_id_filters, duration_filter[1..], transactional_id_pattern[2..]
    }
    consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest {
        group_id, member_id, member_epoch, instance_id, rack_id, rebalance_timeout_ms, subscribed_topic_names,
        subscribed_topic_regex[1..], server_assignor, topic_partitions
    }
    consumer_group_heartbeat_request::TopicPartitions { topic_id, partitions }
    consumer_group_describe_request::ConsumerGroupDescribeRequest { group_ids, include_authorized_operations }
    get_telemetry_subscriptions_request::GetTelemetrySubscriptionsRequest { client_instance_id }
    push_telemetry_request::PushTelemetryRequest {
        client_instance_id, subscription_id, terminating, compression_type, metrics
    }
    list_config_resources_request::ListConfigResourcesRequest { resource_types[1..] }
    describe_topic_partitions_request::Cursor { topic_name, partition_index }
    describe_topic_partitions_request::DescribeTopicPartitionsRequest { topics, response_partition_limit, cursor }
    describe_topic_partitions_request::TopicRequest { name }
}
