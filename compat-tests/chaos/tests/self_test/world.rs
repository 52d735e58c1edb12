//! A Kafka of a few vectors, whose clients are tasks that a seeded scheduler runs a step at a time; it writes the history they
//! would have written. A mutant breaks one thing, now and then.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use kcheck::history::{Isolation, Line, Op, Outcome, Record, Value};

use crate::mutants::Mutant;

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Rng(pub u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub offset: i64,
    pub record: Record,
    pub txn: Option<usize>,
    pub written: u64,
    pub epoch: i32,
}

#[derive(Default)]
pub(crate) struct Log {
    pub entries: Vec<Entry>,
    pub next: i64,
    pub start: i64,
    /// Offsets of markers.
    pub holes: Vec<i64>,
    pub leader: i32,
    pub epoch: i32,
    /// The latest epoch that an observer wrote down.
    pub observed: i32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Committed,
    Aborted,
}

pub(crate) struct Txn {
    pub fate: Fate,
    pub id: usize,
    pub epoch: i16,
    pub partitions: Vec<String>,
}

pub(crate) struct State {
    pub rng: Rng,
    pub now: u64,
    pub logs: BTreeMap<String, Log>,
    pub txns: Vec<Txn>,
    /// By transactional id.
    pub epochs: HashMap<usize, i16>,
    /// By (group, partition).
    pub committed: HashMap<(String, String), i64>,
    pub generation: i32,
    /// A fault holds up all writes.
    pub held: bool,
    pub lines: Vec<Line>,
    /// By writer.
    pub sequences: HashMap<u32, u32>,
    pub processes: usize,
    pub over: bool,
    pub mutant: Option<Mutant>,
    pub fired: u64,
    ids: HashMap<String, u64>,
}

pub(crate) struct World(RefCell<State>);

/// What an operation is amended by.
pub(crate) struct Begun {
    process: String,
    id: u64,
}

impl World {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>, partitions: &[&str]) -> World {
        let logs = partitions.iter().map(|name| {
            (
                (*name).to_owned(),
                Log {
                    leader: 1,
                    ..Log::default()
                },
            )
        });
        World(RefCell::new(State {
            rng: Rng(seed),
            now: 1,
            logs: logs.collect(),
            txns: Vec::new(),
            epochs: HashMap::new(),
            committed: HashMap::new(),
            generation: 0,
            held: false,
            lines: Vec::new(),
            sequences: HashMap::new(),
            processes: 0,
            over: false,
            mutant,
            fired: 0,
            ids: HashMap::new(),
        }))
    }

    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    pub(crate) fn over(&self) -> bool {
        self.state().over
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        self.state().rng.below(bound)
    }

    pub(crate) fn percent(&self, chance: usize) -> bool {
        self.state().rng.percent(chance)
    }

    /// Whether this is the moment for the mutant.
    pub(crate) fn broken(&self, mutant: Mutant, chance: usize) -> bool {
        self.state().broken(mutant, chance)
    }

    pub(crate) fn process(&self, kind: &str) -> String {
        let mut state = self.state();
        state.processes += 1;
        format!("{kind}{}", state.processes)
    }

    pub(crate) fn value(&self, writer: u32) -> Value {
        let mut state = self.state();
        let sequence = state.sequences.entry(writer).or_default();
        *sequence += 1;
        Value {
            writer,
            sequence: *sequence,
        }
    }

    /// Writes the operation down, with the outcome it has if nobody hears of it again.
    pub(crate) fn begin(&self, process: &str, outcome: Outcome, op: Op) -> Begun {
        let mut state = self.state();
        let id = state.ids.entry(process.to_owned()).or_default();
        *id += 1;
        let id = *id;
        let invoke = Some(state.tick());
        state.lines.push(Line {
            process: process.to_owned(),
            id,
            invoke,
            complete: None,
            outcome,
            op: Some(op),
            offsets: BTreeMap::new(),
        });
        Begun {
            process: process.to_owned(),
            id,
        }
    }

    pub(crate) fn amend(
        &self,
        begun: &Begun,
        outcome: Outcome,
        done: bool,
        offsets: &[(String, Option<i64>)],
    ) {
        let mut state = self.state();
        let complete = Some(state.tick());
        let mut told: BTreeMap<String, Vec<Option<i64>>> = BTreeMap::new();
        for (partition, offset) in offsets {
            told.entry(partition.clone()).or_default().push(*offset);
        }
        state.lines.push(Line {
            process: begun.process.clone(),
            id: begun.id,
            invoke: None,
            complete: complete.filter(|_| done),
            outcome,
            op: None,
            offsets: told,
        });
    }

    /// An operation that began at `invoke` and ends now, with all it was told.
    pub(crate) fn whole(&self, process: &str, invoke: u64, op: Op) {
        self.begin(process, Outcome::Ok, op);
        let mut state = self.state();
        let complete = Some(state.tick());
        let line = state.lines.last_mut().expect("it was just written");
        (line.invoke, line.complete) = (Some(invoke), complete);
    }

    pub(crate) fn tick(&self) -> u64 {
        self.state().tick()
    }

    /// Whether no poll ever shows it.
    pub(crate) fn hidden(&self, record: &Record) -> bool {
        let mut state = self.state();
        record.value.writer == 1
            && record.value.sequence.is_multiple_of(20)
            && state.broken(Mutant::Hidden, 100)
    }
}

impl State {
    pub(crate) fn tick(&mut self) -> u64 {
        self.now += 1 + self.rng.below(4) as u64;
        self.now
    }

