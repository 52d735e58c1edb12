//! The checker held to a model: what a correct broker can do raises nothing, and every defect is seen by the rule it is for.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::disallowed_methods,
    reason = "the rule is the broker's; here it chooses a seed"
)]

mod clients;
mod cluster;
mod mutants;
mod others;
mod world;

use std::env;
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};

use kcheck::history::{Isolation, Line, Op, Outcome};
use kcheck::{Loader, Report};

use crate::clients::{Transactions, consumer, producer};
use crate::mutants::{MUTANTS, Mutant};
use crate::others::{cleaner, deleter, lister, member};
use crate::world::{World, pause, run};

const PARTITIONS: &[&str] = &[
    "in-0",
    "in-1",
    "out-0",
    "out-1",
    "mixed-0",
    "mixed-1",
    "deleted-0",
    "compacted-0",
];
const STEPS: usize = 12_000;
const DELETE_RETENTION_MS: u64 = 15;

type Client<'w> = Pin<Box<dyn Future<Output = ()> + 'w>>;

/// A run of the model: its history, and how often the mutant struck.
fn history(seed: u64, mutant: Option<Mutant>) -> (Vec<Line>, u64) {
    let world = World::new(seed, mutant, PARTITIONS);
    let topic = Op::Topic {
        name: "compacted".to_owned(),
        compact: true,
        delete_retention_ms: DELETE_RETENTION_MS,
    };
    world.whole("operator", 0, topic);
    run(&world, clients(&world), STEPS);
    run(&world, vec![Box::pin(end(&world))], 0);
    let mut state = world.state();
    (std::mem::take(&mut state.lines), state.fired)
}

fn clients(world: &World) -> Vec<Client<'_>> {
    let mut clients: Vec<Client<'_>> = vec![
        Box::pin(producer(world, 1, &["in-0", "in-1"])),
        Box::pin(producer(world, 2, &["in-0", "in-1", "mixed-0"])),
        Box::pin(producer(world, 3, &["deleted-0"])),
        Box::pin(producer(world, 4, &["compacted-0"])),
        Box::pin(consumer(
            world,
            Isolation::ReadCommitted,
            &["in-0", "out-0", "mixed-0"],
        )),
        Box::pin(consumer(
            world,
            Isolation::ReadCommitted,
            &["in-1", "out-1", "mixed-1", "deleted-0"],
        )),
        Box::pin(consumer(world, Isolation::ReadCommitted, &["compacted-0"])),
        Box::pin(consumer(world, Isolation::ReadUncommitted, PARTITIONS)),
        Box::pin(lister(world, PARTITIONS)),
        Box::pin(deleter(world, "deleted-0")),
        Box::pin(cleaner(world, "compacted-0", DELETE_RETENTION_MS * 1000)),
        Box::pin(member(world, "one")),
        Box::pin(member(world, "other")),
        Box::pin(cluster::controller(world, PARTITIONS)),
        Box::pin(cluster::observer(world, PARTITIONS)),
        Box::pin(cluster::nemesis(world)),
    ];
    for number in 0..4_usize {
        // Two clients of each id, who fence each other.
        let id = number / 2;
        clients.push(Box::pin(
            Transactions {
                world,
                id,
                writer: 10 + number as u32,
                group: Some("chain"),
                input: ["in-0", "in-1"][id],
                outputs: ["out-0", "out-1"],
            }
            .run(),
        ));
        clients.push(Box::pin(
            Transactions {
                world,
                id: 10 + number,
                writer: 20 + number as u32,
                group: None,
                input: ["mixed-0", "mixed-1"][id],
                outputs: ["mixed-0", "mixed-1"],
            }
            .run(),
        ));
    }
    clients
}

/// Everybody is gone: the open transactions are aborted, and somebody takes the last look.
async fn end(world: &World) {
    pause().await;
    let mut state = world.state();
    for txn in 0..state.txns.len() {
        if state.txns[txn].fate == world::Fate::Open {
            state.end(txn, false);
        }
    }
    if state.mutant == Some(Mutant::TailLost) {
        let log = state.log("in-0");
        let rest = log.entries.len().saturating_sub(8);
        log.entries.truncate(rest);
        state.fired += 1;
    }
    if state.mutant == Some(Mutant::MiddleLost) {
        state.log("in-0").entries.drain(5..10);
        state.fired += 1;
    }
    clean_wrongly(&mut state);
    let committed = state
        .committed
        .iter()
        .filter(|((group, _), _)| group == "chain");
    let offsets = committed
        .map(|((_, partition), offset)| (partition.clone(), *offset))
        .collect();
    drop(state);
    let group = "chain".to_owned();
    world.whole("last", world.tick(), Op::Committed { group, offsets });
    cluster::rest(world, PARTITIONS);
    cluster::replicas(world, PARTITIONS);
    for partition in PARTITIONS {
        let (start, next) = {
            let state = world.state();
            (state.logs[*partition].start, state.logs[*partition].next)
        };
        let middle = (start + next) / 2;
        for (from, to) in [(start, middle), (middle, next)] {
            let found =
                world
                    .state()
                    .read(partition, from, usize::MAX, Isolation::ReadCommitted, None);
            let in_it =
                |record: &kcheck::history::Record| record.offset.is_some_and(|offset| offset < to);
            let records = found.0.into_iter().filter(in_it).collect();
            let partition = (*partition).to_owned();
            world.whole(
                "last",
                world.tick(),
                Op::Scan {
                    partition,
                    from,
                    to,
                    records,
                },
            );
        }
    }
}

