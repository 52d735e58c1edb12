//! The requests this crate decodes, field by field: Kafka 4.4's schemas, as far as the decoder knows them.
//!
//! A row is checked twice by the tests: against the schemas that Kafka 4.4 itself prints
//! (`testdata/kafka-4.4-request-schemas.txt`) and against what the decoder's own encoder writes.

use kafka_protocol::messages as m;

use super::shape::build::{
    INT8, INT32, INT64, STRING, array, boolean, bytes, float64, int8, int16, int32, int64, records,
    string, structure, uuid,
};
use super::shape::{Kind, MessageShape, NEVER, StructShape, message};
use crate::{api_versions, delete_groups, offset_commit, offset_fetch};

/// Every request the guard knows, in the order of the keys.
pub(crate) static REQUESTS: &[MessageShape] = &[
    message(0, 3, 13, 9, &PRODUCE),
    message(1, 4, 18, 12, &FETCH),
    message(2, 1, 11, 6, &LIST_OFFSETS),
    message(3, 0, 13, 9, &METADATA),
    message(8, 2, 10, 8, &OFFSET_COMMIT),
    message(9, 1, 10, 6, &OFFSET_FETCH),
    message(10, 0, 6, 3, &FIND_COORDINATOR),
    message(11, 0, 9, 6, &JOIN_GROUP),
    message(12, 0, 4, 4, &HEARTBEAT),
    message(13, 0, 5, 4, &LEAVE_GROUP),
    message(14, 0, 5, 4, &SYNC_GROUP),
    message(15, 0, 6, 5, &DESCRIBE_GROUPS),
    message(16, 0, 5, 3, &LIST_GROUPS),
    message(17, 0, 1, NEVER, &SASL_HANDSHAKE),
    message(18, 0, 5, 3, &API_VERSIONS),
    message(19, 2, 7, 5, &CREATE_TOPICS),
    message(20, 1, 6, 4, &DELETE_TOPICS),
    message(21, 0, 2, 2, &DELETE_RECORDS),
    message(22, 0, 5, 2, &INIT_PRODUCER_ID),
    message(23, 2, 4, 4, &OFFSET_FOR_LEADER_EPOCH),
    message(24, 0, 5, 3, &ADD_PARTITIONS_TO_TXN),
    message(25, 0, 4, 3, &ADD_OFFSETS_TO_TXN),
    message(26, 0, 5, 3, &END_TXN),
    message(27, 1, 1, 1, &WRITE_TXN_MARKERS),
    message(28, 0, 5, 3, &TXN_OFFSET_COMMIT),
    message(32, 1, 4, 4, &DESCRIBE_CONFIGS),
    message(33, 0, 2, 2, &ALTER_CONFIGS),
    message(35, 1, 5, 2, &DESCRIBE_LOG_DIRS),
    message(36, 0, 2, 2, &SASL_AUTHENTICATE),
    message(37, 0, 3, 2, &CREATE_PARTITIONS),
    message(42, 0, 3, 2, &DELETE_GROUPS),
    message(43, 0, 2, 2, &ELECT_LEADERS),
    message(44, 0, 1, 1, &INCREMENTAL_ALTER_CONFIGS),
    message(45, 0, 1, 0, &ALTER_PARTITION_REASSIGNMENTS),
    message(46, 0, 0, 0, &LIST_PARTITION_REASSIGNMENTS),
    message(47, 0, 0, NEVER, &OFFSET_DELETE),
    message(48, 0, 1, 1, &DESCRIBE_CLIENT_QUOTAS),
    message(49, 0, 1, 1, &ALTER_CLIENT_QUOTAS),
    message(60, 0, 2, 0, &DESCRIBE_CLUSTER),
    message(61, 0, 0, 0, &DESCRIBE_PRODUCERS),
    message(65, 0, 0, 0, &DESCRIBE_TRANSACTIONS),
    message(66, 0, 2, 0, &LIST_TRANSACTIONS),
    message(68, 0, 1, 0, &CONSUMER_GROUP_HEARTBEAT),
    message(69, 0, 1, 0, &CONSUMER_GROUP_DESCRIBE),
    message(71, 0, 0, 0, &GET_TELEMETRY_SUBSCRIPTIONS),
    message(72, 0, 0, 0, &PUSH_TELEMETRY),
    message(74, 0, 1, 0, &LIST_CONFIG_RESOURCES),
    message(75, 0, 0, 0, &DESCRIBE_TOPIC_PARTITIONS),
];

