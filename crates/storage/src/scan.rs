//! Reads a segment file batch by batch: what recovery, time lookup and verification share.
//!
//! The bytes are hostile: a length is compared with what is left of the file before anything is allocated for it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use wire::batch::{self, BatchHeader, HEADER_LEN};

use crate::producer_state::{Marker, ProducerBatch};

const CHUNK: usize = 256 << 10;

/// One batch in a file.
#[derive(Debug)]
pub(crate) struct ScannedBatch<'a> {
    pub(crate) header: BatchHeader,
    pub(crate) position: u64,
    pub(crate) bytes: &'a [u8],
}

/// What stands at a position.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    Batch(ScannedBatch<'a>),
    /// The end that was asked for.
    End,
    /// No whole, valid batch begins here.
    Bad(String),
}

/// Reads whole batches in order through one buffer.
pub(crate) struct Scanner<'a> {
    file: &'a File,
    end: u64,
    buffer: Vec<u8>,
    /// File position of the buffer's first byte, and how much of it was consumed.
    buffer_at: u64,
    consumed: usize,
    segment_base: i64,
    next_offset: i64,
    check_crc: bool,
}

impl<'a> Scanner<'a> {
    /// From `position`, where a batch begins, to `end`, in the file of the segment with this base offset.
    pub(crate) fn new(file: &'a File, segment_base: i64, position: u64, end: u64) -> Self {
        Self {
            file,
            end,
            buffer: Vec::new(),
            buffer_at: position,
            consumed: 0,
            segment_base,
            next_offset: segment_base,
            check_crc: true,
        }
    }

    /// The first batch may not begin below `next_offset`.
    pub(crate) fn expecting(mut self, next_offset: i64) -> Self {
        self.next_offset = next_offset;
        self
    }

    /// Trusts the checksums: for bytes that were checked before.
    pub(crate) fn without_crc(mut self) -> Self {
        self.check_crc = false;
        self
    }

    pub(crate) fn position(&self) -> u64 {
        self.buffer_at + self.consumed as u64
    }

    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Steps over one batch. After `Bad` or an error the position stays in front of it.
    pub(crate) fn next(&mut self) -> std::io::Result<Next<'_>> {
        let position = self.position();
        let left = self.end.saturating_sub(position);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < HEADER_LEN as u64 {
            return Ok(Next::Bad(format!("{left} bytes are no batch header")));
        }
        self.fill(HEADER_LEN)?;
        let header = match BatchHeader::parse_prefix(&self.buffer[self.consumed..]) {
            Ok(header) => header,
            Err(error) => return Ok(Next::Bad(error.to_string())),
        };
        let len = header.total_len();
        if len as u64 > left {
            return Ok(Next::Bad(format!(
                "a batch of {len} bytes, of which {left} are there"
            )));
        }
        if header.base_offset < self.next_offset || !may_hold(self.segment_base, &header) {
            return Ok(Next::Bad(format!(
                "offset {} where {} is due",
                header.base_offset, self.next_offset
            )));
        }
        self.fill(len)?;
        let bytes = &self.buffer[self.consumed..self.consumed + len];
        if self.check_crc && !batch::check_crc(bytes) {
            return Ok(Next::Bad("the checksum is wrong".to_owned()));
        }
        self.consumed += len;
        self.next_offset = header.next_offset();
        Ok(Next::Batch(ScannedBatch {
            header,
            position,
            bytes,
        }))
    }

    /// Makes at least `len` unconsumed bytes available; the caller knows that the file has them.
    fn fill(&mut self, len: usize) -> std::io::Result<()> {
        let have = self.buffer.len() - self.consumed;
        if have >= len {
            return Ok(());
        }
        self.buffer.copy_within(self.consumed.., 0);
        self.buffer_at += self.consumed as u64;
        self.consumed = 0;
        let left = usize::try_from(self.end - self.buffer_at).unwrap_or(usize::MAX);
        self.buffer.resize(len.max(CHUNK).min(left), 0);
        self.file
            .read_exact_at(&mut self.buffer[have..], self.buffer_at + have as u64)
    }
}

/// Whether a segment that begins at `segment_base` may hold the batch. No checksum covers a batch's base offset, so this
/// is all that keeps one damaged byte from moving the log's end into the far future; the bound is that of the append path
/// and of Kafka's `LogSegment.canConvertToRelativeOffset`.
pub(crate) fn may_hold(segment_base: i64, header: &BatchHeader) -> bool {
    header.base_offset >= segment_base
        && header.last_offset_delta >= 0
        && header.last_offset().saturating_sub(segment_base) <= i64::from(i32::MAX)
}

/// What a batch says to the producer state; `None` for a batch without a producer.
pub(crate) fn producer_batch(header: &BatchHeader, bytes: &[u8]) -> Option<ProducerBatch> {
    if !header.has_producer_id() {
        return None;
    }
    let marker = header
        .attributes
        .is_control()
        .then(|| batch::EndTxnMarker::from_batch(bytes).ok().flatten())
        .flatten();
    if header.attributes.is_control() && marker.is_none() {
        return None;
    }
    Some(ProducerBatch {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        first_sequence: header.base_sequence,
        last_sequence: header.last_sequence(),
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        timestamp: header.max_timestamp,
        transactional: header.attributes.is_transactional(),
        marker: marker.map(|m| Marker {
            committed: m.committed,
            coordinator_epoch: m.coordinator_epoch,
        }),
        // Only who appends it knows.
        bumps_epoch: false,
    })
}
