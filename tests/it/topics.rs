//! Topics come, change and go.

use tidewater_tests::{TestBroker, batch, topic_name};
use wire::ResponseError;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::describe_topic_partitions_request::TopicRequest;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{
    CreatePartitionsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeLogDirsRequest, DescribeTopicPartitionsRequest, MetadataRequest, MetadataResponse,
};

fn ask_for(names: &[&str], create: bool) -> MetadataRequest {
    let topics = names
        .iter()
        .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))));
    MetadataRequest::default()
        .with_topics(Some(topics.collect()))
        .with_allow_auto_topic_creation(create)
}

fn code_of(response: &MetadataResponse) -> i16 {
    response.topics[0].error_code
}

#[tokio::test]
async fn a_new_topic_is_served_the_moment_its_creation_is_answered() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for i in 0..20 {
        let name = format!("t{i}");
        client.create_topic(&name, 5, &[]).await;
        for partition in 0..5 {
            assert_eq!(client.list_offset(&name, partition, -1).await, (0, 0, -1));
        }
    }
}

#[tokio::test]
async fn metadata_lists_all_topics_some_or_none() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("b", 2, &[]).await;
    client.create_topic("a", 1, &[]).await;
    let all = client
        .call(&MetadataRequest::default().with_topics(None))
        .await;
    let names: Vec<_> = all
        .topics
        .iter()
        .filter_map(|topic| Some(topic.name.as_ref()?.to_string()))
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(all.topics[1].partitions.len(), 2);
    assert_eq!(all.brokers.len(), 1);
    assert_eq!(all.brokers[0].port, i32::from(broker.addr().port()));
    let none = client
        .call(&MetadataRequest::default().with_topics(Some(Vec::new())))
        .await;
    assert!(none.topics.is_empty());
    let old_all = client
        .call_at(&MetadataRequest::default().with_topics(Some(Vec::new())), 0)
        .await;
    assert_eq!(
        old_all.topics.len(),
        2,
        "an empty list of version 0 asks for all"
    );
}

#[tokio::test]
async fn a_topic_is_created_by_asking_for_it_only_where_both_sides_allow_it() {
    let broker = TestBroker::start_with(&[("num.partitions", "3")]).await;
    let mut client = broker.client().await;
    let refused = client.call(&ask_for(&["made"], false)).await;
    assert_eq!(
        code_of(&refused),
        ResponseError::UnknownTopicOrPartition.code()
    );
    let made = client.call(&ask_for(&["made"], true)).await;
    assert_eq!((code_of(&made), made.topics[0].partitions.len()), (0, 3));
    assert_eq!(client.produce("made", 2, batch(&[b"x"])).await, 0);
    let bad = client.call(&ask_for(&["not a name"], true)).await;
    assert_eq!(code_of(&bad), ResponseError::InvalidTopicException.code());

    let strict = TestBroker::start_with(&[("auto.create.topics.enable", "false")]).await;
    let mut client = strict.client().await;
    let refused = client.call(&ask_for(&["made"], true)).await;
    assert_eq!(
        code_of(&refused),
        ResponseError::UnknownTopicOrPartition.code()
    );
}

/// Name, partitions, configs, and the error they get.
type Case<'a> = (&'a str, i32, &'a [(&'a str, &'a str)], ResponseError);

#[tokio::test]
async fn what_cannot_be_created_says_why() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("there.is", 1, &[]).await;
    let cases: [Case<'_>; 7] = [
        ("there.is", 1, &[], ResponseError::TopicAlreadyExists),
        ("there_is", 1, &[], ResponseError::InvalidTopicException),
        ("no such name", 1, &[], ResponseError::InvalidTopicException),
        ("..", 1, &[], ResponseError::InvalidTopicException),
        ("none", 0, &[], ResponseError::InvalidPartitions),
        (
            "odd",
            1,
            &[("no.such.key", "1")],
            ResponseError::InvalidConfig,
        ),
        (
            "odd",
            1,
            &[("retention.ms", "soon")],
            ResponseError::InvalidConfig,
        ),
    ];
    for (name, partitions, configs, code) in cases {
        let response = client.try_create_topic(name, partitions, configs).await;
        let topic = &response.topics[0];
        assert_eq!(
            topic.error_code,
            code.code(),
            "{name}: {:?}",
            topic.error_message
        );
        assert!(
            topic
                .error_message
                .as_ref()
                .is_some_and(|message| !message.is_empty()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_topic_grows_and_never_shrinks() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 2, &[]).await;
    let grow = |count| {
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name("orders"))
            .with_count(count);
        CreatePartitionsRequest::default()
            .with_topics(vec![topic.with_assignments(None)])
            .with_timeout_ms(10_000)
    };
    assert_eq!(client.call(&grow(4)).await.results[0].error_code, 0);
    assert_eq!(client.produce("orders", 3, batch(&[b"x"])).await, 0);
    for count in [4, 1, 0] {
        let refused = client.call(&grow(count)).await;
        assert_eq!(
            refused.results[0].error_code,
            ResponseError::InvalidPartitions.code()
        );
    }
}

