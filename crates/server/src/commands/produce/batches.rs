//! Batches as this program makes them: who they are from, and how one is cut in two.

use bytes::Bytes;
use wire::batch::{
    self, BatchBuilder, BatchHeader, BatchOptions, Codec, NO_PRODUCER_ID, NO_SEQUENCE,
};

/// What the records of one of our own batches may come to.
const RECORD_BYTES_MAX: usize = 1 << 31;

/// What lets a broker tell a batch sent again from a new one (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
}

impl Identity {
    /// Nobody in particular: a batch sent twice is written twice.
    pub(super) const NONE: Identity = Identity {
        producer_id: NO_PRODUCER_ID,
        epoch: -1,
    };

    /// Whether a batch may be sent again without being written twice.
    pub(super) fn is_known(self) -> bool {
        self.producer_id != NO_PRODUCER_ID
    }

    /// The options of a batch from this producer.
    pub(super) fn sign(self, options: BatchOptions, sequence: i32) -> BatchOptions {
        BatchOptions {
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            base_sequence: if self.is_known() {
                sequence
            } else {
                NO_SEQUENCE
            },
            ..options
        }
    }
}

/// The sequence number `count` records later: after `i32::MAX` comes 0.
pub(super) fn sequence_after(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

/// Two batches with the same records, in the same order and under the same sequence numbers; `None` for a single record.
pub(super) fn halves(batch: &Bytes) -> anyhow::Result<Option<[Bytes; 2]>> {
    let header = BatchHeader::parse(batch)?;
    if header.record_count < 2 {
        return Ok(None);
    }
    let middle = header.record_count / 2;
    let mut halves = [0, middle].map(|skipped| builder_like(&header, skipped));
    for (index, record) in (0..).zip(batch::records(batch, RECORD_BYTES_MAX)?.iter()) {
        let record = record?;
        let headers: Vec<_> = record
            .headers
            .map(|header| (String::from_utf8_lossy(header.key), header.value))
            .collect();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_ref(), *value))
            .collect();
        let half = &mut halves[usize::from(index >= middle)];
        let timestamp = header.timestamp_of(&record);
        half.append(timestamp, record.key, record.value, &headers)?;
    }
    let [first, second] = halves;
    Ok(Some([first.build()?, second.build()?]))
}

fn builder_like(header: &BatchHeader, skipped: i32) -> BatchBuilder {
    let identity = Identity {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
    };
    let options = BatchOptions {
        codec: header.codec().unwrap_or(Codec::None),
        ..BatchOptions::default()
    };
    BatchBuilder::new(identity.sign(options, sequence_after(header.base_sequence, skipped)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(identity: Identity, sequence: i32, count: u8) -> Bytes {
        let options = BatchOptions {
            codec: Codec::Lz4,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(identity.sign(options, sequence));
        for value in 0..count {
            let timestamp = 1000 + i64::from(value);
            builder
                .append(timestamp, Some(b"k"), Some(&[value]), &[("h", None)])
                .unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn halves_have_the_records_of_the_whole_under_its_sequence_numbers() {
        let identity = Identity {
            producer_id: 7,
            epoch: 1,
        };
        let halves = halves(&batch(identity, i32::MAX, 5)).unwrap().unwrap();
        let mut seen = Vec::new();
        for half in &halves {
            assert!(batch::check_crc(half));
            let header = BatchHeader::parse(half).unwrap();
            assert_eq!(
                (header.producer_id, header.producer_epoch, header.codec()),
                (7, 1, Ok(Codec::Lz4))
            );
            let records = batch::records(half, 1 << 20).unwrap();
            assert!(
                records
                    .iter()
                    .all(|record| record.unwrap().headers.len() == 1)
            );
            let values = records
                .iter()
                .map(|record| record.unwrap().value.unwrap()[0]);
            seen.push((header.base_sequence, values.collect::<Vec<_>>()));
        }
        assert_eq!(seen, [(i32::MAX, vec![0, 1]), (1, vec![2, 3, 4])]);
    }

    #[test]
    fn a_single_record_cannot_be_cut_and_nobody_has_no_sequence_numbers() {
        assert_eq!(halves(&batch(Identity::NONE, 0, 1)).unwrap(), None);
        let [_, second] = halves(&batch(Identity::NONE, 0, 2)).unwrap().unwrap();
        let header = BatchHeader::parse(&second).unwrap();
        assert_eq!((header.producer_id, header.base_sequence), (-1, -1));
    }
}
