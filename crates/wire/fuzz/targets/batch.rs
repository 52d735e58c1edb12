//! Any bytes as record batches: the header, the checksum, and the records behind it through every reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidewater_wire_fuzz::within_memory;
use wire::batch::{self, BatchHeader, HEADER_LEN};
use wire::records::{RecordError, RecordIter, RecordSummary, RecordWalk};

/// What the records of one batch may inflate to, and what a decompressor holds besides.
const OUTPUT_LIMIT: usize = 256 << 10;
const MEMORY: usize = 3 * OUTPUT_LIMIT + (12 << 20);

fuzz_target!(|data: &[u8]| {
    for one in batch::batches(data) {
        let Ok((header, bytes)) = one else { break };
        assert_eq!(header.total_len(), bytes.len());
    }
    let Ok(header) = BatchHeader::parse(data) else {
        return;
    };
    assert!(header.total_len() <= data.len());
    assert_eq!(header.to_bytes()[..], data[..HEADER_LEN]);
    let _ = batch::check_crc(data);
    let _ = (
        header.last_offset(),
        header.next_offset(),
        header.last_sequence(),
    );
    within_memory(MEMORY, || read(data));
    walk(&data[HEADER_LEN..header.total_len()], header.record_count);
    patch(&data[..header.total_len()]);
});

fn read(data: &[u8]) {
    let Ok(records) = batch::records(data, OUTPUT_LIMIT) else {
        return;
    };
    let mut read = 0;
    for record in &records {
        let Ok(record) = record else { break };
        let _ = (
            records.header().offset_of(&record),
            records.header().timestamp_of(&record),
        );
        for header in record.headers {
            let _ = header;
        }
        read += 1;
    }
    assert!(read <= records.header().record_count.max(0));
}

/// The two ways to check records, over memory and over a stream, agree; any bytes will do.
fn walk(body: &[u8], record_count: i32) {
    let mut walk = RecordWalk::over_slice(body, record_count);
    let over_slice = collect(|| walk.next_record());
    let mut left = body;
    let fill = |buffer: &mut [u8]| -> Result<usize, RecordError> {
        // Uneven portions, as a decompressor gives them.
        let portion = left.len().min(buffer.len()).min(1 + left.len() % 13);
        buffer[..portion].copy_from_slice(&left[..portion]);
        left = &left[portion..];
        Ok(portion)
    };
    let mut walk = RecordWalk::over_stream(fill, record_count);
    let over_stream = collect(|| walk.next_record());
    assert_eq!(
        over_slice.is_ok(),
        over_stream.is_ok(),
        "{over_slice:?} and {over_stream:?}"
    );
    if over_slice.is_ok() {
        assert_eq!(over_slice, over_stream);
        let strict = RecordIter::new(body, record_count).strict();
        assert!(strict.into_iter().all(|record| record.is_ok()));
    }
}

fn collect(
    mut next: impl FnMut() -> Result<Option<RecordSummary>, RecordError>,
) -> Result<Vec<RecordSummary>, RecordError> {
    let mut summaries = Vec::new();
    while let Some(summary) = next()? {
        summaries.push(summary);
    }
    Ok(summaries)
}

/// The stamps a broker puts on a batch leave it readable and its checksum right.
fn patch(batch: &[u8]) {
    let mut stamped = batch.to_vec();
    batch::set_max_timestamp_log_append(&mut stamped, 12_345);
    assert!(batch::check_crc(&stamped));
    batch::set_base_offset(&mut stamped, i64::MAX);
    batch::set_leader_epoch(&mut stamped, i32::MAX);
    assert!(batch::check_crc(&stamped));
    assert!(BatchHeader::parse(&stamped).is_ok());
}
