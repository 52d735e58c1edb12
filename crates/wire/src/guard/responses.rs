//! The answers this crate decodes, field by field; kept and checked like the requests beside them
//! (`testdata/kafka-4.4-response-schemas.txt`).

use kafka_protocol::messages as m;

use super::shape::build::{
    INT8, INT32, STRING, array, boolean, bytes, float64, int8, int16, int32, int64, records,
    string, structure, uuid,
};
use super::shape::{Kind, MessageShape, NEVER, StructShape, message};
use crate::delete_groups;

/// Every response the guard knows, in the order of the keys.
pub(crate) static RESPONSES: &[MessageShape] = &[
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
    message(22, 0, 6, 2, &INIT_PRODUCER_ID),
    message(23, 2, 4, 4, &OFFSET_FOR_LEADER_EPOCH),
    message(24, 0, 5, 3, &ADD_PARTITIONS_TO_TXN),
    message(25, 0, 4, 3, &ADD_OFFSETS_TO_TXN),
    message(26, 0, 5, 3, &END_TXN),
    message(27, 1, 1, 1, &WRITE_TXN_MARKERS),
    message(28, 0, 5, 3, &TXN_OFFSET_COMMIT),
    message(32, 1, 4, 4, &DESCRIBE_CONFIGS),
    message(33, 0, 2, 2, &ALTER_CONFIGS),
    message(35, 1, 4, 2, &DESCRIBE_LOG_DIRS),
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

const PRODUCE: StructShape = StructShape::of::<m::ProduceResponse>(&[
    array("responses", &Kind::Struct(&PRODUCE_TOPIC_PRODUCE_RESPONSE)),
    int32("throttle_time_ms"),
    array("node_endpoints", &Kind::Struct(&PRODUCE_NODE_ENDPOINT))
        .since(10)
        .tagged(0),
]);
const PRODUCE_TOPIC_PRODUCE_RESPONSE: StructShape =
    StructShape::of::<m::produce_response::TopicProduceResponse>(&[
        string("name").until(12),
        uuid("topic_id").since(13),
        array(
            "partition_responses",
            &Kind::Struct(&PRODUCE_PARTITION_PRODUCE_RESPONSE),
        ),
    ]);
const PRODUCE_PARTITION_PRODUCE_RESPONSE: StructShape =
    StructShape::of::<m::produce_response::PartitionProduceResponse>(&[
        int32("index"),
        int16("error_code"),
        int64("base_offset"),
        int64("log_append_time_ms"),
        int64("log_start_offset").since(5),
        array(
            "record_errors",
            &Kind::Struct(&PRODUCE_BATCH_INDEX_AND_ERROR_MESSAGE),
        )
        .since(8),
        string("error_message").since(8).nullable(),
        structure("current_leader", &PRODUCE_LEADER_ID_AND_EPOCH)
            .since(10)
            .tagged(0),
    ]);
const PRODUCE_BATCH_INDEX_AND_ERROR_MESSAGE: StructShape =
    StructShape::of::<m::produce_response::BatchIndexAndErrorMessage>(&[
        int32("batch_index"),
        string("batch_index_error_message").nullable(),
    ]);
const PRODUCE_LEADER_ID_AND_EPOCH: StructShape = StructShape::of::<
    m::produce_response::LeaderIdAndEpoch,
>(&[int32("leader_id"), int32("leader_epoch")]);
const PRODUCE_NODE_ENDPOINT: StructShape = StructShape::of::<m::produce_response::NodeEndpoint>(&[
    int32("node_id"),
    string("host"),
    int32("port"),
    string("rack").nullable(),
]);

const FETCH: StructShape = StructShape::of::<m::FetchResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code").since(7),
    int32("session_id").since(7),
    array("responses", &Kind::Struct(&FETCH_FETCHABLE_TOPIC_RESPONSE)),
    array("node_endpoints", &Kind::Struct(&FETCH_NODE_ENDPOINT))
        .since(16)
        .tagged(0),
]);
const FETCH_FETCHABLE_TOPIC_RESPONSE: StructShape =
    StructShape::of::<m::fetch_response::FetchableTopicResponse>(&[
        string("topic").until(12),
        uuid("topic_id").since(13),
        array("partitions", &Kind::Struct(&FETCH_PARTITION_DATA)),
    ]);
const FETCH_PARTITION_DATA: StructShape = StructShape::of::<m::fetch_response::PartitionData>(&[
    int32("partition_index"),
    int16("error_code"),
    int64("high_watermark"),
    int64("last_stable_offset"),
    int64("log_start_offset").since(5),
    structure("diverging_epoch", &FETCH_EPOCH_END_OFFSET)
        .since(12)
        .tagged(0),
    structure("current_leader", &FETCH_LEADER_ID_AND_EPOCH)
        .since(12)
        .tagged(1),
    structure("snapshot_id", &FETCH_SNAPSHOT_ID)
        .since(12)
        .tagged(2),
    array(
        "aborted_transactions",
        &Kind::Struct(&FETCH_ABORTED_TRANSACTION),
    )
    .nullable(),
    int32("preferred_read_replica").since(11),
    records("records").nullable(),
]);
const FETCH_EPOCH_END_OFFSET: StructShape =
    StructShape::of::<m::fetch_response::EpochEndOffset>(&[int32("epoch"), int64("end_offset")]);
const FETCH_LEADER_ID_AND_EPOCH: StructShape =
    StructShape::of::<m::fetch_response::LeaderIdAndEpoch>(&[
        int32("leader_id"),
        int32("leader_epoch"),
    ]);
const FETCH_SNAPSHOT_ID: StructShape =
    StructShape::of::<m::fetch_response::SnapshotId>(&[int64("end_offset"), int32("epoch")]);
const FETCH_ABORTED_TRANSACTION: StructShape = StructShape::of::<
    m::fetch_response::AbortedTransaction,
>(&[int64("producer_id"), int64("first_offset")]);
const FETCH_NODE_ENDPOINT: StructShape = StructShape::of::<m::fetch_response::NodeEndpoint>(&[
    int32("node_id"),
    string("host"),
    int32("port"),
    string("rack").nullable(),
]);

