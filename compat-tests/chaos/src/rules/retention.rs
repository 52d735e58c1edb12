//! Rules 21 and 22: what compaction and DeleteRecords may take away, and what they may not.

use std::collections::HashMap;

use crate::facts::Facts;
use crate::history::{End, Outcome};
use crate::load::{Action, Op, UNKNOWN};
use crate::report::Sink;

pub(super) fn compaction_keeps_the_last(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    let mut looked_at: HashMap<u32, u64> = HashMap::new();
    for (_, op) in facts.ops().filter(|(_, op)| op.is_ok()) {
        if let Action::Scan { partition, .. } = op.action {
            let end = looked_at.entry(partition).or_default();
            *end = (*end).max(op.complete);
        }
        if let Action::Scan { records, .. } = &op.action {
            for at in records {
                moved(facts, sink, at.partition, at.offset, at.value);
            }
        }
    }
    for (partition, retention_ms) in &facts.history.compacted {
        let Some(looked_at) = looked_at.get(partition) else {
            continue;
        };
        for (_, value) in &facts.logs[*partition as usize].entries {
            let known = &facts.values[*value as usize];
            let (Some(writer), Some(keyed)) =
                (facts.writer(*value), facts.history.keyed.get(value))
            else {
                continue;
            };
            if known.scanned || known.superseded || !facts.is_committed(*value) {
                continue;
            }
            let deleted = known.first < facts.logs[*partition as usize].deleted_before;
            let age_us = looked_at.saturating_sub(writer.invoke);
            match keyed.tombstone {
                _ if deleted => {}
                true if age_us >= retention_ms.saturating_mul(1000) => {}
                true => sink.broken("tombstone", || {
                    format!("after {age_us} µs there is no {}", facts.tell_value(*value))
                }),
                false => sink.broken("missing", || facts.tell_value(*value)),
            }
        }
    }
}

/// Compaction leaves a record at its offset.
fn moved(facts: &Facts<'_>, sink: &mut Sink<'_>, partition: u32, offset: i64, value: u32) {
    let told = |op: &Op| {
        let sent = op.sends().iter().find(|sent| sent.value == value);
        sent.map_or(UNKNOWN, |sent| sent.offset)
    };
    let log = &facts.logs[partition as usize];
    let told = if log.compacted {
        facts.writer(value).map_or(UNKNOWN, told)
    } else {
        UNKNOWN
    };
    if told != UNKNOWN && told != offset {
        sink.broken("moved", || {
            format!("now at {offset}: {}", facts.tell_value(value))
        });
    }
}

pub(super) fn the_start_only_rises(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    // Partition → (when it was known, where the log starts), each at least those before.
    let mut starts: HashMap<u32, Vec<(u64, i64, &Op)>> = HashMap::new();
    for (_, op) in facts.ops().filter(|(_, op)| op.outcome == Outcome::Ok) {
        let (partition, start) = match op.action {
            Action::Delete { partition, before } => (partition, before),
            Action::List {
                partition,
                end: End::Start,
                offset,
                ..
            } => (partition, offset),
            _ => continue,
        };
        starts
            .entry(partition)
            .or_default()
            .push((op.complete, start, op));
    }
    for known in starts.values_mut() {
        known.sort_by_key(|(at, _, _)| *at);
        for next in 1..known.len() {
            if known[next].1 < known[next - 1].1 {
                (known[next].1, known[next].2) = (known[next - 1].1, known[next - 1].2);
            }
        }
    }
    let start_at = |partition: u32, at: u64| {
        let known = starts.get(&partition)?;
        let later = known.partition_point(|(known_at, _, _)| *known_at < at);
        known[..later].last()
    };
    for (_, op) in facts.ops() {
        for at in op.reads().1 {
            if let Some((_, start, by)) = start_at(at.partition, op.invoke)
                && at.offset < *start
            {
                sink.broken("read-below-start", || {
                    let [reader, by] = [op, by].map(|op| facts.tell(op));
                    format!(
                        "{reader} reads {} of a log that starts at {start} by {by}",
                        at.offset
                    )
                });
            }
        }
        if let Action::List {
            partition,
            end: End::Start,
            offset,
            ..
        } = op.action
            && op.is_ok()
            && let Some((_, start, by)) = start_at(partition, op.invoke)
            && offset < *start
        {
            sink.broken("regression", || {
                let [reader, by] = [op, by].map(|op| facts.tell(op));
                format!("{reader} is told {offset} after {start} of {by}")
            });
        }
    }
}
