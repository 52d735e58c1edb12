//! What a stranger sends first: four bytes of length, then a header.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tidewater_wire_fuzz::within_memory;
use wire::frame::{PREFIX_LEN, frame_len};
use wire::guard;
use wire::header::{RequestHead, response_header_version};

const LIMIT: usize = 64 << 10;

fuzz_target!(
    init: {
        // The guard's plans are built on first use; that is not part of any header's memory.
        assert!(guard::is_flexible(18, 0).is_some());
    },
    |data: &[u8]| header(data)
);

fn header(data: &[u8]) {
    let Some((prefix, rest)) = data.split_first_chunk::<PREFIX_LEN>() else {
        return;
    };
    if let Ok(len) = frame_len(*prefix, LIMIT) {
        assert!(len <= LIMIT);
    }
    let mut frame = Bytes::copy_from_slice(rest);
    // The one thing allocated is the counter that lets the client id share the frame.
    let head = within_memory(256, || RequestHead::parse(&mut frame));
    match head {
        Ok(head) => {
            assert!(
                rest.ends_with(&frame),
                "the body is not the end of the frame"
            );
            assert!(matches!(
                response_header_version(head.api_key, head.api_version),
                0 | 1
            ));
        }
        Err(_) => assert_eq!(frame, rest, "a refused header was taken off all the same"),
    }
}
