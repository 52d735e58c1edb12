//! All transactional ids of one partition of `__transaction_state`.
//!
//! One owner drives it, one event at a time: [`TransactionShard::handle`] or [`TransactionShard::tick`] decides, the owner
//! appends the decision's records as one batch, and then tells the shard the outcome before anything else:
//! [`TransactionShard::replay`] for each record, or [`TransactionShard::append_failed`]. Replies go out when the records are
//! stored as safely as the owner wants; then the owner asks for the markers that are to be written.
//!
//! Soft, and forgotten by a restart: which markers are known to be written (all are written again), and by which epoch a
//! producer that lost the answer to its InitProducerId may ask again (it is fenced instead, as in Kafka).

mod decide;
mod entry;
mod query;
mod replay;

pub use query::{TransactionDescription, TransactionListing, TransactionStats};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::TransactionError;
use super::event::{Markers, MarkersWritten, TransactionEvent, TransactionReply};
use super::options::TransactionOptions;
use super::record;
use super::value::TransactionValue;
use crate::deadlines::Deadlines;
use crate::decision::{CoordinatorRecord, Decision, Ticket};
use entry::{Entry, Sweeps};

/// Bytes after which one tick decides no more: many expired ids are spread over many batches. With the largest value on top
/// a batch stays below the size that logs take by default.
const TICK_BYTES: usize = 256 * 1_024;

/// How long to wait before a completion that could not be stored is tried again, in milliseconds.
const COMPLETION_RETRY_MS: i64 = 1_000;

/// Gives out producer ids, each once in the life of the cluster. `None`: none is at hand at this moment, and the owner is
/// getting more.
pub type NewProducerId = Box<dyn FnMut() -> Option<i64> + Send>;

/// Whether requests are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Loading,
    Active,
    Unloaded,
}

/// What only ever grows, since the shard was made.
#[derive(Debug, Clone, Default)]
struct Counters {
    timed_out: u64,
    expired: u64,
    records_ignored: u64,
    records_refused: u64,
}

/// See the module's description.
pub struct TransactionShard {
    options: TransactionOptions,
    coordinator_epoch: i32,
    new_producer_id: NewProducerId,
    entries: BTreeMap<Arc<str>, Entry>,
    deadlines: Deadlines,
    counters: Counters,
    /// Ids whose markers the owner has not been told of yet.
    markers_due: Vec<Arc<str>>,
    /// Ids with a record in the decision that is being stored.
    in_flight: Vec<Arc<str>>,
    /// The epoch that the producer had which is being given one by that decision: it may ask again with it.
    asked_with_epoch: Option<i16>,
    phase: Phase,
    loaded_at_ms: i64,
    now_ms: i64,
}

