//! Control batches: the commit and abort markers that end a transaction in a partition (KIP-98,
//! `EndTransactionMarker`).

use bytes::Bytes;

use super::{BatchBuilder, BatchError, BatchHeader, BatchOptions, BuildError, records};

/// The version of key and value that is written; readers accept later ones, whose first fields are
/// the same.
const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;
/// Control records are a few bytes, and Kafka writes them uncompressed.
const MAX_CONTROL_BYTES: usize = 64 * 1024;

/// What a control record says (Kafka's `ControlRecordType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlType {
    /// The transaction is to be ignored.
    Abort,
    /// The transaction is to be read.
    Commit,
    /// Not about transactions: KRaft's own records, or a type newer than this code. Consumers skip
    /// them.
    Other(i16),
}

/// The end of a producer's transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Whose transaction.
    pub producer_id: i64,
    /// The epoch that ends it.
    pub producer_epoch: i16,
    /// Whether its records are to be read.
    pub committed: bool,
    /// Epoch of the transaction coordinator that decided.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The control batch that says so, written at `timestamp` (milliseconds), ready to be appended.
    pub fn to_batch(self, timestamp: i64) -> Result<Bytes, BuildError> {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            transactional: true,
            control: true,
            ..BatchOptions::default()
        });
        let control_type = if self.committed { COMMIT } else { ABORT };
        let key = [VERSION.to_be_bytes(), control_type.to_be_bytes()].concat();
        let value = [
            &VERSION.to_be_bytes()[..],
            &self.coordinator_epoch.to_be_bytes(),
        ]
        .concat();
        builder.append(timestamp, Some(&key), Some(&value), &[])?;
        builder.build()
    }

    /// Reads the marker in `batch`; `None` if the batch controls something else.
    ///
    /// Fails if it is not a control batch or the record is incomplete.
    pub fn from_batch(batch: &[u8]) -> Result<Option<EndTxnMarker>, BatchError> {
        let header = BatchHeader::parse(batch)?;
        let committed = match ControlType::of_batch(batch)? {
            ControlType::Commit => true,
            ControlType::Abort => false,
            ControlType::Other(_) => return Ok(None),
        };
        let coordinator_epoch = control_record(batch, |_, value| {
            let epoch = value
                .and_then(|value| value.get(2..))
                .and_then(|epoch| epoch.first_chunk());
            epoch
                .map(|epoch| i32::from_be_bytes(*epoch))
                .ok_or(not_control("the value has no coordinator epoch"))
        })?;
        let BatchHeader {
            producer_id,
            producer_epoch,
            ..
        } = header;
        Ok(Some(EndTxnMarker {
            producer_id,
            producer_epoch,
            committed,
            coordinator_epoch,
        }))
    }
}

impl ControlType {
    /// What the control batch `batch` says. Fails if it is not one, or its record has no complete
    /// key.
    pub fn of_batch(batch: &[u8]) -> Result<ControlType, BatchError> {
        control_record(batch, |key, _| {
            let field = key
                .and_then(|key| key.get(2..))
                .and_then(|field| field.first_chunk());
            let field = field.ok_or(not_control("the key has no type"))?;
            Ok(match i16::from_be_bytes(*field) {
                ABORT => ControlType::Abort,
                COMMIT => ControlType::Commit,
                other => ControlType::Other(other),
            })
        })
    }
}

/// Hands the key and the value of the one control record to `read`.
fn control_record<T>(
    batch: &[u8],
    read: impl FnOnce(Option<&[u8]>, Option<&[u8]>) -> Result<T, BatchError>,
) -> Result<T, BatchError> {
    let records = records(batch, MAX_CONTROL_BYTES)?;
    if !records.header().attributes.is_control() {
        return Err(not_control("the control bit is not set"));
    }
    let record = records
        .iter()
        .next()
        .ok_or(not_control("it has no record"))?;
    let record = record.map_err(|error| BatchError::InvalidRecord { index: 0, error })?;
    read(record.key, record.value)
}

fn not_control(reason: &'static str) -> BatchError {
    BatchError::NotAControlBatch { reason }
}
