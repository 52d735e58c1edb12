//! What a reader is shown of a fetched stretch of a log (Kafka's `CompletedFetch`).

use std::collections::HashSet;

use kcheck::history::{Isolation, Record, Value};
use wire::batch::{ControlType, batches, check_crc, records};
use wire::messages::fetch_response::PartitionData;

use crate::payload;

const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The records from `position` on, and where to go on.
pub(crate) struct Shown {
    pub(crate) records: Vec<Record>,
    /// The value in the key of each: what it was made of.
    pub(crate) sources: Vec<Option<Value>>,
    pub(crate) next: i64,
}

/// Leaves out what was aborted, at read_committed, and markers. What cannot be read is a damaged record.
pub(crate) fn shown(fetched: &PartitionData, position: i64, isolation: Isolation) -> Shown {
    let mut shown = Shown {
        records: Vec::new(),
        sources: Vec::new(),
        next: position,
    };
    let mut aborted = fetched.aborted_transactions.clone().unwrap_or_default();
    aborted.sort_by_key(|txn| -txn.first_offset);
    let mut ignored = HashSet::new();
    for batch in batches(fetched.records.as_deref().unwrap_or_default()) {
        // A stretch may end in the middle of a batch.
        let Ok((header, bytes)) = batch else { break };
        while aborted
            .last()
            .is_some_and(|txn| txn.first_offset <= header.last_offset())
        {
            ignored.extend(aborted.pop().map(|txn| txn.producer_id.0));
        }
        let is_ignored = ignored.contains(&header.producer_id);
        if header.attributes.is_control() {
            if matches!(ControlType::of_batch(bytes), Ok(ControlType::Abort)) {
                ignored.remove(&header.producer_id);
            }
        } else if isolation == Isolation::ReadUncommitted
            || !(is_ignored && header.attributes.is_transactional())
        {
            show(&mut shown, bytes, header.base_offset, position);
        }
        shown.next = shown.next.max(header.next_offset());
    }
    shown
}

fn show(shown: &mut Shown, batch: &[u8], base_offset: i64, position: i64) {
    let mut damaged = || {
        shown
            .records
            .push(Record::plain(Some(base_offset), Value::DAMAGED));
        shown.sources.push(None);
    };
    if !check_crc(batch) {
        return damaged();
    }
    let Ok(decoded) = records(batch, BATCH_BYTES_MAX) else {
        return damaged();
    };
    for record in &decoded {
        let Ok(record) = record else {
            shown
                .records
                .push(Record::plain(Some(base_offset), Value::DAMAGED));
            shown.sources.push(None);
            return;
        };
        let offset = decoded.header().offset_of(&record);
        if offset >= position {
            let source = record
                .key
                .and_then(|key| std::str::from_utf8(key).ok()?.parse().ok());
            shown
                .records
                .push(Record::plain(Some(offset), payload::value(record.value)));
            shown.sources.push(source);
        }
    }
}
