//! The guard and the decoder, held against each other.
//!
//! Every message in the guard's tables is generated at every version with the decoder's own encoder, and read
//! back through the public door: frame length, header, guard, decoder.

mod random;
mod requests;
mod responses;

use std::fmt::Debug;
use std::ops::RangeInclusive;

use kafka_protocol::protocol::Message;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use random::{Entropy, Random};
use tidewater_wire::api_versions::ApiVersionsRequest;
use tidewater_wire::delete_groups::DeleteGroupsRequest;
use tidewater_wire::frame::{PREFIX_LEN, frame_len};
use tidewater_wire::header::{RequestHead, response_header_version};
use tidewater_wire::messages::*;
use tidewater_wire::offset_commit::OffsetCommitRequest;
use tidewater_wire::offset_fetch::OffsetFetchRequest;
use tidewater_wire::{Bytes, Malformed, Request, codec, guard};

/// One direction of one API, with its type forgotten.
struct Direction {
    name: &'static str,
    key: i16,
    versions: RangeInclusive<i16>,
    /// The versions the decoder has by itself.
    decoder: RangeInclusive<i16>,
    check: fn(i16, i16, &[u8]) -> Result<(), Malformed>,
    /// Writes a random message and reads it back; returns its body.
    round_trip: fn(i16, &[u8]) -> Result<Vec<u8>, TestCaseError>,
    /// What the guard passes, the decoder must read to the end, within the memory the guard promised.
    decode_passed: fn(i16, &[u8]) -> Result<(), TestCaseError>,
}

fn request<R: Request + Random + PartialEq + Debug>(name: &'static str) -> Direction {
    Direction {
        name,
        key: R::KEY,
        versions: guard::versions(R::KEY).expect("every request here is in the tables"),
        decoder: R::VERSIONS.min..=R::VERSIONS.max,
        check: guard::check,
        round_trip: request_round_trip::<R>,
        decode_passed: decode_passed_request::<R>,
    }
}

fn response<R: Request<Response: Random + PartialEq + Debug>>(name: &'static str) -> Direction {
    let decoder = <R::Response as Message>::VERSIONS;
    let answered =
        |version: &i16| guard::check_response(R::KEY, *version, &[]) != unknown(R::KEY, *version);
    let newest = (decoder.min..=i16::MAX)
        .take_while(answered)
        .last()
        .expect("a row for every answer");
    Direction {
        name,
        key: R::KEY,
        versions: decoder.min..=newest,
        decoder: decoder.min..=decoder.max,
        check: guard::check_response,
        round_trip: response_round_trip::<R>,
        decode_passed: decode_passed_response::<R>,
    }
}

fn unknown(api_key: i16, version: i16) -> Result<(), Malformed> {
    Err(Malformed::UnknownRequest { api_key, version })
}

macro_rules! directions {
    ($($request:ident),* $(,)?) => {
        vec![$(request::<$request>(stringify!($request)), response::<$request>(concat!("answer to ", stringify!($request)))),*]
    };
}

fn directions() -> Vec<Direction> {
    directions![
        ProduceRequest,
        FetchRequest,
        ListOffsetsRequest,
        MetadataRequest,
        OffsetCommitRequest,
        OffsetFetchRequest,
        FindCoordinatorRequest,
        JoinGroupRequest,
        HeartbeatRequest,
        LeaveGroupRequest,
        SyncGroupRequest,
        DescribeGroupsRequest,
        ListGroupsRequest,
        SaslHandshakeRequest,
        ApiVersionsRequest,
        CreateTopicsRequest,
        DeleteTopicsRequest,
        DeleteRecordsRequest,
        InitProducerIdRequest,
        OffsetForLeaderEpochRequest,
        AddPartitionsToTxnRequest,
        AddOffsetsToTxnRequest,
        EndTxnRequest,
        WriteTxnMarkersRequest,
        TxnOffsetCommitRequest,
        DescribeConfigsRequest,
        AlterConfigsRequest,
        DescribeLogDirsRequest,
        SaslAuthenticateRequest,
        CreatePartitionsRequest,
        DeleteGroupsRequest,
        ElectLeadersRequest,
        IncrementalAlterConfigsRequest,
        AlterPartitionReassignmentsRequest,
        ListPartitionReassignmentsRequest,
        OffsetDeleteRequest,
        DescribeClientQuotasRequest,
        AlterClientQuotasRequest,
        DescribeClusterRequest,
        DescribeProducersRequest,
        DescribeTransactionsRequest,
        ListTransactionsRequest,
        ConsumerGroupHeartbeatRequest,
        ConsumerGroupDescribeRequest,
        GetTelemetrySubscriptionsRequest,
        PushTelemetryRequest,
        ListConfigResourcesRequest,
        DescribeTopicPartitionsRequest,
    ]
}

