//! The guard's memory budget is for lies; what the largest honest clusters send has to fit.

use tidewater_wire::frame::PREFIX_LEN;
use tidewater_wire::header::RequestHead;
use tidewater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use tidewater_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use tidewater_wire::messages::metadata_request::MetadataRequestTopic;
use tidewater_wire::messages::metadata_response::{
    MetadataResponsePartition, MetadataResponseTopic,
};
use tidewater_wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use tidewater_wire::messages::{
    BrokerId, FetchRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse, TopicName,
};
use tidewater_wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use tidewater_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use tidewater_wire::{Request, StrBytes, codec, guard};

fn passes<R: Request>(request: &R, version: i16) {
    let frame = codec::encode_request(request, 1, "a client", version).expect("encodes");
    let mut body = frame.slice(PREFIX_LEN..);
    RequestHead::parse(&mut body).expect("our own header");
    codec::decode::<R>(version, body)
        .unwrap_or_else(|error| panic!("key {} v{version}: {error}", R::KEY));
}

fn topic(number: i32) -> TopicName {
    TopicName(StrBytes::from_string(format!("t{number}")))
}

#[test]
fn ten_thousand_topics_with_the_shortest_names_are_asked_for_by_name() {
    let topics =
        (0..10_000).map(|number| MetadataRequestTopic::default().with_name(Some(topic(number))));
    let request = MetadataRequest::default().with_topics(Some(topics.collect()));
    for version in 1..=13 {
        passes(&request, version);
    }
}

#[test]
fn a_hundred_thousand_partitions_are_fetched_by_one_request() {
    let partitions = |count: i32| {
        (0..count)
            .map(|index| FetchPartition::default().with_partition(index))
            .collect()
    };
    let topics = |each: i32| {
        let topics = (0..100).map(|_| FetchTopic::default().with_partitions(partitions(each)));
        FetchRequest::default().with_topics(topics.collect())
    };
    for version in 5..=18 {
        passes(&topics(1000), version);
    }
    // 16 bytes a partition become a struct of 88: at version 4, from before fetch sessions, it is 40,000.
    passes(&topics(400), 4);
}

#[test]
fn a_hundred_thousand_offsets_are_listed_and_forty_thousand_committed() {
    let partitions =
        (0..1000).map(|index| ListOffsetsPartition::default().with_partition_index(index));
    let partitions: Vec<_> = partitions.collect();
    let topics = (0..100).map(|number| {
        ListOffsetsTopic::default()
            .with_name(topic(number))
            .with_partitions(partitions.clone())
    });
    let request = ListOffsetsRequest::default().with_topics(topics.collect());
    for version in 1..=11 {
        passes(&request, version);
    }
    let partitions =
        (0..400).map(|index| OffsetCommitRequestPartition::default().with_partition_index(index));
    let partitions: Vec<_> = partitions.collect();
    let topics = (0..100).map(|number| OffsetCommitRequestTopic {
        name: topic(number),
        partitions: partitions.clone(),
        ..OffsetCommitRequestTopic::default()
    });
    let request = OffsetCommitRequest {
        topics: topics.collect(),
        ..OffsetCommitRequest::default()
    };
    for version in 2..=10 {
        passes(&request, version);
    }
}

#[test]
fn ten_thousand_topics_of_one_partition_are_committed_and_fetched() {
    let topics = (0..10_000).map(|number| OffsetCommitRequestTopic {
        name: topic(number),
        partitions: vec![OffsetCommitRequestPartition::default()],
        ..OffsetCommitRequestTopic::default()
    });
    let commit = OffsetCommitRequest {
        topics: topics.collect(),
        ..OffsetCommitRequest::default()
    };
    for version in 2..=10 {
        passes(&commit, version);
    }
    let topics = (0..10_000).map(|number| OffsetFetchRequestTopics {
        name: topic(number),
        partition_indexes: vec![0],
        ..OffsetFetchRequestTopics::default()
    });
    let group = OffsetFetchRequestGroup {
        topics: Some(topics.collect()),
        ..OffsetFetchRequestGroup::default()
    };
    let fetch = OffsetFetchRequest {
        groups: vec![group],
        ..OffsetFetchRequest::default()
    };
    for version in 8..=10 {
        passes(&fetch, version);
    }
}

#[test]
fn the_metadata_of_two_hundred_thousand_partitions_is_read() {
    let brokers = vec![BrokerId(1), BrokerId(2), BrokerId(3)];
    let partitions = (0..200).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_replica_nodes(brokers.clone())
            .with_isr_nodes(brokers.clone())
    });
    let partitions: Vec<_> = partitions.collect();
    let topics = (0..1000).map(|number| {
        MetadataResponseTopic::default()
            .with_name(Some(topic(number)))
            .with_partitions(partitions.clone())
    });
    let answer = MetadataResponse::default().with_topics(topics.collect());
    for version in [1, 9, 13] {
        let frame = codec::encode_response(&answer, 1, 3, version)
            .expect("encodes")
            .slice(PREFIX_LEN..);
        codec::decode_response::<MetadataRequest>(version, frame).expect("decodes");
    }
}

#[test]
fn the_promise_is_four_times_the_request_and_a_mebibyte() {
    assert_eq!(guard::budget(0), 1 << 20);
    assert_eq!(guard::budget(1000), 4000 + (1 << 20));
    assert_eq!(guard::budget(usize::MAX), usize::MAX);
}
