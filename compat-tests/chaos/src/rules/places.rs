//! Rules 1 and 2: an offset and a value belong to each other.

use crate::facts::Facts;
use crate::load::Action;
use crate::report::Sink;

pub(super) fn one_value_an_offset(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (partition, log) in facts.logs.iter().enumerate() {
        for pair in log.entries.windows(2) {
            let [(offset, one), (next, other)] = [pair[0], pair[1]];
            if offset == next {
                let allowed = facts.is_weak(one) || facts.is_weak(other);
                sink.broken_unless(allowed, "inconsistent-offset", || {
                    format!(
                        "offset {offset} of {}: {} and {}",
                        facts.history.partitions.name(partition as u32),
                        facts.tell_value(one),
                        facts.tell_value(other)
                    )
                });
            }
        }
    }
}

pub(super) fn one_offset_a_value(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (value, known) in facts.values.iter().enumerate() {
        let value = value as u32;
        let repeatable = facts
            .writer(value)
            .is_some_and(|op| matches!(op.action, Action::Send { idempotent, .. } if !idempotent));
        if known.first != known.last {
            sink.broken_unless(repeatable, "duplicate", || facts.tell_value(value));
        }
    }
}