fn request_round_trip<R: Request + Random + PartialEq + Debug>(
    version: i16,
    entropy: &[u8],
) -> Result<Vec<u8>, TestCaseError> {
    let flexible = guard::is_flexible(R::KEY, version).expect("a version of the table");
    let request = R::random(&mut Entropy::new(entropy, version, flexible));
    let frame = codec::encode_request(&request, 7, "a client", version);
    let mut frame = without_prefix(frame.expect("a request its version can carry"))?;
    let head = RequestHead::parse(&mut frame).expect("our own header");
    prop_assert_eq!(
        (head.api_key, head.api_version, head.correlation_id),
        (R::KEY, version, 7)
    );
    prop_assert_eq!(head.client_id.as_deref(), Some("a client"));
    prop_assert_eq!(guard::check(R::KEY, version, &frame), Ok(()));
    let read = codec::decode::<R>(version, frame.clone());
    prop_assert_eq!(read.as_ref(), Ok(&request));
    Ok(frame.to_vec())
}

fn response_round_trip<R: Request<Response: Random + PartialEq + Debug>>(
    version: i16,
    entropy: &[u8],
) -> Result<Vec<u8>, TestCaseError> {
    let flexible = guard::is_flexible(R::KEY, version);
    // A version whose request the decoder does not have is newer than the first flexible one.
    let response = R::Response::random(&mut Entropy::new(
        entropy,
        version,
        flexible.unwrap_or(true),
    ));
    let frame = codec::encode_response(&response, 7, R::KEY, version);
    let frame = without_prefix(frame.expect("an answer its version can carry"))?;
    let read = codec::decode_response::<R>(version, frame.clone());
    prop_assert_eq!(read.as_ref(), Ok(&response));
    let body = frame.slice(response_header::<R>(version).len()..);
    prop_assert_eq!(guard::check_response(R::KEY, version, &body), Ok(()));
    Ok(body.to_vec())
}

fn without_prefix(mut frame: Bytes) -> Result<Bytes, TestCaseError> {
    let len = frame_len(
        frame[..PREFIX_LEN].try_into().expect("four bytes"),
        usize::MAX,
    );
    prop_assert_eq!(len, Ok(frame.len() - PREFIX_LEN));
    Ok(frame.split_off(PREFIX_LEN))
}

fn response_header<R: Request>(version: i16) -> Vec<u8> {
    let tagged = match guard::is_flexible(R::KEY, version) {
        None => true,
        Some(_) => response_header_version(R::KEY, version) == 1,
    };
    let tags: &[u8] = if tagged { &[0] } else { &[] };
    [&7_i32.to_be_bytes(), tags].concat()
}

fn decode_passed_request<R: Request + Random>(
    version: i16,
    body: &[u8],
) -> Result<(), TestCaseError> {
    // What follows the request is nobody's business, so the promise is for the request alone.
    let promised = guard::message_len(R::KEY, version, body)
        .and_then(|len| guard::decoded_len(R::KEY, version, &body[..len]));
    let decoded = codec::decode::<R>(version, Bytes::copy_from_slice(body));
    let heap = decoded.map(|request| request.heap());
    within_promise(promised, guard::budget(body.len()), heap)
}

fn decode_passed_response<R: Request<Response: Random + PartialEq + Debug>>(
    version: i16,
    body: &[u8],
) -> Result<(), TestCaseError> {
    let promised = guard::decoded_response_len(R::KEY, version, body);
    let frame = [&response_header::<R>(version), body].concat();
    let decoded = codec::decode_response::<R>(version, Bytes::from(frame));
    let heap = decoded.map(|response| response.heap());
    within_promise(promised, guard::response_budget(body.len()), heap)
}

