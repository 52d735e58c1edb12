//! Any bytes as lz4 data: inflated within the limit or refused; and any bytes survive compression.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::compress::Codec;

fuzz_target!(|data: &[u8]| tidewater_wire_fuzz::codec(Codec::Lz4, data));