const PRODUCE: StructShape = StructShape::of::<m::ProduceRequest>(&[
    string("transactional_id").nullable(),
    int16("acks"),
    int32("timeout_ms"),
    array("topic_data", &Kind::Struct(&PRODUCE_TOPIC)),
]);
const PRODUCE_TOPIC: StructShape = StructShape::of::<m::produce_request::TopicProduceData>(&[
    string("name").until(12),
    uuid("topic_id").since(13),
    array("partition_data", &Kind::Struct(&PRODUCE_PARTITION)),
]);
const PRODUCE_PARTITION: StructShape =
    StructShape::of::<m::produce_request::PartitionProduceData>(&[
        int32("index"),
        records("records").nullable(),
    ]);

const FETCH: StructShape = StructShape::of::<m::FetchRequest>(&[
    string("cluster_id").since(12).nullable().tagged(0),
    int32("replica_id").until(14),
    structure("replica_state", &REPLICA_STATE)
        .since(15)
        .tagged(1),
    int32("max_wait_ms"),
    int32("min_bytes"),
    int32("max_bytes"),
    int8("isolation_level"),
    int32("session_id").since(7),
    int32("session_epoch").since(7),
    array("topics", &Kind::Struct(&FETCH_TOPIC)),
    array("forgotten_topics_data", &Kind::Struct(&FORGOTTEN_TOPIC)).since(7),
    string("rack_id").since(11),
]);
const REPLICA_STATE: StructShape = StructShape::of::<m::fetch_request::ReplicaState>(&[
    int32("replica_id"),
    int64("replica_epoch"),
]);
const FETCH_TOPIC: StructShape = StructShape::of::<m::fetch_request::FetchTopic>(&[
    string("topic").until(12),
    uuid("topic_id").since(13),
    array("partitions", &Kind::Struct(&FETCH_PARTITION)),
]);
const FETCH_PARTITION: StructShape = StructShape::of::<m::fetch_request::FetchPartition>(&[
    int32("partition"),
    int32("current_leader_epoch").since(9),
    int64("fetch_offset"),
    int32("last_fetched_epoch").since(12),
    int64("log_start_offset").since(5),
    int32("partition_max_bytes"),
    uuid("replica_directory_id").since(17).tagged(0),
    int64("high_watermark").since(18).tagged(1),
]);
const FORGOTTEN_TOPIC: StructShape = StructShape::of::<m::fetch_request::ForgottenTopic>(&[
    string("topic").until(12),
    uuid("topic_id").since(13),
    array("partitions", &INT32),
]);

const LIST_OFFSETS: StructShape = StructShape::of::<m::ListOffsetsRequest>(&[
    int32("replica_id"),
    int8("isolation_level").since(2),
    array("topics", &Kind::Struct(&LIST_OFFSETS_TOPIC)),
    int32("timeout_ms").since(10),
]);
const LIST_OFFSETS_TOPIC: StructShape =
    StructShape::of::<m::list_offsets_request::ListOffsetsTopic>(&[
        string("name"),
        array("partitions", &Kind::Struct(&LIST_OFFSETS_PARTITION)),
    ]);
const LIST_OFFSETS_PARTITION: StructShape =
    StructShape::of::<m::list_offsets_request::ListOffsetsPartition>(&[
        int32("partition_index"),
        int32("current_leader_epoch").since(4),
        int64("timestamp"),
    ]);