const LIST_OFFSETS: StructShape = StructShape::of::<m::ListOffsetsResponse>(&[
    int32("throttle_time_ms").since(2),
    array(
        "topics",
        &Kind::Struct(&LIST_OFFSETS_LIST_OFFSETS_TOPIC_RESPONSE),
    ),
]);
const LIST_OFFSETS_LIST_OFFSETS_TOPIC_RESPONSE: StructShape =
    StructShape::of::<m::list_offsets_response::ListOffsetsTopicResponse>(&[
        string("name"),
        array(
            "partitions",
            &Kind::Struct(&LIST_OFFSETS_LIST_OFFSETS_PARTITION_RESPONSE),
        ),
    ]);
const LIST_OFFSETS_LIST_OFFSETS_PARTITION_RESPONSE: StructShape =
    StructShape::of::<m::list_offsets_response::ListOffsetsPartitionResponse>(&[
        int32("partition_index"),
        int16("error_code"),
        int64("timestamp"),
        int64("offset"),
        int32("leader_epoch").since(4),
    ]);

const METADATA: StructShape = StructShape::of::<m::MetadataResponse>(&[
    int32("throttle_time_ms").since(3),
    array("brokers", &Kind::Struct(&METADATA_METADATA_RESPONSE_BROKER)),
    string("cluster_id").since(2).nullable(),
    int32("controller_id").since(1),
    array("topics", &Kind::Struct(&METADATA_METADATA_RESPONSE_TOPIC)),
    int32("cluster_authorized_operations").since(8).until(10),
    int16("error_code").since(13),
]);
const METADATA_METADATA_RESPONSE_BROKER: StructShape =
    StructShape::of::<m::metadata_response::MetadataResponseBroker>(&[
        int32("node_id"),
        string("host"),
        int32("port"),
        string("rack").since(1).nullable(),
    ]);
const METADATA_METADATA_RESPONSE_TOPIC: StructShape =
    StructShape::of::<m::metadata_response::MetadataResponseTopic>(&[
        int16("error_code"),
        string("name").nullable_since(12),
        uuid("topic_id").since(10),
        boolean("is_internal").since(1),
        array(
            "partitions",
            &Kind::Struct(&METADATA_METADATA_RESPONSE_PARTITION),
        ),
        int32("topic_authorized_operations").since(8),
    ]);
const METADATA_METADATA_RESPONSE_PARTITION: StructShape =
    StructShape::of::<m::metadata_response::MetadataResponsePartition>(&[
        int16("error_code"),
        int32("partition_index"),
        int32("leader_id"),
        int32("leader_epoch").since(7),
        array("replica_nodes", &INT32),
        array("isr_nodes", &INT32),
        array("offline_replicas", &INT32).since(5),
    ]);

const OFFSET_COMMIT: StructShape = StructShape::of::<m::OffsetCommitResponse>(&[
    int32("throttle_time_ms").since(3),
    array(
        "topics",
        &Kind::Struct(&OFFSET_COMMIT_OFFSET_COMMIT_RESPONSE_TOPIC),
    ),
]);
const OFFSET_COMMIT_OFFSET_COMMIT_RESPONSE_TOPIC: StructShape =
    StructShape::of::<m::offset_commit_response::OffsetCommitResponseTopic>(&[
        string("name").until(9),
        uuid("topic_id").since(10),
        array(
            "partitions",
            &Kind::Struct(&OFFSET_COMMIT_OFFSET_COMMIT_RESPONSE_PARTITION),
        ),
    ]);
const OFFSET_COMMIT_OFFSET_COMMIT_RESPONSE_PARTITION: StructShape =
    StructShape::of::<m::offset_commit_response::OffsetCommitResponsePartition>(&[
        int32("partition_index"),
        int16("error_code"),
    ]);

const OFFSET_FETCH: StructShape = StructShape::of::<m::OffsetFetchResponse>(&[
    int32("throttle_time_ms").since(3),
    array(
        "topics",
        &Kind::Struct(&OFFSET_FETCH_OFFSET_FETCH_RESPONSE_TOPIC),
    )
    .until(7),
    int16("error_code").since(2).until(7),
    array(
        "groups",
        &Kind::Struct(&OFFSET_FETCH_OFFSET_FETCH_RESPONSE_GROUP),
    )
    .since(8),
]);
const OFFSET_FETCH_OFFSET_FETCH_RESPONSE_TOPIC: StructShape =
    StructShape::of::<m::offset_fetch_response::OffsetFetchResponseTopic>(&[
        string("name"),
        array(
            "partitions",
            &Kind::Struct(&OFFSET_FETCH_OFFSET_FETCH_RESPONSE_PARTITION),
        ),
    ]);
const OFFSET_FETCH_OFFSET_FETCH_RESPONSE_PARTITION: StructShape =
    StructShape::of::<m::offset_fetch_response::OffsetFetchResponsePartition>(&[
        int32("partition_index"),
        int64("committed_offset"),
        int32("committed_leader_epoch").since(5),
        string("metadata").nullable(),
        int16("error_code"),
    ]);
const OFFSET_FETCH_OFFSET_FETCH_RESPONSE_GROUP: StructShape =
    StructShape::of::<m::offset_fetch_response::OffsetFetchResponseGroup>(&[
        string("group_id"),
        array(
            "topics",
            &Kind::Struct(&OFFSET_FETCH_OFFSET_FETCH_RESPONSE_TOPICS),
        ),
        int16("error_code"),
    ]);
const OFFSET_FETCH_OFFSET_FETCH_RESPONSE_TOPICS: StructShape =
    StructShape::of::<m::offset_fetch_response::OffsetFetchResponseTopics>(&[
        string("name").until(9),
        uuid("topic_id").since(10),
        array(
            "partitions",
            &Kind::Struct(&OFFSET_FETCH_OFFSET_FETCH_RESPONSE_PARTITIONS),
        ),
    ]);