    pub(crate) fn broken(&mut self, mutant: Mutant, chance: usize) -> bool {
        let now = self.mutant == Some(mutant) && self.rng.percent(chance);
        self.fired += u64::from(now);
        now
    }

    pub(crate) fn log(&mut self, partition: &str) -> &mut Log {
        self.logs
            .get_mut(partition)
            .expect("every partition is made at the beginning")
    }

    /// Appends one record and says where.
    pub(crate) fn append(&mut self, partition: &str, record: Record, txn: Option<usize>) -> i64 {
        let written = self.now;
        let mut epoch = self.log(partition).epoch;
        if self.broken(Mutant::EarlierEpoch, 4) {
            epoch -= 1;
        }
        if self.broken(Mutant::OffsetReused, 4)
            && let Some(last) = self.log(partition).entries.last_mut()
        {
            last.record = record;
            return last.offset;
        }
        if txn.is_none() && self.broken(Mutant::Inserted, 20) {
            let log = self.log(partition);
            if !log.holes.is_empty() {
                let offset = log.holes.remove(0);
                let place = log.entries.partition_point(|entry| entry.offset < offset);
                log.entries.insert(
                    place,
                    Entry {
                        offset,
                        record,
                        txn,
                        written,
                        epoch: log.epoch,
                    },
                );
                return offset;
            }
        }
        let times = if self.broken(Mutant::AppendedTwice, 5) {
            2
        } else {
            1
        };
        let dropped = self.broken(Mutant::AcknowledgedOnly, 4);
        let elsewhere = match partition {
            "in-0" if self.broken(Mutant::Elsewhere, 5) => "in-1",
            _ => partition,
        };
        let log = self.log(elsewhere);
        let first = log.next;
        for _ in 0..times {
            let entry = Entry {
                offset: log.next,
                record: record.clone(),
                txn,
                written,
                epoch,
            };
            log.next += 1;
            if !dropped {
                log.entries.push(entry);
            }
        }
        first
    }

    pub(crate) fn fate(&self, entry: &Entry) -> Fate {
        entry.txn.map_or(Fate::Committed, |txn| self.txns[txn].fate)
    }

    pub(crate) fn stable(&self, partition: &str) -> i64 {
        let log = &self.logs[partition];
        let open = log
            .entries
            .iter()
            .find(|entry| self.fate(entry) == Fate::Open);
        open.map_or(log.next, |entry| entry.offset)
    }

    /// Up to `max` records from `from` on, and where to go on. `own` is the reader's transaction.
    pub(crate) fn read(
        &mut self,
        partition: &str,
        from: i64,
        max: usize,
        isolation: Isolation,
        own: Option<usize>,
    ) -> (Vec<Record>, i64) {
        let dirty = own.is_some() && self.broken(Mutant::DirtyReads, 100);
        let undead = self.broken(Mutant::AbortedShown, 10);
        let below = self.broken(Mutant::DeletedShown, 20);
        let own_shown = self.broken(Mutant::OwnShown, 100);
        let end = match isolation {
            Isolation::ReadCommitted if !dirty && !own_shown => self.stable(partition),
            _ => self.logs[partition].next,
        };
        let log = &self.logs[partition];
        let from = if below { 0 } else { from.max(log.start) };
        let mut next = from;
        let mut found = Vec::new();
        for entry in &log.entries {
            if entry.offset < from || (entry.offset < log.start && !below) {
                continue;
            }
            if found.len() == max || entry.offset >= end {
                break;
            }
            next = entry.offset + 1;
            let shown = match self.fate(entry) {
                Fate::Committed => true,
                Fate::Open => dirty && entry.txn != own || own_shown && entry.txn == own,
                Fate::Aborted => undead,
            };
            if shown || isolation == Isolation::ReadUncommitted {
                let offset = Some(entry.offset);
                found.push(Record {
                    offset,
                    ..entry.record.clone()
                });
            }
        }
        self.distort(&mut found);
        (found, next)
    }

    fn distort(&mut self, found: &mut Vec<Record>) {
        if found.len() > 2 && self.broken(Mutant::MiddleDropped, 20) {
            found.remove(1);
        }
        if found.len() > 1 && self.broken(Mutant::Swapped, 20) {
            found.swap(0, 1);
        }
        let Some(last) = found.last().cloned() else {
            return;
        };
        let offset = last.offset.map(|offset| offset + 1);
        if self.broken(Mutant::NobodysRecord, 5) {
            let value = Value {
                writer: 9_999,
                sequence: self.fired as u32,
            };
            found.push(Record::plain(offset, value));
        }
        if self.broken(Mutant::NotYetWritten, 5) {
            let sequence = self.sequences.get(&1).map_or(1, |sequence| sequence + 1);
            found.push(Record::plain(
                offset,
                Value {
                    writer: 1,
                    sequence,
                },
            ));
        }
    }
}

/// Lets the others go on.
pub(crate) async fn pause() {
    let mut paused = false;
    poll_fn(|_| match std::mem::replace(&mut paused, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Runs the clients for about so many steps, and then until each has come to its end.
pub(crate) fn run<'w>(
    world: &'w World,
    mut clients: Vec<Pin<Box<dyn Future<Output = ()> + 'w>>>,
    steps: usize,
) {
    let mut context = Context::from_waker(Waker::noop());
    let mut step = 0;
    while !clients.is_empty() {
        step += 1;
        world.state().over = step > steps;
        let client = world.below(clients.len());
        world.tick();
        if clients[client].as_mut().poll(&mut context).is_ready() {
            drop(clients.swap_remove(client));
        }
    }
}