const METADATA: StructShape = StructShape::of::<m::MetadataRequest>(&[
    array("topics", &Kind::Struct(&METADATA_TOPIC)).nullable_since(1),
    boolean("allow_auto_topic_creation").since(4),
    boolean("include_cluster_authorized_operations")
        .since(8)
        .until(10),
    boolean("include_topic_authorized_operations").since(8),
]);
const METADATA_TOPIC: StructShape =
    StructShape::of::<m::metadata_request::MetadataRequestTopic>(&[
        uuid("topic_id").since(10),
        string("name").nullable_since(10),
    ]);

const OFFSET_COMMIT: StructShape = StructShape::of::<offset_commit::OffsetCommitRequest>(&[
    string("group_id"),
    int32("generation_id_or_member_epoch"),
    string("member_id"),
    string("group_instance_id").since(7).nullable(),
    int64("retention_time_ms").until(4),
    array("topics", &Kind::Struct(&OFFSET_COMMIT_TOPIC)),
]);
const OFFSET_COMMIT_TOPIC: StructShape =
    StructShape::of::<offset_commit::OffsetCommitRequestTopic>(&[
        string("name").until(9),
        uuid("topic_id").since(10),
        array("partitions", &Kind::Struct(&OFFSET_COMMIT_PARTITION)),
    ]);
const OFFSET_COMMIT_PARTITION: StructShape =
    StructShape::of::<m::offset_commit_request::OffsetCommitRequestPartition>(&[
        int32("partition_index"),
        int64("committed_offset"),
        int32("committed_leader_epoch").since(6),
        string("committed_metadata").nullable(),
    ]);

const OFFSET_FETCH: StructShape = StructShape::of::<offset_fetch::OffsetFetchRequest>(&[
    string("group_id").until(7),
    array("topics", &Kind::Struct(&OFFSET_FETCH_TOPIC))
        .until(7)
        .nullable_since(2),
    array("groups", &Kind::Struct(&OFFSET_FETCH_GROUP)).since(8),
    boolean("require_stable").since(7),
]);
const OFFSET_FETCH_TOPIC: StructShape = StructShape::of::<
    m::offset_fetch_request::OffsetFetchRequestTopic,
>(&[string("name"), array("partition_indexes", &INT32)]);
const OFFSET_FETCH_GROUP: StructShape =
    StructShape::of::<offset_fetch::OffsetFetchRequestGroup>(&[
        string("group_id"),
        string("member_id").since(9).nullable(),
        int32("member_epoch").since(9),
        array("topics", &Kind::Struct(&OFFSET_FETCH_GROUP_TOPIC)).nullable(),
    ]);
const OFFSET_FETCH_GROUP_TOPIC: StructShape =
    StructShape::of::<offset_fetch::OffsetFetchRequestTopics>(&[
        string("name").until(9),
        uuid("topic_id").since(10),
        array("partition_indexes", &INT32),
    ]);

const FIND_COORDINATOR: StructShape = StructShape::of::<m::FindCoordinatorRequest>(&[
    string("key").until(3),
    int8("key_type").since(1),
    array("coordinator_keys", &STRING).since(4),
]);

const JOIN_GROUP: StructShape = StructShape::of::<m::JoinGroupRequest>(&[
    string("group_id"),
    int32("session_timeout_ms"),
    int32("rebalance_timeout_ms").since(1),
    string("member_id"),
    string("group_instance_id").since(5).nullable(),
    string("protocol_type"),
    array("protocols", &Kind::Struct(&JOIN_GROUP_PROTOCOL)),
    string("reason").since(8).nullable(),
]);
const JOIN_GROUP_PROTOCOL: StructShape = StructShape::of::<
    m::join_group_request::JoinGroupRequestProtocol,
>(&[string("name"), bytes("metadata")]);

const HEARTBEAT: StructShape = StructShape::of::<m::HeartbeatRequest>(&[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable(),
]);