const OFFSET_FETCH_OFFSET_FETCH_RESPONSE_PARTITIONS: StructShape =
    StructShape::of::<m::offset_fetch_response::OffsetFetchResponsePartitions>(&[
        int32("partition_index"),
        int64("committed_offset"),
        int32("committed_leader_epoch"),
        string("metadata").nullable(),
        int16("error_code"),
    ]);

const FIND_COORDINATOR: StructShape = StructShape::of::<m::FindCoordinatorResponse>(&[
    int32("throttle_time_ms").since(1),
    int16("error_code").until(3),
    string("error_message").since(1).until(3).nullable(),
    int32("node_id").until(3),
    string("host").until(3),
    int32("port").until(3),
    array("coordinators", &Kind::Struct(&FIND_COORDINATOR_COORDINATOR)).since(4),
]);
const FIND_COORDINATOR_COORDINATOR: StructShape =
    StructShape::of::<m::find_coordinator_response::Coordinator>(&[
        string("key"),
        int32("node_id"),
        string("host"),
        int32("port"),
        int16("error_code"),
        string("error_message").nullable(),
    ]);

const JOIN_GROUP: StructShape = StructShape::of::<m::JoinGroupResponse>(&[
    int32("throttle_time_ms").since(2),
    int16("error_code"),
    int32("generation_id"),
    string("protocol_type").since(7).nullable(),
    string("protocol_name").nullable_since(7),
    string("leader"),
    boolean("skip_assignment").since(9),
    string("member_id"),
    array(
        "members",
        &Kind::Struct(&JOIN_GROUP_JOIN_GROUP_RESPONSE_MEMBER),
    ),
]);
const JOIN_GROUP_JOIN_GROUP_RESPONSE_MEMBER: StructShape =
    StructShape::of::<m::join_group_response::JoinGroupResponseMember>(&[
        string("member_id"),
        string("group_instance_id").since(5).nullable(),
        bytes("metadata"),
    ]);

const HEARTBEAT: StructShape = StructShape::of::<m::HeartbeatResponse>(&[
    int32("throttle_time_ms").since(1),
    int16("error_code"),
]);

const LEAVE_GROUP: StructShape = StructShape::of::<m::LeaveGroupResponse>(&[
    int32("throttle_time_ms").since(1),
    int16("error_code"),
    array("members", &Kind::Struct(&LEAVE_GROUP_MEMBER_RESPONSE)).since(3),
]);
const LEAVE_GROUP_MEMBER_RESPONSE: StructShape =
    StructShape::of::<m::leave_group_response::MemberResponse>(&[
        string("member_id"),
        string("group_instance_id").nullable(),
        int16("error_code"),
    ]);

const SYNC_GROUP: StructShape = StructShape::of::<m::SyncGroupResponse>(&[
    int32("throttle_time_ms").since(1),
    int16("error_code"),
    string("protocol_type").since(5).nullable(),
    string("protocol_name").since(5).nullable(),
    bytes("assignment"),
]);

const DESCRIBE_GROUPS: StructShape = StructShape::of::<m::DescribeGroupsResponse>(&[
    int32("throttle_time_ms").since(1),
    array("groups", &Kind::Struct(&DESCRIBE_GROUPS_DESCRIBED_GROUP)),
]);
const DESCRIBE_GROUPS_DESCRIBED_GROUP: StructShape =
    StructShape::of::<m::describe_groups_response::DescribedGroup>(&[
        int16("error_code"),
        string("error_message").since(6).nullable(),
        string("group_id"),
        string("group_state"),
        string("protocol_type"),
        string("protocol_data"),
        array(
            "members",
            &Kind::Struct(&DESCRIBE_GROUPS_DESCRIBED_GROUP_MEMBER),
        ),
        int32("authorized_operations").since(3),
    ]);
const DESCRIBE_GROUPS_DESCRIBED_GROUP_MEMBER: StructShape =
    StructShape::of::<m::describe_groups_response::DescribedGroupMember>(&[
        string("member_id"),
        string("group_instance_id").since(4).nullable(),
        string("client_id"),
        string("client_host"),
        bytes("member_metadata"),
        bytes("member_assignment"),
    ]);

const LIST_GROUPS: StructShape = StructShape::of::<m::ListGroupsResponse>(&[
    int32("throttle_time_ms").since(1),
    int16("error_code"),
    array("groups", &Kind::Struct(&LIST_GROUPS_LISTED_GROUP)),
]);
const LIST_GROUPS_LISTED_GROUP: StructShape =
    StructShape::of::<m::list_groups_response::ListedGroup>(&[
        string("group_id"),
        string("protocol_type"),
        string("group_state").since(4),
        string("group_type").since(5),
    ]);

const SASL_HANDSHAKE: StructShape = StructShape::of::<m::SaslHandshakeResponse>(&[
    int16("error_code"),
    array("mechanisms", &STRING),
]);

const API_VERSIONS: StructShape = StructShape::of::<m::ApiVersionsResponse>(&[
    int16("error_code"),
    array("api_keys", &Kind::Struct(&API_VERSIONS_API_VERSION)),
    int32("throttle_time_ms").since(1),
    array(
        "supported_features",
        &Kind::Struct(&API_VERSIONS_SUPPORTED_FEATURE_KEY),
    )
    .since(3)
    .tagged(0),
    int64("finalized_features_epoch").since(3).tagged(1),
    array(
        "finalized_features",
        &Kind::Struct(&API_VERSIONS_FINALIZED_FEATURE_KEY),
    )
    .since(3)
    .tagged(2),
    boolean("zk_migration_ready").since(3).tagged(3),
]);
const API_VERSIONS_API_VERSION: StructShape =
    StructShape::of::<m::api_versions_response::ApiVersion>(&[
        int16("api_key"),
        int16("min_version"),
        int16("max_version"),
    ]);
const API_VERSIONS_SUPPORTED_FEATURE_KEY: StructShape =
    StructShape::of::<m::api_versions_response::SupportedFeatureKey>(&[
        string("name"),
        int16("min_version"),
        int16("max_version"),
    ]);
