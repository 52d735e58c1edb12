//! Rule 24: writes are acknowledged, and records shown, within the time that the run allows.

use std::collections::HashSet;

use crate::facts::Facts;
use crate::load::{Action, NEVER, Op};
use crate::report::Sink;

pub(super) fn nobody_waits_for_ever(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    // Without a rest nobody said how long is too long, nor that readers came to the end.
    let rest = facts.ops().find_map(|(_, op)| match op.action {
        Action::Rest { patience_ms } if op.is_ok() => Some((op, patience_ms)),
        _ => None,
    });
    let Some((rest, patience_ms)) = rest else {
        return;
    };
    let excuses = excuses(facts);
    for (_, op) in facts.ops().filter(|(_, op)| is_a_write(op)) {
        // Whoever was killed has no end; its successor tells how long it went on.
        let waited_us = match op.complete {
            NEVER => continue,
            complete => unexcused(&excuses, op.invoke, complete),
        };
        if waited_us > patience_ms * 1000 {
            sink.broken("stalled", || {
                format!(
                    "{} waited {} ms without excuse",
                    facts.tell(op),
                    waited_us / 1000
                )
            });
        }
    }
    unseen(facts, sink, rest);
}

fn is_a_write(op: &Op) -> bool {
    matches!(op.action, Action::Send { acks: -1, .. })
}

/// The times in which clients may have to wait, in order and none within another.
fn excuses(facts: &Facts<'_>) -> Vec<(u64, u64)> {
    let mut excuses: Vec<(u64, u64)> = Vec::new();
    for (_, op) in facts.ops() {
        if let Action::Fault { excuses_ms, .. } = op.action {
            let end = op.invoke + excuses_ms * 1000;
            match excuses.last_mut() {
                Some(last) if op.invoke <= last.1 => last.1 = last.1.max(end),
                _ => excuses.push((op.invoke, end)),
            }
        }
    }
    excuses
}

/// How much of a time no excuse covers.
fn unexcused(excuses: &[(u64, u64)], from: u64, to: u64) -> u64 {
    let first = excuses.partition_point(|(_, end)| *end <= from);
    let covered = excuses[first..].iter().take_while(|(start, _)| *start < to);
    let covered = covered.map(|(start, end)| to.min(*end) - from.max(*start));
    to - from - covered.sum::<u64>()
}

fn unseen(facts: &Facts<'_>, sink: &mut Sink<'_>, rest: &Op) {
    let mut polled = HashSet::new();
    let mut followed = HashSet::new();
    for (_, op) in facts.ops() {
        if let Action::Poll { records, .. } = &op.action {
            polled.extend(records.iter().map(|at| at.value));
            followed.extend(records.iter().map(|at| at.partition));
        }
    }
    for (value, known) in facts.values.iter().enumerate() {
        let value = value as u32;
        let before = facts
            .writer(value)
            .is_some_and(|op| op.invoke < rest.invoke);
        if before
            && known.scanned
            && followed.contains(&known.partition)
            && !polled.contains(&value)
        {
            sink.broken_unless(facts.may_be_gone(value), "unseen", || {
                facts.tell_value(value)
            });
        }
    }
}
