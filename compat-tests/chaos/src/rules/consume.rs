//! Rule 16: a group that commits its offsets in transactions processes every record exactly once.

use std::collections::{HashMap, HashSet};

use crate::facts::Facts;
use crate::history::Outcome;
use crate::load::{Action, At, Op};
use crate::report::Sink;

/// Who processed the record at (group, partition, offset).
type Consumed<'h> = HashMap<(u32, u32, i64), &'h Op>;

pub(super) fn exactly_once(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    let mut consumed = Consumed::new();
    // Nothing it sent can tell whether it took effect.
    let mut perhaps: HashSet<(u32, u32, i64)> = HashSet::new();
    for (number, op) in facts.ops() {
        let Some((group, polls)) = processing(op) else {
            continue;
        };
        for at in polls {
            let place = (group, at.partition, at.offset);
            if !facts.committed[number] {
                if op.outcome == Outcome::Info && op.sends().is_empty() {
                    perhaps.insert(place);
                }
            } else if let Some(other) = consumed.insert(place, op) {
                sink.broken("double-consume", || {
                    let [one, next] = [other, op].map(|op| facts.tell(op));
                    format!("{one} and {next} processed {}", facts.tell_value(at.value))
                });
            }
        }
    }
    nothing_skipped(facts, sink, &consumed, &perhaps);
}

/// What lies before a group's committed offset was processed, from the first record it ever processed on.
fn nothing_skipped(
    facts: &Facts<'_>,
    sink: &mut Sink<'_>,
    consumed: &Consumed<'_>,
    perhaps: &HashSet<(u32, u32, i64)>,
) {
    let groups: HashSet<u32> = consumed.keys().map(|(group, _, _)| *group).collect();
    // (group, partition) → the last committed offset that was fetched.
    let mut ends: HashMap<(u32, u32), i64> = HashMap::new();
    for (_, op) in facts.ops().filter(|(_, op)| op.is_ok()) {
        if let Action::Committed { group, offsets } = &op.action
            && groups.contains(group)
        {
            ends.extend(
                offsets
                    .iter()
                    .map(|(partition, offset)| ((*group, *partition), *offset)),
            );
        }
    }
    for ((group, partition), end) in ends {
        for (offset, value) in &facts.logs[partition as usize].entries {
            let place = (group, partition, *offset);
            if *offset < end
                && facts.is_committed(*value)
                && facts.values[*value as usize].scanned
                && !consumed.contains_key(&place)
                && !perhaps.contains(&place)
            {
                sink.broken("skipped-consume", || {
                    let name = facts.history.names.name(group);
                    format!(
                        "{name} has committed {end} and never processed {}",
                        facts.tell_value(*value)
                    )
                });
            }
        }
    }
}

fn processing(op: &Op) -> Option<(u32, &[At])> {
    match &op.action {
        Action::Txn {
            group: Some(group),
            polls,
            ..
        } => Some((*group, polls)),
        _ => None,
    }
}
