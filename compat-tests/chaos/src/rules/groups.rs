//! Rule 18: a partition has one owner in a generation, and what a group has committed stays committed.

use std::collections::HashMap;

use crate::facts::Facts;
use crate::history::Outcome;
use crate::load::{Action, Op};
use crate::report::Sink;

pub(super) fn one_owner_and_no_way_back(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    one_owner(facts, sink);
    no_way_back(facts, sink);
}

fn one_owner(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    // (group, generation, partition) → the member that has it.
    let mut owners: HashMap<(u32, i32, u32), (u32, &Op)> = HashMap::new();
    for (_, op) in facts.ops().filter(|(_, op)| op.is_ok()) {
        let Action::Join { member, partitions } = &op.action else {
            continue;
        };
        // With KIP-848 each member has its own epoch, which says nothing of the others'.
        if member.own {
            continue;
        }
        for partition in partitions {
            let place = (member.group, member.epoch, *partition);
            let (owner, first) = *owners.entry(place).or_insert((member.id, op));
            if owner != member.id {
                sink.broken("two-owners", || {
                    let [one, other] = [first, op].map(|op| facts.tell(op));
                    let name = facts.history.partitions.name(*partition);
                    format!("{one} and {other} both own {name} in {}", member.epoch)
                });
            }
        }
    }
}

/// A place where a group's offset stands, as an operation set it or was told it.
#[derive(Clone, Copy)]
struct Stand<'h> {
    op: &'h Op,
    offset: i64,
    /// The generation that set it; none if it was told.
    set_in: Option<i32>,
}

fn no_way_back(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for ((group, partition), stands) in stands(facts) {
        for told in stands.iter().filter(|stand| stand.set_in.is_none()) {
            let before =
                |stand: &&Stand<'_>| stand.op.is_ok() && stand.op.complete < told.op.invoke;
            let latest = |set: bool| {
                let of_kind = stands.iter().filter(|stand| stand.set_in.is_some() == set);
                of_kind.filter(before).max_by_key(|stand| stand.op.complete)
            };
            for known in [latest(true), latest(false)].into_iter().flatten() {
                let floor = floor(&stands, known, told);
                if told.offset < floor {
                    sink.broken("offset-falls", || {
                        let [asked, knew] = [told.op, known.op].map(|op| facts.tell(op));
                        let name = facts.history.names.name(group);
                        let partition = facts.history.partitions.name(partition);
                        format!(
                            "{asked} is told that {name} has committed {} of {partition}, after {knew} with {}",
                            told.offset, known.offset
                        )
                    });
                }
            }
        }
    }
}

/// The least that may stand when `told` asks, if `known` stood before: what was set meanwhile may be less.
fn floor(stands: &[Stand<'_>], known: &Stand<'_>, told: &Stand<'_>) -> i64 {
    let meanwhile = |stand: &&Stand<'_>| {
        let fenced = known
            .set_in
            .zip(stand.set_in)
            .is_some_and(|(known, set)| set < known);
        stand.set_in.is_some()
            && stand.op.complete > known.op.invoke
            && stand.op.invoke < told.op.complete
            // Of earlier generations nothing takes effect any more, whatever became of the answer.
            && (stand.op.is_ok() || !fenced)
    };
    let set = stands.iter().filter(meanwhile).map(|stand| stand.offset);
    set.min().unwrap_or(known.offset).min(known.offset)
}

/// By group and partition.
fn stands<'h>(facts: &Facts<'h>) -> HashMap<(u32, u32), Vec<Stand<'h>>> {
    let mut stands: HashMap<(u32, u32), Vec<Stand<'h>>> = HashMap::new();
    // What a group commits in transactions is rule 16's.
    let in_transactions = |group: u32| {
        facts
            .ops()
            .any(|(_, op)| matches!(op.action, Action::Txn { group: Some(of), .. } if of == group))
    };
    let mut by_hand: HashMap<u32, bool> = HashMap::new();
    for (_, op) in facts.ops().filter(|(_, op)| op.outcome != Outcome::Fail) {
        let (group, offsets, set_in) = match &op.action {
            Action::Commit { member, offsets } => (member.group, offsets, Some(member.epoch)),
            Action::Committed { group, offsets } if op.is_ok() => (*group, offsets, None),
            _ => continue,
        };
        if !*by_hand
            .entry(group)
            .or_insert_with(|| !in_transactions(group))
        {
            continue;
        }
        for (partition, offset) in offsets {
            stands.entry((group, *partition)).or_default().push(Stand {
                op,
                offset: *offset,
                set_in,
            });
        }
    }
    stands
}
