//! Which brokers get the copies of a partition (the goals of Kafka's `StripedReplicaPlacer`): leaders spread evenly over the active
//! brokers, copies over as many racks as there are, fenced brokers only where there is no other.

use std::collections::{BTreeMap, VecDeque};

use crate::image::ClusterImage;

/// Why copies could not be placed. The texts are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Zero or negative.
    #[error("Replication factor must be larger than 0, or -1 to use the default value.")]
    NotPositive {
        /// What was asked for.
        replication_factor: i32,
    },
    /// More copies than brokers.
    #[error(
        "Unable to replicate the partition {replication_factor} time(s): The target replication factor of \
         {replication_factor} cannot be reached because only {registered} broker(s) are registered or some brokers \
         have all their log directories cordoned."
    )]
    TooFewBrokers {
        /// What was asked for.
        replication_factor: i32,
        /// How many brokers are registered.
        registered: usize,
    },
    /// Nobody could lead.
    #[error(
        "Unable to replicate the partition {replication_factor} time(s): All brokers are currently fenced."
    )]
    AllFenced {
        /// What was asked for.
        replication_factor: i32,
    },
}

/// A broker as a place for copies.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) node: i32,
    pub(crate) rack: Option<String>,
    pub(crate) active: bool,
}

/// The places an image offers.
pub(crate) fn places(image: &ClusterImage) -> Vec<Place> {
    let place = |(&node, broker): (&i32, &crate::values::BrokerRecord)| Place {
        node,
        rack: broker.rack.clone(),
        active: broker.is_active(),
    };
    image.brokers.iter().map(place).collect()
}

/// Places one partition after the other.
#[derive(Debug)]
pub(crate) struct Placer {
    /// Active brokers, neighbours in different racks where possible.
    active: Vec<Spot>,
    /// The others, in the same order of racks.
    fenced: Vec<Spot>,
    racks: usize,
    /// Counts partitions, from a random start.
    turn: usize,
}

#[derive(Debug, Clone, Copy)]
struct Spot {
    node: i32,
    rack: usize,
}

impl Placer {
    /// A placer over `places` that begins anywhere, so that small topics do not all begin on the same broker.
    pub(crate) fn new(places: &[Place], seed: u64) -> Self {
        let mut by_rack: BTreeMap<Option<&str>, Vec<&Place>> = BTreeMap::new();
        for place in places {
            by_rack
                .entry(place.rack.as_deref())
                .or_default()
                .push(place);
        }
        let racks: Vec<Vec<&Place>> = by_rack.into_values().collect();
        let active = striped(&racks, true);
        let span = active.len().max(1) as u64;
        // The quotient sets the shift of the followers, the remainder the first leader.
        let turn = usize::try_from(seed % (span * span)).unwrap_or(0);
        Self {
            fenced: striped(&racks, false),
            racks: racks.len(),
            active,
            turn,
        }
    }

    /// The replicas of the next partition, preferred leader first. The first is active.
    pub(crate) fn place(&mut self, replication_factor: i32) -> Result<Vec<i32>, PlacementError> {
        let wanted = self.check(replication_factor)?;
        let count = self.active.len();
        let (first, round) = (self.turn % count, self.turn / count);
        self.turn += 1;
        let mut uses = vec![0_usize; self.racks];
        let mut replicas = Vec::with_capacity(wanted);
        let candidates = self.candidates(first, round);
        while replicas.len() < wanted {
            let free = candidates
                .iter()
                .filter(|spot| !replicas.contains(&spot.node));
            // The first of the least used rack: `min_by_key` keeps the earliest, and active ones come first.
            let Some(spot) = free.min_by_key(|spot| uses[spot.rack]) else {
                break;
            };
            uses[spot.rack] += 1;
            replicas.push(spot.node);
        }
        Ok(replicas)
    }

    fn check(&self, replication_factor: i32) -> Result<usize, PlacementError> {
        let registered = self.active.len() + self.fenced.len();
        let wanted = usize::try_from(replication_factor)
            .ok()
            .filter(|&wanted| wanted > 0);
        let wanted = wanted.ok_or(PlacementError::NotPositive { replication_factor })?;
        if wanted > registered {
            return Err(PlacementError::TooFewBrokers {
                replication_factor,
                registered,
            });
        }
        if self.active.is_empty() {
            return Err(PlacementError::AllFenced { replication_factor });
        }
        Ok(wanted)
    }

    /// Every broker in the order of preference: the leader, then the others of the stripe from a point that moves on with every
    /// round, so that two brokers do not share all their partitions; then the fenced ones.
    fn candidates(&self, first: usize, round: usize) -> Vec<Spot> {
        let count = self.active.len();
        let others = (0..count - 1).map(|step| (first + 1 + (round + step) % (count - 1)) % count);
        let active = std::iter::once(first)
            .chain(others)
            .map(|index| self.active[index]);
        active.chain(self.fenced.iter().copied()).collect()
    }
}

