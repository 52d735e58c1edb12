//! Any bytes as the body of any request at any version the tables have: decoded within the memory the guard
//! promised, or refused.
#![no_main]

use bytes::Bytes;
use kafka_protocol::protocol::Request;
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
    let promised = within_memory(0, || {
        let len = guard::message_len(R::KEY, version, body)?;
        guard::decoded_len(R::KEY, version, &body[..len])
    });
    let shared = Bytes::copy_from_slice(body);
    let allowed = promised.as_ref().map_or(0, |bytes| *bytes) + SLACK;
    let decoded = within_memory(allowed, || codec::decode::<R>(version, shared));
    match promised {
        Ok(bytes) => {
            assert!(bytes <= guard::budget(body.len()));
            decoded.expect("the decoder refused what the guard passed");
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
        assert!(guard::check(18, 0, &[]).is_ok());
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
