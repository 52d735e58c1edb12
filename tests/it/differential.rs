//! What a real Kafka 4.4 answered to the same requests, where guessing had led elsewhere.

use std::time::Duration;

use bytes::Bytes;
use tidewater_tests::{
    Client, TestBroker, batch, build, fetch_request, fetched, produce_request, topic_name,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use uuid::Uuid;
use wire::api_versions::ApiVersionsRequest;
use wire::batch::BatchOptions;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{
    BrokerId, CreatePartitionsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeTopicPartitionsRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
};
use wire::{ResponseError, StrBytes};

async fn broker_and_client() -> (TestBroker, Client) {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 3, &[]).await;
    (broker, client)
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn transactional() -> Bytes {
    let options = BatchOptions {
        producer_id: 5,
        producer_epoch: 0,
        base_sequence: 0,
        transactional: true,
        ..BatchOptions::default()
    };
    build(&[b"x"], options)
}

#[tokio::test]
async fn a_transactional_batch_without_a_transactional_id_refuses_the_request_and_leaves_no_trace()
{
    let (_broker, mut client) = broker_and_client().await;
    let mut request = produce_request("orders", 0, transactional(), -1);
    let plain = produce_request("orders", 1, batch(&[b"y"]), -1);
    request.topic_data[0]
        .partition_data
        .extend(plain.topic_data[0].partition_data.clone());
    let response = client.call_at(&request, 9).await;
    let codes: Vec<_> = response.responses[0]
        .partition_responses
        .iter()
        .map(|partition| partition.error_code)
        .collect();
    let refused = ResponseError::TransactionalIdAuthorizationFailed.code();
    assert_eq!(codes, [refused, refused]);
    for partition in [0, 1] {
        assert_eq!(
            client.list_offset("orders", partition, -1).await,
            (0, 0, -1)
        );
    }
}

#[tokio::test]
async fn a_transactional_id_does_not_stop_ordinary_batches() {
    let (_broker, mut client) = broker_and_client().await;
    let id = text("t").into();
    let request = produce_request("orders", 0, batch(&[b"x"]), -1).with_transactional_id(Some(id));
    let response = client.call_at(&request, 9).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

#[tokio::test]
async fn an_unknown_topic_is_noticed_before_a_wrong_acks() {
    let (_broker, mut client) = broker_and_client().await;
    for (topic, code) in [
        ("nowhere", ResponseError::UnknownTopicOrPartition),
        ("orders", ResponseError::InvalidRequiredAcks),
    ] {
        let response = client
            .call_at(&produce_request(topic, 0, batch(&[b"x"]), 2), 9)
            .await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, code.code(), "{topic}");
    }
}

#[tokio::test]
async fn a_producer_names_its_id_and_its_epoch_or_neither() {
    let (_broker, mut client) = broker_and_client().await;
    for (id, epoch, code) in [(-1, -1, 0), (5, 3, 0), (5, -1, 42), (-1, 3, 42)] {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(1_000)
            .with_producer_id(id.into())
            .with_producer_epoch(epoch);
        let response = client.call_at(&request, 4).await;
        assert_eq!(response.error_code, code, "{id} {epoch}");
    }
}

#[tokio::test]
async fn a_topic_that_a_deletion_names_twice_is_not_deleted() {
    let (_broker, mut client) = broker_and_client().await;
    let id = client.create_topic("kept", 1, &[]).await;
    let by_name = || DeleteTopicState::default().with_name(Some(topic_name("kept")));
    let by_id = || {
        DeleteTopicState::default()
            .with_name(None)
            .with_topic_id(id)
    };
    for (topics, message) in [
        (vec![by_name(), by_name()], "Duplicate topic name."),
        (vec![by_id(), by_id()], "Duplicate topic id."),
        (
            vec![by_id(), by_name()],
            "The provided topic name maps to an ID that was already supplied.",
        ),
        (
            vec![by_name().with_topic_id(id)],
            "You may not specify both topic name and topic id.",
        ),
    ] {
        let request = DeleteTopicsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(10_000);
        let response = client.call_at(&request, 6).await;
        assert_eq!(response.responses.len(), 1, "{message}");
        let answer = &response.responses[0];
        assert_eq!(
            (answer.error_code, answer.error_message.as_deref()),
            (42, Some(message))
        );
    }
    assert_eq!(client.list_offset("kept", 0, -1).await, (0, 0, -1));
}

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

#[tokio::test]
async fn a_topic_asked_for_a_thousand_times_is_answered_once() {
    let (_broker, mut client) = broker_and_client().await;
    let request = MetadataRequest::default().with_topics(Some(vec![named("orders"); 1_000]));
    let response = client.call_at(&request, 12).await;
    assert_eq!(response.topics.len(), 1);
    assert_eq!(response.topics[0].partitions.len(), 3);
}

#[tokio::test]
async fn topic_ids_in_metadata_before_version_12_refuse_the_whole_request() {
    let (_broker, mut client) = broker_and_client().await;
    let id = client.create_topic("ids", 1, &[]).await;
    let by_id = MetadataRequestTopic::default()
        .with_name(None)
        .with_topic_id(id);
    let request = MetadataRequest::default().with_topics(Some(vec![named("orders"), by_id]));
    for version in [10, 11] {
        let response = client.call_at(&request, version).await;
        let codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect();
        assert_eq!(codes, [42, 42], "v{version}");
        assert!(response.brokers.is_empty());
    }
    let response = client.call_at(&request, 12).await;
    assert!(response.topics.iter().all(|topic| topic.error_code == 0));
}

#[tokio::test]
async fn a_partition_named_twice_in_list_offsets_is_refused_once() {
    let (_broker, mut client) = broker_and_client().await;
    let asked = |index| {
        ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_current_leader_epoch(-1)
            .with_timestamp(-1)
    };
    let topic = ListOffsetsTopic::default()
        .with_name(topic_name("orders"))
        .with_partitions(vec![asked(0), asked(0), asked(1)]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic]);
    let response = client.call_at(&request, 7).await;
    let answers: Vec<_> = response.topics[0]
        .partitions
        .iter()
        .map(|partition| (partition.partition_index, partition.error_code))
        .collect();
    assert_eq!(answers, [(0, 42), (1, 0)]);
}

