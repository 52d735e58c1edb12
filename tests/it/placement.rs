//! Who leads, where partitions are and who writes to them, as the admin calls tell it.

use tidewater_tests::{Client, TestBroker, sequenced, topic_name};
use wire::ResponseError;
use wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use wire::messages::describe_producers_request::TopicRequest;
use wire::messages::elect_leaders_request::TopicPartitions;
use wire::messages::elect_leaders_response::PartitionResult;
use wire::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, DescribeClusterRequest, DescribeProducersRequest,
    ElectLeadersRequest, ListPartitionReassignmentsRequest,
};

async fn elect(client: &mut Client, election_type: i8, partition: i32) -> PartitionResult {
    let asked = TopicPartitions::default()
        .with_topic(topic_name("t"))
        .with_partitions(vec![partition]);
    let request = ElectLeadersRequest::default()
        .with_election_type(election_type)
        .with_topic_partitions(Some(vec![asked]));
    let mut response = client.call(&request).await;
    response.replica_election_results[0]
        .partition_result
        .remove(0)
}

#[tokio::test]
async fn a_leader_that_is_the_preferred_one_already_needs_no_election() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 2, &[]).await;
    for election_type in [0, 1] {
        let result = elect(&mut client, election_type, 1).await;
        assert_eq!(
            result.error_code,
            ResponseError::ElectionNotNeeded.code(),
            "{result:?}"
        );
        let result = elect(&mut client, election_type, 2).await;
        assert_eq!(
            result.error_code,
            ResponseError::UnknownTopicOrPartition.code()
        );
    }
    let result = elect(&mut client, 2, 0).await;
    assert_eq!(result.error_code, ResponseError::InvalidRequest.code());
}

#[tokio::test]
async fn electing_all_leaders_names_only_partitions_that_have_not_theirs() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 2, &[]).await;
    let request = ElectLeadersRequest::default().with_topic_partitions(None);
    let response = client.call(&request).await;
    assert_eq!(response.error_code, 0);
    assert_eq!(response.replica_election_results.len(), 1);
    assert!(
        response.replica_election_results[0]
            .partition_result
            .is_empty()
    );
}

async fn reassign(client: &mut Client, partition: i32, replicas: Option<&[i32]>) -> i16 {
    let replicas = replicas.map(|ids| ids.iter().copied().map(BrokerId).collect());
    let partition = ReassignablePartition::default()
        .with_partition_index(partition)
        .with_replicas(replicas);
    let topic = ReassignableTopic::default()
        .with_name(topic_name("t"))
        .with_partitions(vec![partition]);
    let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
    let response = client.call(&request).await;
    assert_eq!(response.error_code, 0);
    response.responses[0].partitions[0].error_code
}

#[tokio::test]
async fn a_partition_stays_on_the_only_broker_there_is() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let cluster = client.call(&DescribeClusterRequest::default()).await;
    let node = cluster.brokers[0].broker_id.0;
    let refused = ResponseError::InvalidReplicaAssignment.code();
    assert_eq!(reassign(&mut client, 0, Some(&[node])).await, 0);
    assert_eq!(reassign(&mut client, 0, Some(&[node + 1])).await, refused);
    assert_eq!(reassign(&mut client, 0, Some(&[node, node])).await, refused);
    assert_eq!(reassign(&mut client, 0, Some(&[])).await, refused);
    assert_eq!(
        reassign(&mut client, 0, None).await,
        ResponseError::NoReassignmentInProgress.code()
    );
    assert_eq!(
        reassign(&mut client, 1, Some(&[node])).await,
        ResponseError::UnknownTopicOrPartition.code()
    );
    let request = ListPartitionReassignmentsRequest::default().with_topics(None);
    let moving = client.call(&request).await;
    assert_eq!((moving.error_code, moving.topics.len()), (0, 0));
}

#[tokio::test]
async fn the_producers_of_a_partition_are_told_with_their_last_sequences() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 2, &[]).await;
    let producer = client.init_producer().await;
    let records = sequenced(&[b"a", b"b", b"c"], producer, 0);
    assert_eq!(client.produce("t", 1, records).await, 0);
    let topic = TopicRequest::default()
        .with_name(topic_name("t"))
        .with_partition_indexes(vec![0, 1, 2]);
    let request = DescribeProducersRequest::default().with_topics(vec![topic]);
    let response = client.call(&request).await;
    let [none, one, unknown] = &response.topics[0].partitions[..] else {
        panic!("three partitions were asked for: {response:?}");
    };
    assert_eq!((none.error_code, none.active_producers.len()), (0, 0));
    let told = &one.active_producers[0];
    assert_eq!(told.producer_id.0, producer.id);
    assert_eq!(told.producer_epoch, i32::from(producer.epoch));
    assert_eq!(told.last_sequence, 2);
    assert_eq!(
        (told.coordinator_epoch, told.current_txn_start_offset),
        (-1, -1)
    );
    assert_eq!(
        unknown.error_code,
        ResponseError::UnknownTopicOrPartition.code()
    );
}
