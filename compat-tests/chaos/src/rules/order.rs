//! Rules 10, 13 and 14: offsets follow time.

use std::collections::HashMap;

use crate::facts::Facts;
use crate::history::{End, Isolation, Outcome};
use crate::load::{Action, At, NEVER, Op, UNKNOWN};
use crate::report::Sink;

pub(super) fn in_the_order_sent(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    // (process, partition) → the furthest of what it sent, and by whom.
    let mut furthest: HashMap<(u32, u32), (&Op, u32)> = HashMap::new();
    for (number, op) in facts.ops().filter(|(number, _)| facts.committed[*number]) {
        debug_assert!(facts.committed[number]);
        let stretches = op
            .sends()
            .chunk_by(|one, next| one.partition == next.partition);
        for stretch in stretches {
            let placed = |at: &&At| facts.values[at.value as usize].first != UNKNOWN;
            let values: Vec<u32> = stretch.iter().filter(placed).map(|at| at.value).collect();
            let first_of = |value: u32| facts.values[value as usize].first;
            for pair in values.windows(2) {
                if first_of(pair[1]) <= first_of(pair[0]) {
                    let [one, next] = [pair[0], pair[1]].map(|value| facts.tell_value(value));
                    sink.broken("internal", || format!("{one}, then {next}"));
                }
            }
            let (Some(first), Some(last)) = (values.first(), values.last()) else {
                continue;
            };
            let place = (op.process, stretch[0].partition);
            if let Some((earlier, value)) = furthest.get(&place)
                && follows(earlier, op)
                && first_of(*first) <= first_of(*value)
            {
                let [one, next] = [*value, *first].map(|value| facts.tell_value(value));
                sink.broken("external", || format!("{one}, then {next}"));
            }
            furthest.insert(place, (op, *last));
        }
    }
}

/// Whether what `op` sent must come behind what the same process sent with `earlier`: that was acknowledged before, or the
/// broker had sequences to tell by.
fn follows(earlier: &Op, op: &Op) -> bool {
    let sequenced = |op: &Op| match op.action {
        Action::Send { idempotent, .. } => idempotent,
        _ => false,
    };
    earlier.is_ok() && earlier.complete <= op.invoke || sequenced(earlier) && sequenced(op)
}

/// What is known of a partition from a moment on: its log, or its leader epoch, reaches at least so far.
struct Reached<'h> {
    at: u64,
    offset: i64,
    op: &'h Op,
}

/// Sorts by time, and makes each at least as far as those before it.
fn over_time(mut reached: Vec<Reached<'_>>) -> Vec<Reached<'_>> {
    reached.sort_by_key(|reached| reached.at);
    for next in 1..reached.len() {
        if reached[next].offset < reached[next - 1].offset {
            (reached[next].offset, reached[next].op) =
                (reached[next - 1].offset, reached[next - 1].op);
        }
    }
    reached
}

/// How far the log had come before `at`.
fn before<'r, 'h>(reached: &'r [Reached<'h>], at: u64) -> Option<&'r Reached<'h>> {
    let later = reached.partition_point(|reached| reached.at < at);
    reached[..later].last()
}

pub(super) fn in_the_order_acknowledged(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    let acknowledged = by_partition(facts, |op| match op.is_ok() {
        true => op.sends(),
        false => &[],
    });
    for (number, op) in facts.ops() {
        if !facts.committed[number] {
            continue;
        }
        let stretches = op
            .sends()
            .chunk_by(|one, next| one.partition == next.partition);
        for stretch in stretches {
            let first = |at: &At| Some(facts.values[at.value as usize].first);
            let placed = stretch.iter().filter(|at| first(at) != Some(UNKNOWN));
            let Some(first) = placed.min_by_key(|at| first(at)) else {
                continue;
            };
            let reached = &acknowledged[first.partition as usize];
            if let Some(earlier) = before(reached, op.invoke)
                && facts.values[first.value as usize].first <= earlier.offset
            {
                sink.broken("inversion", || {
                    format!(
                        "{} was told {} and only then was sent {}",
                        facts.tell(earlier.op),
                        earlier.offset,
                        facts.tell_value(first.value)
                    )
                });
            }
        }
    }
}