#[tokio::test]
async fn a_cursor_must_name_a_partition_of_one_of_the_topics_asked_for() {
    let (_broker, mut client) = broker_and_client().await;
    for (topic, partition, code) in [
        ("orders", 1, 0),
        ("orders", 9, 0),
        ("orders", -1, 42),
        ("other", 0, 42),
        ("", 0, 42),
    ] {
        let cursor = Cursor::default()
            .with_topic_name(topic_name(topic))
            .with_partition_index(partition);
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(vec![
                TopicRequest::default().with_name(topic_name("orders")),
            ])
            .with_response_partition_limit(10)
            .with_cursor(Some(cursor));
        let response = client.call_at(&request, 0).await;
        assert_eq!(response.topics[0].error_code, code, "{topic}-{partition}");
    }
}

#[tokio::test]
async fn a_fetch_error_tells_no_offsets() {
    let (_broker, mut client) = broker_and_client().await;
    client.produce("orders", 0, batch(&[b"a"])).await;
    let got = fetched(client.call_at(&fetch_request("orders", 0, 9, 0), 12).await);
    assert_eq!(
        (got.error_code, got.high_watermark, got.log_start_offset),
        (ResponseError::OffsetOutOfRange.code(), -1, -1)
    );
}

#[tokio::test]
async fn any_negative_leader_epoch_means_that_the_client_knows_none() {
    let (_broker, mut client) = broker_and_client().await;
    let mut request = fetch_request("orders", 0, 0, 0);
    request.topics[0].partitions[0].current_leader_epoch = -2;
    let got = fetched(client.call_at(&request, 12).await);
    assert_eq!(got.error_code, 0);
}

#[tokio::test]
async fn a_long_poll_is_answered_when_its_topic_is_deleted() {
    let (broker, mut client) = broker_and_client().await;
    let mut consumer = broker.client().await;
    let long_poll = tokio::spawn(async move {
        fetched(
            consumer
                .call_at(&fetch_request("orders", 0, 0, 120_000), 12)
                .await,
        )
    });
    // Whichever comes first, the fetch or the deletion, the fetch is answered at once.
    client.list_offset("orders", 0, -1).await;
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name("orders")])
        .with_timeout_ms(10_000);
    client.call_at(&request, 5).await;
    let got = tokio::time::timeout(Duration::from_secs(20), long_poll)
        .await
        .expect("not left waiting")
        .expect("answered");
    assert_eq!(
        got.error_code,
        ResponseError::UnknownTopicOrPartition.code()
    );
}

#[tokio::test]
async fn a_list_of_no_config_names_asks_for_all_and_docs_are_null_unless_wanted() {
    let (_broker, mut client) = broker_and_client().await;
    let resource = |names| {
        DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("orders"))
            .with_configuration_keys(names)
    };
    let request = |names| DescribeConfigsRequest::default().with_resources(vec![resource(names)]);
    let none = client.call_at(&request(Some(Vec::new())), 4).await;
    let null = client.call_at(&request(None), 4).await;
    assert!(!none.results[0].configs.is_empty());
    assert_eq!(none.results[0].configs, null.results[0].configs);
    let docs = none.results[0].configs.iter().map(|row| &row.documentation);
    assert!(docs.flatten().next().is_none());
}

