//! Who leads, where partitions are, who writes to them.

use tidewater_tests::topic_name;
use wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use wire::messages::describe_producers_request::TopicRequest;
use wire::messages::elect_leaders_request::TopicPartitions;
use wire::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, DescribeProducersRequest, ElectLeadersRequest,
    ListPartitionReassignmentsRequest,
};

use super::{Asker, THERE_AND_NOT};

pub(super) async fn placement(asker: &mut Asker) {
    for name in THERE_AND_NOT {
        let elect = |_| {
            let topic = TopicPartitions::default()
                .with_topic(topic_name(name))
                .with_partitions(vec![0]);
            ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic]))
        };
        asker
            .every(0, elect, |version, answer| {
                let code = answer.replica_election_results[0].partition_result[0].error_code;
                let expected = if name == "orders" { 84 } else { 3 };
                assert_eq!(code, expected, "ElectLeaders v{version}");
            })
            .await;
        let reassign = |_| {
            let partition =
                ReassignablePartition::default().with_replicas(Some(vec![BrokerId(99)]));
            let topic = ReassignableTopic::default()
                .with_name(topic_name(name))
                .with_partitions(vec![partition]);
            AlterPartitionReassignmentsRequest::default().with_topics(vec![topic])
        };
        asker
            .every(0, reassign, |version, answer| {
                let code = answer.responses[0].partitions[0].error_code;
                let expected = if name == "orders" { 39 } else { 3 };
                assert_eq!(code, expected, "AlterPartitionReassignments v{version}");
            })
            .await;
        let producers = |_| {
            let topic = TopicRequest::default()
                .with_name(topic_name(name))
                .with_partition_indexes(vec![0]);
            DescribeProducersRequest::default().with_topics(vec![topic])
        };
        asker
            .every(0, producers, |version, answer| {
                let code = answer.topics[0].partitions[0].error_code;
                assert_eq!(code == 0, name == "orders", "DescribeProducers v{version}");
            })
            .await;
    }
    let moving = |_| ListPartitionReassignmentsRequest::default().with_topics(None);
    asker
        .every(0, moving, |_, answer| assert!(answer.topics.is_empty()))
        .await;
}
