//! Any bytes as zstd data: inflated within the limit or refused; and any bytes survive compression.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::compress::Codec;

fuzz_target!(|data: &[u8]| tidewater_wire_fuzz::codec(Codec::Zstd, data));
