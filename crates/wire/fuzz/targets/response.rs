//! Any bytes as the answer to any request at any version the tables have: decoded within the memory the guard
//! promised, or refused.
#![no_main]

use bytes::Bytes;
use kafka_protocol::protocol::{HeaderVersion, Request};
use libfuzzer_sys::fuzz_target;
use tidewater_wire_fuzz::within_memory;
use wire::api_versions::ApiVersionsRequest;
use wire::delete_groups::DeleteGroupsRequest;
use wire::messages::*;
use wire::offset_commit::OffsetCommitRequest;
use wire::offset_fetch::OffsetFetchRequest;
use wire::{codec, guard};

/// Beyond the promise: the counter that lets slices share the body, and the words of an error.
const SLACK: usize = 1024;

fn decode<R: Request>(version: i16, body: &[u8]) {
    let promised = within_memory(0, || guard::decoded_response_len(R::KEY, version, body));
    // The header, whose tagged section the fuzzer knows from the target `frame`.
    let tags: &[u8] = if R::Response::header_version(version) == 1 {
        &[0]
    } else {
        &[]
    };
    let frame = Bytes::from([&[0; 4], tags, body].concat());
    let allowed = promised.as_ref().map_or(0, |bytes| *bytes) + SLACK;
    let decoded = within_memory(allowed, || codec::decode_response::<R>(version, frame));
    match promised {
        Ok(bytes) => {
            assert!(bytes <= guard::response_budget(body.len()));
            assert!(decoded.is_ok(), "the decoder refused what the guard passed");
        }
        Err(error) => assert_eq!(decoded.err(), Some(error)),
    }
}

type Decode = fn(i16, &[u8]);

macro_rules! decoders {
    ($($request:ident),*) => {
        &[$(($request::KEY, decode::<$request> as Decode)),*]
    };
}

const DECODERS: &[(i16, Decode)] = tidewater_wire_fuzz::each_request!(decoders);

fuzz_target!(
    init: {
        // The guard's plans are built on first use; that is not part of any request's memory.
        assert!(guard::check_response(18, 0, &[]).is_err());
    },
    |data: &[u8]| {
        let [which, version, body @ ..] = data else {
            return;
        };
        let (key, decode) = DECODERS[usize::from(*which) % DECODERS.len()];
        let versions = guard::versions(key).expect("every decoder here has a row");
        // One past the last, so that an unknown version is tried too.
        let span = versions.end() - versions.start() + 2;
        decode(versions.start() + i16::from(*version) % span, body);
    }
);
