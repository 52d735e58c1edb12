//! What an administrator sees of a group (API keys 69 and 15).

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::group::{ConsumerGroup, Member};
use super::heartbeat::without_epochs;
use super::progress::preferred_assignor;
use super::subscription::Preview;
use super::{Context, GroupState};
use crate::records::consumer::TopicPartitions;
use crate::topics::TopicView;

/// A group as ConsumerGroupDescribe shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    /// Its name.
    pub group_id: String,
    /// Its state.
    pub state: GroupState,
    /// Its epoch.
    pub group_epoch: i32,
    /// The epoch of its target assignment.
    pub assignment_epoch: i32,
    /// The assignor it uses.
    pub assignor: String,
    /// Its members, by id.
    pub members: Vec<DescribedConsumerMember>,
}

/// A member of such a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConsumerMember {
    /// Its id.
    pub member_id: String,
    /// The id it was configured with.
    pub instance_id: Option<String>,
    /// The rack it runs in.
    pub rack_id: Option<String>,
    /// Its epoch.
    pub member_epoch: i32,
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// Topics it is subscribed to by name.
    pub subscribed_topic_names: Vec<String>,
    /// The pattern it is subscribed with.
    pub subscribed_topic_regex: Option<String>,
    /// What it has, with what it is about to give up.
    pub assignment: Vec<AssignedTopic>,
    /// What it shall have.
    pub target: Vec<AssignedTopic>,
    /// Whether it speaks the classic protocol (member type 0, else 1).
    pub is_classic: bool,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedTopic {
    /// The topic's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

impl ConsumerGroup {
    /// The group as an administrator sees it. Topics that are gone are left out.
    #[must_use]
    pub fn describe(&self, ctx: &Context<'_>) -> DescribedConsumerGroup {
        let nobody = BTreeSet::new();
        let preview = Preview {
            durable: &self.durable,
            updated: None,
            removed: &nobody,
        };
        let member = |(id, member): (&std::sync::Arc<str>, &Member)| {
            describe_member(id, member, self.durable.target(id), ctx.topics)
        };
        DescribedConsumerGroup {
            group_id: self.group_id.clone(),
            state: self.state(),
            group_epoch: self.durable.group_epoch(),
            assignment_epoch: self.durable.assignment_epoch(),
            assignor: preferred_assignor(preview, ctx)
                .unwrap_or_default()
                .to_owned(),
            members: self.durable.members.iter().map(member).collect(),
        }
    }
}

fn describe_member(
    id: &str,
    member: &Member,
    target: &TopicPartitions,
    topics: &dyn TopicView,
) -> DescribedConsumerMember {
    let metadata = &member.metadata;
    let mut held = without_epochs(&member.current.assigned);
    for (topic, partitions) in &member.current.pending_revocation {
        held.entry(*topic).or_default().extend(partitions.keys());
    }
    DescribedConsumerMember {
        member_id: id.to_owned(),
        instance_id: metadata.instance_id.clone(),
        rack_id: metadata.rack_id.clone(),
        member_epoch: member.current.member_epoch,
        client_id: metadata.client_id.clone(),
        client_host: metadata.client_host.clone(),
        subscribed_topic_names: metadata.subscribed_topic_names.iter().cloned().collect(),
        subscribed_topic_regex: metadata.subscribed_topic_regex.clone(),
        assignment: named(&held, topics),
        target: named(target, topics),
        is_classic: member.is_classic(),
    }
}

/// The partitions with their topics' names, as far as those exist.
fn named(partitions: &BTreeMap<Uuid, BTreeSet<i32>>, topics: &dyn TopicView) -> Vec<AssignedTopic> {
    let with_name = |(id, partitions): (&Uuid, &BTreeSet<i32>)| {
        let (name, _) = topics.by_id(*id)?;
        Some(AssignedTopic {
            id: *id,
            name: name.to_owned(),
            partitions: partitions.iter().copied().collect(),
        })
    };
    partitions.iter().filter_map(with_name).collect()
}
