//! `uniform`: everyone the same number of partitions, and as few of them moved as that allows (Kafka's `UniformAssignor`).
//!
//! Balance comes before stickiness. With equal subscriptions no two members differ by more than one partition. With unequal
//! ones no partition can be moved to another subscriber of its topic so that the two come closer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::GroupSpec;
use crate::records::consumer::TopicPartitions;

pub(super) fn assign(group: &GroupSpec<'_>) -> BTreeMap<Arc<str>, TopicPartitions> {
    if group.members.is_empty() {
        return BTreeMap::new();
    }
    let mut draft = Draft::of_previous(group);
    if group.is_homogeneous() {
        draft.level();
    } else {
        draft.fill();
        draft.balance();
    }
    let ids = group.members.iter().map(|member| Arc::clone(&member.id));
    ids.zip(draft.targets).collect()
}

/// An assignment in the making. Members go by their place in the group.
struct Draft<'a> {
    group: &'a GroupSpec<'a>,
    targets: Vec<TopicPartitions>,
    loads: Vec<usize>,
    unassigned: Vec<(Uuid, i32)>,
}

impl<'a> Draft<'a> {
    /// Everyone keeps what it had, as far as it is subscribed to it and it exists.
    fn of_previous(group: &'a GroupSpec<'a>) -> Self {
        let mut taken: HashMap<Uuid, BTreeSet<i32>> = HashMap::new();
        let mut targets = Vec::with_capacity(group.members.len());
        for member in &group.members {
            let mut target = TopicPartitions::new();
            for (topic, partitions) in member.previous {
                if !member.topics.contains(topic) {
                    continue;
                }
                let count = group.partition_count(*topic);
                let taken = taken.entry(*topic).or_default();
                let kept: BTreeSet<i32> = partitions
                    .iter()
                    .copied()
                    .filter(|partition| (0..count).contains(partition) && taken.insert(*partition))
                    .collect();
                if !kept.is_empty() {
                    target.insert(*topic, kept);
                }
            }
            targets.push(target);
        }
        let wanted: BTreeSet<Uuid> = group
            .members
            .iter()
            .flat_map(|member| &*member.topics)
            .copied()
            .collect();
        let mut unassigned = Vec::new();
        for topic in wanted {
            let taken = taken.get(&topic);
            let free = (0..group.partition_count(topic))
                .filter(|partition| !taken.is_some_and(|taken| taken.contains(partition)));
            unassigned.extend(free.map(|partition| (topic, partition)));
        }
        let loads = targets.iter().map(load).collect();
        Self {
            group,
            targets,
            loads,
            unassigned,
        }
    }

    fn give(&mut self, member: usize, topic: Uuid, partition: i32) {
        self.targets[member]
            .entry(topic)
            .or_default()
            .insert(partition);
        self.loads[member] += 1;
    }

    /// Takes the partition with the highest number, so that what stays is the same each time.
    fn take(&mut self, member: usize, topic: Uuid) -> Option<i32> {
        let partitions = self.targets[member].get_mut(&topic)?;
        let partition = partitions.pop_last()?;
        if partitions.is_empty() {
            self.targets[member].remove(&topic);
        }
        self.loads[member] -= 1;
        Some(partition)
    }

    /// For equal subscriptions: everyone gives up what is above its quota, then what is free goes round.
    fn level(&mut self) {
        let quotas = self.quotas();
        for (member, quota) in quotas.iter().enumerate() {
            while self.loads[member] > *quota {
                // From the topic it has most of, so that each topic stays spread.
                let most = self.targets[member]
                    .iter()
                    .max_by_key(|(_, partitions)| partitions.len());
                let Some(topic) = most.map(|(topic, _)| *topic) else {
                    break;
                };
                let Some(partition) = self.take(member, topic) else {
                    break;
                };
                self.unassigned.push((topic, partition));
            }
        }
        self.unassigned.sort_unstable();
        let mut unassigned = std::mem::take(&mut self.unassigned).into_iter().peekable();
        while unassigned.peek().is_some() {
            let mut given = false;
            for (member, quota) in quotas.iter().enumerate() {
                if self.loads[member] < *quota
                    && let Some((topic, partition)) = unassigned.next()
                {
                    self.give(member, topic, partition);
                    given = true;
                }
            }
            debug_assert!(given, "the quotas add up to all partitions");
            if !given {
                break;
            }
        }
    }

    /// How many partitions each member shall have. Those with most are left one more than the others where it does not come
    /// out even: they would have to give up more.
    fn quotas(&self) -> Vec<usize> {
        let total = self.unassigned.len() + self.loads.iter().sum::<usize>();
        let members = self.loads.len();
        let mut by_load: Vec<usize> = (0..members).collect();
        by_load.sort_by_key(|member| std::cmp::Reverse(self.loads[*member]));
        let mut quotas = vec![total / members; members];
        for member in by_load.into_iter().take(total % members) {
            quotas[member] += 1;
        }
        quotas
    }

    fn subscribers(&self) -> BTreeMap<Uuid, Vec<usize>> {
        let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (member, spec) in self.group.members.iter().enumerate() {
            for topic in &*spec.topics {
                subscribers.entry(*topic).or_default().push(member);
            }
        }
        subscribers
    }

    /// For unequal subscriptions: what is free goes to the least loaded, first what fewest may have.
    fn fill(&mut self) {
        let subscribers = self.subscribers();
        let mut unassigned = std::mem::take(&mut self.unassigned);
        unassigned.sort_by_key(|(topic, partition)| (subscribers[topic].len(), *topic, *partition));
        for (topic, partition) in unassigned {
            let least = subscribers[&topic]
                .iter()
                .min_by_key(|member| self.loads[**member]);
            if let Some(member) = least.copied() {
                self.give(member, topic, partition);
            }
        }
    }

    /// Moves partitions from the most to the least loaded of their subscribers until nothing is gained. Each move lowers the
    /// sum of the squared loads, so it ends.
    fn balance(&mut self) {
        let subscribers = self.subscribers();
        let mut moved = true;
        while moved {
            moved = false;
            for (topic, members) in &subscribers {
                while self.move_one(*topic, members) {
                    moved = true;
                }
            }
        }
    }

    fn move_one(&mut self, topic: Uuid, members: &[usize]) -> bool {
        let holders = members
            .iter()
            .filter(|member| self.targets[**member].contains_key(&topic));
        let most = holders.max_by_key(|member| self.loads[**member]).copied();
        let least = members
            .iter()
            .min_by_key(|member| self.loads[**member])
            .copied();
        let (Some(most), Some(least)) = (most, least) else {
            return false;
        };
        if self.loads[most] < self.loads[least] + 2 {
            return false;
        }
        let Some(partition) = self.take(most, topic) else {
            return false;
        };
        self.give(least, topic, partition);
        true
    }
}

fn load(target: &TopicPartitions) -> usize {
    target.values().map(BTreeSet::len).sum()
}