const LEAVE_GROUP: StructShape = StructShape::of::<m::LeaveGroupRequest>(&[
    string("group_id"),
    string("member_id").until(2),
    array("members", &Kind::Struct(&LEAVING_MEMBER)).since(3),
]);
const LEAVING_MEMBER: StructShape = StructShape::of::<m::leave_group_request::MemberIdentity>(&[
    string("member_id"),
    string("group_instance_id").nullable(),
    string("reason").since(5).nullable(),
]);

const SYNC_GROUP: StructShape = StructShape::of::<m::SyncGroupRequest>(&[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable(),
    string("protocol_type").since(5).nullable(),
    string("protocol_name").since(5).nullable(),
    array("assignments", &Kind::Struct(&SYNC_GROUP_ASSIGNMENT)),
]);
const SYNC_GROUP_ASSIGNMENT: StructShape = StructShape::of::<
    m::sync_group_request::SyncGroupRequestAssignment,
>(&[string("member_id"), bytes("assignment")]);

const DESCRIBE_GROUPS: StructShape = StructShape::of::<m::DescribeGroupsRequest>(&[
    array("groups", &STRING),
    boolean("include_authorized_operations").since(3),
]);

const LIST_GROUPS: StructShape = StructShape::of::<m::ListGroupsRequest>(&[
    array("states_filter", &STRING).since(4),
    array("types_filter", &STRING).since(5),
]);

const SASL_HANDSHAKE: StructShape =
    StructShape::of::<m::SaslHandshakeRequest>(&[string("mechanism")]);

const API_VERSIONS: StructShape = StructShape::of::<api_versions::ApiVersionsRequest>(&[
    string("client_software_name").since(3),
    string("client_software_version").since(3),
    string("cluster_id").since(5).nullable(),
    int32("node_id").since(5),
]);

const CREATE_TOPICS: StructShape = StructShape::of::<m::CreateTopicsRequest>(&[
    array("topics", &Kind::Struct(&CREATABLE_TOPIC)),
    int32("timeout_ms"),
    boolean("validate_only"),
]);
const CREATABLE_TOPIC: StructShape =
    StructShape::of::<m::create_topics_request::CreatableTopic>(&[
        string("name"),
        int32("num_partitions"),
        int16("replication_factor"),
        array("assignments", &Kind::Struct(&CREATABLE_ASSIGNMENT)),
        array("configs", &Kind::Struct(&CREATABLE_CONFIG)),
    ]);
const CREATABLE_ASSIGNMENT: StructShape =
    StructShape::of::<m::create_topics_request::CreatableReplicaAssignment>(&[
        int32("partition_index"),
        array("broker_ids", &INT32),
    ]);
const CREATABLE_CONFIG: StructShape = StructShape::of::<
    m::create_topics_request::CreatableTopicConfig,
>(&[string("name"), string("value").nullable()]);

const DELETE_TOPICS: StructShape = StructShape::of::<m::DeleteTopicsRequest>(&[
    array("topics", &Kind::Struct(&DELETE_TOPIC_STATE)).since(6),
    array("topic_names", &STRING).until(5),
    int32("timeout_ms"),
]);
const DELETE_TOPIC_STATE: StructShape =
    StructShape::of::<m::delete_topics_request::DeleteTopicState>(&[
        string("name").nullable(),
        uuid("topic_id"),
    ]);

const DELETE_RECORDS: StructShape = StructShape::of::<m::DeleteRecordsRequest>(&[
    array("topics", &Kind::Struct(&DELETE_RECORDS_TOPIC)),
    int32("timeout_ms"),
]);
const DELETE_RECORDS_TOPIC: StructShape =
    StructShape::of::<m::delete_records_request::DeleteRecordsTopic>(&[
        string("name"),
        array("partitions", &Kind::Struct(&DELETE_RECORDS_PARTITION)),
    ]);
const DELETE_RECORDS_PARTITION: StructShape = StructShape::of::<
    m::delete_records_request::DeleteRecordsPartition,
