//! Unsigned varints, by which flexible versions count and tag (KIP-482).

use bytes::BufMut;

/// Writes `value`, seven bits a byte, the lowest first.
pub fn put_unsigned<B: BufMut>(buf: &mut B, mut value: usize) {
    while value >= 0x80 {
        buf.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buf.put_u8(value as u8);
}
