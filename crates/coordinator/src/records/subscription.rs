//! What a member of protocol type "consumer" sends with JoinGroup: Kafka's `ConsumerProtocolSubscription`.
//!
//! Other protocol types (Connect, schema registries) send bytes of their own, which nobody here looks into.

use bytes::Bytes;

use super::codec::{Reader, RecordError};

/// The protocol type whose metadata this module reads (`ConsumerProtocol.PROTOCOL_TYPE`).
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// The topics a consumer asks for. Version 0 is the beginning of every later version, so it alone is read, whatever the
/// version says (`ClassicGroup.computeSubscribedTopics`).
///
/// # Errors
/// Any [`RecordError`] of the reader: the bytes are a client's, and may be anything.
pub fn subscribed_topics(metadata: Bytes) -> Result<Vec<String>, RecordError> {
    let mut reader = Reader::new(metadata);
    let version = reader.i16()?;
    if version < 0 {
        return Err(RecordError::UnknownVersion {
            record: "ConsumerProtocolSubscription",
            version,
        });
    }
    let topics = reader.list(|reader| reader.string())?;
    reader.nullable_bytes()?;
    Ok(topics)
}
