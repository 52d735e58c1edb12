//! What the operations of a history say together: who wrote a value, where it is, who saw it.

use std::collections::{HashMap, HashSet};

use crate::history::{Isolation, Outcome, Value};
use crate::load::{Action, At, History, Op, UNKNOWN};

/// No operation.
pub const NOBODY: u32 = u32::MAX;

/// What is known of one value.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The operation that wrote it, or [`NOBODY`].
    pub writer: u32,
    /// The partition it was written to; if nobody wrote it, where it was read first.
    pub partition: u32,
    /// Its smallest offset there, told or read; [`UNKNOWN`] without one.
    pub first: i64,
    /// Its largest.
    pub last: i64,
    /// Somebody read it.
    pub read: bool,
    /// Somebody read it who was to be shown only what is committed.
    pub read_committed: bool,
    /// The last look saw it.
    pub scanned: bool,
    /// A later record of a compacted partition has its key, so that it may be gone.
    pub superseded: bool,
}

/// One partition, as far as it was seen.
#[derive(Debug, Default)]
pub struct Log {
    /// (offset, value), in order, from reads and from what writers of committed operations were told.
    pub entries: Vec<(i64, u32)>,
    /// The offsets of entries that no reader may miss, for each isolation.
    committed: Vec<i64>,
    all: Vec<i64>,
    /// The stretch that the last look covers, if it has one.
    pub scanned: Option<(i64, i64)>,
    /// The log may have been deleted up to here.
    pub deleted_before: i64,
    /// It is compacted.
    pub compacted: bool,
}

impl Log {
    /// Whether a record that such a reader must be shown lies between the two offsets, they themselves left out.
    pub fn misses(&self, isolation: Isolation, after: i64, before: i64) -> bool {
        let offsets = match isolation {
            Isolation::ReadCommitted => &self.committed,
            Isolation::ReadUncommitted => &self.all,
        };
        let next = offsets.partition_point(|offset| *offset <= after);
        offsets.get(next).is_some_and(|offset| *offset < before)
    }
}

/// A history with what follows from all of it.
#[derive(Debug)]
pub struct Facts<'h> {
    /// The history.
    pub history: &'h History,
    /// Hold every write to what acks=all promises.
    pub as_acks_all: bool,
    /// By operation: whether it took effect. `info` did if what it wrote was seen.
    pub committed: Vec<bool>,
    /// By value.
    pub values: Vec<Known>,
    /// By partition.
    pub logs: Vec<Log>,
}

impl<'h> Facts<'h> {
    /// In O(N log N). Fails if a value was written twice: such a history can prove nothing.
    pub fn of(history: &'h History, as_acks_all: bool) -> Result<Facts<'h>, WrittenTwice> {
        let nothing = Known {
            writer: NOBODY,
            partition: u32::MAX,
            first: UNKNOWN,
            last: UNKNOWN,
            read: false,
            read_committed: false,
            scanned: false,
            superseded: false,
        };
        let mut facts = Facts {
            history,
            as_acks_all,
            committed: Vec::new(),
            values: vec![nothing; history.values.len()],
            logs: Vec::new(),
        };
        facts
            .logs
            .resize_with(history.partitions.len(), Log::default);
        facts.writers()?;
        facts.readers();
        facts.decide_committed();
        facts.fill_logs();
        facts.supersede();
        facts.order();
        Ok(facts)
    }

    /// The operation that wrote a value.
    pub fn writer(&self, value: u32) -> Option<&'h Op> {
        self.history
            .ops
            .get(self.values[value as usize].writer as usize)
    }

    /// Whether the value was written by an operation that took effect.
    pub fn is_committed(&self, value: u32) -> bool {
        let writer = self.values[value as usize].writer;
        self.committed
            .get(writer as usize)
            .copied()
            .unwrap_or(false)
    }

    /// Whether the write was not promised to last: acks other than all.
    pub fn is_weak(&self, value: u32) -> bool {
        let weak = |op: &Op| matches!(op.action, Action::Send { acks, .. } if acks != -1);
        !self.as_acks_all && self.writer(value).is_some_and(weak)
    }

    /// Whether the value may be gone by deletion or compaction.
    pub fn may_be_gone(&self, value: u32) -> bool {
        let known = &self.values[value as usize];
        let log = &self.logs[known.partition as usize];
        let keyed = || self.history.keyed.get(&value);
        known.first < log.deleted_before
            || known.superseded
            || log.compacted
                && keyed().is_some_and(|keyed| keyed.tombstone || known.first == UNKNOWN)
    }

