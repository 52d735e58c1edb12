//! The messages we write by hand because the decoder is behind Kafka, held against the bytes that kafka-clients 4.4.0
//! writes for the same values.

use std::fmt::Debug;

use tidewater_wire::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use tidewater_wire::frame::PREFIX_LEN;
use tidewater_wire::header::RequestHead;
use tidewater_wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use tidewater_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use tidewater_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use tidewater_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use tidewater_wire::messages::{GroupId, OffsetCommitResponse, OffsetFetchResponse, TopicName};
use tidewater_wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use tidewater_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use tidewater_wire::{Bytes, Request, StrBytes, codec, guard};
use uuid::Uuid;

const TOPIC_ID: Uuid = Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);

fn text(value: &'static str) -> StrBytes {
    StrBytes::from_static_str(value)
}

fn group(name: &'static str) -> GroupId {
    GroupId(text(name))
}

fn topic(name: &'static str) -> TopicName {
    TopicName(text(name))
}

fn bytes(hex: &str) -> Bytes {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16);
    digits.map(|pair| byte(pair).expect("a byte")).collect()
}

/// `request` is written as `hex`, and `hex` is read as `request`; one byte less is refused.
fn is_request<R: Request + PartialEq + Debug>(version: i16, request: &R, hex: &str) {
    let frame = codec::encode_request(request, 1, "c", version).expect("encodes");
    let mut body = frame.slice(PREFIX_LEN..);
    RequestHead::parse(&mut body).expect("our own header");
    let expected = bytes(hex);
    assert_eq!(body, expected, "v{version}");
    assert_eq!(
        codec::decode::<R>(version, expected.clone()).as_ref(),
        Ok(request)
    );
    let short = expected.slice(..expected.len() - 1);
    assert!(guard::check(R::KEY, version, &short).is_err());
    assert!(codec::decode::<R>(version, short).is_err());
}

/// The same for the answer to an `R`.
fn is_response<R: Request<Response: PartialEq + Debug>>(
    version: i16,
    response: &R::Response,
    hex: &str,
) {
    let frame = codec::encode_response(response, 1, R::KEY, version).expect("encodes");
    let frame = frame.slice(PREFIX_LEN..);
    assert!(frame.ends_with(&bytes(hex)), "v{version}: {frame:02x?}");
    let header = if guard::is_flexible(R::KEY, version) == Some(true) {
        5
    } else {
        4
    };
    assert_eq!(frame.len(), header + bytes(hex).len());
    assert_eq!(
        codec::decode_response::<R>(version, frame.clone()).as_ref(),
        Ok(response)
    );
    let short = frame.slice(..frame.len() - 1);
    assert!(codec::decode_response::<R>(version, short).is_err());
}