const API_VERSIONS_FINALIZED_FEATURE_KEY: StructShape =
    StructShape::of::<m::api_versions_response::FinalizedFeatureKey>(&[
        string("name"),
        int16("max_version_level"),
        int16("min_version_level"),
    ]);

const CREATE_TOPICS: StructShape = StructShape::of::<m::CreateTopicsResponse>(&[
    int32("throttle_time_ms"),
    array(
        "topics",
        &Kind::Struct(&CREATE_TOPICS_CREATABLE_TOPIC_RESULT),
    ),
]);
const CREATE_TOPICS_CREATABLE_TOPIC_RESULT: StructShape =
    StructShape::of::<m::create_topics_response::CreatableTopicResult>(&[
        string("name"),
        uuid("topic_id").since(7),
        int16("error_code"),
        string("error_message").nullable(),
        int16("topic_config_error_code").since(5).tagged(0),
        int32("num_partitions").since(5),
        int16("replication_factor").since(5),
        array(
            "configs",
            &Kind::Struct(&CREATE_TOPICS_CREATABLE_TOPIC_CONFIGS),
        )
        .since(5)
        .nullable(),
    ]);
const CREATE_TOPICS_CREATABLE_TOPIC_CONFIGS: StructShape =
    StructShape::of::<m::create_topics_response::CreatableTopicConfigs>(&[
        string("name"),
        string("value").nullable(),
        boolean("read_only"),
        int8("config_source"),
        boolean("is_sensitive"),
    ]);

const DELETE_TOPICS: StructShape = StructShape::of::<m::DeleteTopicsResponse>(&[
    int32("throttle_time_ms"),
    array(
        "responses",
        &Kind::Struct(&DELETE_TOPICS_DELETABLE_TOPIC_RESULT),
    ),
]);
const DELETE_TOPICS_DELETABLE_TOPIC_RESULT: StructShape =
    StructShape::of::<m::delete_topics_response::DeletableTopicResult>(&[
        string("name").nullable_since(6),
        uuid("topic_id").since(6),
        int16("error_code"),
        string("error_message").since(5).nullable(),
    ]);

const DELETE_RECORDS: StructShape = StructShape::of::<m::DeleteRecordsResponse>(&[
    int32("throttle_time_ms"),
    array(
        "topics",
        &Kind::Struct(&DELETE_RECORDS_DELETE_RECORDS_TOPIC_RESULT),
    ),
]);
const DELETE_RECORDS_DELETE_RECORDS_TOPIC_RESULT: StructShape =
    StructShape::of::<m::delete_records_response::DeleteRecordsTopicResult>(&[
        string("name"),
        array(
            "partitions",
            &Kind::Struct(&DELETE_RECORDS_DELETE_RECORDS_PARTITION_RESULT),
        ),
    ]);
const DELETE_RECORDS_DELETE_RECORDS_PARTITION_RESULT: StructShape =
    StructShape::of::<m::delete_records_response::DeleteRecordsPartitionResult>(&[
        int32("partition_index"),
        int64("low_watermark"),
        int16("error_code"),
    ]);

const INIT_PRODUCER_ID: StructShape = StructShape::of::<m::InitProducerIdResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    int64("producer_id"),
    int16("producer_epoch"),
    int64("ongoing_txn_producer_id").since(6),
    int16("ongoing_txn_producer_epoch").since(6),
]);

const OFFSET_FOR_LEADER_EPOCH: StructShape = StructShape::of::<m::OffsetForLeaderEpochResponse>(&[
    int32("throttle_time_ms"),
    array(
        "topics",
        &Kind::Struct(&OFFSET_FOR_LEADER_EPOCH_OFFSET_FOR_LEADER_TOPIC_RESULT),
    ),
]);
const OFFSET_FOR_LEADER_EPOCH_OFFSET_FOR_LEADER_TOPIC_RESULT: StructShape =
    StructShape::of::<m::offset_for_leader_epoch_response::OffsetForLeaderTopicResult>(&[
        string("topic"),
        array(
            "partitions",
            &Kind::Struct(&OFFSET_FOR_LEADER_EPOCH_EPOCH_END_OFFSET),
        ),
    ]);
const OFFSET_FOR_LEADER_EPOCH_EPOCH_END_OFFSET: StructShape =
    StructShape::of::<m::offset_for_leader_epoch_response::EpochEndOffset>(&[
        int16("error_code"),
        int32("partition"),
        int32("leader_epoch"),
        int64("end_offset"),
    ]);

const ADD_PARTITIONS_TO_TXN: StructShape = StructShape::of::<m::AddPartitionsToTxnResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code").since(4),
    array(
        "results_by_transaction",
        &Kind::Struct(&ADD_PARTITIONS_TRANSACTION),
    )
    .since(4),
    array(
        "results_by_topic_v3_and_below",
        &Kind::Struct(&ADD_PARTITIONS_TOPIC),
    )
    .until(3),
]);
const ADD_PARTITIONS_TRANSACTION: StructShape =
    StructShape::of::<m::add_partitions_to_txn_response::AddPartitionsToTxnResult>(&[
        string("transactional_id"),
        array("topic_results", &Kind::Struct(&ADD_PARTITIONS_TOPIC)),
    ]);
const ADD_PARTITIONS_TOPIC: StructShape =
    StructShape::of::<m::add_partitions_to_txn_response::AddPartitionsToTxnTopicResult>(&[
        string("name"),
        array(
            "results_by_partition",
            &Kind::Struct(&ADD_PARTITIONS_PARTITION),
        ),
    ]);
const ADD_PARTITIONS_PARTITION: StructShape =
    StructShape::of::<m::add_partitions_to_txn_response::AddPartitionsToTxnPartitionResult>(&[
        int32("partition_index"),
        int16("partition_error_code"),
    ]);

const ADD_OFFSETS_TO_TXN: StructShape = StructShape::of::<m::AddOffsetsToTxnResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code"),
]);

const END_TXN: StructShape = StructShape::of::<m::EndTxnResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    int64("producer_id").since(5),
    int16("producer_epoch").since(5),
]);