#[tokio::test]
async fn of_several_faults_of_a_new_topic_its_name_comes_first() {
    let (_broker, mut client) = broker_and_client().await;
    let bad: &[(&str, &str)] = &[("no.such.key", "1")];
    for (name, partitions, configs, code) in [
        ("not a name", 0, bad, ResponseError::InvalidTopicException),
        (
            "__cluster_metadata",
            1,
            &[][..],
            ResponseError::InvalidRequest,
        ),
        ("huge", 10_001, &[][..], ResponseError::PolicyViolation),
    ] {
        let response = client.try_create_topic(name, partitions, configs).await;
        assert_eq!(response.topics[0].error_code, code.code(), "{name}");
    }
    let response = client.try_create_topic("fine", 1, &[]).await;
    assert_eq!(response.topics[0].error_message, None);
}

#[tokio::test]
async fn growing_a_topic_twice_in_one_request_is_refused_once() {
    let (_broker, mut client) = broker_and_client().await;
    let grow = |count| {
        CreatePartitionsTopic::default()
            .with_name(topic_name("orders"))
            .with_count(count)
            .with_assignments(None)
    };
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![grow(4), grow(5)])
        .with_timeout_ms(10_000);
    let response = client.call_at(&request, 3).await;
    let codes: Vec<_> = response
        .results
        .iter()
        .map(|result| result.error_code)
        .collect();
    assert_eq!(codes, [42]);
}

#[tokio::test]
async fn an_unfit_endpoint_type_is_explained_and_the_answer_says_brokers() {
    let (_broker, mut client) = broker_and_client().await;
    for (endpoint, code, message) in [
        (
            2,
            114,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        ),
        (9, 115, "Unsupported endpoint type 9"),
    ] {
        let request = DescribeClusterRequest::default().with_endpoint_type(endpoint);
        let response = client.call_at(&request, 1).await;
        assert_eq!(
            (
                response.error_code,
                response.error_message.as_deref(),
                response.endpoint_type
            ),
            (code, Some(message), 1)
        );
    }
}

#[tokio::test]
async fn share_groups_have_no_coordinator_before_version_6() {
    let (_broker, mut client) = broker_and_client().await;
    let request = FindCoordinatorRequest::default()
        .with_key_type(2)
        .with_coordinator_keys(vec![text("g")]);
    let response = client.call_at(&request, 5).await;
    assert_eq!(response.coordinators[0].error_code, 42);
}

#[tokio::test]
async fn an_unknown_topic_id_in_metadata_is_100_without_a_name() {
    let (_broker, mut client) = broker_and_client().await;
    let by_id = MetadataRequestTopic::default()
        .with_name(None)
        .with_topic_id(Uuid::from_u128(7));
    let request = MetadataRequest::default().with_topics(Some(vec![by_id]));
    let response = client.call_at(&request, 12).await;
    let topic = &response.topics[0];
    assert_eq!((topic.error_code, &topic.name), (100, &None));
}

#[tokio::test]
async fn large_requests_that_are_announced_and_never_come_do_not_keep_others_from_being_served() {
    let (broker, mut client) = broker_and_client().await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(broker.addr()).await.expect("accepted");
        let announced = (100_i32 << 20).to_be_bytes();
        stream.write_all(&announced).await.expect("written");
        silent.push(stream);
    }
    for _ in 0..20 {
        let served = client.list_offset("orders", 0, -1);
        let answer = tokio::time::timeout(Duration::from_secs(10), served).await;
        assert_eq!(answer.expect("served"), (0, 0, -1));
    }
}

#[tokio::test]
async fn a_client_names_the_cluster_and_the_node_it_expects_or_neither() {
    let (broker, mut client) = broker_and_client().await;
    let cluster = broker.broker().cluster_id();
    let node = broker.broker().node_id();
    for (cluster_id, node_id, code) in [
        (None, -1, 0),
        (Some(cluster.as_str()), node, 0),
        (Some(cluster.as_str()), node + 1, 129),
        (Some("another"), node, 129),
        (Some(cluster.as_str()), -1, 42),
        (None, node, 42),
    ] {
        let request = ApiVersionsRequest {
            client_software_name: text("test"),
            client_software_version: text("1"),
            cluster_id: cluster_id.map(text),
            node_id,
            ..ApiVersionsRequest::default()
        };
        let response = client.call_at(&request, 5).await;
        assert_eq!(response.error_code, code, "{cluster_id:?} {node_id}");
    }
}