/// The last cleaning takes what it must not.
fn clean_wrongly(state: &mut world::State) {
    let (now, mutant) = (state.now, state.mutant);
    let entries = &mut state.log("compacted-0").entries;
    match mutant {
        Some(Mutant::LastValueCompacted) => entries.retain(|entry| entry.record.tombstone),
        Some(Mutant::TombstoneGoneEarly) => entries.retain(|entry| {
            !entry.record.tombstone || now - entry.written > DELETE_RETENTION_MS * 1000
        }),
        Some(Mutant::MovedByCompaction) => entries.iter_mut().for_each(|entry| entry.offset -= 1),
        _ => return,
    }
    state.fired += 1;
}

fn check(lines: Vec<Line>) -> Report {
    let mut loader = Loader::default();
    for line in lines {
        // As it is read from a file.
        let text = serde_json::to_string(&line).unwrap();
        loader.line(serde_json::from_str(&text).unwrap()).unwrap();
    }
    kcheck::check(&loader.finish(), false).unwrap()
}

/// `SEED=7` for that one, `SEEDS=1000` for more; they start where nobody chose.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64
    };
    let (first, count) = match env::var("SEED") {
        Ok(seed) => (seed.parse().unwrap(), 1),
        Err(_) => {
            let wanted = env::var("SEEDS").map_or(count, |seeds| seeds.parse().unwrap());
            (now() % 1_000_000_000, wanted)
        }
    };
    println!("seeds {first} to {}", first + count - 1);
    first..first + count
}

#[test]
fn what_a_correct_broker_can_do_raises_nothing() {
    for seed in seeds(60) {
        let (lines, _) = history(seed, None);
        let transactions = |outcome| {
            let of = |line: &&Line| line.outcome == outcome && !line.offsets.is_empty();
            lines.iter().filter(of).count()
        };
        assert!(
            transactions(Outcome::Ok) > 100,
            "seed {seed}: the model does nothing"
        );
        let report = check(lines);
        assert_eq!(report.total(), 0, "SEED={seed}\n{report}");
    }
}

#[test]
fn every_mutant_is_caught_by_its_rule() {
    let mut missed = String::new();
    for seed in seeds(12) {
        for (mutant, rule, kind) in MUTANTS {
            let (lines, fired) = history(seed, Some(*mutant));
            let report = check(lines);
            if report.count(*rule, kind) == 0 {
                missed += &format!(
                    "SEED={seed}: {mutant:?} struck {fired} times, and rule {rule} saw no {kind}:\n{report}\n"
                );
            }
        }
    }
    assert!(missed.is_empty(), "{missed}");
}

#[test]
fn every_rule_has_a_mutant() {
    for rule in kcheck::rules::RULES {
        let number = rule.number;
        assert!(
            MUTANTS.iter().any(|(_, caught_by, _)| *caught_by == number),
            "rule {number}"
        );
    }
}

#[test]
fn a_loss_is_allowed_where_nothing_was_promised() {
    let lines = |acks: i16| {
        format!(
            r#"{{"process":"p","id":0,"invoke":1,"complete":2,"outcome":"ok","op":{{"send":{{"to":"in-0","acks":{acks},"idempotent":false,"records":[[0,"1.0"]]}}}}}}
{{"process":"last","id":0,"invoke":3,"complete":4,"outcome":"ok","op":{{"scan":{{"partition":"in-0","from":0,"to":0,"records":[]}}}}}}
"#
        )
    };
    for (acks, as_acks_all, losses) in [(-1, false, 1), (1, false, 0), (0, false, 0), (1, true, 1)]
    {
        let mut loader = Loader::default();
        loader.read(lines(acks).as_bytes()).unwrap();
        let report = kcheck::check(&loader.finish(), as_acks_all).unwrap();
        assert_eq!(report.count(4, "lost"), losses, "acks={acks}: {report}");
        assert_eq!(report.total(), losses, "acks={acks}: {report}");
    }
}
