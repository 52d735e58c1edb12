//! Those clients of the model that write and read.

use std::collections::BTreeMap;

use kcheck::history::{Isolation, Op, Outcome, Producer, Record};

use crate::mutants::Mutant;
use crate::world::{Begun, Fate, Txn, World, pause};

/// Sends one to three records at a time, and is not always told what became of them.
pub(crate) async fn producer(world: &World, writer: u32, partitions: &[&str]) {
    let process = world.process("producer");
    let mut held: Vec<(String, Record)> = Vec::new();
    while !world.over() {
        let partition = partitions[world.below(partitions.len())].to_owned();
        let count = 1 + world.below(3);
        let records: Vec<_> = (0..count)
            .map(|_| keyed(world, &partition, writer))
            .collect();
        let op = Op::Send {
            to: partition.clone(),
            acks: -1,
            idempotent: true,
            records: records.clone(),
        };
        let begun = world.begin(&process, Outcome::Info, op);
        pause().await;
        while world.state().held {
            pause().await;
        }
        if world.broken(Mutant::Stalled, 5) {
            for _ in 0..200 {
                pause().await;
            }
        }
        let noise = world.below(100);
        let applied = noise < 90 || noise > 96 && world.broken(Mutant::FailedWritten, 100);
        let mut told = vec![(partition.clone(), None); records.len()];
        if applied && held.is_empty() && world.broken(Mutant::SendOvertaken, 10) {
            held = records
                .into_iter()
                .map(|record| (partition.clone(), record))
                .collect();
        } else if applied {
            let mut order: Vec<usize> = (0..records.len()).collect();
            if world.broken(Mutant::BatchReversed, 10) {
                order.reverse();
            }
            for index in order {
                told[index].1 = Some(world.state().append(
                    &partition,
                    records[index].clone(),
                    None,
                ));
            }
            if let Some((same, _)) = held.first()
                && *same == partition
            {
                for (partition, record) in held.drain(..) {
                    world.state().append(&partition, record, None);
                }
            }
        }
        pause().await;
        match noise {
            0..85 => world.amend(&begun, Outcome::Ok, true, &told),
            85..93 => world.amend(&begun, Outcome::Info, true, &[]),
            93..=96 => {}
            _ => world.amend(&begun, Outcome::Fail, true, &[]),
        }
        pause().await;
    }
}

fn keyed(world: &World, partition: &str, writer: u32) -> Record {
    let mut record = Record::plain(None, world.value(writer));
    if partition.starts_with("compacted") {
        record.key = Some(format!("key{}", world.below(30)));
        record.tombstone = world.percent(25);
    }
    record
}

/// Reads some partitions, and now and then starts again from elsewhere.
pub(crate) async fn consumer(world: &World, isolation: Isolation, partitions: &[&str]) {
    let process = world.process("consumer");
    let mut positions: Vec<i64> = vec![0; partitions.len()];
    while !world.over() {
        if world.percent(4) {
            let one = world.below(partitions.len());
            positions[one] = (positions[one] - world.below(8) as i64).max(0);
            let partitions = Some(vec![partitions[one].to_owned()]);
            world.whole(&process, world.tick(), Op::Assign { partitions });
        }
        let invoke = world.tick();
        pause().await;
        let mut records = BTreeMap::new();
        for (partition, position) in partitions.iter().zip(&mut positions) {
            if world.percent(30) {
                continue;
            }
            let max = 1 + world.below(6);
            let (mut found, mut next) = world
                .state()
                .read(partition, *position, max, isolation, None);
            found.retain(|record| !world.hidden(record));
            if !found.is_empty() && world.broken(Mutant::PositionAhead, 10) {
                next += 1;
            }
            if !found.is_empty() && world.broken(Mutant::PositionBehind, 10) {
                next = *position;
            }
            *position = next;
            if !found.is_empty() {
                records.insert((*partition).to_owned(), found);
            }
        }
        pause().await;
        let rebalanced = Vec::new();
        world.whole(
            &process,
            invoke,
            Op::Poll {
                isolation,
                records,
                rebalanced,
            },
        );
    }
}

