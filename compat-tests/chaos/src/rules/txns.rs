//! Rules 7, 11 and 15: a transaction is one thing, and no part of it is seen before its end.

use std::collections::HashSet;

use crate::facts::Facts;
use crate::history::Outcome;
use crate::load::Action;
use crate::report::Sink;

pub(super) fn all_or_nothing(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (_, op) in facts.ops().filter(|(_, op)| op.is_txn()) {
        let looked_at = |partition: u32| facts.logs[partition as usize].scanned.is_some();
        let known = op.sends().iter().filter(|at| looked_at(at.partition));
        let known = known.filter(|at| !facts.may_be_gone(at.value));
        let (mut seen, mut unseen) = (None, None);
        for at in known {
            match facts.values[at.value as usize].scanned {
                true => seen = Some(at.value),
                false => unseen = Some(at.value),
            }
        }
        match (op.outcome, seen, unseen) {
            (Outcome::Fail, Some(seen), _) => {
                sink.broken("undead", || {
                    format!("it failed, but there is {}", facts.tell_value(seen))
                });
            }
            (_, Some(seen), Some(unseen)) => sink.broken("torn", || {
                format!(
                    "there is {}, but not {}",
                    facts.tell_value(seen),
                    facts.tell_value(unseen)
                )
            }),
            _ => {}
        }
    }
}

pub(super) fn not_its_own(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (number, op) in facts.ops() {
        if let Action::Txn { polls, .. } = &op.action {
            for at in polls {
                if facts.values[at.value as usize].writer == number as u32 {
                    sink.broken("precommitted", || facts.tell_value(at.value));
                }
            }
        }
    }
}

/// Transactions that read from each other in a circle are one strongly connected component of the graph writer → reader.
pub(super) fn no_cycle(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    let mut readers: Vec<Vec<u32>> = vec![Vec::new(); facts.history.ops.len()];
    for (number, op) in facts.ops() {
        let Action::Txn { polls, .. } = &op.action else {
            continue;
        };
        let of = |value: u32| facts.values[value as usize].writer;
        let writers: HashSet<u32> = polls.iter().map(|at| of(at.value)).collect();
        for writer in writers {
            let is_txn = facts
                .history
                .ops
                .get(writer as usize)
                .is_some_and(|op| op.is_txn());
            if is_txn && writer != number as u32 {
                readers[writer as usize].push(number as u32);
            }
        }
    }
    for component in components(&readers) {
        sink.broken("cycle", || {
            let ops = component
                .iter()
                .take(5)
                .map(|op| facts.tell(&facts.history.ops[*op as usize]));
            format!(
                "{} of them: {}",
                component.len(),
                ops.collect::<Vec<_>>().join(" ")
            )
        });
    }
}

/// Strongly connected components of more than one node (Tarjan), with the recursion on the heap.
fn components(edges: &[Vec<u32>]) -> Vec<Vec<u32>> {
    const UNSEEN: u32 = u32::MAX;
    let mut index = vec![UNSEEN; edges.len()];
    let mut low = vec![UNSEEN; edges.len()];
    let mut on_stack = vec![false; edges.len()];
    let (mut stack, mut found, mut next) = (Vec::new(), Vec::new(), 0);
    for root in 0..edges.len() {
        let mut path: Vec<(usize, usize)> = Vec::new();
        if index[root] == UNSEEN && !edges[root].is_empty() {
            path.push((root, 0));
        }
        while let Some((node, edge)) = path.pop() {
            if edge == 0 {
                (index[node], low[node]) = (next, next);
                next += 1;
                stack.push(node as u32);
                on_stack[node] = true;
            } else {
                let child = edges[node][edge - 1] as usize;
                low[node] = low[node].min(low[child]);
            }
            let mut edge = edge;
            let mut descend = None;
            while let Some(child) = edges[node].get(edge).map(|child| *child as usize) {
                edge += 1;
                if index[child] == UNSEEN {
                    descend = Some(child);
                    break;
                }
                if on_stack[child] {
                    low[node] = low[node].min(index[child]);
                }
            }
            if let Some(child) = descend {
                path.push((node, edge));
                path.push((child, 0));
                continue;
            }
            if low[node] == index[node] {
                let start = stack.iter().rposition(|on| *on == node as u32);
                let component = stack
                    .split_off(start.expect("a node is on the stack until its component is found"));
                for member in &component {
                    on_stack[*member as usize] = false;
                }
                if component.len() > 1 {
                    found.push(component);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn a_circle_is_a_component_and_what_hangs_on_it_is_not() {
        let edges = [
            vec![1],
            vec![2, 3],
            vec![0],
            vec![4],
            vec![],
            vec![6],
            vec![5, 0],
        ];
        let mut found = components(&edges);
        found
            .iter_mut()
            .for_each(|component| component.sort_unstable());
        assert_eq!(found, [vec![0, 1, 2], vec![5, 6]]);
    }

    #[test]
    fn a_long_chain_takes_no_stack() {
        let edges: Vec<Vec<u32>> = (1..=200_000).map(|next| vec![next % 200_000]).collect();
        assert_eq!(components(&edges)[0].len(), 200_000);
    }
}
