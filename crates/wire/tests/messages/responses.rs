//! Answers as the decoder documents them.

use tidewater_wire::delete_groups;
use tidewater_wire::messages::*;

use crate::random::random_structs;

random_structs! {
    produce_response::ProduceResponse { responses, throttle_time_ms, node_endpoints[10..] }
    produce_response::TopicProduceResponse { name[..=12], topic_id[13..], partition_responses }
    produce_response::PartitionProduceResponse {
        index, error_code, base_offset, log_append_time_ms, log_start_offset[5..], record_errors[8..],
        error_message[8..], current_leader[10..]
    }
    produce_response::BatchIndexAndErrorMessage { batch_index[8..], batch_index_error_message[8..] }
    produce_response::LeaderIdAndEpoch { leader_id[10..], leader_epoch[10..] }
    produce_response::NodeEndpoint { node_id[10..], host[10..], port[10..], rack[10..] }
    fetch_response::FetchResponse {
        throttle_time_ms, error_code[7..], session_id[7..], responses, node_endpoints[16..]
    }
    fetch_response::FetchableTopicResponse { topic[..=12], topic_id[13..], partitions }
    fetch_response::PartitionData {
        partition_index, error_code, high_watermark, last_stable_offset, log_start_offset[5..],
        diverging_epoch[12..], current_leader[12..], snapshot_id[12..], aborted_transactions,
        preferred_read_replica[11..], records
    }
    fetch_response::EpochEndOffset { epoch[12..], end_offset[12..] }
    fetch_response::LeaderIdAndEpoch { leader_id[12..], leader_epoch[12..] }
    fetch_response::SnapshotId { end_offset, epoch }
    fetch_response::AbortedTransaction { producer_id, first_offset }
    fetch_response::NodeEndpoint { node_id[16..], host[16..], port[16..], rack[16..] }
    list_offsets_response::ListOffsetsResponse { throttle_time_ms[2..], topics }
    list_offsets_response::ListOffsetsTopicResponse { name, partitions }
    list_offsets_response::ListOffsetsPartitionResponse {
        partition_index, error_code, timestamp, offset, leader_epoch[4..]
    }
    metadata_response::MetadataResponse {
        throttle_time_ms[3..], brokers, cluster_id[2..], controller_id[1..], topics,
        cluster_authorized_operations[8..=10], error_code[13..]
    }
    metadata_response::MetadataResponseBroker { node_id, host, port, rack[1..] }
    metadata_response::MetadataResponseTopic {
        error_code, name null [12..], topic_id[10..], is_internal[1..], partitions,
        topic_authorized_operations[8..]
    }
    metadata_response::MetadataResponsePartition {
        error_code, partition_index, leader_id, leader_epoch[7..], replica_nodes, isr_nodes,
        offline_replicas[5..]
    }
    offset_commit_response::OffsetCommitResponse { throttle_time_ms[3..], topics }
    offset_commit_response::OffsetCommitResponseTopic { name[..=9], topic_id[10..], partitions }
    offset_commit_response::OffsetCommitResponsePartition { partition_index, error_code }
    offset_fetch_response::OffsetFetchResponse {
        throttle_time_ms[3..], topics[..=7], error_code[2..=7], groups[8..]
    }
    offset_fetch_response::OffsetFetchResponseTopic { name[..=7], partitions[..=7] }
    offset_fetch_response::OffsetFetchResponsePartition {
        partition_index[..=7], committed_offset[..=7], committed_leader_epoch[5..=7], metadata[..=7],
        error_code[..=7]
    }
    offset_fetch_response::OffsetFetchResponseGroup { group_id[8..], topics[8..], error_code[8..] }
    offset_fetch_response::OffsetFetchResponseTopics { name[8..=9], topic_id[10..], partitions[8..] }
    offset_fetch_response::OffsetFetchResponsePartitions {
        partition_index[8..], committed_offset[8..], committed_leader_epoch[8..], metadata[8..],
        error_code[8..]
    }
    find_coordinator_response::FindCoordinatorResponse {
        throttle_time_ms[1..], error_code[..=3], error_message[1..=3], node_id[..=3], host[..=3], port[..=3],
        coordinators[4..]
    }
    find_coordinator_response::Coordinator {
        key[4..], node_id[4..], host[4..], port[4..], error_code[4..], error_message[4..]
    }
    join_group_response::JoinGroupResponse {
        throttle_time_ms[2..], error_code, generation_id, protocol_type[7..], protocol_name null [7..],
        leader, skip_assignment[9..], member_id, members
    }
    join_group_response::JoinGroupResponseMember { member_id, group_instance_id[5..], metadata }
    heartbeat_response::HeartbeatResponse { throttle_time_ms[1..], error_code }
    leave_group_response::LeaveGroupResponse { throttle_time_ms[1..], error_code, members[3..] }
    leave_group_response::MemberResponse { member_id[3..], group_instance_id[3..], error_code[3..] }
    sync_group_response::SyncGroupResponse {
        throttle_time_ms[1..], error_code, protocol_type[5..], protocol_name[5..], assignment
    }
    describe_groups_response::DescribeGroupsResponse { throttle_time_ms[1..], groups }
    describe_groups_response::DescribedGroup {
        error_code, error_message[6..], group_id, group_state, protocol_type, protocol_data, members,
        authorized_operations[3..]
    }
    describe_groups_response::DescribedGroupMember {
        member_id, group_instance_id[4..], client_id, client_host, member_metadata, member_assignment
    }
    list_groups_response::ListGroupsResponse { throttle_time_ms[1..], error_code, groups }
    list_groups_response::ListedGroup { group_id, protocol_type, group_state[4..], group_type[5..] }
    sasl_handshake_response::SaslHandshakeResponse (rigid) { error_code, mechanisms }
    api_versions_response::ApiVersionsResponse {
        error_code, api_keys, throttle_time_ms[1..], supported_features[3..], finalized_features_epoch[3..],
        finalized_features[3..], zk_migration_ready[3..]
    }
    api_versions_response::ApiVersion { api_key, min_version, max_version }
    api_versions_response::SupportedFeatureKey { name[3..], min_version[3..], max_version[3..] }
    api_versions_response::FinalizedFeatureKey { name[3..], max_version_level[3..], min_version_level[3..] }
    create_topics_response::CreateTopicsResponse { throttle_time_ms, topics }
    create_topics_response::CreatableTopicResult {
        name, topic_id[7..], error_code, error_message, topic_config_error_code[5..], num_partitions[5..],
        replication_factor[5..], configs[5..]
    }
    create_topics_response::CreatableTopicConfigs {
        name[5..], value[5..], read_only[5..], config_source[5..], is_sensitive[5..]
    }
    delete_topics_response::DeleteTopicsResponse { throttle_time_ms, responses }
    delete_topics_response::DeletableTopicResult {
        name null [6..], topic_id[6..], error_code, error_message[5..]
    }
    delete_records_response::DeleteRecordsResponse { throttle_time_ms, topics }
    delete_records_response::DeleteRecordsTopicResult { name, partitions }
    delete_records_response::DeleteRecordsPartitionResult { partition_index, low_watermark, error_code }
    init_producer_id_response::InitProducerIdResponse {
        throttle_time_ms, error_code, producer_id, producer_epoch, ongoing_txn_producer_id[6..],
        ongoing_txn_producer_epoch[6..]
    }
    offset_for_leader_epoch_response::OffsetForLeaderEpochResponse { throttle_time_ms, topics }
    offset_for_leader_epoch_response::OffsetForLeaderTopicResult { topic, partitions }
    offset_for_leader_epoch_response::EpochEndOffset { error_code, partition, leader_epoch, end_offset }
    add_partitions_to_txn_response::AddPartitionsToTxnPartitionResult { partition_index, partition_error_code }
    add_partitions_to_txn_response::AddPartitionsToTxnResponse {
        throttle_time_ms, error_code[4..], results_by_transaction[4..], results_by_topic_v3_and_below[..=3]
    }
    add_partitions_to_txn_response::AddPartitionsToTxnResult { transactional_id[4..], topic_results[4..] }
    add_partitions_to_txn_response::AddPartitionsToTxnTopicResult { name, results_by_partition }
    add_offsets_to_txn_response::AddOffsetsToTxnResponse { throttle_time_ms, error_code }
    end_txn_response::EndTxnResponse { throttle_time_ms, error_code, producer_id[5..], producer_epoch[5..] }
    write_txn_markers_response::WritableTxnMarkerPartitionResult { partition_index, error_code }
    write_txn_markers_response::WritableTxnMarkerResult { producer_id, topics }
    write_txn_markers_response::WritableTxnMarkerTopicResult { name, partitions }
    write_txn_markers_response::WriteTxnMarkersResponse { markers }
    txn_offset_commit_response::TxnOffsetCommitResponse { throttle_time_ms, topics }
    txn_offset_commit_response::TxnOffsetCommitResponsePartition { partition_index, error_code }
    txn_offset_commit_response::TxnOffsetCommitResponseTopic { name, partitions }
    describe_configs_response::DescribeConfigsResponse { throttle_time_ms, results }
    describe_configs_response::DescribeConfigsResult {
        error_code, error_message, resource_type, resource_name, configs
    }
    describe_configs_response::DescribeConfigsResourceResult {
        name, value, read_only, config_source, is_sensitive, synonyms, config_type[3..], documentation[3..]
    }
    describe_configs_response::DescribeConfigsSynonym { name, value, source }
    alter_configs_response::AlterConfigsResponse { throttle_time_ms, responses }
    alter_configs_response::AlterConfigsResourceResponse {
        error_code, error_message, resource_type, resource_name
    }
    describe_log_dirs_response::DescribeLogDirsResponse { throttle_time_ms, error_code[3..], results }
    describe_log_dirs_response::DescribeLogDirsResult {
        error_code, log_dir, topics, total_bytes[4..], usable_bytes[4..]
    }
    describe_log_dirs_response::DescribeLogDirsTopic { name, partitions }
    describe_log_dirs_response::DescribeLogDirsPartition {
        partition_index, partition_size, offset_lag, is_future_key
    }
    sasl_authenticate_response::SaslAuthenticateResponse {
        error_code, error_message, auth_bytes, session_lifetime_ms[1..]
    }
    create_partitions_response::CreatePartitionsResponse { throttle_time_ms, results }
    create_partitions_response::CreatePartitionsTopicResult { name, error_code, error_message }
    delete_groups::DeleteGroupsResponse { throttle_time_ms, results }
    delete_groups::DeletableGroupResult { group_id, error_code, error_message[3..] }
    elect_leaders_response::ElectLeadersResponse { throttle_time_ms, error_code[1..], replica_election_results }
    elect_leaders_response::PartitionResult { partition_id, error_code, error_message }
    elect_leaders_response::ReplicaElectionResult { topic, partition_result }
    incremental_alter_configs_response::IncrementalAlterConfigsResponse { throttle_time_ms, responses }
    incremental_alter_configs_response::AlterConfigsResourceResponse {
        error_code, error_message, resource_type, resource_name
    }
    alter_partition_reassignments_response::AlterPartitionReassignmentsResponse {
        throttle_time_ms, allow_replication_factor_change[1..], error_code, error_message, responses
    }
    alter_partition_reassignments_response::ReassignablePartitionResponse { partition_index, error_code, error_message }
    alter_partition_reassignments_response::ReassignableTopicResponse { name, partitions }
    list_partition_reassignments_response::ListPartitionReassignmentsResponse {
        throttle_time_ms, error_code, error_message, topics
    }
    list_partition_reassignments_response::OngoingPartitionReassignment {
        partition_index, replicas, adding_replicas, removing_replicas
    }
    list_partition_reassignments_response::OngoingTopicReassignment { name, partitions }
    offset_delete_response::OffsetDeleteResponse (rigid) { error_code, throttle_time_ms, topics }
    offset_delete_response::OffsetDeleteResponseTopic (rigid) { name, partitions }
    offset_delete_response::OffsetDeleteResponsePartition (rigid) { partition_index, error_code }
    describe_client_quotas_response::DescribeClientQuotasResponse {
        throttle_time_ms, error_code, error_message, entries
    }
    describe_client_quotas_response::EntityData { entity_type, entity_name }
    describe_client_quotas_response::EntryData { entity, values }
    describe_client_quotas_response::ValueData { key, value }
    alter_client_quotas_response::AlterClientQuotasResponse { throttle_time_ms, entries }
    alter_client_quotas_response::EntityData { entity_type, entity_name }
    alter_client_quotas_response::EntryData { error_code, error_message, entity }
    describe_cluster_response::DescribeClusterResponse {
        throttle_time_ms, error_code, error_message, endpoint_type[1..], cluster_id, controller_id, brokers,
        cluster_authorized_operations
    }
    describe_cluster_response::DescribeClusterBroker { broker_id, host, port, rack, is_fenced[2..] }
    describe_producers_response::DescribeProducersResponse { throttle_time_ms, topics }
    describe_producers_response::PartitionResponse { partition_index, error_code, error_message, active_producers }
    describe_producers_response::ProducerState {
        producer_id, producer_epoch, last_sequence, last_timestamp, coordinator_epoch, current_txn_start_offset
    }
    describe_producers_response::TopicResponse { name, partitions }
    describe_transactions_response::DescribeTransactionsResponse { throttle_time_ms, transaction_states }
    describe_transactions_response::TopicData { topic, partitions }
    describe_transactions_response::TransactionState {
        error_code, transactional_id, transaction_state, transaction_timeout_ms, transaction_start_time_ms,
        producer_id, producer_epoch, topics
    }
    list_transactions_response::ListTransactionsResponse {
        throttle_time_ms, error_code, unknown_state_filters, transaction_states
    }
    list_transactions_response::TransactionState { transactional_id, producer_id, transaction_state }
    consumer_group_heartbeat_response::Assignment { topic_partitions }
    consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse {
        throttle_time_ms, error_code, error_message, member_id, member_epoch, heartbeat_interval_ms, assignment
    }
    consumer_group_heartbeat_response::TopicPartitions { topic_id, partitions }
    consumer_group_describe_response::Assignment { topic_partitions }
    consumer_group_describe_response::ConsumerGroupDescribeResponse { throttle_time_ms, groups }
    consumer_group_describe_response::DescribedGroup {
        error_code, error_message, group_id, group_state, group_epoch, assignment_epoch, assignor_name, members,
        authorized_operations
    }
    consumer_group_describe_response::Member {
        member_id, instance_id, rack_id, member_epoch, client_id, client_host, subscribed_topic_names,
        subscribed_topic_regex, assignment, target_assignment, member_type[1..]
    }
    consumer_group_describe_response::TopicPartitions { topic_id, topic_name, partitions }
    get_telemetry_subscriptions_response::GetTelemetrySubscriptionsResponse {
        throttle_time_ms, error_code, client_instance_id, subscription_id, accepted_compression_types,
        push_interval_ms, telemetry_max_bytes, delta_temporality, requested_metrics
    }
    push_telemetry_response::PushTelemetryResponse { throttle_time_ms, error_code }
    list_config_resources_response::ConfigResource { resource_name, resource_type[1..] }
    list_config_resources_response::ListConfigResourcesResponse { throttle_time_ms, error_code, config_resources }
    describe_topic_partitions_response::DescribeTopicPartitionsResponse {
        throttle_time_ms, topics, next_cursor
    }
    describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic {
        error_code, name, topic_id, is_internal, partitions, topic_authorized_operations
    }
    describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition {
        error_code, partition_index, leader_id, leader_epoch, replica_nodes, isr_nodes,
        eligible_leader_replicas, last_known_elr, offline_replicas
    }
    describe_topic_partitions_response::Cursor { topic_name, partition_index }
}
