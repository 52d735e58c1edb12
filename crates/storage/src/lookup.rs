//! Finding records by time (`ListOffsets`): the sparse index narrows it down to one batch, which is then opened.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use wire::batch::{self, BatchHeader};

use crate::error::ReadError;
use crate::partition_log::PartitionLog;
use crate::read::{Place, ReadMode, SegmentReader};
use crate::segment::Segment;

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's offset.
    pub offset: i64,
    /// The record's timestamp.
    pub timestamp: i64,
    /// Leader epoch of its batch, -1 when the batch has none.
    pub leader_epoch: i32,
}

/// The most that one batch may grow when it is opened to look at its timestamps.
const MAX_OPENED_BYTES: usize = 256 << 20;

impl PartitionLog {
    /// The first record below `below` with a timestamp of at least `timestamp` (`ListOffsets`, `LogSegment.findOffsetByTimestamp`
    /// in Kafka). Blocks on the disk, and decompresses one batch.
    pub fn offset_for_timestamp(
        &self,
        timestamp: i64,
        below: i64,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        self.with_segments(|segments| self.find_timestamp(segments, timestamp, below))
    }

    fn find_timestamp(
        &self,
        segments: &[Arc<Segment>],
        timestamp: i64,
        below: i64,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let wanted = |found: i64| found >= timestamp;
        for segment in segments {
            if segment.base_offset >= below {
                break;
            }
            let facts = segment.facts();
            if facts.max_timestamp < timestamp || facts.end_offset <= self.log_start_offset() {
                continue;
            }
            let reader = SegmentReader::new(self, segment, ReadMode::Wait);
            let start = reader.floor_by_timestamp(timestamp)?;
            if let Some(found) = self.first_record(&reader, segment, start, below, &wanted)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record that carries the greatest timestamp of the log (`ListOffsets` with -3, KIP-734). `None` in a log
    /// without timestamps. Blocks like `offset_for_timestamp`.
    pub fn max_timestamp_offset(&self, below: i64) -> Result<Option<TimestampOffset>, ReadError> {
        self.with_segments(|segments| self.find_greatest(segments, below))
    }

    fn find_greatest(
        &self,
        segments: &[Arc<Segment>],
        below: i64,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let live = segments
            .iter()
            .filter(|segment| segment.facts().end_offset > self.log_start_offset());
        // Of equal timestamps the first counts.
        let Some(segment) = live
            .rev()
            .max_by_key(|segment| segment.facts().max_timestamp)
        else {
            return Ok(None);
        };
        let greatest = segment.facts().max_timestamp;
        if greatest < 0 {
            return Ok(None);
        }
        let reader = SegmentReader::new(self, segment, ReadMode::Wait);
        let start = reader.floor_by_timestamp(greatest)?;
        self.first_record(&reader, segment, start, below, &|found| found >= greatest)
    }

    fn first_record(
        &self,
        reader: &SegmentReader<'_>,
        segment: &Segment,
        start: Place,
        below: i64,
        wanted: &dyn Fn(i64) -> bool,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        if reader.size() == 0 {
            return Ok(None);
        }
        let file = segment.file()?;
        let mut position = start.position;
        while position < reader.size() {
            let header = reader.header(&file, position)?;
            if header.base_offset >= below {
                return Ok(None);
            }
            let alive = header.last_offset() >= self.log_start_offset();
            if alive
                && wanted(header.max_timestamp)
                && let Some(found) = self.open_batch(reader, &file, position, &header, wanted)?
                && found.offset < below
            {
                return Ok(Some(found));
            }
            position += header.total_len() as u64;
        }
        Ok(None)
    }

    /// The first record of the batch that is wanted and not below the log start.
    fn open_batch(
        &self,
        reader: &SegmentReader<'_>,
        file: &File,
        position: u64,
        header: &BatchHeader,
        wanted: &dyn Fn(i64) -> bool,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let mut bytes = vec![0; header.total_len()];
        file.read_exact_at(&mut bytes, position)
            .map_err(|error| reader.failed(position, error))?;
        if !batch::check_crc(&bytes) {
            return Err(reader.corrupt(position, "the checksum is wrong".to_owned()));
        }
        let records = batch::records(&bytes, MAX_OPENED_BYTES);
        let records = records.map_err(|error| reader.corrupt(position, error.to_string()))?;
        for record in &records {
            let record = record.map_err(|error| reader.corrupt(position, error.to_string()))?;
            let (offset, timestamp) = (header.offset_of(&record), header.timestamp_of(&record));
            if wanted(timestamp) && offset >= self.log_start_offset() {
                return Ok(Some(TimestampOffset {
                    offset,
                    timestamp,
                    leader_epoch: header.partition_leader_epoch,
                }));
            }
        }
        Ok(None)
    }
}

impl SegmentReader<'_> {
    /// Where to begin looking for the first record at or after `timestamp`.
    fn floor_by_timestamp(&self, timestamp: i64) -> Result<Place, ReadError> {
        {
            let tail = self.index().read();
            let at = tail
                .entries()
                .partition_point(|entry| entry.max_timestamp_before < timestamp);
            if let Some(at) = at.checked_sub(1) {
                return Ok(tail.entries()[at].into());
            }
        }
        Ok(self
            .stored()
            .floor_by_timestamp(timestamp)?
            .map_or(self.beginning(), Place::from))
    }
}
