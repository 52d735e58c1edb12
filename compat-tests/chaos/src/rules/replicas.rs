//! Rules 19 and 20: leader epochs follow offsets, and every replica holds the same.

use std::collections::{BTreeMap, HashMap};

use crate::facts::Facts;
use crate::history::Batch;
use crate::load::{Action, Op};
use crate::report::Sink;

/// One replica's log, from all its stretches.
struct Replica {
    broker: i32,
    from: i64,
    to: i64,
    batches: Vec<Batch>,
}

/// By partition.
fn replicas(facts: &Facts<'_>) -> BTreeMap<u32, Vec<Replica>> {
    let mut found: BTreeMap<u32, Vec<Replica>> = BTreeMap::new();
    for (_, op) in facts.ops().filter(|(_, op)| op.is_ok()) {
        let Action::Replica {
            partition,
            broker,
            from,
            to,
            batches,
        } = &op.action
        else {
            continue;
        };
        let of_partition = found.entry(*partition).or_default();
        match of_partition
            .iter_mut()
            .find(|known| known.broker == *broker)
        {
            Some(known) => {
                (known.from, known.to) = (known.from.min(*from), known.to.max(*to));
                known.batches.extend(batches);
            }
            None => of_partition.push(Replica {
                broker: *broker,
                from: *from,
                to: *to,
                batches: batches.clone(),
            }),
        }
    }
    found
}

pub(super) fn epochs_follow_offsets(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (partition, replicas) in replicas(facts) {
        let name = facts.history.partitions.name(partition);
        for replica in &replicas {
            for pair in replica.batches.windows(2) {
                if pair[1].2 < pair[0].2 {
                    sink.broken("epoch-falls", || {
                        format!(
                            "broker {} of {name}: {:?}, then {:?}",
                            replica.broker, pair[0], pair[1]
                        )
                    });
                }
            }
        }
        one_start_an_epoch(sink, name, &replicas);
    }
    one_leader_an_epoch(facts, sink);
}

fn one_start_an_epoch(sink: &mut Sink<'_>, name: &str, replicas: &[Replica]) {
    let mut starts: HashMap<i32, (i64, i32)> = HashMap::new();
    for replica in replicas {
        // Where the log begins, an epoch may have begun before it.
        for pair in replica
            .batches
            .windows(2)
            .filter(|pair| pair[0].2 != pair[1].2)
        {
            let Batch(start, _, epoch, _) = pair[1];
            let (known, broker) = *starts.entry(epoch).or_insert((start, replica.broker));
            if known != start {
                sink.broken("two-starts", || {
                    format!(
                        "epoch {epoch} of {name} starts at {known} on broker {broker} and at {start} on broker {}",
                        replica.broker
                    )
                });
            }
        }
    }
}

fn one_leader_an_epoch(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    let mut leaders: HashMap<(u32, i32), (i32, &Op)> = HashMap::new();
    for (_, op) in facts.ops() {
        let Action::Image { partitions, .. } = &op.action else {
            continue;
        };
        for (partition, told) in partitions {
            let Some(leader) = told.leader else { continue };
            let (known, first) = *leaders
                .entry((*partition, told.epoch))
                .or_insert((leader, op));
            if known != leader {
                sink.broken("two-leaders", || {
                    let [one, other] = [first, op].map(|op| facts.tell(op));
                    let name = facts.history.partitions.name(*partition);
                    format!(
                        "epoch {} of {name} is led by {known} says {one}, by {leader} says {other}",
                        told.epoch
                    )
                });
            }
        }
    }
}

pub(super) fn all_hold_the_same(facts: &Facts<'_>, sink: &mut Sink<'_>) {
    for (partition, replicas) in replicas(facts) {
        let name = facts.history.partitions.name(partition);
        let end = replicas.iter().map(|replica| replica.to).max();
        for replica in replicas.iter().filter(|replica| Some(replica.to) < end) {
            sink.broken("behind", || {
                format!(
                    "broker {} of {name} ends at {}, another at {end:?}",
                    replica.broker, replica.to
                )
            });
        }
        for pair in replicas.windows(2) {
            let [one, other] = [&pair[0], &pair[1]];
            let (from, to) = (one.from.max(other.from), one.to.min(other.to));
            let within = |batch: &&Batch| batch.0 >= from && batch.1 < to;
            let mut ours = one.batches.iter().filter(within);
            let mut theirs = other.batches.iter().filter(within);
            loop {
                let (mine, its) = (ours.next(), theirs.next());
                if mine != its {
                    sink.broken("diverged", || {
                        format!(
                            "{name}: broker {} has {mine:?}, broker {} {its:?}",
                            one.broker, other.broker
                        )
                    });
                }
                // What follows a difference differs for the same reason.
                if mine.is_none() || mine != its {
                    break;
                }
            }
        }
    }
}