/// What the given version can say about two partitions, in the version's own terms.
fn commit(version: i16) -> OffsetCommitRequest {
    let by_id = version >= 10;
    let with_offset = OffsetCommitRequestPartition::default()
        .with_partition_index(3)
        .with_committed_offset(258)
        .with_committed_leader_epoch(if version >= 6 { 7 } else { -1 })
        .with_committed_metadata(Some(text("m")));
    let without = OffsetCommitRequestPartition::default()
        .with_partition_index(4)
        .with_committed_offset(-1)
        .with_committed_metadata(None);
    OffsetCommitRequest {
        group_id: group("group"),
        generation_id_or_member_epoch: 5,
        member_id: text("mem"),
        retention_time_ms: if version <= 4 { 60_000 } else { -1 },
        topics: vec![OffsetCommitRequestTopic {
            name: if by_id { topic("") } else { topic("orders") },
            topic_id: if by_id { TOPIC_ID } else { Uuid::nil() },
            partitions: vec![with_offset, without],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

#[test]
fn offset_commit_is_written_as_kafka_writes_it() {
    let rigid = "000567726f75700000000500036d656d";
    let flexible = "0667726f757000000005046d656d0002";
    let named = "0000000100066f726465727300000002";
    let plain = "00000003000000000000010200016d00000004ffffffffffffffffffff";
    let epochs = "0000000300000000000001020000000700016d00000004ffffffffffffffffffffffffffff";
    let compact =
        "0300000003000000000000010200000007026d0000000004ffffffffffffffffffffffff00000000";
    for version in 2..=4 {
        let retention = "000000000000ea60";
        let hex = [rigid, retention, named, plain].concat();
        is_request(version, &commit(version), &hex);
    }
    is_request(5, &commit(5), &[rigid, named, plain].concat());
    is_request(6, &commit(6), &[rigid, named, epochs].concat());
    is_request(7, &commit(7), &[rigid, "ffff", named, epochs].concat());
    for version in 8..=9 {
        let hex = [flexible, "076f7264657273", compact].concat();
        is_request(version, &commit(version), &hex);
    }
    let topic_id = "000102030405060708090a0b0c0d0e0f";
    is_request(10, &commit(10), &[flexible, topic_id, compact].concat());
    let static_member = OffsetCommitRequest {
        group_instance_id: Some(text("i")),
        ..commit(10)
    };
    let flexible = "0667726f757000000005046d656d026902";
    is_request(10, &static_member, &[flexible, topic_id, compact].concat());
}

#[test]
fn the_answer_to_offset_commit_10_names_topics_by_id() {
    let partition = OffsetCommitResponsePartition::default()
        .with_partition_index(3)
        .with_error_code(100);
    let topic = OffsetCommitResponseTopic::default()
        .with_topic_id(TOPIC_ID)
        .with_partitions(vec![partition]);
    let response = OffsetCommitResponse::default()
        .with_throttle_time_ms(1)
        .with_topics(vec![topic]);
    is_response::<OffsetCommitRequest>(
        10,
        &response,
        "0000000102000102030405060708090a0b0c0d0e0f02000000030064000000",
    );
}

fn fetch_one(version: i16) -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(topic("orders"))
        .with_partition_indexes(vec![3, 4]);
    OffsetFetchRequest {
        group_id: group("group"),
        topics: Some(vec![topic]),
        require_stable: version >= 7,
        ..OffsetFetchRequest::default()
    }
}

fn fetch_groups(version: i16) -> OffsetFetchRequest {
    let by_id = version >= 10;
    let some = OffsetFetchRequestGroup {
        group_id: group("group"),
        member_id: (version >= 9).then(|| text("mem")),
        member_epoch: if version >= 9 { 5 } else { -1 },
        topics: Some(vec![OffsetFetchRequestTopics {
            name: if by_id { topic("") } else { topic("orders") },
            topic_id: if by_id { TOPIC_ID } else { Uuid::nil() },
            partition_indexes: vec![3, 4],
            ..OffsetFetchRequestTopics::default()
        }]),
        ..OffsetFetchRequestGroup::default()
    };
    let all = OffsetFetchRequestGroup {
        group_id: group("all"),
        topics: None,
        ..OffsetFetchRequestGroup::default()
    };
    OffsetFetchRequest {
        groups: vec![some, all],
        require_stable: true,
        ..OffsetFetchRequest::default()
    }
}

#[test]
fn offset_fetch_is_written_as_kafka_writes_it() {
    for version in 1..=5 {
        let hex = "000567726f75700000000100066f7264657273000000020000000300000004";
        is_request(version, &fetch_one(version), hex);
    }
    let compact = "0667726f757002076f726465727303000000030000000400";
    is_request(6, &fetch_one(6), &[compact, "00"].concat());
    is_request(7, &fetch_one(7), &[compact, "0100"].concat());
    is_request(
        8,
        &fetch_groups(8),
        "030667726f757002076f7264657273030000000300000004000004616c6c00000100",
    );
    is_request(
        9,
        &fetch_groups(9),
        "030667726f7570046d656d0000000502076f7264657273030000000300000004000004616c6c00ffffffff00000100",
    );
    is_request(
        10,
        &fetch_groups(10),
        "030667726f7570046d656d0000000502000102030405060708090a0b0c0d0e0f030000000300000004000004616c6c00ffffffff00000100",
    );
}

#[test]
fn null_topics_ask_for_all_of_a_group_from_version_2_on() {
    let all = OffsetFetchRequest {
        group_id: group("group"),
        topics: None,
        ..OffsetFetchRequest::default()
    };
    assert!(codec::encode_request(&all, 1, "c", 1).is_err());
    is_request(2, &all, "000567726f7570ffffffff");
    is_request(6, &all, "0667726f75700000");
}

#[test]
fn the_answer_to_offset_fetch_10_names_topics_by_id() {
    let partition = OffsetFetchResponsePartitions::default()
        .with_partition_index(3)
        .with_committed_offset(258)
        .with_committed_leader_epoch(7)
        .with_metadata(Some(text("m")));
    let topic = OffsetFetchResponseTopics::default()
        .with_topic_id(TOPIC_ID)
        .with_partitions(vec![partition]);
    let group = OffsetFetchResponseGroup::default()
        .with_group_id(group("group"))
        .with_topics(vec![topic]);
    let response = OffsetFetchResponse::default()
        .with_throttle_time_ms(1)
        .with_groups(vec![group]);
    is_response::<OffsetFetchRequest>(
        10,
        &response,
        "00000001020667726f757002000102030405060708090a0b0c0d0e0f0200000003000000000000010200000007026d0000000000000000",
    );
}

#[test]
fn delete_groups_is_written_as_kafka_writes_it() {
    let request = DeleteGroupsRequest {
        groups_names: vec![group("a"), group("bc")],
        ..DeleteGroupsRequest::default()
    };
    for (version, hex) in [
        (0, "0000000200016100026263"),
        (1, "0000000200016100026263"),
        (2, "03026103626300"),
        (3, "03026103626300"),
    ] {
        is_request(version, &request, hex);
    }
    for (version, hex) in [
        (0, "00000001000000020001610000000262630044"),
        (1, "00000001000000020001610000000262630044"),
        (2, "0000000103026100000003626300440000"),
        (3, "0000000103026100000000036263004405627573790000"),
    ] {
        let message = (version >= 3).then(|| text("busy"));
        is_response::<DeleteGroupsRequest>(version, &deleted_and_busy(message), hex);
    }
}

fn deleted_and_busy(error_message: Option<StrBytes>) -> DeleteGroupsResponse {
    let result = |name, error_code| DeletableGroupResult {
        group_id: group(name),
        error_code,
        ..DeletableGroupResult::default()
    };
    let busy = DeletableGroupResult {
        error_message,
        ..result("bc", 68)
    };
    DeleteGroupsResponse {
        throttle_time_ms: 1,
        results: vec![result("a", 0), busy],
        ..DeleteGroupsResponse::default()
    }
}

#[test]
fn what_kafka_calls_ignorable_is_dropped_by_a_version_without_it() {
    let with_message = deleted_and_busy(Some(text("busy")));
    let [with, without] = [with_message, deleted_and_busy(None)]
        .map(|response| codec::encode_response(&response, 1, 42, 2).unwrap());
    assert_eq!(with, without);
    let mut both_names = commit(10);
    both_names.topics[0].name = topic("orders");
    both_names.retention_time_ms = 60_000;
    for version in [9, 10] {
        let [written, expected] = [&both_names, &commit(version)]
            .map(|request| codec::encode_request(request, 1, "c", version).unwrap());
        assert_eq!(written, expected);
    }
    let [written, expected] = [fetch_groups(9), fetch_groups(8)]
        .map(|request| codec::encode_request(&request, 1, "c", 8).unwrap());
    assert_eq!(written, expected);
}

#[test]
fn what_kafka_refuses_to_drop_is_refused() {
    let static_member = OffsetCommitRequest {
        group_instance_id: Some(text("i")),
        ..commit(6)
    };
    assert!(codec::encode_request(&static_member, 1, "c", 6).is_err());
    assert!(codec::encode_request(&fetch_one(7), 1, "c", 6).is_err());
    assert!(codec::encode_request(&fetch_one(7), 1, "c", 8).is_err());
    assert!(codec::encode_request(&fetch_groups(8), 1, "c", 7).is_err());
}

#[test]
fn versions_kafka_does_not_have_are_refused_on_both_ways() {
    for version in [1, 11] {
        assert!(codec::encode_request(&OffsetCommitRequest::default(), 1, "c", version).is_err());
        assert!(codec::decode::<OffsetCommitRequest>(version, Bytes::new()).is_err());
    }
    for version in [0, 11] {
        assert!(codec::encode_request(&OffsetFetchRequest::default(), 1, "c", version).is_err());
        assert!(codec::decode::<OffsetFetchRequest>(version, Bytes::new()).is_err());
    }
    let refused = codec::encode_response(&DeleteGroupsResponse::default(), 1, 42, 4);
    assert!(refused.is_err());
    assert!(codec::encode_request(&DeleteGroupsRequest::default(), 1, "c", 4).is_err());
}