const WRITE_TXN_MARKERS: StructShape = StructShape::of::<m::WriteTxnMarkersResponse>(&[array(
    "markers",
    &Kind::Struct(&WRITE_TXN_MARKERS_RESULT),
)]);
const WRITE_TXN_MARKERS_RESULT: StructShape =
    StructShape::of::<m::write_txn_markers_response::WritableTxnMarkerResult>(&[
        int64("producer_id"),
        array("topics", &Kind::Struct(&WRITE_TXN_MARKERS_TOPIC)),
    ]);
const WRITE_TXN_MARKERS_TOPIC: StructShape =
    StructShape::of::<m::write_txn_markers_response::WritableTxnMarkerTopicResult>(&[
        string("name"),
        array("partitions", &Kind::Struct(&WRITE_TXN_MARKERS_PARTITION)),
    ]);
const WRITE_TXN_MARKERS_PARTITION: StructShape =
    StructShape::of::<m::write_txn_markers_response::WritableTxnMarkerPartitionResult>(&[
        int32("partition_index"),
        int16("error_code"),
    ]);

const TXN_OFFSET_COMMIT: StructShape = StructShape::of::<m::TxnOffsetCommitResponse>(&[
    int32("throttle_time_ms"),
    array("topics", &Kind::Struct(&TXN_OFFSET_COMMIT_TOPIC)),
]);
const TXN_OFFSET_COMMIT_TOPIC: StructShape =
    StructShape::of::<m::txn_offset_commit_response::TxnOffsetCommitResponseTopic>(&[
        string("name"),
        array("partitions", &Kind::Struct(&TXN_OFFSET_COMMIT_PARTITION)),
    ]);
const TXN_OFFSET_COMMIT_PARTITION: StructShape =
    StructShape::of::<m::txn_offset_commit_response::TxnOffsetCommitResponsePartition>(&[
        int32("partition_index"),
        int16("error_code"),
    ]);

const DESCRIBE_CONFIGS: StructShape = StructShape::of::<m::DescribeConfigsResponse>(&[
    int32("throttle_time_ms"),
    array(
        "results",
        &Kind::Struct(&DESCRIBE_CONFIGS_DESCRIBE_CONFIGS_RESULT),
    ),
]);
const DESCRIBE_CONFIGS_DESCRIBE_CONFIGS_RESULT: StructShape =
    StructShape::of::<m::describe_configs_response::DescribeConfigsResult>(&[
        int16("error_code"),
        string("error_message").nullable(),
        int8("resource_type"),
        string("resource_name"),
        array(
            "configs",
            &Kind::Struct(&DESCRIBE_CONFIGS_DESCRIBE_CONFIGS_RESOURCE_RESULT),
        ),
    ]);
const DESCRIBE_CONFIGS_DESCRIBE_CONFIGS_RESOURCE_RESULT: StructShape =
    StructShape::of::<m::describe_configs_response::DescribeConfigsResourceResult>(&[
        string("name"),
        string("value").nullable(),
        boolean("read_only"),
        int8("config_source"),
        boolean("is_sensitive"),
        array(
            "synonyms",
            &Kind::Struct(&DESCRIBE_CONFIGS_DESCRIBE_CONFIGS_SYNONYM),
        ),
        int8("config_type").since(3),
        string("documentation").since(3).nullable(),
    ]);
const DESCRIBE_CONFIGS_DESCRIBE_CONFIGS_SYNONYM: StructShape =
    StructShape::of::<m::describe_configs_response::DescribeConfigsSynonym>(&[
        string("name"),
        string("value").nullable(),
        int8("source"),
    ]);

const ALTER_CONFIGS: StructShape = StructShape::of::<m::AlterConfigsResponse>(&[
    int32("throttle_time_ms"),
    array(
        "responses",
        &Kind::Struct(&ALTER_CONFIGS_ALTER_CONFIGS_RESOURCE_RESPONSE),
    ),
]);
const ALTER_CONFIGS_ALTER_CONFIGS_RESOURCE_RESPONSE: StructShape =
    StructShape::of::<m::alter_configs_response::AlterConfigsResourceResponse>(&[
        int16("error_code"),
        string("error_message").nullable(),
        int8("resource_type"),
        string("resource_name"),
    ]);

const DESCRIBE_LOG_DIRS: StructShape = StructShape::of::<m::DescribeLogDirsResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code").since(3),
    array(
        "results",
        &Kind::Struct(&DESCRIBE_LOG_DIRS_DESCRIBE_LOG_DIRS_RESULT),
    ),
]);
const DESCRIBE_LOG_DIRS_DESCRIBE_LOG_DIRS_RESULT: StructShape =
    StructShape::of::<m::describe_log_dirs_response::DescribeLogDirsResult>(&[
        int16("error_code"),
        string("log_dir"),
        array(
            "topics",
            &Kind::Struct(&DESCRIBE_LOG_DIRS_DESCRIBE_LOG_DIRS_TOPIC),
        ),
        int64("total_bytes").since(4),
        int64("usable_bytes").since(4),
    ]);
const DESCRIBE_LOG_DIRS_DESCRIBE_LOG_DIRS_TOPIC: StructShape =
    StructShape::of::<m::describe_log_dirs_response::DescribeLogDirsTopic>(&[
        string("name"),
        array(
            "partitions",
            &Kind::Struct(&DESCRIBE_LOG_DIRS_DESCRIBE_LOG_DIRS_PARTITION),
        ),
    ]);
const DESCRIBE_LOG_DIRS_DESCRIBE_LOG_DIRS_PARTITION: StructShape =
    StructShape::of::<m::describe_log_dirs_response::DescribeLogDirsPartition>(&[
        int32("partition_index"),
        int64("partition_size"),
        int64("offset_lag"),
        boolean("is_future_key"),
    ]);

const SASL_AUTHENTICATE: StructShape = StructShape::of::<m::SaslAuthenticateResponse>(&[
    int16("error_code"),
    string("error_message").nullable(),
    bytes("auth_bytes"),
    int64("session_lifetime_ms").since(1),
]);

