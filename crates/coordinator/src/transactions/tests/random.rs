//! Requests of any kind, right and wrong, in any order, with appends that fail and restarts: what was lived through is what
//! the log gives back. Proptest prints what it ran when a case fails.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::world::*;
use crate::CoordinatorRecord;
use crate::transactions::*;

const IDS: [&str; 3] = ["a", "b", "c"];
const PARTITIONS: [(&str, i32); 4] = [("orders", 0), ("orders", 1), ("audit", 0), ("t", 9)];

/// A producer id and epoch, by how far they are from the ones in use.
type Aim = (i64, i16);

#[derive(Debug, Clone)]
enum Op {
    Init {
        id: usize,
        current: Option<Aim>,
        timeout_ms: i32,
    },
    Add {
        id: usize,
        aim: Aim,
        partitions: usize,
        version: TransactionVersion,
    },
    End {
        id: usize,
        aim: Aim,
        committed: bool,
        version: TransactionVersion,
    },
    /// Some of the partitions that markers were ever wanted for have them.
    Report {
        which: usize,
        partitions: usize,
    },
    Pass(i64),
    Break(bool),
    ProducerIds(bool),
    Restart,
}

fn any_op() -> impl Strategy<Value = Op> {
    let id = || 0..IDS.len();
    let aim = || {
        let epoch = prop_oneof![12 => Just(0i16), 3 => Just(-1), 1 => Just(1), 1 => any::<i16>()];
        let producer_id =
            prop_oneof![15 => Just(0i64), 1 => Just(-1), 1 => Just(1), 1 => any::<i64>()];
        (producer_id, epoch)
    };
    let version =
        || prop_oneof![1 => Just(TransactionVersion::V1), 3 => Just(TransactionVersion::V2)];
    let timeout_ms = prop_oneof![4 => Just(TIMEOUT_MS), 1 => any::<i32>()];
    let mask = || 0..1usize << PARTITIONS.len();
    prop_oneof![
        4 => (id(), proptest::option::of(aim()), timeout_ms)
            .prop_map(|(id, current, timeout_ms)| Op::Init { id, current, timeout_ms }),
        8 => (id(), aim(), mask(), version())
            .prop_map(|(id, aim, partitions, version)| Op::Add { id, aim, partitions, version }),
        8 => (id(), aim(), any::<bool>(), version())
            .prop_map(|(id, aim, committed, version)| Op::End { id, aim, committed, version }),
        10 => (any::<usize>(), mask())
            .prop_map(|(which, partitions)| Op::Report { which, partitions }),
        3 => prop_oneof![0..5_000i64, 50_000..90_000i64, 500_000..2_000_000i64].prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Break),
        1 => any::<bool>().prop_map(Op::ProducerIds),
        1 => Just(Op::Restart),
    ]
}

struct Trial {
    world: World,
    /// All markers ever wanted.
    wanted: Vec<Markers>,
}

impl Trial {
    fn new(first_epoch: i16) -> Self {
        let options = TransactionOptions {
            id_expiration_ms: 1_000_000,
            id_expiration_check_ms: 100_000,
            ..TransactionOptions::default()
        };
        let mut world = World::with(options);
        for id in &IDS[..2] {
            let value = TransactionValue {
                epoch: first_epoch,
                ..TransactionValue::first(7, TIMEOUT_MS, world.now_ms)
            };
            world.stored_as(id, &value);
        }
        world.restart();
        Self {
            world,
            wanted: Vec::new(),
        }
    }