/// By partition, how far the log is known to have come when operations completed, from the records `of` picks.
fn by_partition<'h>(facts: &Facts<'h>, of: impl Fn(&'h Op) -> &'h [At]) -> Vec<Vec<Reached<'h>>> {
    let mut reached: Vec<Vec<Reached<'h>>> = Vec::new();
    reached.resize_with(facts.logs.len(), Vec::new);
    for (_, op) in facts.ops().filter(|(_, op)| op.complete != NEVER) {
        let stretches = of(op).chunk_by(|one, next| one.partition == next.partition);
        for stretch in stretches {
            let offset = stretch.iter().map(|at| at.offset).max().unwrap_or(UNKNOWN);
            if offset != UNKNOWN {
                let at = op.complete;
                reached[stretch[0].partition as usize].push(Reached { at, offset, op });
            }
        }
    }
    reached.into_iter().map(over_time).collect()
}

pub(super) fn ends_do_not_lag(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    let written = by_partition(facts, |op| match &op.action {
        // Without acks=all an acknowledgement does not wait for the high watermark.
        Action::Send { acks: 0 | 1, .. } if !facts.as_acks_all => &[],
        _ if op.is_ok() => op.sends(),
        _ => &[],
    });
    let read = by_partition(facts, |op| op.reads().1);
    let read_committed = by_partition(facts, |op| match op.reads() {
        (Isolation::ReadCommitted, reads) => reads,
        (Isolation::ReadUncommitted, _) => &[],
    });
    let (lists, epochs) = (lists(facts), epochs(facts));
    for (_, op) in facts.ops().filter(|(_, op)| op.is_ok()) {
        let Action::List {
            partition,
            end,
            offset,
            epoch,
        } = op.action
        else {
            continue;
        };
        // Whoever was not told yet that another leads answers with what it knows: Kafka promises no more.
        let deposed = epoch.is_some_and(|epoch| {
            let known = epochs.get(&partition).map_or(&[][..], Vec::as_slice);
            before(known, op.complete).is_some_and(|later| i64::from(epoch) < later.offset)
        });
        let known = match end {
            End::High => {
                [&written, &read].map(|known| before(&known[partition as usize], op.invoke))
            }
            // An open transaction holds it back, so what was written says nothing about it.
            End::Stable => [before(&read_committed[partition as usize], op.invoke), None],
            End::Start => [None, None],
        };
        for earlier in known.into_iter().flatten() {
            if offset <= earlier.offset {
                sink.broken_unless(deposed, "stale-end", || lag(facts, op, offset, earlier));
            }
        }
        let listed = lists.get(&(partition, end)).map_or(&[][..], Vec::as_slice);
        if let Some(earlier) = before(listed, op.invoke)
            && offset < earlier.offset
            && end != End::Start
        {
            sink.broken_unless(deposed, "regression", || lag(facts, op, offset, earlier));
        }
    }
}

fn lag(facts: &Facts<'_>, op: &Op, offset: i64, earlier: &Reached<'_>) -> String {
    let (asked, knew) = (facts.tell(op), facts.tell(earlier.op));
    format!(
        "{asked} is told {offset}, {knew} was told {}",
        earlier.offset
    )
}

/// By partition, the leader epoch that brokers were known to be in.
fn epochs<'h>(facts: &Facts<'h>) -> HashMap<u32, Vec<Reached<'h>>> {
    let mut epochs: HashMap<u32, Vec<Reached<'h>>> = HashMap::new();
    for (_, op) in facts.ops() {
        if let Action::Image { partitions, .. } = &op.action {
            for (partition, told) in partitions {
                let (at, offset) = (op.complete, i64::from(told.epoch));
                epochs
                    .entry(*partition)
                    .or_default()
                    .push(Reached { at, offset, op });
            }
        }
    }
    epochs
        .into_iter()
        .map(|(partition, reached)| (partition, over_time(reached)))
        .collect()
}

fn lists<'h>(facts: &Facts<'h>) -> HashMap<(u32, End), Vec<Reached<'h>>> {
    let mut lists: HashMap<(u32, End), Vec<Reached<'h>>> = HashMap::new();
    for (_, op) in facts.ops().filter(|(_, op)| op.outcome == Outcome::Ok) {
        if let Action::List {
            partition,
            end,
            offset,
            ..
        } = op.action
        {
            let at = op.complete;
            lists
                .entry((partition, end))
                .or_default()
                .push(Reached { at, offset, op });
        }
    }
    lists
        .into_iter()
        .map(|(place, reached)| (place, over_time(reached)))
        .collect()
}