const CREATE_PARTITIONS: StructShape = StructShape::of::<m::CreatePartitionsResponse>(&[
    int32("throttle_time_ms"),
    array(
        "results",
        &Kind::Struct(&CREATE_PARTITIONS_CREATE_PARTITIONS_TOPIC_RESULT),
    ),
]);
const CREATE_PARTITIONS_CREATE_PARTITIONS_TOPIC_RESULT: StructShape =
    StructShape::of::<m::create_partitions_response::CreatePartitionsTopicResult>(&[
        string("name"),
        int16("error_code"),
        string("error_message").nullable(),
    ]);

const DELETE_GROUPS: StructShape = StructShape::of::<delete_groups::DeleteGroupsResponse>(&[
    int32("throttle_time_ms"),
    array(
        "results",
        &Kind::Struct(&DELETE_GROUPS_DELETABLE_GROUP_RESULT),
    ),
]);
const DELETE_GROUPS_DELETABLE_GROUP_RESULT: StructShape =
    StructShape::of::<delete_groups::DeletableGroupResult>(&[
        string("group_id"),
        int16("error_code"),
        string("error_message").since(3).nullable(),
    ]);

const ELECT_LEADERS: StructShape = StructShape::of::<m::ElectLeadersResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code").since(1),
    array(
        "replica_election_results",
        &Kind::Struct(&ELECT_LEADERS_REPLICA_ELECTION_RESULT),
    ),
]);
const ELECT_LEADERS_REPLICA_ELECTION_RESULT: StructShape =
    StructShape::of::<m::elect_leaders_response::ReplicaElectionResult>(&[
        string("topic"),
        array(
            "partition_result",
            &Kind::Struct(&ELECT_LEADERS_PARTITION_RESULT),
        ),
    ]);
const ELECT_LEADERS_PARTITION_RESULT: StructShape =
    StructShape::of::<m::elect_leaders_response::PartitionResult>(&[
        int32("partition_id"),
        int16("error_code"),
        string("error_message").nullable(),
    ]);

const INCREMENTAL_ALTER_CONFIGS: StructShape =
    StructShape::of::<m::IncrementalAlterConfigsResponse>(&[
        int32("throttle_time_ms"),
        array(
            "responses",
            &Kind::Struct(&INCREMENTAL_ALTER_CONFIGS_ALTER_CONFIGS_RESOURCE_RESPONSE),
        ),
    ]);
const INCREMENTAL_ALTER_CONFIGS_ALTER_CONFIGS_RESOURCE_RESPONSE: StructShape =
    StructShape::of::<m::incremental_alter_configs_response::AlterConfigsResourceResponse>(&[
        int16("error_code"),
        string("error_message").nullable(),
        int8("resource_type"),
        string("resource_name"),
    ]);

const ALTER_PARTITION_REASSIGNMENTS: StructShape =
    StructShape::of::<m::AlterPartitionReassignmentsResponse>(&[
        int32("throttle_time_ms"),
        boolean("allow_replication_factor_change").since(1),
        int16("error_code"),
        string("error_message").nullable(),
        array(
            "responses",
            &Kind::Struct(&ALTER_PARTITION_REASSIGNMENTS_REASSIGNABLE_TOPIC_RESPONSE),
        ),
    ]);
const ALTER_PARTITION_REASSIGNMENTS_REASSIGNABLE_TOPIC_RESPONSE: StructShape =
    StructShape::of::<m::alter_partition_reassignments_response::ReassignableTopicResponse>(&[
        string("name"),
        array(
            "partitions",
            &Kind::Struct(&ALTER_PARTITION_REASSIGNMENTS_REASSIGNABLE_PARTITION_RESPONSE),
        ),
    ]);
const ALTER_PARTITION_REASSIGNMENTS_REASSIGNABLE_PARTITION_RESPONSE: StructShape =
    StructShape::of::<m::alter_partition_reassignments_response::ReassignablePartitionResponse>(&[
        int32("partition_index"),
        int16("error_code"),
        string("error_message").nullable(),
    ]);

const LIST_PARTITION_REASSIGNMENTS: StructShape =
    StructShape::of::<m::ListPartitionReassignmentsResponse>(&[
        int32("throttle_time_ms"),
        int16("error_code"),
        string("error_message").nullable(),
        array(
            "topics",
            &Kind::Struct(&LIST_PARTITION_REASSIGNMENTS_ONGOING_TOPIC_REASSIGNMENT),
        ),
    ]);
const LIST_PARTITION_REASSIGNMENTS_ONGOING_TOPIC_REASSIGNMENT: StructShape =
    StructShape::of::<m::list_partition_reassignments_response::OngoingTopicReassignment>(&[
        string("name"),
        array(
            "partitions",
            &Kind::Struct(&LIST_PARTITION_REASSIGNMENTS_ONGOING_PARTITION_REASSIGNMENT),
        ),
    ]);
const LIST_PARTITION_REASSIGNMENTS_ONGOING_PARTITION_REASSIGNMENT: StructShape =
    StructShape::of::<m::list_partition_reassignments_response::OngoingPartitionReassignment>(&[
        int32("partition_index"),
        array("replicas", &INT32),
        array("adding_replicas", &INT32),
        array("removing_replicas", &INT32),
    ]);

const OFFSET_DELETE: StructShape = StructShape::of::<m::OffsetDeleteResponse>(&[
    int16("error_code"),
    int32("throttle_time_ms"),
    array(
        "topics",
        &Kind::Struct(&OFFSET_DELETE_OFFSET_DELETE_RESPONSE_TOPIC),
    ),
]);
const OFFSET_DELETE_OFFSET_DELETE_RESPONSE_TOPIC: StructShape =
    StructShape::of::<m::offset_delete_response::OffsetDeleteResponseTopic>(&[
        string("name"),
        array(
            "partitions",
            &Kind::Struct(&OFFSET_DELETE_OFFSET_DELETE_RESPONSE_PARTITION),
        ),
    ]);