    /// The producer that an aim means.
    fn aimed(&self, id: usize, aim: Aim) -> (i64, i16) {
        let found = self.world.shard.describe(IDS[id]);
        let (producer_id, epoch) = found.map_or((0, 0), |found| (found.producer_id, found.epoch));
        (producer_id.wrapping_add(aim.0), epoch.wrapping_add(aim.1))
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Init {
                id,
                current,
                timeout_ms,
            } => {
                let request = InitProducerId {
                    transactional_id: IDS[id].to_owned(),
                    timeout_ms,
                    current: current.map(|aim| self.aimed(id, aim)),
                };
                self.world.init_as(request).ok();
            }
            Op::Add {
                id,
                aim,
                partitions,
                version,
            } => {
                let request = AddPartitions {
                    transactional_id: IDS[id].to_owned(),
                    version,
                    ..adding(self.aimed(id, aim), &chosen(partitions))
                };
                self.world.add_as(request).ok();
            }
            Op::End {
                id,
                aim,
                committed,
                version,
            } => {
                let request = EndTransaction {
                    transactional_id: IDS[id].to_owned(),
                    ..ending(self.aimed(id, aim), committed, version)
                };
                self.world.end_as(request).ok();
            }
            Op::Report { which, partitions } => self.report(which, partitions),
            Op::Pass(ms) => self.world.advance(ms),
            Op::Break(broken) => {
                self.world.broken = broken.then_some(TransactionError::CoordinatorUnavailable);
            }
            Op::ProducerIds(none) => self.world.no_producer_ids.store(none, Ordering::Relaxed),
            Op::Restart => self.world.restart(),
        }
        self.wanted.append(&mut self.world.markers);
    }

    fn report(&mut self, which: usize, mask: usize) {
        // Mostly one of the last, or nothing would ever be complete.
        let recent = which % 3;
        let from_end = if recent > 0 {
            recent
        } else {
            which % self.wanted.len().max(1) + 1
        };
        let Some(at) = self.wanted.len().checked_sub(from_end) else {
            return;
        };
        let markers = &self.wanted[at];
        let some = markers.partitions.iter().enumerate();
        let some = some.filter(|(n, _)| mask == 0 || mask & (1 << n) != 0);
        let event = markers.written(some.map(|(_, partition)| partition.clone()).collect());
        self.world.report(event);
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let replayed = self.world.replayed();
        prop_assert!(replayed.values().eq(self.world.shard.values()));
        let mut compacted = self.world.replayed_from(&compacted(&self.world.log));
        prop_assert!(compacted.values().eq(self.world.shard.values()));
        // Whatever is to be written after a restart is what has not been completed now.
        let unfinished = self
            .world
            .shard
            .values()
            .filter(|(_, value)| value.state.is_prepared() && !value.partitions.is_empty());
        prop_assert_eq!(compacted.take_markers().len(), unfinished.count());
        for (id, value) in self.world.shard.values() {
            let is_exhausted = value.next_producer_id.is_some();
            prop_assert!(
                !is_exhausted || value.state.is_prepared(),
                "{}: {:?}",
                id,
                value
            );
            prop_assert!(value.epoch >= 0);
            let is_open = value.state.is_prepared() || value.state == TransactionState::Ongoing;
            prop_assert!(is_open || value.partitions.is_empty());
        }
        Ok(())
    }

    /// Nothing new comes, and everything that is wanted gets done.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.world.broken = None;
        self.world.no_producer_ids.store(false, Ordering::Relaxed);
        self.world.restart();
        for _ in 0..3 {
            self.world.write_markers();
            self.world
                .advance(i64::from(self.world.options.max_timeout_ms) + 10_000);
        }
        for (id, value) in self.world.shard.values() {
            prop_assert!(value.state.is_idle(), "{}: {:?}", id, value);
        }
        self.world.advance(3_000_000);
        prop_assert_eq!(self.world.shard.values().count(), 0);
        prop_assert_eq!(self.world.shard.next_deadline(), None);
        Ok(())
    }
}

fn chosen(mask: usize) -> Vec<(&'static str, i32)> {
    let all = PARTITIONS.into_iter().enumerate();
    all.filter(|(n, _)| mask & (1 << n) != 0)
        .map(|(_, one)| one)
        .collect()
}

/// The last record of each key, where it was.
fn compacted(log: &[CoordinatorRecord]) -> Vec<(i64, CoordinatorRecord)> {
    let mut last = BTreeMap::new();
    for (offset, record) in (0i64..).zip(log) {
        last.insert(record.key.clone(), (offset, record.clone()));
    }
    let mut kept: Vec<_> = last.into_values().collect();
    kept.sort_by_key(|(offset, _)| *offset);
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_log_gives_back_what_was_lived_through(
        first_epoch in prop_oneof![3 => Just(0i16), 1 => i16::MAX - 12..=i16::MAX],
        ops in proptest::collection::vec(any_op(), 1..100),
    ) {
        let mut trial = Trial::new(first_epoch);
        for op in ops {
            trial.apply(op);
            trial.check()?;
        }
        trial.settle()?;
        trial.check()?;
    }
}
