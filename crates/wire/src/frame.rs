//! The four bytes in front of every request and response.

pub use crate::error::FrameError;

/// Bytes of the length in front of each frame.
pub const PREFIX_LEN: usize = 4;

/// The number of bytes that follow `prefix`, when it is within `0..=max`.
///
/// The answer is what the peer claims, not what it has sent: take a memory permit for it and grow the
/// buffer as bytes arrive. Fails on a negative length and on one above `max` (statement N7, Kafka's
/// `NetworkReceive`); the connection is then closed. Never blocks.
pub fn frame_len(prefix: [u8; PREFIX_LEN], max: usize) -> Result<usize, FrameError> {
    let len = i32::from_be_bytes(prefix);
    let len = usize::try_from(len).map_err(|_| FrameError::Negative(len))?;
    if len > max {
        return Err(FrameError::TooLong { len, max });
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_within_the_limit_is_returned() {
        assert_eq!(frame_len([0, 0, 0, 0], 10), Ok(0));
        assert_eq!(frame_len([0, 0, 0, 10], 10), Ok(10));
        assert_eq!(
            frame_len([0x7f, 0xff, 0xff, 0xff], usize::MAX),
            Ok(0x7fff_ffff)
        );
    }

    #[test]
    fn a_length_above_the_limit_is_refused_with_both_figures() {
        assert_eq!(
            frame_len([0, 0, 0, 11], 10),
            Err(FrameError::TooLong { len: 11, max: 10 })
        );
        assert_eq!(
            frame_len([0x7f, 0xff, 0xff, 0xff], 104_857_600),
            Err(FrameError::TooLong {
                len: 0x7fff_ffff,
                max: 104_857_600
            })
        );
    }

    #[test]
    fn a_negative_length_is_refused_even_without_a_limit() {
        assert_eq!(
            frame_len([0xff; 4], usize::MAX),
            Err(FrameError::Negative(-1))
        );
        assert_eq!(
            frame_len([0x80, 0, 0, 0], usize::MAX),
            Err(FrameError::Negative(i32::MIN))
        );
    }
}
