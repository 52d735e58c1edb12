//! Kafka's vocabulary: frames, headers, error codes, record batches; hostile bytes in, typed values out.
//!
//! The promise: bytes from a peer either become a typed value or a [`Malformed`], in memory proportional to
//! their number; nothing a peer sends makes this crate panic or reserve memory by an unchecked length.
//! It knows the shape of messages and nothing of their meaning: no topic, no disk, no permission, and of
//! sockets only what [`client`] needs to ask a broker.

pub mod api_versions;
pub mod batch;
pub mod client;
pub mod codec;
pub mod compress;
pub mod delete_groups;
mod error;
mod fields;
pub mod frame;
pub mod guard;
pub mod header;
pub mod log_dirs;
pub mod offset_commit;
pub mod offset_fetch;
pub mod records;
pub mod varint;

pub use bytes::Bytes;
pub use error::{EncodeError, FrameError, Malformed};
pub use kafka_protocol::error::ResponseError;
pub use kafka_protocol::messages;
pub use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};
