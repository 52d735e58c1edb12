//! The guard and the decoder, held against each other.
//!
//! Every request in the guard's tables is generated at every version with the decoder's own encoder, and read
//! back through the public door: frame length, header, guard, decoder.

mod random;

use std::fmt::Debug;

use kafka_protocol::protocol::{Message, Request};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use random::{Entropy, Random};
use tidewater_wire::api_versions::ApiVersionsRequest;
use tidewater_wire::frame::{PREFIX_LEN, frame_len};
use tidewater_wire::header::RequestHead;
use tidewater_wire::messages::*;
use tidewater_wire::{Bytes, Malformed, codec, guard};

/// A request type with its type forgotten.
struct Api {
    name: &'static str,
    key: i16,
    decoder_versions: (i16, i16),
    round_trip: fn(i16, &[u8]) -> Result<Vec<u8>, TestCaseError>,
    decode_passed: fn(i16, &[u8]) -> Result<(), TestCaseError>,
}

macro_rules! apis {
    ($($request:ident),* $(,)?) => {
        &[$(Api {
            name: stringify!($request),
            key: $request::KEY,
            decoder_versions: ($request::VERSIONS.min, $request::VERSIONS.max),
            round_trip: round_trip::<$request>,
            decode_passed: decode_passed::<$request>,
        }),*]
    };
}

const APIS: &[Api] = apis![
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
    DescribeConfigsRequest,
    AlterConfigsRequest,
    DescribeLogDirsRequest,
    SaslAuthenticateRequest,
    CreatePartitionsRequest,
    DeleteGroupsRequest,
    IncrementalAlterConfigsRequest,
    OffsetDeleteRequest,
    DescribeClusterRequest,
    DescribeTopicPartitionsRequest,
];

/// Writes a random request and reads it back; returns its body.
fn round_trip<R: Request + Random + PartialEq + Debug>(
    version: i16,
    entropy: &[u8],
) -> Result<Vec<u8>, TestCaseError> {
    let flexible = guard::is_flexible(R::KEY, version).expect("a version of the table");
    let request = R::random(&mut Entropy::new(entropy, version, flexible));
    let mut frame = codec::encode_request(&request, 7, "a client", version)
        .expect("a request its version can carry");
    let len = frame_len(
        frame[..PREFIX_LEN].try_into().expect("four bytes"),
        usize::MAX,
    );
    prop_assert_eq!(len, Ok(frame.len() - PREFIX_LEN));
    let mut frame = frame.split_off(PREFIX_LEN);
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

/// What the guard passes, the decoder must read to the end, within the memory the guard promised.
fn decode_passed<R: Request + Random>(version: i16, body: &[u8]) -> Result<(), TestCaseError> {
    let Ok(promised) = guard::decoded_len(R::KEY, version, body) else {
        return Ok(());
    };
    prop_assert!(promised <= guard::budget(body.len()));
    match codec::decode::<R>(version, Bytes::copy_from_slice(body)) {
        Ok(request) => {
            let heap = request.heap();
            prop_assert!(
                heap <= promised,
                "{} bytes on the heap, {} promised",
                heap,
                promised
            );
            Ok(())
        }
        Err(error) => Err(TestCaseError::fail(format!(
            "the guard passed it and the decoder said {error}"
        ))),
    }
}

/// Runs `property` for every request and version with fresh entropy.
fn for_every_version<S: Strategy>(
    cases: u32,
    strategy: S,
    property: impl Fn(&Api, i16, S::Value) -> Result<(), TestCaseError>,
) {
    for api in APIS {
        for version in guard::versions(api.key).expect("every request here is in the tables") {
            let mut runner = TestRunner::new(ProptestConfig {
                cases,
                failure_persistence: None,
                ..ProptestConfig::default()
            });
            runner
                .run(&strategy, |value| property(api, version, value))
                .unwrap_or_else(|failure| panic!("{} v{version}: {failure}", api.name));
        }
    }
}

fn entropy() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..600)
}

#[test]
fn a_request_the_encoder_wrote_comes_back_through_header_guard_and_decoder() {
    for_every_version(128, entropy(), |api, version, entropy| {
        let body = (api.round_trip)(version, &entropy)?;
        (api.decode_passed)(version, &body)
    });
}

#[test]
fn a_request_that_lost_or_gained_bytes_is_refused() {
    for_every_version(
        32,
        (entropy(), any::<prop::sample::Index>()),
        |api, version, (entropy, cut)| {
            let mut body = (api.round_trip)(version, &entropy)?;
            if !body.is_empty() {
                let cut = cut.index(body.len());
                // A cut may leave a shorter legal request only if it falls on a border, and there is none inside.
                prop_assert!(
                    guard::check(api.key, version, &body[..cut]).is_err(),
                    "cut at {} of {:02x?}",
                    cut,
                    body
                );
            }
            body.push(0);
            prop_assert_eq!(
                guard::check(api.key, version, &body),
                Err(Malformed::TrailingBytes { count: 1 })
            );
            Ok(())
        },
    );
}

#[test]
fn whatever_the_guard_passes_of_a_damaged_request_the_decoder_reads() {
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    for_every_version(
        128,
        (entropy(), damage),
        |api, version, (entropy, damage)| {
            let mut body = (api.round_trip)(version, &entropy)?;
            for (place, byte) in damage {
                if !body.is_empty() {
                    let place = place.index(body.len());
                    body[place] = byte;
                }
            }
            (api.decode_passed)(version, &body)
        },
    );
}

#[test]
fn whatever_the_guard_passes_of_random_bytes_the_decoder_reads() {
    // Small values make lengths and tag counts that lead somewhere.
    let byte = prop_oneof![Just(0_u8), 0..4_u8, any::<u8>(), Just(0xff_u8)];
    for_every_version(
        256,
        proptest::collection::vec(byte, 0..64),
        |api, version, body| (api.decode_passed)(version, &body),
    );
}

#[test]
fn the_tables_cover_every_version_the_decoder_has() {
    for api in APIS {
        let ours = guard::versions(api.key).expect("every request here is in the tables");
        let last = match api.name {
            // Versions that Kafka 4.4 has and whose schema equals the decoder's last.
            "ListOffsetsRequest" | "DescribeLogDirsRequest" => api.decoder_versions.1 + 1,
            _ => api.decoder_versions.1,
        };
        assert_eq!(ours, api.decoder_versions.0..=last, "{}", api.name);
    }
    let known = (0..=i16::MAX).filter(|key| guard::versions(*key).is_some());
    assert!(
        known.eq(APIS.iter().map(|api| api.key)),
        "a table row without a test or a test without a row"
    );
}
