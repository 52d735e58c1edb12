//! Rules 3, 4 and 5: what was written stays.

use crate::facts::Facts;
use crate::load::UNKNOWN;
use crate::report::Sink;

pub(super) fn readers_pass_nothing_by(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for log in &facts.logs {
        let read = |(_, value): &&(i64, u32)| facts.values[*value as usize].read;
        let Some((furthest, _)) = log.entries.iter().rev().find(read) else {
            continue;
        };
        for (offset, value) in &log.entries {
            let known = &facts.values[*value as usize];
            let passed = *offset <= *furthest && *offset == known.last;
            if passed && !known.read && facts.is_committed(*value) && !facts.may_be_gone(*value) {
                let weak = facts.is_weak(*value);
                sink.broken_unless(weak, "lost-prefix", || {
                    format!(
                        "read up to {furthest}, but not {}",
                        facts.tell_value(*value)
                    )
                });
            }
        }
    }
}

pub(super) fn the_acknowledged_is_there(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (_, op) in facts.ops().filter(|(_, op)| op.is_ok()) {
        for at in op.sends() {
            let known = &facts.values[at.value as usize];
            let log = &facts.logs[at.partition as usize];
            let deleted = log.deleted_before > 0 && known.first == UNKNOWN;
            if log.scanned.is_some() && !known.scanned && !deleted && !facts.may_be_gone(at.value) {
                let weak = facts.is_weak(at.value);
                sink.broken_unless(weak, "lost", || facts.tell_value(at.value));
            }
        }
    }
}

pub(super) fn the_read_is_there(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (value, known) in facts.values.iter().enumerate() {
        let value = value as u32;
        let lasting = known.read_committed
            || known.read && facts.writer(value).is_some_and(|op| !op.is_txn());
        if lasting
            && !known.scanned
            && facts.logs[known.partition as usize].scanned.is_some()
            && !facts.may_be_gone(value)
        {
            sink.broken("vanished", || facts.tell_value(value));
        }
    }
}
