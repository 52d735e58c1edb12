//! Rules 6, 8, 9 and 12: what readers are shown, and in which order.

use std::collections::HashMap;

use crate::facts::Facts;
use crate::history::{Isolation, Outcome};
use crate::load::{Action, At, Op};
use crate::report::Sink;

pub(super) fn only_what_was_written(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (_, op) in facts.ops() {
        let (isolation, reads) = op.reads();
        for at in reads {
            let told = || format!("{} reads {}", facts.tell(op), facts.tell_value(at.value));
            match facts.writer(at.value) {
                None => sink.broken("phantom", told),
                Some(_) if facts.values[at.value as usize].partition != at.partition => {
                    sink.broken("misplaced", told);
                }
                Some(writer) if writer.outcome == Outcome::Fail => {
                    if !writer.is_txn() || isolation == Isolation::ReadCommitted {
                        sink.broken("aborted-read", told);
                    }
                }
                Some(_) => {}
            }
        }
    }
}

pub(super) fn not_before_it_was_written(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (_, op) in facts.ops() {
        for at in op.reads().1 {
            if facts
                .writer(at.value)
                .is_some_and(|writer| op.complete < writer.invoke)
            {
                sink.broken("read-before-write", || {
                    format!("{} reads {}", facts.tell(op), facts.tell_value(at.value))
                });
            }
        }
    }
}

pub(super) fn in_order_within_a_poll(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (_, op) in facts.ops() {
        let (isolation, reads) = op.reads();
        let rebalanced: &[u32] = match &op.action {
            Action::Poll { rebalanced, .. } => rebalanced,
            _ => &[],
        };
        for pair in reads.windows(2) {
            if pair[0].partition == pair[1].partition && !rebalanced.contains(&pair[0].partition) {
                compare(facts, sink, isolation, [(op, pair[0]), (op, pair[1])]);
            }
        }
    }
}

pub(super) fn in_order_from_poll_to_poll(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    // (process, partition) → the last it was shown.
    let mut positions: HashMap<(u32, u32), (&Op, At)> = HashMap::new();
    for (_, op) in facts.ops() {
        let (isolation, reads) = match &op.action {
            Action::Assign { partitions: None } => {
                positions.retain(|(process, _), _| *process != op.process);
                continue;
            }
            Action::Assign {
                partitions: Some(partitions),
            } => {
                forget(&mut positions, op, partitions);
                continue;
            }
            // The last look starts where it likes.
            Action::Scan { .. } => continue,
            Action::Poll { rebalanced, .. } => {
                forget(&mut positions, op, rebalanced);
                op.reads()
            }
            _ => op.reads(),
        };
        let stretches = reads.chunk_by(|one, next| one.partition == next.partition);
        for stretch in stretches {
            let [first, .., last] = stretch else {
                if let [only] = stretch {
                    step(facts, sink, &mut positions, isolation, (op, *only, *only));
                }
                continue;
            };
            step(facts, sink, &mut positions, isolation, (op, *first, *last));
        }
        if let Action::Poll { rebalanced, .. } = &op.action {
            forget(&mut positions, op, rebalanced);
        }
    }
}

/// A process was shown the records from the first to the last.
fn step<'h>(
    facts: &Facts<'_>,
    sink: &mut Sink<'_>,
    positions: &mut HashMap<(u32, u32), (&'h Op, At)>,
    isolation: Isolation,
    (op, first, last): (&'h Op, At, At),
) {
    let place = (op.process, first.partition);
    if let Some((earlier, position)) = positions.get(&place) {
        compare(facts, sink, isolation, [(earlier, *position), (op, first)]);
    }
    match op.is_ok() {
        true => positions.insert(place, (op, last)),
        // Where it goes on after that is its own affair.
        false => positions.remove(&place),
    };
}

fn forget(positions: &mut HashMap<(u32, u32), (&Op, At)>, op: &Op, partitions: &[u32]) {
    for partition in partitions {
        positions.remove(&(op.process, *partition));
    }
}

fn compare(
    facts: &Facts<'_>,
    sink: &mut Sink<'_>,
    isolation: Isolation,
    [(earlier, one), (op, next)]: [(&Op, At); 2],
) {
    let told = || {
        format!(
            "{} after {} of {} reads {}",
            facts.tell(op),
            one.offset,
            facts.tell(earlier),
            facts.tell_value(next.value)
        )
    };
    if next.offset <= one.offset {
        sink.broken("backwards", told);
    } else if facts.logs[one.partition as usize].misses(isolation, one.offset, next.offset) {
        sink.broken("skip", told);
    }
}
