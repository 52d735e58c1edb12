//! What the cleaner makes of one batch (`Cleaner.cleanInto` and `MemoryRecords.filterTo` in Kafka).
//!
//! A batch that cannot be opened is poison: it is kept byte for byte, whoever reads it may still make something of it. What
//! it hides might be an older value of any key, so no tombstone behind it is dropped in the same run.

use foldhash::HashMap;
use wire::Bytes;
use wire::batch::{self, BatchHeader, BatchRewriter};
use wire::records::RecordView;

use super::offset_map::OffsetMap;
use super::transactions::CleanedTransactions;

/// The most that one batch may grow when it is opened. Not an option: what is poison today must stay poison, because its
/// keys were never looked at.
pub(crate) const MAX_OPENED_BYTES: usize = 256 << 20;

/// Where a producer stands, so that its last batch is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastOfProducer {
    pub(crate) epoch: i16,
    /// `None` when nothing but a marker is known of its epoch.
    pub(crate) last_data_offset: Option<i64>,
}

/// What a run of the cleaner decides by.
pub(crate) struct Filter {
    pub(crate) map: OffsetMap,
    /// The map knows every record between the dirty part's beginning and here, this one included.
    pub(crate) mapped_to: i64,
    pub(crate) transactions: CleanedTransactions,
    pub(crate) producers: HashMap<i64, LastOfProducer>,
    pub(crate) now_ms: i64,
    pub(crate) delete_retention_ms: i64,
    keep_tombstones: bool,
    retained: Vec<bool>,
}

/// What becomes of a batch.
pub(crate) enum Fate {
    Drop,
    /// As it is.
    Keep,
    /// As it is, because it cannot be opened.
    Poison(String),
    Replace(Bytes),
}

impl Filter {
    pub(crate) fn new(
        map: OffsetMap,
        mapped_to: i64,
        transactions: CleanedTransactions,
        now_ms: i64,
        delete_retention_ms: i64,
    ) -> Self {
        Self {
            map,
            mapped_to,
            transactions,
            producers: HashMap::default(),
            now_ms,
            delete_retention_ms,
            keep_tombstones: false,
            retained: Vec::new(),
        }
    }

    /// Something of the log was passed over unread.
    pub(crate) fn lose_sight(&mut self) {
        self.keep_tombstones = true;
        self.transactions.lose_sight();
    }

    /// Judges the next batch of the log. `is_last` keeps at least its header, so that the offsets of segments join.
    pub(crate) fn judge(&mut self, header: &BatchHeader, bytes: &[u8], is_last: bool) -> Fate {
        if !batch::check_crc(bytes) {
            self.lose_sight();
            return Fate::Poison("the checksum is wrong".to_owned());
        }
        let keep_header = is_last || self.is_last_of_producer(header);
        if header.attributes.is_control() {
            return self.judge_control(header, bytes, keep_header);
        }
        if self.transactions.on_data(header) {
            return nothing_left(header, keep_header);
        }
        if header.base_offset > self.mapped_to {
            return Fate::Keep;
        }
        self.judge_records(header, bytes, keep_header)
            .unwrap_or_else(|what| {
                self.keep_tombstones = true;
                Fate::Poison(what)
            })
    }

    /// A marker stays while records of its transaction do, and `delete.retention.ms` longer.
    fn judge_control(&mut self, header: &BatchHeader, bytes: &[u8], keep_header: bool) -> Fate {
        let forsaken = self.transactions.on_control(header, bytes);
        if header.record_count == 0 {
            return nothing_left(header, keep_header);
        }
        match header.delete_horizon_ms() {
            _ if !forsaken => Fate::Keep,
            Some(horizon_ms) if horizon_ms <= self.now_ms => nothing_left(header, keep_header),
            Some(_) => Fate::Keep,
            None => {
                let horizon = Some(self.new_horizon_ms());
                rewrite(bytes, horizon, |_| true).unwrap_or_else(Fate::Poison)
            }
        }
    }

    fn judge_records(
        &mut self,
        header: &BatchHeader,
        bytes: &[u8],
        keep_header: bool,
    ) -> Result<Fate, String> {
        let mut retained = std::mem::take(&mut self.retained);
        retained.clear();
        let (mut kept, mut tombstones) = (0, false);
        let records = batch::records(bytes, MAX_OPENED_BYTES).map_err(|error| error.to_string())?;
        for record in &records {
            let record = record.map_err(|error| error.to_string())?;
            let keep = self.retains(header, &record);
            retained.push(keep);
            if keep {
                kept += 1;
                tombstones |= record.value.is_none();
            }
        }
        let horizon_ms =
            (tombstones && header.delete_horizon_ms().is_none()).then(|| self.new_horizon_ms());
        let fate = if kept == 0 {
            nothing_left(header, keep_header)
        } else if kept == retained.len() && horizon_ms.is_none() {
            Fate::Keep
        } else {
            rewrite_opened(&records, horizon_ms, |at| retained[at])?
        };
        self.retained = retained;
        Ok(fate)
    }

    /// Kafka's `Cleaner.shouldRetainRecord`: the last of its key, and not a tombstone that has been seen for long enough.
    /// A record without a key was there before the topic was compacted, and means nothing in one that is.
    fn retains(&self, header: &BatchHeader, record: &RecordView<'_>) -> bool {
        let offset = header.offset_of(record);
        if offset > self.mapped_to {
            return true;
        }
        let Some(key) = record.key else {
            return false;
        };
        let is_last = self.map.get(key).is_none_or(|last| offset >= last);
        let outlived = header
            .delete_horizon_ms()
            .is_some_and(|horizon_ms| horizon_ms <= self.now_ms);
        is_last && (record.value.is_some() || !outlived || self.keep_tombstones)
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let last = self.producers.get(&header.producer_id);
        header.has_producer_id()
            && last.is_some_and(|last| match last.last_data_offset {
                Some(offset) => header.last_offset() == offset,
                // Its marker knows the newest epoch, by which older ones are fenced.
                None => header.attributes.is_control() && header.producer_epoch == last.epoch,
            })
    }

    fn new_horizon_ms(&self) -> i64 {
        self.now_ms.saturating_add(self.delete_retention_ms)
    }
}

fn nothing_left(header: &BatchHeader, keep_header: bool) -> Fate {
    match (keep_header, header.record_count) {
        (false, _) => Fate::Drop,
        (true, 0) => Fate::Keep,
        (true, _) => Fate::Replace(batch::emptied(header)),
    }
}

fn rewrite(
    bytes: &[u8],
    horizon_ms: Option<i64>,
    keep: impl Fn(usize) -> bool,
) -> Result<Fate, String> {
    let records = batch::records(bytes, MAX_OPENED_BYTES).map_err(|error| error.to_string())?;
    rewrite_opened(&records, horizon_ms, keep)
}

fn rewrite_opened(
    records: &batch::Records<'_>,
    horizon_ms: Option<i64>,
    keep: impl Fn(usize) -> bool,
) -> Result<Fate, String> {
    let header = records.header();
    let mut rewriter = BatchRewriter::new(header, horizon_ms);
    for (at, record) in records.iter().enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        if keep(at) {
            rewriter
                .push(&record, header.timestamp_of(&record))
                .map_err(|error| error.to_string())?;
        }
    }
    let batch = rewriter.build().map_err(|error| error.to_string())?;
    Ok(Fate::Replace(batch))
}
