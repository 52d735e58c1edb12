//! What can be wrong with bytes a peer sent.

use thiserror::Error;

/// Why a frame is not the request it claims to be. The bytes came from outside, so whoever sees this
/// closes the connection (statement N6 of Kafka's `RequestHeader.parse`); nothing of the frame was kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// No table row for this API key, or the key does not have this version.
    #[error("api key {api_key} has no version {version} here")]
    UnknownRequest {
        /// The key in the request header.
        api_key: i16,
        /// The version in the request header.
        version: i16,
    },
    /// A field reaches past the end of the frame.
    #[error("{field} needs {needed} more bytes, {left} are left")]
    Truncated {
        /// The field being read.
        field: &'static str,
        /// Bytes the field still needs.
        needed: usize,
        /// Bytes left in the frame.
        left: usize,
    },
    /// A length or count below zero that is not the one meaning null, or above what its type may carry.
    #[error("{field} has length {length}")]
    BadLength {
        /// The field being read.
        field: &'static str,
        /// The length as the frame states it.
        length: i64,
    },
    /// Null in a field that this version does not allow to be null.
    #[error("{field} is null and must not be")]
    UnexpectedNull {
        /// The field being read.
        field: &'static str,
    },
    /// More elements than the bytes left could hold.
    #[error("{field} announces {count} elements, {left} bytes are left")]
    TooManyElements {
        /// The array being read.
        field: &'static str,
        /// Its announced number of elements.
        count: usize,
        /// Bytes left in the frame.
        left: usize,
    },
    /// Decoding would need more memory than a request of this size may use (see [`crate::guard`]).
    #[error("{field} takes the decoded request past its budget of {budget} bytes")]
    OverBudget {
        /// The field that crossed the limit.
        field: &'static str,
        /// What the whole request was allowed.
        budget: usize,
    },
    /// An unsigned varint that does not end within five bytes or does not fit 32 bits.
    #[error("a varint in {field} does not fit 32 bits")]
    VarintTooLong {
        /// The field being read.
        field: &'static str,
    },
    /// A string that is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The field being read.
        field: &'static str,
    },
    /// The byte before an optional structure is neither "present" (1) nor "absent" (-1).
    #[error("{field} has presence byte {marker}")]
    BadPresence {
        /// The field being read.
        field: &'static str,
        /// The byte found.
        marker: i8,
    },
    /// A tagged field whose tag this version does not define although a later one does.
    #[error("tagged field {field} ({tag}) is not part of this version")]
    TagNotInVersion {
        /// The field the tag stands for in later versions.
        field: &'static str,
        /// Its tag.
        tag: u32,
    },
    /// A tagged field whose content is longer or shorter than its stated size.
    #[error("tagged field {field} states {stated} bytes and has {actual}")]
    TagSize {
        /// The tagged field.
        field: &'static str,
        /// Size stated before the content.
        stated: usize,
        /// Size of the content.
        actual: usize,
    },
    /// Bytes after the end of the request.
    #[error("{count} bytes follow the end of the request")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The guard passed the bytes and the decoder did not: the two disagree about a shape.
    #[error("the decoder refused what the guard passed: {reason}")]
    Refused {
        /// The decoder's words.
        reason: String,
    },
}

/// Why a frame length is not acceptable (statement N7, Kafka's `NetworkReceive`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length is below zero.
    #[error("frame length {0} is negative")]
    Negative(i32),
    /// The length is above the limit of this connection.
    #[error("frame length {len} is above the limit of {max} bytes")]
    TooLong {
        /// Announced length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
}

/// Why a message of ours could not be written. It is our mistake, not the peer's: a field is set that the
/// version does not have, or the message is larger than a frame can be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("api key {api_key} version {version} cannot be encoded: {reason}")]
pub struct EncodeError {
    /// The API key of the message.
    pub api_key: i16,
    /// The version asked for.
    pub version: i16,
    /// What is in the way.
    pub reason: String,
}
