//! What makes the model a cluster: leaders that change, brokers that say what they know, faults, and replicas to look at.

use std::collections::BTreeMap;

use kcheck::history::{Batch, Isolation, Op, Outcome, Replication};

use crate::mutants::Mutant;
use crate::world::{Entry, State, World, pause};

const BROKERS: [i32; 3] = [1, 2, 3];
/// How long a write may take, and how much longer in a fault.
const PATIENCE_MS: u64 = 4;
const FAULT_MS: u64 = 6;

/// Makes other brokers leaders, each time in a new epoch.
pub(crate) async fn controller(world: &World, partitions: &[&str]) {
    while !world.over() {
        for _ in 0..8 {
            pause().await;
        }
        let mut state = world.state();
        let partition = partitions[state.rng.below(partitions.len())];
        let leader = BROKERS[state.rng.below(3)];
        let kept = state.broken(Mutant::TwoLeaders, 30);
        let log = state.log(partition);
        log.leader = leader;
        log.epoch += i32::from(!kept);
    }
}

/// Asks brokers, now and then, what they know.
pub(crate) async fn observer(world: &World, partitions: &[&str]) {
    let process = world.process("observer");
    while !world.over() {
        let invoke = world.tick();
        pause().await;
        let mut told = BTreeMap::new();
        for partition in partitions {
            told.insert(
                (*partition).to_owned(),
                replication(&mut world.state(), partition),
            );
        }
        pause().await;
        let broker = BROKERS[world.below(3)];
        let epochs = told.iter().map(|(name, told)| (name.clone(), told.epoch));
        let epochs: Vec<_> = epochs.collect();
        let partitions = told;
        world.whole(&process, invoke, Op::Image { broker, partitions });
        for (partition, epoch) in epochs {
            world.state().log(&partition).observed = epoch;
        }
        for _ in 0..4 {
            pause().await;
        }
    }
}

fn replication(state: &mut State, partition: &str) -> Replication {
    let (leader, epoch, end) = {
        let log = state.log(partition);
        (log.leader, log.epoch, log.next)
    };
    let mut told = Replication {
        leader: Some(leader),
        epoch,
        replicas: BROKERS.to_vec(),
        stable: Some(state.stable(partition)),
        high: Some(end),
        end: Some(end),
        ..Replication::default()
    };
    for broker in BROKERS {
        match state.rng.below(4) {
            _ if broker == leader => told.isr.push(broker),
            0 => told.elr.push(broker),
            1 => {}
            _ => told.isr.push(broker),
        }
    }
    if state.broken(Mutant::StrangerInSync, 5) {
        told.isr.push(4);
    }
    if state.broken(Mutant::LeaderNotInSync, 5) {
        told.isr.retain(|broker| *broker != leader);
    }
    if state.broken(Mutant::EligibleAndInSync, 5) {
        told.elr = told.isr.clone();
    }
    if state.broken(Mutant::StableAhead, 5) {
        told.stable = Some(end + 1);
    }
    if state.broken(Mutant::HighAhead, 5) {
        (told.high, told.end) = (Some(end + 1), Some(end));
    }
    told
}

/// Holds up all writes, now and then, and says so.
pub(crate) async fn nemesis(world: &World) {
    let process = world.process("nemesis");
    while !world.over() {
        for _ in 0..100 {
            pause().await;
        }
        let op = Op::Fault {
            kind: "pause".to_owned(),
            target: "all".to_owned(),
            excuses_ms: FAULT_MS,
        };
        let begun = world.begin(&process, Outcome::Ok, op);
        world.state().held = true;
        for _ in 0..30 {
            pause().await;
        }
        world.state().held = false;
        world.amend(&begun, Outcome::Ok, true, &[]);
    }
}

/// A reader comes to the end of every log, and says so.
pub(crate) fn rest(world: &World, partitions: &[&str]) {
    let mut records = BTreeMap::new();
    for partition in partitions {
        let isolation = Isolation::ReadCommitted;
        let mut found = world
            .state()
            .read(partition, 0, usize::MAX, isolation, None)
            .0;
        found.retain(|record| !world.hidden(record));
        records.insert((*partition).to_owned(), found);
    }
    let op = Op::Poll {
        isolation: Isolation::ReadCommitted,
        records,
        rebalanced: Vec::new(),
    };
    let process = world.process("rested");
    world.whole(&process, world.tick(), op);
    let patience_ms = PATIENCE_MS;
    world.whole(&process, world.tick(), Op::Rest { patience_ms });
}

/// What each replica holds, in two stretches.
pub(crate) fn replicas(world: &World, partitions: &[&str]) {
    // Compaction takes what it takes on each broker by itself.
    for partition in partitions
        .iter()
        .filter(|name| !name.starts_with("compacted"))
    {
        for broker in BROKERS {
            let (start, batches, next) = held(&mut world.state(), partition, broker);
            let middle = (start + next) / 2;
            for (from, to) in [(start, middle), (middle, next)] {
                let within = |batch: &&Batch| (from..to).contains(&batch.0);
                let op = Op::Replica {
                    partition: (*partition).to_owned(),
                    broker,
                    from,
                    to,
                    batches: batches.iter().filter(within).copied().collect(),
                };
                world.whole("replicas", world.tick(), op);
            }
        }
    }
}

fn held(state: &mut State, partition: &str, broker: i32) -> (i64, Vec<Batch>, i64) {
    let log = &state.logs[partition];
    let (start, mut next) = (log.start, log.next);
    let batch = |entry: &Entry| {
        let value = entry.record.value;
        let checksum = value.writer.wrapping_mul(1_000_003) ^ value.sequence;
        Batch(entry.offset, entry.offset, entry.epoch, checksum)
    };
    let kept = log.entries.iter().filter(|entry| entry.offset >= start);
    let mut batches: Vec<Batch> = kept.map(batch).collect();
    if broker == 2 && partition == "in-0" {
        let middle = batches.len() / 2;
        if state.broken(Mutant::ReplicaDiffers, 100) {
            batches[middle].3 ^= 1;
        }
        if state.broken(Mutant::ReplicaEndsEarly, 100) {
            batches.pop();
            next -= 1;
        }
        if state.broken(Mutant::EpochStartsLate, 100) {
            // One that goes on, so that it still begins somewhere.
            let begins = |at: &usize| {
                let [before, epoch, next] = [at - 1, *at, at + 1].map(|at| batches[at].2);
                before != epoch && epoch == next
            };
            let begins = (1..batches.len() - 1).find(begins);
            if let Some(at) = begins {
                batches[at].2 = batches[at - 1].2;
            }
        }
    }
    (start, batches, next)
}