impl std::fmt::Debug for TransactionShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionShard")
            .field("ids", &self.entries.len())
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl TransactionShard {
    /// A shard that knows nothing yet: replay its partition's records into it, then call [`Self::loaded`].
    /// `coordinator_epoch` is the leader epoch under which the owner leads the partition; markers carry it.
    #[must_use]
    pub fn new(
        options: TransactionOptions,
        coordinator_epoch: i32,
        new_producer_id: NewProducerId,
    ) -> Self {
        Self {
            options,
            coordinator_epoch,
            new_producer_id,
            entries: BTreeMap::new(),
            deadlines: Deadlines::default(),
            counters: Counters::default(),
            markers_due: Vec::new(),
            in_flight: Vec::new(),
            asked_with_epoch: None,
            phase: Phase::Loading,
            loaded_at_ms: 0,
            now_ms: 0,
        }
    }

    /// Changed configuration. Transactions keep the timeouts they have.
    pub fn set_options(&mut self, options: TransactionOptions) {
        self.options = options;
        if self.phase == Phase::Active {
            let sweeps = self.sweeps();
            for entry in self.entries.values_mut() {
                entry.reindex(&mut self.deadlines, &sweeps);
            }
        }
    }

    /// What `event` means at `now_ms`. Its answer, if it has a ticket, is in this decision.
    pub fn handle(&mut self, now_ms: i64, event: TransactionEvent) -> Decision<TransactionReply> {
        self.begin(now_ms);
        let mut decision = Decision::default();
        match event {
            TransactionEvent::InitProducerId(ticket, request) => {
                let result = self.init_producer_id(&mut decision, &request);
                let reply = TransactionReply::InitProducerId(result);
                decision.replies.push((ticket, reply));
            }
            TransactionEvent::AddPartitions(ticket, request) => {
                let result = self.add_partitions(&mut decision, request);
                let reply = TransactionReply::AddPartitions(result);
                decision.replies.push((ticket, reply));
            }
            TransactionEvent::End(ticket, request) => {
                let result = self.end_transaction(&mut decision, &request);
                decision
                    .replies
                    .push((ticket, TransactionReply::End(result)));
            }
            TransactionEvent::MarkersWritten(written) => {
                self.markers_written(&mut decision, &written);
            }
        }
        decision
    }

    /// When [`Self::tick`] has something to do, in milliseconds; may be too early, never too late.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        self.deadlines.next()
    }

    /// Does what has become due by `now_ms`: aborts transactions that have gone on for too long, under a new epoch, and
    /// forgets ids that have been idle for long enough. What is left because it would be too much for one batch stays due:
    /// look at [`Self::next_deadline`] again.
    pub fn tick(&mut self, now_ms: i64) -> Decision<TransactionReply> {
        self.begin(now_ms);
        let mut decision = Decision::default();
        let mut bytes = 0;
        while bytes < TICK_BYTES {
            let Some(id) = self.deadlines.pop_due(now_ms) else {
                break;
            };
            let from = decision.records.len();
            self.do_due(&mut decision, &id);
            bytes += decision.records[from..].iter().map(bytes_of).sum::<usize>();
        }
        decision
    }

    /// The records of `decision` could not be appended: none of them is in the log, nor will be. Every answer in it becomes
    /// `error`. What the decision was to end by itself is tried again later.
    pub fn append_failed(
        &mut self,
        now_ms: i64,
        decision: Decision<TransactionReply>,
        error: &TransactionError,
    ) -> Vec<(Ticket, TransactionReply)> {
        self.now_ms = now_ms;
        let sweeps = self.sweeps();
        for id in std::mem::take(&mut self.in_flight) {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.put_off(&mut self.deadlines, &sweeps, now_ms);
            }
        }
        let replies = decision.replies.into_iter();
        replies
            .map(|(ticket, reply)| (ticket, reply.failed(error)))
            .collect()
    }

    /// The log has been read: time begins to count, and requests are taken. The markers of every transaction whose end is
    /// decided but not complete are to be written again.
    pub fn loaded(&mut self, now_ms: i64) {
        self.begin(now_ms);
        self.phase = Phase::Active;
        self.loaded_at_ms = now_ms;
        let sweeps = self.sweeps();
        for entry in self.entries.values_mut() {
            if !entry.awaiting.is_empty() {
                self.markers_due.push(Arc::clone(&entry.id));
            }
            entry.reindex(&mut self.deadlines, &sweeps);
        }
    }

    /// Another broker coordinates these ids now: the shard is of no more use. No request ever waits in it, so that there is
    /// nobody to be answered with `error`.
    pub fn unload(
        &mut self,
        now_ms: i64,
        _error: &TransactionError,
    ) -> Vec<(Ticket, TransactionReply)> {
        self.begin(now_ms);
        self.phase = Phase::Unloaded;
        self.entries.clear();
        self.deadlines = Deadlines::default();
        self.markers_due.clear();
        Vec::new()
    }

    /// The markers that have to be written now that the end of their transaction is stored, and after [`Self::loaded`] all
    /// that may not have been. Each is handed out once: the owner goes on until it can report every partition.
    pub fn take_markers(&mut self) -> Vec<Markers> {
        let ids = std::mem::take(&mut self.markers_due);
        let entries = ids.iter().filter_map(|id| self.entries.get(id));
        entries
            .filter_map(|entry| entry.markers(self.coordinator_epoch))
            .collect()
    }

    /// A new event: whatever was decided before has been stored, or has failed.
    fn begin(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        self.in_flight.clear();
        self.asked_with_epoch = None;
    }

    fn sweeps(&self) -> Sweeps {
        Sweeps {
            from_ms: self.loaded_at_ms,
            timeouts_ms: self.options.abort_timed_out_interval_ms,
            expiry_ms: self.options.id_expiration_check_ms,
            id_expiration_ms: self.options.id_expiration_ms,
        }
    }

    /// Decides on a new value of an id.
    fn put(
        &mut self,
        decision: &mut Decision<TransactionReply>,
        id: &str,
        value: &TransactionValue,
    ) {
        self.in_flight.push(Arc::from(id));
        decision.records.push(record::put(id, value));
    }

    /// Decides on the end of a transaction; one that has no partitions is complete with that.
    fn put_end(
        &mut self,
        decision: &mut Decision<TransactionReply>,
        id: &str,
        prepared: &TransactionValue,
    ) {
        self.put(decision, id, prepared);
        if prepared.partitions.is_empty() {
            self.put(decision, id, &prepared.completed(self.now_ms));
        }
    }

    /// Stale reports, of a transaction that is complete or of an earlier one, mean nothing.
    fn markers_written(
        &mut self,
        decision: &mut Decision<TransactionReply>,
        written: &MarkersWritten,
    ) {
        let Some(entry) = self.entries.get_mut(&written.transactional_id) else {
            return;
        };
        if self.phase != Phase::Active || !entry.is_awaiting(written) {
            return;
        }
        for partition in &written.partitions {
            entry.awaiting.remove(partition);
        }
        if entry.awaiting.is_empty() {
            let completed = entry.stored.completed(self.now_ms);
            self.put(decision, &written.transactional_id, &completed);
        }
    }

    /// Looks at an id whose time has come.
    fn do_due(&mut self, decision: &mut Decision<TransactionReply>, id: &Arc<str>) {
        let sweeps = self.sweeps();
        let now_ms = self.now_ms;
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        entry.indexed_ms = None;
        if entry.wake_at_ms(&sweeps) > now_ms {
            entry.reindex(&mut self.deadlines, &sweeps);
        } else if entry.stored.state.is_idle() {
            self.counters.expired += 1;
            self.in_flight.push(Arc::clone(id));
            decision.records.push(record::tombstone(id));
        } else if entry.stored.state.is_prepared() {
            let completed = entry.stored.completed(now_ms);
            self.put(decision, id, &completed);
        } else if self.fence(decision, id).is_ok() {
            self.counters.timed_out += 1;
        } else if let Some(entry) = self.entries.get_mut(id) {
            entry.put_off(&mut self.deadlines, &sweeps, now_ms);
        }
    }
}

fn bytes_of(record: &CoordinatorRecord) -> usize {
    record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len)
}
