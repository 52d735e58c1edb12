//! `range`: each topic's partitions in contiguous ranges, in the order of the members (Kafka's `RangeAssignor`).
//!
//! Members with the same subscriptions get the same partitions of topics with as many partitions: what a join of streams
//! needs. Static members come first and by instance id, so that a restart under a new member id changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{GroupSpec, MemberSpec};
use crate::records::consumer::TopicPartitions;

struct Ranges {
    next: i32,
    quota: i32,
    /// Members that still get one more.
    extra: i32,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> BTreeMap<Arc<str>, TopicPartitions> {
    let mut members: Vec<&MemberSpec<'_>> = group.members.iter().collect();
    members.sort_by_key(|member| {
        (
            member.instance_id.is_none(),
            member.instance_id,
            Arc::clone(&member.id),
        )
    });
    let mut subscribers: BTreeMap<Uuid, i32> = BTreeMap::new();
    for topic in members.iter().flat_map(|member| &*member.topics) {
        *subscribers.entry(*topic).or_default() += 1;
    }
    let mut ranges: BTreeMap<Uuid, Ranges> = subscribers
        .into_iter()
        .map(|(topic, subscribers)| {
            let partitions = group.partition_count(topic);
            let range = Ranges {
                next: 0,
                quota: partitions / subscribers,
                extra: partitions % subscribers,
            };
            (topic, range)
        })
        .collect();
    let assigned = members.into_iter().map(|member| {
        let mut target = TopicPartitions::new();
        for topic in &*member.topics {
            let Some(range) = ranges.get_mut(topic) else {
                continue;
            };
            let take = range.quota + i32::from(range.extra > 0);
            range.extra -= i32::from(range.extra > 0);
            if take > 0 {
                target.insert(*topic, (range.next..range.next + take).collect());
            }
            range.next += take;
        }
        (Arc::clone(&member.id), target)
    });
    assigned.collect()
}
