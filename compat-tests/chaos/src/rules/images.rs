//! Rule 23: what a broker says of a partition can be.

use crate::facts::Facts;
use crate::history::Replication;
use crate::load::{Action, Op};
use crate::report::Sink;

pub(super) fn what_is_told_can_be(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (_, op) in facts.ops() {
        let Action::Image { partitions, .. } = &op.action else {
            continue;
        };
        for (partition, told) in partitions {
            for kind in wrong(told) {
                sink.broken(kind, || tell(facts, op, *partition, told));
            }
        }
    }
}

fn wrong(told: &Replication) -> impl Iterator<Item = &'static str> {
    let above = |one: Option<i64>, other: Option<i64>| {
        one.zip(other).is_some_and(|(one, other)| one > other)
    };
    let outside = |ids: &[i32]| ids.iter().any(|id| !told.replicas.contains(id));
    let found = [
        ("isr-outside", outside(&told.isr) || outside(&told.elr)),
        (
            "leader-outside",
            told.leader
                .is_some_and(|leader| !told.isr.contains(&leader)),
        ),
        (
            "elr-in-isr",
            told.elr.iter().any(|id| told.isr.contains(id)),
        ),
        ("stable-above-high", above(told.stable, told.high)),
        ("high-above-end", above(told.high, told.end)),
    ];
    found
        .into_iter()
        .filter_map(|(kind, is_wrong)| is_wrong.then_some(kind))
}

fn tell(facts: &Facts<'_>, op: &Op, partition: u32, told: &Replication) -> String {
    let name = facts.history.partitions.name(partition);
    format!("{} is told of {name}: {told:?}", facts.tell(op))
}