const OFFSET_DELETE_OFFSET_DELETE_RESPONSE_PARTITION: StructShape =
    StructShape::of::<m::offset_delete_response::OffsetDeleteResponsePartition>(&[
        int32("partition_index"),
        int16("error_code"),
    ]);

const DESCRIBE_CLIENT_QUOTAS: StructShape = StructShape::of::<m::DescribeClientQuotasResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    array("entries", &Kind::Struct(&DESCRIBE_CLIENT_QUOTAS_ENTRY)).nullable(),
]);
const DESCRIBE_CLIENT_QUOTAS_ENTRY: StructShape =
    StructShape::of::<m::describe_client_quotas_response::EntryData>(&[
        array("entity", &Kind::Struct(&DESCRIBE_CLIENT_QUOTAS_ENTITY)),
        array("values", &Kind::Struct(&DESCRIBE_CLIENT_QUOTAS_VALUE)),
    ]);
const DESCRIBE_CLIENT_QUOTAS_ENTITY: StructShape =
    StructShape::of::<m::describe_client_quotas_response::EntityData>(&[
        string("entity_type"),
        string("entity_name").nullable(),
    ]);
const DESCRIBE_CLIENT_QUOTAS_VALUE: StructShape = StructShape::of::<
    m::describe_client_quotas_response::ValueData,
>(&[string("key"), float64("value")]);

const ALTER_CLIENT_QUOTAS: StructShape = StructShape::of::<m::AlterClientQuotasResponse>(&[
    int32("throttle_time_ms"),
    array("entries", &Kind::Struct(&ALTER_CLIENT_QUOTAS_ENTRY)),
]);
const ALTER_CLIENT_QUOTAS_ENTRY: StructShape =
    StructShape::of::<m::alter_client_quotas_response::EntryData>(&[
        int16("error_code"),
        string("error_message").nullable(),
        array("entity", &Kind::Struct(&ALTER_CLIENT_QUOTAS_ENTITY)),
    ]);
const ALTER_CLIENT_QUOTAS_ENTITY: StructShape =
    StructShape::of::<m::alter_client_quotas_response::EntityData>(&[
        string("entity_type"),
        string("entity_name").nullable(),
    ]);

const DESCRIBE_CLUSTER: StructShape = StructShape::of::<m::DescribeClusterResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    string("error_message").nullable(),
    int8("endpoint_type").since(1),
    string("cluster_id"),
    int32("controller_id"),
    array(
        "brokers",
        &Kind::Struct(&DESCRIBE_CLUSTER_DESCRIBE_CLUSTER_BROKER),
    ),
    int32("cluster_authorized_operations"),
]);
const DESCRIBE_CLUSTER_DESCRIBE_CLUSTER_BROKER: StructShape =
    StructShape::of::<m::describe_cluster_response::DescribeClusterBroker>(&[
        int32("broker_id"),
        string("host"),
        int32("port"),
        string("rack").nullable(),
        boolean("is_fenced").since(2),
    ]);

const DESCRIBE_PRODUCERS: StructShape = StructShape::of::<m::DescribeProducersResponse>(&[
    int32("throttle_time_ms"),
    array("topics", &Kind::Struct(&DESCRIBE_PRODUCERS_TOPIC_RESPONSE)),
]);
const DESCRIBE_PRODUCERS_TOPIC_RESPONSE: StructShape =
    StructShape::of::<m::describe_producers_response::TopicResponse>(&[
        string("name"),
        array(
            "partitions",
            &Kind::Struct(&DESCRIBE_PRODUCERS_PARTITION_RESPONSE),
        ),
    ]);
const DESCRIBE_PRODUCERS_PARTITION_RESPONSE: StructShape =
    StructShape::of::<m::describe_producers_response::PartitionResponse>(&[
        int32("partition_index"),
        int16("error_code"),
        string("error_message").nullable(),
        array(
            "active_producers",
            &Kind::Struct(&DESCRIBE_PRODUCERS_PRODUCER_STATE),
        ),
    ]);
const DESCRIBE_PRODUCERS_PRODUCER_STATE: StructShape =
    StructShape::of::<m::describe_producers_response::ProducerState>(&[
        int64("producer_id"),
        int32("producer_epoch"),
        int32("last_sequence"),
        int64("last_timestamp"),
        int32("coordinator_epoch"),
        int64("current_txn_start_offset"),
    ]);

const DESCRIBE_TRANSACTIONS: StructShape = StructShape::of::<m::DescribeTransactionsResponse>(&[
    int32("throttle_time_ms"),
    array("transaction_states", &Kind::Struct(&DESCRIBED_TRANSACTION)),
]);
const DESCRIBED_TRANSACTION: StructShape =
    StructShape::of::<m::describe_transactions_response::TransactionState>(&[
        int16("error_code"),
        string("transactional_id"),
        string("transaction_state"),
        int32("transaction_timeout_ms"),
        int64("transaction_start_time_ms"),
        int64("producer_id"),
        int16("producer_epoch"),
        array("topics", &Kind::Struct(&DESCRIBED_TRANSACTION_TOPIC)),
    ]);
const DESCRIBED_TRANSACTION_TOPIC: StructShape = StructShape::of::<
    m::describe_transactions_response::TopicData,
>(&[string("topic"), array("partitions", &INT32)]);

const LIST_TRANSACTIONS: StructShape = StructShape::of::<m::ListTransactionsResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    array("unknown_state_filters", &STRING),
    array("transaction_states", &Kind::Struct(&LISTED_TRANSACTION)),
]);
const LISTED_TRANSACTION: StructShape =
    StructShape::of::<m::list_transactions_response::TransactionState>(&[
        string("transactional_id"),
        int64("producer_id"),
        string("transaction_state"),
    ]);

const CONSUMER_GROUP_HEARTBEAT: StructShape =
    StructShape::of::<m::ConsumerGroupHeartbeatResponse>(&[
        int32("throttle_time_ms"),
        int16("error_code"),
        string("error_message").nullable(),
        string("member_id").nullable(),
        int32("member_epoch"),
        int32("heartbeat_interval_ms"),
        structure("assignment", &CONSUMER_GROUP_HEARTBEAT_ASSIGNMENT).nullable(),
    ]);