#[tokio::test]
async fn a_deleted_topic_is_gone_and_its_name_starts_afresh() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let first = client.create_topic("orders", 1, &[]).await;
    client.produce("orders", 0, batch(&[b"old"])).await;
    let by_name = DeleteTopicState::default().with_name(Some(topic_name("orders")));
    let deleted = client
        .call(&DeleteTopicsRequest::default().with_topics(vec![by_name.clone()]))
        .await;
    assert_eq!(
        (
            deleted.responses[0].error_code,
            deleted.responses[0].topic_id
        ),
        (0, first)
    );
    let again = client
        .call(&DeleteTopicsRequest::default().with_topics(vec![by_name]))
        .await;
    assert_eq!(
        again.responses[0].error_code,
        ResponseError::UnknownTopicOrPartition.code()
    );
    assert_eq!(
        code_of(&client.call(&ask_for(&["orders"], false)).await),
        ResponseError::UnknownTopicOrPartition.code()
    );

    let second = client.create_topic("orders", 1, &[]).await;
    assert_ne!(first, second);
    assert_eq!(client.list_offset("orders", 0, -1).await, (0, 0, -1));
    let by_id = DeleteTopicState::default()
        .with_name(None)
        .with_topic_id(second);
    assert_eq!(
        client
            .call(&DeleteTopicsRequest::default().with_topics(vec![by_id]))
            .await
            .responses[0]
            .error_code,
        0
    );
}

#[tokio::test]
async fn deleted_records_are_gone_and_the_log_starts_above_them() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 1, &[]).await;
    for _ in 0..5 {
        client.produce("orders", 0, batch(&[b"x"])).await;
    }
    let delete = |offset| {
        let partition = DeleteRecordsPartition::default()
            .with_partition_index(0)
            .with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(topic_name("orders"))
            .with_partitions(vec![partition]);
        DeleteRecordsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000)
    };
    let answer = client.call(&delete(3)).await;
    assert_eq!(
        (
            answer.topics[0].partitions[0].error_code,
            answer.topics[0].partitions[0].low_watermark
        ),
        (0, 3)
    );
    assert_eq!(client.list_offset("orders", 0, -2).await.1, 3);
    assert_eq!(
        client.fetch("orders", 0, 2).await.error_code,
        ResponseError::OffsetOutOfRange.code()
    );
    let beyond = client.call(&delete(6)).await;
    assert_eq!(
        beyond.topics[0].partitions[0].error_code,
        ResponseError::OffsetOutOfRange.code()
    );
    let all = client.call(&delete(-1)).await;
    assert_eq!(all.topics[0].partitions[0].low_watermark, 5);
}

#[tokio::test]
async fn the_cluster_and_its_disks_describe_themselves() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("orders", 2, &[]).await;
    client.produce("orders", 0, batch(&[&[b'x'; 1_000]])).await;
    let cluster = client
        .call(&DescribeClusterRequest::default().with_endpoint_type(1))
        .await;
    assert_eq!((cluster.error_code, cluster.brokers.len()), (0, 1));
    assert_eq!(cluster.cluster_id.as_str(), broker.broker().cluster_id());
    let wrong = client
        .call(&DescribeClusterRequest::default().with_endpoint_type(2))
        .await;
    assert_eq!(
        wrong.error_code,
        ResponseError::MismatchedEndpointType.code()
    );
    let dirs = client
        .call(&DescribeLogDirsRequest::default().with_topics(None))
        .await;
    let dir = &dirs.results[0];
    assert!(dir.total_bytes > 0 && dir.usable_bytes > 0);
    let size: i64 = dir.topics[0]
        .partitions
        .iter()
        .map(|partition| partition.partition_size)
        .sum();
    assert!(size > 1_000);
}

#[tokio::test]
async fn topics_are_described_page_by_page() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for name in ["a", "b", "c"] {
        client.create_topic(name, 3, &[]).await;
    }
    let mut request = DescribeTopicPartitionsRequest::default()
        .with_response_partition_limit(4)
        .with_cursor(None);
    let mut seen = Vec::new();
    loop {
        let page = client.call(&request).await;
        for topic in &page.topics {
            let name = topic.name.as_ref().expect("named").to_string();
            seen.extend(
                topic
                    .partitions
                    .iter()
                    .map(|partition| (name.clone(), partition.partition_index)),
            );
        }
        let Some(cursor) = page.next_cursor else {
            break;
        };
        let cursor = wire::messages::describe_topic_partitions_request::Cursor::default()
            .with_topic_name(cursor.topic_name)
            .with_partition_index(cursor.partition_index);
        request = request.with_cursor(Some(cursor));
    }
    let expected: Vec<_> = ["a", "b", "c"]
        .iter()
        .flat_map(|name| (0..3).map(|i| ((*name).to_owned(), i)))
        .collect();
    assert_eq!(seen, expected);
    let unknown = TopicRequest::default().with_name(topic_name("nowhere"));
    let answer = client
        .call(
            &DescribeTopicPartitionsRequest::default()
                .with_topics(vec![unknown])
                .with_response_partition_limit(10)
                .with_cursor(None),
        )
        .await;
    assert_eq!(
        answer.topics[0].error_code,
        ResponseError::UnknownTopicOrPartition.code()
    );
}