>(&[int32("partition_index"), int64("offset")]);

const INIT_PRODUCER_ID: StructShape = StructShape::of::<m::InitProducerIdRequest>(&[
    string("transactional_id").nullable(),
    int32("transaction_timeout_ms"),
    int64("producer_id").since(3),
    int16("producer_epoch").since(3),
]);

const OFFSET_FOR_LEADER_EPOCH: StructShape = StructShape::of::<m::OffsetForLeaderEpochRequest>(&[
    int32("replica_id").since(3),
    array("topics", &Kind::Struct(&LEADER_EPOCH_TOPIC)),
]);
const LEADER_EPOCH_TOPIC: StructShape =
    StructShape::of::<m::offset_for_leader_epoch_request::OffsetForLeaderTopic>(&[
        string("topic"),
        array("partitions", &Kind::Struct(&LEADER_EPOCH_PARTITION)),
    ]);
const LEADER_EPOCH_PARTITION: StructShape =
    StructShape::of::<m::offset_for_leader_epoch_request::OffsetForLeaderPartition>(&[
        int32("partition"),
        int32("current_leader_epoch"),
        int32("leader_epoch"),
    ]);

const ADD_PARTITIONS_TO_TXN: StructShape = StructShape::of::<m::AddPartitionsToTxnRequest>(&[
    array("transactions", &Kind::Struct(&ADD_PARTITIONS_TRANSACTION)).since(4),
    string("v3_and_below_transactional_id").until(3),
    int64("v3_and_below_producer_id").until(3),
    int16("v3_and_below_producer_epoch").until(3),
    array("v3_and_below_topics", &Kind::Struct(&ADD_PARTITIONS_TOPIC)).until(3),
]);
const ADD_PARTITIONS_TRANSACTION: StructShape =
    StructShape::of::<m::add_partitions_to_txn_request::AddPartitionsToTxnTransaction>(&[
        string("transactional_id"),
        int64("producer_id"),
        int16("producer_epoch"),
        boolean("verify_only"),
        array("topics", &Kind::Struct(&ADD_PARTITIONS_TOPIC)),
    ]);
const ADD_PARTITIONS_TOPIC: StructShape = StructShape::of::<
    m::add_partitions_to_txn_request::AddPartitionsToTxnTopic,
>(&[string("name"), array("partitions", &INT32)]);

