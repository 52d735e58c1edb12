//! Writing a batch again with fewer records, as compaction does (`MemoryRecords.filterTo` in Kafka): what identifies the
//! batch stays, its place, its producer and sequence, its codec.

use std::io::Write;

use bytes::Bytes;

use super::builder::{length, put_bytes};
use super::{
    Attributes, BatchHeader, BuildError, CRC, HEADER_LEN, LOG_OVERHEAD, NO_TIMESTAMP,
    TimestampType, compute_crc,
};
use crate::compress::Encoder;
use crate::records::{RecordView, put_varint};

/// A batch that takes some of another one's records.
#[derive(Debug)]
pub struct BatchRewriter {
    header: BatchHeader,
    body: Vec<u8>,
    scratch: Vec<u8>,
    record_count: i32,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
}

impl BatchRewriter {
    /// Takes the place of the batch with this header. With `delete_horizon_ms` its base timestamp becomes the time after
    /// which compaction may drop tombstones (KIP-534); without it a horizon that the batch has stays.
    pub fn new(header: &BatchHeader, delete_horizon_ms: Option<i64>) -> Self {
        let mut header = *header;
        let known = header
            .attributes
            .has_delete_horizon()
            .then_some(header.base_timestamp);
        let horizon = delete_horizon_ms.or(known);
        header.attributes = header.attributes.with_delete_horizon(horizon.is_some());
        Self {
            header,
            body: Vec::new(),
            scratch: Vec::new(),
            record_count: 0,
            base_timestamp: horizon,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// Takes a record, whose offset and `timestamp` stay; the timestamp is what the old header makes of it. Fails if a
    /// length outgrows 31 bits; the batch is then as before.
    pub fn push(&mut self, record: &RecordView<'_>, timestamp: i64) -> Result<(), BuildError> {
        let base_timestamp = self.base_timestamp.unwrap_or(timestamp);
        let out = &mut self.scratch;
        out.clear();
        out.push(record.attributes);
        put_varint(out, timestamp.wrapping_sub(base_timestamp));
        put_varint(out, i64::from(record.offset_delta));
        put_bytes(out, record.key)?;
        put_bytes(out, record.value)?;
        let headers = length(record.headers.len(), "the number of headers")?;
        put_varint(out, i64::from(headers));
        out.extend_from_slice(record.headers.bytes());
        let record_length = length(out.len(), "a record")?;
        let record_count = self.record_count.checked_add(1);
        self.record_count = record_count.ok_or(BuildError::TooLarge {
            what: "the number of records",
        })?;
        put_varint(&mut self.body, i64::from(record_length));
        self.body.append(out);
        self.base_timestamp = Some(base_timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// The batch, compressed with the old one's codec at Kafka's default level. Fails if it outgrows 31 bits, or if its
    /// codec is unknown or cannot be set up.
    pub fn build(self) -> Result<Bytes, BuildError> {
        let codec = self.header.codec().map_err(std::io::Error::other)?;
        let mut batch = vec![0; HEADER_LEN];
        let body_length = u64::try_from(self.body.len()).ok();
        let mut encoder = Encoder::new(codec, None, &mut batch, body_length)?;
        encoder.write_all(&self.body)?;
        encoder.finish()?;
        let log_append_time =
            self.header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        let header = BatchHeader {
            batch_length: length(batch.len() - LOG_OVERHEAD, "the batch")?,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: match log_append_time {
                true => self.header.max_timestamp,
                false => self.max_timestamp,
            },
            record_count: self.record_count,
            ..self.header
        };
        Ok(seal(batch, &header))
    }
}

/// The batch with none of its records: what is left of the last batch of a producer, so that its sequence numbers are not
/// forgotten (`DefaultRecordBatch.writeEmptyHeader`).
pub fn emptied(header: &BatchHeader) -> Bytes {
    let kept = header.attributes;
    let attributes = Attributes::default()
        .with_timestamp_type(kept.timestamp_type())
        .with_transactional(kept.is_transactional())
        .with_control(kept.is_control());
    let header = BatchHeader {
        batch_length: (HEADER_LEN - LOG_OVERHEAD) as i32,
        attributes,
        base_timestamp: NO_TIMESTAMP,
        record_count: 0,
        ..*header
    };
    seal(vec![0; HEADER_LEN], &header)
}

/// Puts the header in front, and the checksum into it.
fn seal(mut batch: Vec<u8>, header: &BatchHeader) -> Bytes {
    batch[..HEADER_LEN].copy_from_slice(&header.to_bytes());
    let crc = compute_crc(&batch);
    batch[CRC].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{BatchBuilder, BatchOptions, Codec, check_crc, records};
    use super::*;

    fn batch(codec: Codec, timestamp_type: TimestampType, values: &[Option<Vec<u8>>]) -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions {
            codec,
            timestamp_type,
            base_offset: 100,
            partition_leader_epoch: 3,
            producer_id: 7,
            producer_epoch: 1,
            base_sequence: 40,
            ..BatchOptions::default()
        });
        for (n, value) in values.iter().enumerate() {
            let header: &[(&str, Option<&[u8]>)] = &[("a", Some(b"1")), ("a", None)];
            let headers = &header[..n % 3];
            let key = n.to_be_bytes();
            let time = 1_000 + 10 * i64::try_from(n).unwrap();
            builder
                .append(time, Some(&key), value.as_deref(), headers)
                .unwrap();
        }
        builder.build().unwrap()
    }

    type Row = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

    fn rows(bytes: &[u8]) -> Vec<Row> {
        let records = records(bytes, 1 << 20).unwrap();
        let header = *records.header();
        let row = |record: RecordView<'_>| {
            (
                header.offset_of(&record),
                header.timestamp_of(&record),
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
                record.headers.len(),
            )
        };
        records.iter().map(|record| row(record.unwrap())).collect()
    }

    proptest! {
        #[test]
        fn what_is_kept_stays_as_it_was(
            values in prop::collection::vec((prop::option::of(prop::collection::vec(any::<u8>(), 0..50)), any::<bool>()), 1..20),
            codec in prop::sample::select(&Codec::ALL[..]),
            append_time in any::<bool>(),
            horizon in prop::option::of(0..10_000i64),
        ) {
            let kind = if append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
            let contents: Vec<_> = values.iter().map(|(value, _)| value.clone()).collect();
            let before = batch(codec, kind, &contents);
            let opened = records(&before, 1 << 20).unwrap();
            let header = *opened.header();
            let mut rewriter = BatchRewriter::new(&header, horizon);
            for (record, (_, keep)) in opened.iter().map(Result::unwrap).zip(&values) {
                if *keep {
                    rewriter.push(&record, header.timestamp_of(&record)).unwrap();
                }
            }
            let after = rewriter.build().unwrap();
            prop_assert!(check_crc(&after));
            let mut expected = rows(&before);
            let mut kept = values.iter().map(|(_, keep)| *keep);
            expected.retain(|_| kept.next().unwrap());
            prop_assert_eq!(rows(&after), expected);
            let rewritten = BatchHeader::parse(&after).unwrap();
            prop_assert_eq!(rewritten.attributes.has_delete_horizon(), horizon.is_some());
            prop_assert_eq!(horizon.is_none_or(|horizon| rewritten.base_timestamp == horizon), true);
            prop_assert_eq!((rewritten.base_offset, rewritten.last_offset()), (header.base_offset, header.last_offset()));
            prop_assert_eq!((rewritten.base_sequence, rewritten.last_sequence()), (40, header.last_sequence()));
            prop_assert_eq!((rewritten.codec().unwrap(), rewritten.partition_leader_epoch), (codec, 3));
        }
    }

    #[test]
    fn an_emptied_batch_keeps_its_place_and_its_producer() {
        let before = batch(Codec::Zstd, TimestampType::CreateTime, &[None, None, None]);
        let header = BatchHeader::parse(&before).unwrap();
        let after = emptied(&header);
        assert!(check_crc(&after));
        assert!(rows(&after).is_empty());
        let emptied = BatchHeader::parse(&after).unwrap();
        assert_eq!((emptied.base_offset, emptied.last_offset()), (100, 102));
        assert_eq!(
            (
                emptied.producer_id,
                emptied.producer_epoch,
                emptied.last_sequence()
            ),
            (7, 1, 42)
        );
        assert_eq!(
            (emptied.max_timestamp, emptied.codec().unwrap()),
            (header.max_timestamp, Codec::None)
        );
    }
}
