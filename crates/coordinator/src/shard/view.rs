//! Groups as they are looked at from outside, one by one.

use std::sync::Arc;

use super::{Entry, GroupShard};
use crate::topics::TopicView;

/// One group.
#[derive(Debug, Clone, Copy)]
pub struct GroupView<'a>(&'a Entry);

/// An offset that a group has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: i32,
    /// The offset of the next record that the group will read.
    pub offset: i64,
}

impl GroupShard {
    /// All groups, in the order of their ids; those that have only offsets too. Sees what has been replayed.
    pub fn groups(&self) -> impl Iterator<Item = GroupView<'_>> {
        self.entries.values().map(GroupView)
    }
}

impl<'a> GroupView<'a> {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &'a Arc<str> {
        &self.0.id
    }

    /// How many members it has.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.0.group.member_count()
    }

    /// Its offsets by topic and partition. Those of a topic that is gone are left out, also when another of its name is there.
    pub fn committed<'t>(
        &self,
        topics: &'t dyn TopicView,
    ) -> impl Iterator<Item = Committed<'a>> + use<'a, 't> {
        self.0.offsets.by_topic().flat_map(move |(topic, offsets)| {
            let current = topics.by_name(topic).map(|(id, _)| id);
            offsets.iter().filter_map(move |(partition, value)| {
                let is_of_it = value.topic_id.is_nil() || Some(value.topic_id) == current;
                (current.is_some() && is_of_it).then_some(Committed {
                    topic,
                    partition: *partition,
                    offset: value.offset,
                })
            })
        })
    }
}