const ADD_OFFSETS_TO_TXN: StructShape = StructShape::of::<m::AddOffsetsToTxnRequest>(&[
    string("transactional_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    string("group_id"),
]);

const END_TXN: StructShape = StructShape::of::<m::EndTxnRequest>(&[
    string("transactional_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    boolean("committed"),
]);

const WRITE_TXN_MARKERS: StructShape = StructShape::of::<m::WriteTxnMarkersRequest>(&[array(
    "markers",
    &Kind::Struct(&WRITABLE_MARKER),
)]);
const WRITABLE_MARKER: StructShape =
    StructShape::of::<m::write_txn_markers_request::WritableTxnMarker>(&[
        int64("producer_id"),
        int16("producer_epoch"),
        boolean("transaction_result"),
        array("topics", &Kind::Struct(&WRITABLE_MARKER_TOPIC)),
        int32("coordinator_epoch"),
    ]);
const WRITABLE_MARKER_TOPIC: StructShape = StructShape::of::<
    m::write_txn_markers_request::WritableTxnMarkerTopic,
>(&[string("name"), array("partition_indexes", &INT32)]);

const TXN_OFFSET_COMMIT: StructShape = StructShape::of::<m::TxnOffsetCommitRequest>(&[
    string("transactional_id"),
    string("group_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    int32("generation_id_or_member_epoch").since(3),
    string("member_id").since(3),
    string("group_instance_id").since(3).nullable(),
    array("topics", &Kind::Struct(&TXN_OFFSET_COMMIT_TOPIC)),
]);
const TXN_OFFSET_COMMIT_TOPIC: StructShape =
    StructShape::of::<m::txn_offset_commit_request::TxnOffsetCommitRequestTopic>(&[
        string("name"),
        array("partitions", &Kind::Struct(&TXN_OFFSET_COMMIT_PARTITION)),
    ]);
const TXN_OFFSET_COMMIT_PARTITION: StructShape =
    StructShape::of::<m::txn_offset_commit_request::TxnOffsetCommitRequestPartition>(&[
        int32("partition_index"),
        int64("committed_offset"),
        int32("committed_leader_epoch").since(2),
        string("committed_metadata").nullable(),
    ]);

const DESCRIBE_CONFIGS: StructShape = StructShape::of::<m::DescribeConfigsRequest>(&[
    array("resources", &Kind::Struct(&DESCRIBE_CONFIGS_RESOURCE)),
    boolean("include_synonyms"),
    boolean("include_documentation").since(3),
]);
const DESCRIBE_CONFIGS_RESOURCE: StructShape =
    StructShape::of::<m::describe_configs_request::DescribeConfigsResource>(&[
        int8("resource_type"),
        string("resource_name"),
        array("configuration_keys", &STRING).nullable(),
    ]);

const ALTER_CONFIGS: StructShape = StructShape::of::<m::AlterConfigsRequest>(&[
    array("resources", &Kind::Struct(&ALTER_CONFIGS_RESOURCE)),
    boolean("validate_only"),
]);
const ALTER_CONFIGS_RESOURCE: StructShape =
    StructShape::of::<m::alter_configs_request::AlterConfigsResource>(&[
        int8("resource_type"),
        string("resource_name"),
        array("configs", &Kind::Struct(&ALTERABLE_CONFIG)),
    ]);
const ALTERABLE_CONFIG: StructShape =
    StructShape::of::<m::alter_configs_request::AlterableConfig>(&[
        string("name"),
        string("value").nullable(),
    ]);

const DESCRIBE_LOG_DIRS: StructShape =
    StructShape::of::<m::DescribeLogDirsRequest>(&[
        array("topics", &Kind::Struct(&LOG_DIR_TOPIC)).nullable()
    ]);
const LOG_DIR_TOPIC: StructShape = StructShape::of::<
    m::describe_log_dirs_request::DescribableLogDirTopic,
>(&[string("topic"), array("partitions", &INT32)]);

const SASL_AUTHENTICATE: StructShape =
    StructShape::of::<m::SaslAuthenticateRequest>(&[bytes("auth_bytes")]);

const CREATE_PARTITIONS: StructShape = StructShape::of::<m::CreatePartitionsRequest>(&[
    array("topics", &Kind::Struct(&CREATE_PARTITIONS_TOPIC)),
    int32("timeout_ms"),
    boolean("validate_only"),
]);
const CREATE_PARTITIONS_TOPIC: StructShape =
    StructShape::of::<m::create_partitions_request::CreatePartitionsTopic>(&[
        string("name"),
        int32("count"),
        array("assignments", &Kind::Struct(&CREATE_PARTITIONS_ASSIGNMENT)).nullable(),
    ]);
const CREATE_PARTITIONS_ASSIGNMENT: StructShape = StructShape::of::<
    m::create_partitions_request::CreatePartitionsAssignment,
>(&[array("broker_ids", &INT32)]);

const DELETE_GROUPS: StructShape =
    StructShape::of::<delete_groups::DeleteGroupsRequest>(&[array("groups_names", &STRING)]);

const ELECT_LEADERS: StructShape = StructShape::of::<m::ElectLeadersRequest>(&[
    int8("election_type").since(1),
    array("topic_partitions", &Kind::Struct(&ELECT_LEADERS_TOPIC)).nullable(),
    int32("timeout_ms"),
]);
const ELECT_LEADERS_TOPIC: StructShape =
    StructShape::of::<m::elect_leaders_request::TopicPartitions>(&[
        string("topic"),
        array("partitions", &INT32),
    ]);

const INCREMENTAL_ALTER_CONFIGS: StructShape =
    StructShape::of::<m::IncrementalAlterConfigsRequest>(&[
        array("resources", &Kind::Struct(&INCREMENTAL_RESOURCE)),
        boolean("validate_only"),
    ]);
const INCREMENTAL_RESOURCE: StructShape =
    StructShape::of::<m::incremental_alter_configs_request::AlterConfigsResource>(&[
        int8("resource_type"),
        string("resource_name"),
        array("configs", &Kind::Struct(&INCREMENTAL_CONFIG)),
    ]);
const INCREMENTAL_CONFIG: StructShape =
    StructShape::of::<m::incremental_alter_configs_request::AlterableConfig>(&[
        string("name"),
        int8("config_operation"),
        string("value").nullable(),
    ]);

const ALTER_PARTITION_REASSIGNMENTS: StructShape =
    StructShape::of::<m::AlterPartitionReassignmentsRequest>(&[
        int32("timeout_ms"),
        boolean("allow_replication_factor_change").since(1),
        array("topics", &Kind::Struct(&REASSIGNABLE_TOPIC)),
    ]);
const REASSIGNABLE_TOPIC: StructShape =
    StructShape::of::<m::alter_partition_reassignments_request::ReassignableTopic>(&[
        string("name"),
        array("partitions", &Kind::Struct(&REASSIGNABLE_PARTITION)),
    ]);
const REASSIGNABLE_PARTITION: StructShape =
    StructShape::of::<m::alter_partition_reassignments_request::ReassignablePartition>(&[
        int32("partition_index"),
        array("replicas", &INT32).nullable(),
    ]);

const LIST_PARTITION_REASSIGNMENTS: StructShape =
    StructShape::of::<m::ListPartitionReassignmentsRequest>(&[
        int32("timeout_ms"),
        array("topics", &Kind::Struct(&LIST_REASSIGNMENTS_TOPIC)).nullable(),
    ]);
const LIST_REASSIGNMENTS_TOPIC: StructShape =
    StructShape::of::<m::list_partition_reassignments_request::ListPartitionReassignmentsTopics>(
        &[string("name"), array("partition_indexes", &INT32)],
    );

const OFFSET_DELETE: StructShape = StructShape::of::<m::OffsetDeleteRequest>(&[
    string("group_id"),
    array("topics", &Kind::Struct(&OFFSET_DELETE_TOPIC)),
]);
const OFFSET_DELETE_TOPIC: StructShape =
    StructShape::of::<m::offset_delete_request::OffsetDeleteRequestTopic>(&[
        string("name"),
        array("partitions", &Kind::Struct(&OFFSET_DELETE_PARTITION)),
    ]);
const OFFSET_DELETE_PARTITION: StructShape = StructShape::of::<
    m::offset_delete_request::OffsetDeleteRequestPartition,
>(&[int32("partition_index")]);

const DESCRIBE_CLIENT_QUOTAS: StructShape = StructShape::of::<m::DescribeClientQuotasRequest>(&[
    array("components", &Kind::Struct(&QUOTA_COMPONENT)),
    boolean("strict"),
]);
const QUOTA_COMPONENT: StructShape =
    StructShape::of::<m::describe_client_quotas_request::ComponentData>(&[
        string("entity_type"),
        int8("match_type"),
        string("match").nullable(),
    ]);

const ALTER_CLIENT_QUOTAS: StructShape = StructShape::of::<m::AlterClientQuotasRequest>(&[
    array("entries", &Kind::Struct(&QUOTA_ENTRY)),
    boolean("validate_only"),
]);
const QUOTA_ENTRY: StructShape = StructShape::of::<m::alter_client_quotas_request::EntryData>(&[
    array("entity", &Kind::Struct(&QUOTA_ENTITY)),
    array("ops", &Kind::Struct(&QUOTA_OP)),
]);
const QUOTA_ENTITY: StructShape = StructShape::of::<m::alter_client_quotas_request::EntityData>(&[
    string("entity_type"),
    string("entity_name").nullable(),
]);
const QUOTA_OP: StructShape = StructShape::of::<m::alter_client_quotas_request::OpData>(&[
    string("key"),
    float64("value"),
    boolean("remove"),
]);

const DESCRIBE_CLUSTER: StructShape = StructShape::of::<m::DescribeClusterRequest>(&[
    boolean("include_cluster_authorized_operations"),
    int8("endpoint_type").since(1),
    boolean("include_fenced_brokers").since(2),
]);

const DESCRIBE_PRODUCERS: StructShape = StructShape::of::<m::DescribeProducersRequest>(&[array(
    "topics",
    &Kind::Struct(&DESCRIBE_PRODUCERS_TOPIC),
)]);
const DESCRIBE_PRODUCERS_TOPIC: StructShape =
    StructShape::of::<m::describe_producers_request::TopicRequest>(&[
        string("name"),
        array("partition_indexes", &INT32),
    ]);

const DESCRIBE_TRANSACTIONS: StructShape =
    StructShape::of::<m::DescribeTransactionsRequest>(&[array("transactional_ids", &STRING)]);

const LIST_TRANSACTIONS: StructShape = StructShape::of::<m::ListTransactionsRequest>(&[
    array("state_filters", &STRING),
    array("producer_id_filters", &INT64),
    int64("duration_filter").since(1),
    string("transactional_id_pattern").since(2).nullable(),
]);

const CONSUMER_GROUP_HEARTBEAT: StructShape =
    StructShape::of::<m::ConsumerGroupHeartbeatRequest>(&[
        string("group_id"),
        string("member_id"),
        int32("member_epoch"),
        string("instance_id").nullable(),
        string("rack_id").nullable(),
        int32("rebalance_timeout_ms"),
        array("subscribed_topic_names", &STRING).nullable(),
        string("subscribed_topic_regex").since(1).nullable(),
        string("server_assignor").nullable(),
        array("topic_partitions", &Kind::Struct(&OWNED_PARTITIONS)).nullable(),
    ]);
const OWNED_PARTITIONS: StructShape = StructShape::of::<
    m::consumer_group_heartbeat_request::TopicPartitions,
>(&[uuid("topic_id"), array("partitions", &INT32)]);

const CONSUMER_GROUP_DESCRIBE: StructShape = StructShape::of::<m::ConsumerGroupDescribeRequest>(&[
    array("group_ids", &STRING),
    boolean("include_authorized_operations"),
]);

const GET_TELEMETRY_SUBSCRIPTIONS: StructShape =
    StructShape::of::<m::GetTelemetrySubscriptionsRequest>(&[uuid("client_instance_id")]);

const PUSH_TELEMETRY: StructShape = StructShape::of::<m::PushTelemetryRequest>(&[
    uuid("client_instance_id"),
    int32("subscription_id"),
    boolean("terminating"),
    int8("compression_type"),
    bytes("metrics"),
]);

const LIST_CONFIG_RESOURCES: StructShape =
    StructShape::of::<m::ListConfigResourcesRequest>(&[array("resource_types", &INT8).since(1)]);

const DESCRIBE_TOPIC_PARTITIONS: StructShape =
    StructShape::of::<m::DescribeTopicPartitionsRequest>(&[
        array("topics", &Kind::Struct(&DESCRIBED_TOPIC)),
        int32("response_partition_limit"),
        structure("cursor", &DESCRIBE_CURSOR).nullable(),
    ]);
const DESCRIBED_TOPIC: StructShape =
    StructShape::of::<m::describe_topic_partitions_request::TopicRequest>(&[string("name")]);
const DESCRIBE_CURSOR: StructShape =
    StructShape::of::<m::describe_topic_partitions_request::Cursor>(&[
        string("topic_name"),
        int32("partition_index"),
    ]);