const CONSUMER_GROUP_HEARTBEAT_ASSIGNMENT: StructShape =
    StructShape::of::<m::consumer_group_heartbeat_response::Assignment>(&[array(
        "topic_partitions",
        &Kind::Struct(&CONSUMER_GROUP_HEARTBEAT_TOPIC_PARTITIONS),
    )]);
const CONSUMER_GROUP_HEARTBEAT_TOPIC_PARTITIONS: StructShape =
    StructShape::of::<m::consumer_group_heartbeat_response::TopicPartitions>(&[
        uuid("topic_id"),
        array("partitions", &INT32),
    ]);

const CONSUMER_GROUP_DESCRIBE: StructShape =
    StructShape::of::<m::ConsumerGroupDescribeResponse>(&[
        int32("throttle_time_ms"),
        array(
            "groups",
            &Kind::Struct(&CONSUMER_GROUP_DESCRIBE_DESCRIBED_GROUP),
        ),
    ]);
const CONSUMER_GROUP_DESCRIBE_DESCRIBED_GROUP: StructShape =
    StructShape::of::<m::consumer_group_describe_response::DescribedGroup>(&[
        int16("error_code"),
        string("error_message").nullable(),
        string("group_id"),
        string("group_state"),
        int32("group_epoch"),
        int32("assignment_epoch"),
        string("assignor_name"),
        array("members", &Kind::Struct(&CONSUMER_GROUP_DESCRIBE_MEMBER)),
        int32("authorized_operations"),
    ]);
const CONSUMER_GROUP_DESCRIBE_MEMBER: StructShape =
    StructShape::of::<m::consumer_group_describe_response::Member>(&[
        string("member_id"),
        string("instance_id").nullable(),
        string("rack_id").nullable(),
        int32("member_epoch"),
        string("client_id"),
        string("client_host"),
        array("subscribed_topic_names", &STRING),
        string("subscribed_topic_regex").nullable(),
        structure("assignment", &CONSUMER_GROUP_DESCRIBE_ASSIGNMENT),
        structure("target_assignment", &CONSUMER_GROUP_DESCRIBE_ASSIGNMENT),
        int8("member_type").since(1),
    ]);
const CONSUMER_GROUP_DESCRIBE_ASSIGNMENT: StructShape =
    StructShape::of::<m::consumer_group_describe_response::Assignment>(&[array(
        "topic_partitions",
        &Kind::Struct(&CONSUMER_GROUP_DESCRIBE_TOPIC_PARTITIONS),
    )]);
const CONSUMER_GROUP_DESCRIBE_TOPIC_PARTITIONS: StructShape =
    StructShape::of::<m::consumer_group_describe_response::TopicPartitions>(&[
        uuid("topic_id"),
        string("topic_name"),
        array("partitions", &INT32),
    ]);

const GET_TELEMETRY_SUBSCRIPTIONS: StructShape =
    StructShape::of::<m::GetTelemetrySubscriptionsResponse>(&[
        int32("throttle_time_ms"),
        int16("error_code"),
        uuid("client_instance_id"),
        int32("subscription_id"),
        array("accepted_compression_types", &INT8),
        int32("push_interval_ms"),
        int32("telemetry_max_bytes"),
        boolean("delta_temporality"),
        array("requested_metrics", &STRING),
    ]);

const PUSH_TELEMETRY: StructShape =
    StructShape::of::<m::PushTelemetryResponse>(&[int32("throttle_time_ms"), int16("error_code")]);

const LIST_CONFIG_RESOURCES: StructShape = StructShape::of::<m::ListConfigResourcesResponse>(&[
    int32("throttle_time_ms"),
    int16("error_code"),
    array(
        "config_resources",
        &Kind::Struct(&LIST_CONFIG_RESOURCES_CONFIG_RESOURCE),
    ),
]);
const LIST_CONFIG_RESOURCES_CONFIG_RESOURCE: StructShape =
    StructShape::of::<m::list_config_resources_response::ConfigResource>(&[
        string("resource_name"),
        int8("resource_type").since(1),
    ]);

const DESCRIBE_TOPIC_PARTITIONS: StructShape =
    StructShape::of::<m::DescribeTopicPartitionsResponse>(&[
        int32("throttle_time_ms"),
        array(
            "topics",
            &Kind::Struct(&DESCRIBE_TOPIC_PARTITIONS_DESCRIBE_TOPIC_PARTITIONS_RESPONSE_TOPIC),
        ),
        structure("next_cursor", &DESCRIBE_TOPIC_PARTITIONS_CURSOR).nullable(),
    ]);
const DESCRIBE_TOPIC_PARTITIONS_DESCRIBE_TOPIC_PARTITIONS_RESPONSE_TOPIC: StructShape =
    StructShape::of::<m::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic>(
        &[
            int16("error_code"),
            string("name").nullable(),
            uuid("topic_id"),
            boolean("is_internal"),
            array(
                "partitions",
                &Kind::Struct(
                    &DESCRIBE_TOPIC_PARTITIONS_DESCRIBE_TOPIC_PARTITIONS_RESPONSE_PARTITION,
                ),
            ),
            int32("topic_authorized_operations"),
        ],
    );
const DESCRIBE_TOPIC_PARTITIONS_DESCRIBE_TOPIC_PARTITIONS_RESPONSE_PARTITION: StructShape =
    StructShape::of::<
        m::describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition,
    >(&[
        int16("error_code"),
        int32("partition_index"),
        int32("leader_id"),
        int32("leader_epoch"),
        array("replica_nodes", &INT32),
        array("isr_nodes", &INT32),
        array("eligible_leader_replicas", &INT32).nullable(),
        array("last_known_elr", &INT32).nullable(),
        array("offline_replicas", &INT32),
    ]);
const DESCRIBE_TOPIC_PARTITIONS_CURSOR: StructShape =
    StructShape::of::<m::describe_topic_partitions_response::Cursor>(&[
        string("topic_name"),
        int32("partition_index"),
    ]);
