//! Computing who shall have which partition (statement E8). Pure: the same input gives the same assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use uuid::Uuid;

use crate::records::consumer::TopicPartitions;

mod range;
mod uniform;

/// A way to assign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assignor {
    /// The same number of partitions for everyone, as few moves as that allows.
    Uniform,
    /// A contiguous range of each topic; the same partitions of topics alike.
    Range,
}

impl Assignor {
    /// The assignor of that name in the protocol.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    /// Assigns every partition of each topic that somebody is subscribed to. Every member is in the answer.
    pub(super) fn assign(self, group: &GroupSpec<'_>) -> BTreeMap<Arc<str>, TopicPartitions> {
        match self {
            Self::Uniform => uniform::assign(group),
            Self::Range => range::assign(group),
        }
    }
}

/// A member as an assignor sees it.
#[derive(Debug, Clone)]
pub(super) struct MemberSpec<'a> {
    pub(super) id: Arc<str>,
    pub(super) instance_id: Option<&'a str>,
    /// The topics it is subscribed to; all are in [`GroupSpec::partitions`].
    pub(super) topics: Rc<BTreeSet<Uuid>>,
    /// What it was to have before.
    pub(super) previous: &'a TopicPartitions,
}

/// What there is to assign, and to whom.
#[derive(Debug)]
pub(super) struct GroupSpec<'a> {
    /// In the order of their ids.
    pub(super) members: Vec<MemberSpec<'a>>,
    /// How many partitions each topic has.
    pub(super) partitions: BTreeMap<Uuid, i32>,
}

impl GroupSpec<'_> {
    /// Whether all members are subscribed to the same topics.
    fn is_homogeneous(&self) -> bool {
        self.members.windows(2).all(|pair| {
            Rc::ptr_eq(&pair[0].topics, &pair[1].topics) || pair[0].topics == pair[1].topics
        })
    }

    fn partition_count(&self, topic: Uuid) -> i32 {
        self.partitions.get(&topic).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
