//! Those clients of the model that ask, delete, compact and belong to groups.

use std::collections::BTreeMap;

use kcheck::history::{End, Member, Op, Outcome};

use crate::mutants::Mutant;
use crate::world::{World, pause};

/// Asks for ends of logs.
pub(crate) async fn lister(world: &World, partitions: &[&str]) {
    let process = world.process("lister");
    while !world.over() {
        let partition = partitions[world.below(partitions.len())];
        let end = [End::Start, End::High, End::Stable][world.below(3)];
        let invoke = world.tick();
        pause().await;
        let (offset, epoch) = match world.percent(5) {
            true => deposed(world, partition, end),
            false => answer(world, partition, end),
        };
        pause().await;
        let (partition, offset) = (partition.to_owned(), Some(offset));
        world.whole(
            &process,
            invoke,
            Op::List {
                partition,
                end,
                offset,
                epoch: Some(epoch),
            },
        );
    }
}

/// What a leader of an earlier epoch says, who does not know that it is over.
fn deposed(world: &World, partition: &str, end: End) -> (i64, i32) {
    let (offset, epoch) = answer(world, partition, end);
    let observed = world.state().log(partition).observed;
    match observed > 0 && end != End::Start {
        true => (offset / 2, observed - 1),
        false => (offset, epoch),
    }
}

fn answer(world: &World, partition: &str, end: End) -> (i64, i32) {
    let mut state = world.state();
    let epoch = state.log(partition).epoch;
    let (start, next, stable) = (
        state.logs[partition].start,
        state.logs[partition].next,
        state.stable(partition),
    );
    let offset = match end {
        End::Start if start > 0 && state.broken(Mutant::StartFalls, 60) => 0,
        End::Start => start,
        End::High if state.broken(Mutant::EndBehind, 30) => (next - 2).max(0),
        End::High => next,
        End::Stable if state.broken(Mutant::StableFalls, 20) => stable / 2,
        End::Stable if state.broken(Mutant::StableBehind, 20) => (stable - 20).max(0),
        End::Stable => stable,
    };
    (offset, epoch)
}

/// Deletes from the beginning of a log, a little at a time.
pub(crate) async fn deleter(world: &World, partition: &str) {
    let process = world.process("deleter");
    while !world.over() {
        for _ in 0..12 {
            pause().await;
        }
        let before = {
            let state = world.state();
            let log = &state.logs[partition];
            (log.start + 3).min(log.next)
        };
        let op = Op::Delete {
            partition: partition.to_owned(),
            before,
        };
        let begun = world.begin(&process, Outcome::Info, op);
        pause().await;
        let applied = world.percent(90);
        if applied {
            world.state().log(partition).start = before;
        }
        pause().await;
        if applied && world.percent(80) {
            world.amend(&begun, Outcome::Ok, true, &[]);
        }
    }
}

/// Compacts a log: of each key all but the last record goes, and in the end its tombstone.
pub(crate) async fn cleaner(world: &World, partition: &str, delete_retention_us: u64) {
    while !world.over() {
        for _ in 0..12 {
            pause().await;
        }
        let mut state = world.state();
        let now = state.now;
        let log = state.log(partition);
        let last: BTreeMap<_, _> = log
            .entries
            .iter()
            .map(|entry| (entry.record.key.clone(), entry.offset))
            .collect();
        let end = log.next - 2;
        log.entries.retain(|entry| {
            let is_last = last[&entry.record.key] == entry.offset;
            let old = now - entry.written > delete_retention_us;
            entry.offset >= end || is_last && !(entry.record.tombstone && old)
        });
    }
}

/// A member of a group of the classic protocol, that goes on from what is committed and commits outside transactions.
pub(crate) async fn member(world: &World, name: &str) {
    let process = world.process("member");
    while !world.over() {
        let invoke = world.tick();
        pause().await;
        let epoch = join(world);
        pause().await;
        let member = Member {
            group: GROUP.to_owned(),
            id: name.to_owned(),
            epoch,
            own: false,
        };
        let partitions = vec![OWNED.to_owned()];
        let op = Op::Join {
            member: member.clone(),
            partitions,
        };
        world.whole(&process, invoke, op);
        let mut offset = committed(world, &process).await;
        for _ in 0..1 + world.below(6) {
            offset += 1;
            let op = Op::Commit {
                member: member.clone(),
                offsets: BTreeMap::from([(OWNED.to_owned(), offset)]),
            };
            let begun = world.begin(&process, Outcome::Info, op);
            pause().await;
            let taken = commit(world, epoch, offset);
            pause().await;
            match (taken, world.percent(90)) {
                (true, true) => world.amend(&begun, Outcome::Ok, true, &[]),
                (false, true) => world.amend(&begun, Outcome::Fail, true, &[]),
                (_, false) => {}
            }
        }
    }
}

const GROUP: &str = "plain";
const OWNED: &str = "in-0";

fn join(world: &World) -> i32 {
    let mut state = world.state();
    // The first member makes the first generation, and from then on each the next.
    if state.generation == 0 || !state.broken(Mutant::TwoOwners, 20) {
        state.generation += 1;
    }
    state.generation
}

fn commit(world: &World, epoch: i32, offset: i64) -> bool {
    let mut state = world.state();
    let taken = state.generation == epoch || state.broken(Mutant::MemberNotFenced, 100);
    if taken {
        let place = (GROUP.to_owned(), OWNED.to_owned());
        state.committed.insert(place, offset);
    }
    taken
}

/// Asks for the offset that is committed.
async fn committed(world: &World, process: &str) -> i64 {
    let invoke = world.tick();
    pause().await;
    let offset = {
        let mut state = world.state();
        let place = (GROUP.to_owned(), OWNED.to_owned());
        let offset = state.committed.get(&place).copied().unwrap_or(0);
        match state.broken(Mutant::OffsetsFall, 20) {
            true => offset / 2,
            false => offset,
        }
    };
    pause().await;
    let op = Op::Committed {
        group: GROUP.to_owned(),
        offsets: BTreeMap::from([(OWNED.to_owned(), offset)]),
    };
    world.whole(process, invoke, op);
    offset
}