/// One broker of each rack in turn, until all are taken.
fn striped(racks: &[Vec<&Place>], active: bool) -> Vec<Spot> {
    let spots = |(rack, places): (usize, &Vec<&Place>)| -> VecDeque<Spot> {
        places
            .iter()
            .filter(|place| place.active == active)
            .map(|place| Spot {
                node: place.node,
                rack,
            })
            .collect()
    };
    let mut queues: Vec<VecDeque<Spot>> = racks.iter().enumerate().map(spots).collect();
    let mut striped = Vec::new();
    while queues.iter().any(|queue| !queue.is_empty()) {
        striped.extend(queues.iter_mut().filter_map(VecDeque::pop_front));
    }
    striped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn cluster(racks: usize, brokers_each: usize) -> Vec<Place> {
        let place = |node: usize| Place {
            node: node as i32,
            rack: Some(format!("r{}", node % racks)),
            active: true,
        };
        (0..racks * brokers_each).map(place).collect()
    }

    proptest! {
        #[test]
        fn equal_racks_share_leaders_evenly_and_copies_lie_in_different_racks(
            racks in 1_usize..6, each in 1_usize..5, partitions in 1_usize..120, rf in 1_i32..6, seed: u64,
        ) {
            let places = cluster(racks, each);
            prop_assume!(rf as usize <= places.len());
            let mut placer = Placer::new(&places, seed);
            let mut leads = vec![0; places.len()];
            for _ in 0..partitions {
                let replicas = placer.place(rf).unwrap();
                leads[replicas[0] as usize] += 1;
                let distinct: BTreeSet<_> = replicas.iter().collect();
                prop_assert_eq!((replicas.len(), distinct.len()), (rf as usize, rf as usize));
                let used: BTreeSet<usize> = replicas.iter().map(|&node| node as usize % racks).collect();
                prop_assert_eq!(used.len(), racks.min(rf as usize), "{:?}", replicas);
            }
            prop_assert!(leads.iter().max().unwrap() - leads.iter().min().unwrap() <= 1, "{:?}", leads);
        }

        #[test]
        fn a_fenced_broker_never_comes_first(fenced in prop::collection::vec(any::<bool>(), 1..8), rf in 1_i32..8, seed: u64) {
            let mut places = cluster(2, 4);
            for (place, fenced) in places.iter_mut().zip(&fenced) {
                place.active = !fenced;
            }
            let Ok(replicas) = Placer::new(&places, seed).place(rf) else {
                prop_assert!(places.iter().all(|place| !place.active));
                return Ok(());
            };
            prop_assert!(places[replicas[0] as usize].active);
            prop_assert_eq!(replicas.len(), rf as usize);
        }

        #[test]
        fn the_same_seed_places_the_same(seed: u64) {
            let (mut one, mut two) = (Placer::new(&cluster(3, 2), seed), Placer::new(&cluster(3, 2), seed));
            for _ in 0..20 {
                prop_assert_eq!(one.place(3), two.place(3));
            }
        }
    }

    #[test]
    fn without_racks_fenced_brokers_are_used_only_where_active_ones_do_not_suffice() {
        let mut places: Vec<Place> = (0..4)
            .map(|node| Place {
                node,
                rack: None,
                active: node < 2,
            })
            .collect();
        for seed in 0..50 {
            let pair = Placer::new(&places, seed).place(2).unwrap();
            assert!(pair.iter().all(|&node| node < 2), "seed {seed}: {pair:?}");
        }
        places[0].active = false;
        places[1].active = false;
        assert_eq!(
            Placer::new(&places, 0).place(1),
            Err(PlacementError::AllFenced {
                replication_factor: 1
            })
        );
    }

    #[test]
    fn impossible_replication_factors_say_why() {
        let mut placer = Placer::new(&cluster(1, 1), 0);
        assert_eq!(placer.place(1), Ok(vec![0]));
        assert_eq!(
            placer.place(0),
            Err(PlacementError::NotPositive {
                replication_factor: 0
            })
        );
        assert_eq!(
            placer.place(-2),
            Err(PlacementError::NotPositive {
                replication_factor: -2
            })
        );
        assert_eq!(
            placer.place(2),
            Err(PlacementError::TooFewBrokers {
                replication_factor: 2,
                registered: 1
            })
        );
        assert_eq!(
            Placer::new(&[], 0).place(1),
            Err(PlacementError::TooFewBrokers {
                replication_factor: 1,
                registered: 0
            })
        );
    }
}