/// Transactions: what one reads, writes, and belongs to.
pub(crate) struct Transactions<'w> {
    pub world: &'w World,
    pub id: usize,
    pub writer: u32,
    pub group: Option<&'w str>,
    pub input: &'w str,
    pub outputs: [&'w str; 2],
}

/// What became of one transaction.
enum Ended {
    GoOn,
    Renew,
}

impl Transactions<'_> {
    /// Sessions one after the other; another client with the same id fences them.
    pub(crate) async fn run(self) {
        while !self.world.over() {
            self.session().await;
        }
    }

    async fn session(&self) {
        let world = self.world;
        let process = world.process("txn");
        let op = Op::Init {
            id: self.name(),
            producer: None,
        };
        let invoke = world.tick();
        pause().await;
        let epoch = self.fence();
        pause().await;
        world.whole(&process, invoke, op);
        let mut position = self.committed();
        while !world.over() {
            pause().await;
            if let Ended::Renew = self.transaction(&process, epoch, &mut position).await {
                return;
            }
        }
    }

    async fn transaction(&self, process: &str, epoch: i16, position: &mut i64) -> Ended {
        let world = self.world;
        let txn = self.open(epoch);
        let (mut polls, mut next) = self.read(*position, txn);
        let mut sends: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for _ in 0..1 + world.below(4) {
            let record = Record::plain(None, world.value(self.writer));
            let output = self.outputs[world.below(2)].to_owned();
            sends.entry(output).or_default().push(record);
        }
        // Whoever belongs to no group reads on while it writes, so what it has read is known only then.
        let mut begun = None;
        if self.group.is_some() {
            begun = Some(self.begin(process, epoch, &polls, &sends));
        }
        let invoke = world.tick();
        let mut told = Vec::new();
        for (partition, records) in &sends {
            for record in records {
                pause().await;
                if self.is_fenced(epoch) {
                    return self.fenced(process, begun.as_ref()).await;
                }
                let mut state = world.state();
                let offset = state.append(partition, record.clone(), Some(txn));
                state.txns[txn].partitions.push(partition.clone());
                told.push((partition.clone(), Some(offset)));
            }
        }
        if self.group.is_none() {
            let (more, after) = self.read(next, txn);
            (polls, next) = ([polls, more].concat(), after);
        }
        let begun = begun.unwrap_or_else(|| {
            let begun = self.begin(process, epoch, &polls, &sends);
            let mut state = world.state();
            state.lines.last_mut().expect("it was just written").invoke = Some(invoke);
            begun
        });
        let wish = world.percent(75);
        if wish {
            world.amend(&begun, Outcome::Info, false, &[]);
        }
        pause().await;
        if self.is_fenced(epoch) {
            return self.fenced(process, Some(&begun)).await;
        }
        // The answer, or the request, may be lost.
        let (heard, applied) = (world.percent(90), world.percent(95));
        if applied || heard {
            self.end(txn, wish, next);
        }
        pause().await;
        match (heard, wish) {
            (false, true) => Ended::Renew,
            (false, false) => Ended::Renew,
            (true, true) => {
                world.amend(&begun, Outcome::Ok, true, &told);
                *position = next;
                Ended::GoOn
            }
            (true, false) => {
                world.amend(&begun, Outcome::Fail, true, &[]);
                *position = self
                    .committed()
                    .max(if self.group.is_some() { 0 } else { *position });
                let partitions = Some(vec![self.input.to_owned()]);
                world.whole(process, world.tick(), Op::Assign { partitions });
                Ended::GoOn
            }
        }
    }

    fn begin(
        &self,
        process: &str,
        epoch: i16,
        polls: &[Record],
        sends: &BTreeMap<String, Vec<Record>>,
    ) -> Begun {
        let polls = match polls {
            [] => BTreeMap::new(),
            polls => BTreeMap::from([(self.input.to_owned(), polls.to_vec())]),
        };
        let op = Op::Txn {
            id: self.name(),
            // Not every client shows it.
            producer: self.id.is_multiple_of(2).then_some(Producer {
                id: self.id as i64,
                epoch,
            }),
            group: self.group.map(str::to_owned),
            polls,
            sends: sends.clone(),
        };
        self.world.begin(process, Outcome::Fail, op)
    }

    async fn fenced(&self, process: &str, begun: Option<&Begun>) -> Ended {
        if let Some(begun) = begun {
            self.world.amend(begun, Outcome::Fail, true, &[]);
        }
        let _ = process;
        for _ in 0..20 {
            pause().await;
        }
        Ended::Renew
    }

    fn read(&self, from: i64, txn: usize) -> (Vec<Record>, i64) {
        let max = 1 + self.world.below(if self.group.is_some() { 4 } else { 20 });
        let own = Some(txn);
        self.world
            .state()
            .read(self.input, from, max, Isolation::ReadCommitted, own)
    }

    fn name(&self) -> String {
        format!("id{}", self.id)
    }

    fn open(&self, epoch: i16) -> usize {
        let mut state = self.world.state();
        state.txns.push(Txn {
            fate: Fate::Open,
            id: self.id,
            epoch,
            partitions: Vec::new(),
        });
        state.txns.len() - 1
    }

    /// A new session: the open transactions of earlier ones are aborted.
    fn fence(&self) -> i16 {
        let mut state = self.world.state();
        let epoch = state.epochs.entry(self.id).or_default();
        *epoch += 1;
        let epoch = *epoch;
        for number in 0..state.txns.len() {
            let txn = &state.txns[number];
            let open = txn.id == self.id && txn.epoch < epoch && txn.fate == Fate::Open;
            if open && !state.broken(Mutant::ProducerNotFenced, 100) {
                state.end(number, false);
            }
        }
        epoch
    }

    fn is_fenced(&self, epoch: i16) -> bool {
        let fenced = self.world.state().epochs[&self.id] != epoch;
        fenced && !self.world.broken(Mutant::ProducerNotFenced, 100)
    }

    fn committed(&self) -> i64 {
        let place = (
            self.group.unwrap_or_default().to_owned(),
            self.input.to_owned(),
        );
        self.world
            .state()
            .committed
            .get(&place)
            .copied()
            .unwrap_or(0)
    }

    fn end(&self, txn: usize, commit: bool, next: i64) {
        let world = self.world;
        if let Some(group) = self.group {
            let forgotten = commit && world.broken(Mutant::OffsetsForgotten, 20);
            let kept = !commit && world.broken(Mutant::OffsetsKeptOnAbort, 50);
            if commit && !forgotten || kept {
                let place = (group.to_owned(), self.input.to_owned());
                world.state().committed.insert(place, next);
            }
        }
        let undead = !commit && world.broken(Mutant::AbortCommits, 50);
        let torn = commit && world.broken(Mutant::CommittedInPart, 30);
        let mut state = world.state();
        state.end(txn, commit || undead);
        if torn {
            let first = self.outputs[0];
            state.txns.push(Txn {
                fate: Fate::Aborted,
                id: self.id,
                epoch: 0,
                partitions: Vec::new(),
            });
            let aborted = state.txns.len() - 1;
            let entries = &mut state.log(first).entries;
            for entry in entries.iter_mut().filter(|entry| entry.txn == Some(txn)) {
                entry.txn = Some(aborted);
            }
        }
    }
}

impl crate::world::State {
    /// Decides a transaction and writes its markers.
    pub(crate) fn end(&mut self, txn: usize, commit: bool) {
        self.txns[txn].fate = if commit {
            Fate::Committed
        } else {
            Fate::Aborted
        };
        let mut partitions = std::mem::take(&mut self.txns[txn].partitions);
        partitions.sort();
        partitions.dedup();
        for partition in partitions {
            let log = self.log(&partition);
            log.holes.push(log.next);
            log.next += 1;
        }
    }
}
