//! Rule 17: who was fenced writes nothing any more.

use std::collections::HashMap;

use crate::facts::Facts;
use crate::history::Producer;
use crate::load::{Action, Member, Op};
use crate::report::Sink;

pub(super) fn the_fenced_have_no_effect(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    producers(facts, sink);
    members(facts, sink);
}

/// By transactional id, its sessions: when each was begun and was ok, and whose it is.
type Sessions<'h> = HashMap<u32, Vec<(&'h Op, Option<Producer>)>>;

fn producers(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    let mut sessions = Sessions::new();
    for (_, op) in facts.ops().filter(|(_, op)| op.is_ok()) {
        if let Action::Init { id, producer } = op.action {
            sessions.entry(id).or_default().push((op, producer));
        }
    }
    for inits in sessions.values_mut() {
        inits.sort_by_key(|(op, _)| op.complete);
    }
    for (number, op) in facts.ops().filter(|(number, _)| facts.committed[*number]) {
        debug_assert!(facts.committed[number]);
        let Action::Txn { id, producer, .. } = op.action else {
            continue;
        };
        let Some(inits) = sessions.get(&id) else {
            continue;
        };
        // The latest session that was there before the transaction began; its own, or it is fenced.
        let later = inits.partition_point(|(init, _)| init.complete < op.invoke);
        let fenced = inits[..later].iter().rev().find(|(init, given)| {
            let older =
                |own: Producer, given: Producer| own.id == given.id && own.epoch < given.epoch;
            producer
                .zip(*given)
                .is_some_and(|(own, given)| older(own, given))
                || init.process != op.process && began_after_own(&inits[..later], op, init)
        });
        if let Some((init, _)) = fenced {
            sink.broken("producer", || {
                format!("{} took effect after {}", facts.tell(op), facts.tell(init))
            });
        }
    }
}

/// Whether `init` began after the process of `op` had made its own session: then that one is the fenced one.
fn began_after_own(inits: &[(&Op, Option<Producer>)], op: &Op, init: &Op) -> bool {
    let own = inits
        .iter()
        .rev()
        .find(|(own, _)| own.process == op.process);
    own.is_some_and(|(own, _)| own.complete < init.invoke)
}

/// By group, and by member where the epoch is its own: which epoch was known when, and by which operation.
type Epochs<'h> = HashMap<(u32, Option<u32>), Vec<(u64, i32, &'h Op)>>;

fn members(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    let mut epochs = Epochs::new();
    for (_, op) in facts.ops().filter(|(_, op)| op.is_ok()) {
        if let Some(member) = member_of(op) {
            epochs
                .entry(whose(member))
                .or_default()
                .push((op.complete, member.epoch, op));
        }
    }
    // Each is at least those before.
    for known in epochs.values_mut() {
        known.sort_by_key(|(at, _, _)| *at);
        for next in 1..known.len() {
            if known[next].1 < known[next - 1].1 {
                (known[next].1, known[next].2) = (known[next - 1].1, known[next - 1].2);
            }
        }
    }
    for (_, op) in facts.ops().filter(|(_, op)| op.is_ok()) {
        let Action::Commit { member, .. } = &op.action else {
            continue;
        };
        let known = &epochs[&whose(member)];
        let later = known.partition_point(|(at, _, _)| *at < op.invoke);
        if let Some((_, epoch, newer)) = known[..later].last()
            && *epoch > member.epoch
        {
            sink.broken("member", || {
                let [commit, newer] = [op, newer].map(|op| facts.tell(op));
                format!(
                    "{commit} committed in {} after {newer} in {epoch}",
                    member.epoch
                )
            });
        }
    }
}

fn member_of(op: &Op) -> Option<&Member> {
    match &op.action {
        Action::Commit { member, .. } | Action::Join { member, .. } => Some(member),
        _ => None,
    }
}

fn whose(member: &Member) -> (u32, Option<u32>) {
    (member.group, member.own.then_some(member.id))
}