fn within_promise(
    promised: Result<usize, Malformed>,
    budget: usize,
    heap: Result<usize, Malformed>,
) -> Result<(), TestCaseError> {
    match (promised, heap) {
        (Ok(promised), Ok(heap)) => {
            prop_assert!(promised <= budget);
            prop_assert!(
                heap <= promised,
                "{} bytes on the heap, {} promised",
                heap,
                promised
            );
        }
        (promised, heap) => prop_assert_eq!(
            promised.err(),
            heap.err(),
            "the guard and the decoder disagree"
        ),
    }
    Ok(())
}

/// Runs `property` for every message and version with fresh entropy.
fn for_every_version<S: Strategy>(
    cases: u32,
    strategy: S,
    property: impl Fn(&Direction, i16, S::Value) -> Result<(), TestCaseError>,
) {
    for direction in directions() {
        for version in direction.versions.clone() {
            let config = ProptestConfig {
                cases,
                failure_persistence: None,
                ..ProptestConfig::default()
            };
            let mut runner = TestRunner::new(config);
            runner
                .run(&strategy, |value| property(&direction, version, value))
                .unwrap_or_else(|failure| panic!("{} v{version}: {failure}", direction.name));
        }
    }
}

fn entropy() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..600)
}

#[test]
fn what_the_encoder_wrote_comes_back_through_header_guard_and_decoder() {
    for_every_version(128, entropy(), |direction, version, entropy| {
        let body = (direction.round_trip)(version, &entropy)?;
        (direction.decode_passed)(version, &body)
    });
}

#[test]
fn a_message_that_lost_or_gained_bytes_is_refused() {
    let cut = any::<prop::sample::Index>();
    for_every_version(
        32,
        (entropy(), cut),
        |direction, version, (entropy, cut)| {
            let mut body = (direction.round_trip)(version, &entropy)?;
            if !body.is_empty() {
                let cut = cut.index(body.len());
                let refused = (direction.check)(direction.key, version, &body[..cut]);
                prop_assert!(refused.is_err(), "cut at {} of {:02x?}", cut, body);
            }
            body.push(0);
            let refused = (direction.check)(direction.key, version, &body);
            prop_assert_eq!(refused, Err(Malformed::TrailingBytes { count: 1 }));
            Ok(())
        },
    );
}

#[test]
fn whatever_the_guard_passes_of_a_damaged_message_the_decoder_reads() {
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    for_every_version(
        128,
        (entropy(), damage),
        |direction, version, (entropy, damage)| {
            let mut body = (direction.round_trip)(version, &entropy)?;
            for (place, byte) in damage {
                if !body.is_empty() {
                    let place = place.index(body.len());
                    body[place] = byte;
                }
            }
            (direction.decode_passed)(version, &body)
        },
    );
}

#[test]
fn whatever_the_guard_passes_of_random_bytes_the_decoder_reads() {
    // Small values make lengths and tag counts that lead somewhere.
    let byte = prop_oneof![Just(0_u8), 0..4_u8, any::<u8>(), Just(0xff_u8)];
    let body = proptest::collection::vec(byte, 0..64);
    for_every_version(256, body, |direction, version, body| {
        (direction.decode_passed)(version, &body)
    });
}

#[test]
fn every_row_of_the_tables_is_tested_and_covers_what_the_decoder_has() {
    let tested = directions();
    let known = (0..=i16::MAX).filter(|key| guard::versions(*key).is_some());
    let requests = tested
        .iter()
        .filter(|direction| !direction.name.starts_with("answer"));
    assert!(known.eq(requests.map(|direction| direction.key)));
    for direction in &tested {
        let decoder = direction.decoder.clone();
        let newest = match direction.name {
            // Versions of Kafka 4.4 whose schema equals the decoder's last.
            "ListOffsetsRequest" | "DescribeLogDirsRequest" => decoder.end() + 1,
            "answer to ListOffsetsRequest" | "answer to ApiVersionsRequest" => decoder.end() + 1,
            _ => *decoder.end(),
        };
        assert_eq!(
            direction.versions,
            *decoder.start()..=newest,
            "{}",
            direction.name
        );
    }
}