    /// Operations with their numbers.
    pub fn ops(&self) -> impl Iterator<Item = (usize, &'h Op)> + use<'h> {
        self.history.ops.iter().enumerate()
    }

    fn writers(&mut self) -> Result<(), WrittenTwice> {
        for (number, op) in self.ops() {
            for at in op.sends() {
                let known = &mut self.values[at.value as usize];
                if known.writer != NOBODY {
                    return Err(WrittenTwice {
                        value: self.history.values[at.value as usize],
                    });
                }
                known.writer = number as u32;
                known.partition = at.partition;
            }
        }
        Ok(())
    }

    fn readers(&mut self) {
        for (_, op) in self.ops() {
            let (isolation, reads) = op.reads();
            let scan = matches!(op.action, Action::Scan { .. });
            for at in reads {
                let known = &mut self.values[at.value as usize];
                if known.partition == u32::MAX {
                    known.partition = at.partition;
                }
                known.read = true;
                known.read_committed |= isolation == Isolation::ReadCommitted;
                known.scanned |= scan && known.partition == at.partition;
            }
            match op.action {
                Action::Scan {
                    partition,
                    from,
                    to,
                    ..
                } if op.is_ok() => {
                    let scanned = &mut self.logs[partition as usize].scanned;
                    let (first, last) = scanned.unwrap_or((from, to));
                    *scanned = Some((first.min(from), last.max(to)));
                }
                Action::Delete { partition, before } if op.outcome != Outcome::Fail => {
                    let log = &mut self.logs[partition as usize];
                    log.deleted_before = log.deleted_before.max(before);
                }
                _ => {}
            }
        }
    }

    fn decide_committed(&mut self) {
        let seen = |op: &Op, at: &At| {
            let known = &self.values[at.value as usize];
            known.read_committed || known.read && !op.is_txn()
        };
        let took_effect = |op: &Op| match op.outcome {
            Outcome::Ok => true,
            Outcome::Fail => false,
            Outcome::Info => op.sends().iter().any(|at| seen(op, at)),
        };
        self.committed = self.history.ops.iter().map(took_effect).collect();
    }

    fn fill_logs(&mut self) {
        for (number, op) in self.ops() {
            let told = if self.committed[number] {
                op.sends()
            } else {
                &[]
            };
            for at in told.iter().chain(op.reads().1) {
                if at.offset == UNKNOWN {
                    continue;
                }
                self.logs[at.partition as usize]
                    .entries
                    .push((at.offset, at.value));
                let known = &mut self.values[at.value as usize];
                if known.partition == at.partition {
                    known.last = known.last.max(at.offset);
                    let first = known.first.min(at.offset);
                    known.first = if known.first == UNKNOWN {
                        at.offset
                    } else {
                        first
                    };
                }
            }
        }
        for log in &mut self.logs {
            log.entries.sort_unstable();
            log.entries.dedup();
        }
    }

    fn supersede(&mut self) {
        self.doubt();
        for partition in self.history.compacted.keys() {
            let log = &mut self.logs[*partition as usize];
            log.compacted = true;
            let mut latest: HashMap<u32, u32> = HashMap::new();
            for (_, value) in &log.entries {
                let writer = self.values[*value as usize].writer;
                let committed = self
                    .committed
                    .get(writer as usize)
                    .copied()
                    .unwrap_or(false);
                if let (Some(keyed), true) = (self.history.keyed.get(value), committed)
                    && let Some(earlier) = latest.insert(keyed.key, *value)
                    && earlier != *value
                {
                    self.values[earlier as usize].superseded = true;
                }
            }
        }
    }

    /// A tombstone that may have been written, seen by nobody, may have taken its key along and then gone itself.
    fn doubt(&mut self) {
        let mut doubtful = HashSet::new();
        for (number, op) in self.ops() {
            if op.outcome == Outcome::Info && !self.committed[number] {
                let keyed = |at: &At| self.history.keyed.get(&at.value);
                let tombstones = op
                    .sends()
                    .iter()
                    .filter_map(keyed)
                    .filter(|keyed| keyed.tombstone);
                doubtful.extend(tombstones.map(|keyed| keyed.key));
            }
        }
        for (value, keyed) in &self.history.keyed {
            self.values[*value as usize].superseded |= doubtful.contains(&keyed.key);
        }
    }

    fn order(&mut self) {
        for partition in 0..self.logs.len() {
            let log = &self.logs[partition];
            let kept = |value: u32| {
                let keyed = self.history.keyed.get(&value);
                let tombstone = log.compacted && keyed.is_some_and(|keyed| keyed.tombstone);
                !self.values[value as usize].superseded && !tombstone
            };
            let entries = log.entries.iter().filter(|(_, value)| kept(*value));
            let entries = entries.filter(|(offset, _)| *offset >= log.deleted_before);
            let committed = entries
                .clone()
                .filter(|(_, value)| self.is_committed(*value));
            let committed = committed.map(|(offset, _)| *offset).collect();
            let all = entries.map(|(offset, _)| *offset).collect();
            let log = &mut self.logs[partition];
            (log.committed, log.all) = (committed, all);
        }
    }
}

/// A value has two writers: the fault of whoever made the history.
#[derive(Debug, thiserror::Error)]
#[error("value {value} was written twice: the history proves nothing")]
pub struct WrittenTwice {
    /// Which.
    pub value: Value,
}
