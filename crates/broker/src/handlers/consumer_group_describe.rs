//! ConsumerGroupDescribe (key 69), v0–v1: KIP-848 groups, their members, what those have and what they shall have.
//!
//! v1 member types, for groups in migration (KIP-1099). A group that is absent or of the classic protocol is an error with a
//! message.

use std::sync::Arc;

use coordinator::GroupError;
use coordinator::consumer::{AssignedTopic, DescribedConsumerGroup, DescribedConsumerMember};
use wire::StrBytes;
use wire::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName,
};

use super::group_calls::{ask, owned, text};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::{error_code, operations};

pub(crate) struct ConsumerGroupDescribe;

impl WaitingHandler for ConsumerGroupDescribe {
    type Request = ConsumerGroupDescribeRequest;
    const NAME: &'static str = "ConsumerGroupDescribe";
    const MIN: i16 = 0;
    const MAX: i16 = 1;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<ConsumerGroupDescribeRequest>,
    ) -> impl Future<Output = ConsumerGroupDescribeResponse> + Send + 'static {
        let with_operations = call.request.include_authorized_operations;
        let mut asked = Vec::with_capacity(call.request.group_ids.len());
        for group_id in call.request.group_ids {
            let id = owned(&group_id);
            let question = ask(ctx, &group_id, move |shard, topics| {
                shard.describe_consumer(topics, &id)
            })
            .await;
            asked.push((group_id, question));
        }
        async move {
            let mut groups = Vec::with_capacity(asked.len());
            for (group_id, asked) in asked {
                let described = asked.wait().await.and_then(|described| described);
                let mut group = rendered(group_id, described, call.version);
                if with_operations && group.error_code == 0 {
                    group.authorized_operations = operations::GROUP;
                }
                groups.push(group);
            }
            ConsumerGroupDescribeResponse::default().with_groups(groups)
        }
    }
}

fn rendered(
    group_id: GroupId,
    described: Result<DescribedConsumerGroup, GroupError>,
    version: i16,
) -> DescribedGroup {
    let group = DescribedGroup::default().with_group_id(group_id);
    match described {
        Ok(described) => group
            .with_group_state(StrBytes::from_static_str(described.state.name()))
            .with_group_epoch(described.group_epoch)
            .with_assignment_epoch(described.assignment_epoch)
            .with_assignor_name(text(described.assignor))
            .with_members(
                described
                    .members
                    .into_iter()
                    .map(|one| member(one, version))
                    .collect(),
            ),
        Err(error) => group
            .with_error_code(error_code::for_group(&error).code())
            .with_error_message(Some(text(error.to_string()))),
    }
}

fn member(described: DescribedConsumerMember, version: i16) -> Member {
    let names = described.subscribed_topic_names.into_iter();
    let mut member = Member::default()
        .with_member_id(text(described.member_id))
        .with_instance_id(described.instance_id.map(text))
        .with_rack_id(described.rack_id.map(text))
        .with_member_epoch(described.member_epoch)
        .with_client_id(text(described.client_id))
        .with_client_host(text(described.client_host))
        .with_subscribed_topic_names(names.map(|name| TopicName(text(name))).collect())
        .with_subscribed_topic_regex(described.subscribed_topic_regex.map(text))
        .with_assignment(assignment(described.assignment))
        .with_target_assignment(assignment(described.target));
    if version >= 1 {
        member.member_type = i8::from(!described.is_classic);
    }
    member
}

fn assignment(topics: Vec<AssignedTopic>) -> Assignment {
    let topics = topics.into_iter().map(|topic| {
        TopicPartitions::default()
            .with_topic_id(topic.id)
            .with_topic_name(TopicName(text(topic.name)))
            .with_partitions(topic.partitions)
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
