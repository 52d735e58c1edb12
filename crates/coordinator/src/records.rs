//! The records of `__consumer_offsets`, byte for byte as Apache Kafka 4.4 writes them.
//!
//! A key begins with two bytes that say which schema key and value follow (KIP-848's list); a value begins with two bytes of
//! version. What was read from a log is hostile until decoded: no record makes this module panic or allocate by a length.

use bytes::Bytes;

use crate::decision::CoordinatorRecord;

pub mod codec;
pub mod consumer;
pub mod group_metadata;
pub mod offset_commit;
pub(crate) mod pending;
pub mod subscription;

pub use codec::RecordError;
pub use group_metadata::{GroupMetadata, MemberMetadata};
pub use offset_commit::{OffsetCommitKey, OffsetCommitValue};
pub use pending::is_row_of_view;

use codec::Reader;

/// `OffsetCommitKey` version 0, which brokers before 0.9 wrote; Kafka 4.4 still reads it, as `LegacyOffsetCommitKey`.
pub const LEGACY_OFFSET_COMMIT: i16 = 0;
/// `OffsetCommitKey`.
pub const OFFSET_COMMIT: i16 = 1;
/// `GroupMetadataKey`.
pub const GROUP_METADATA: i16 = 2;

/// Which kind of record a key belongs to; what follows the two bytes is still to be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A committed offset.
    OffsetCommit,
    /// A classic group.
    GroupMetadata,
    /// Some part of a KIP-848 group, by its key type.
    Consumer(i16),
    /// Share and streams groups, and what later Kafkas may add.
    Unknown(i16),
}

/// Splits a key into its kind and the reader of its fields.
///
/// # Errors
/// [`RecordError::Truncated`] if there are not even two bytes.
pub fn kind_of(key: &Bytes) -> Result<(RecordKind, Reader), RecordError> {
    let mut reader = Reader::new(key.clone());
    let kind = match reader.i16()? {
        LEGACY_OFFSET_COMMIT | OFFSET_COMMIT => RecordKind::OffsetCommit,
        GROUP_METADATA => RecordKind::GroupMetadata,
        kind @ (3..=8 | 16) => RecordKind::Consumer(kind),
        kind => RecordKind::Unknown(kind),
    };
    Ok((kind, reader))
}

/// The record that says what a key now stands for.
#[must_use]
pub(crate) fn put(key: Bytes, value: Bytes) -> CoordinatorRecord {
    CoordinatorRecord {
        key,
        value: Some(value),
    }
}

/// The record that says a key is gone.
#[must_use]
pub(crate) fn tombstone(key: Bytes) -> CoordinatorRecord {
    CoordinatorRecord { key, value: None }
}

#[cfg(test)]
mod tests;
