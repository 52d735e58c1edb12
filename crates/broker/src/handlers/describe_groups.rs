//! DescribeGroups (key 15), v0–v6: classic groups, their members, and what those have been assigned.
//!
//! v1 throttle time · v3 authorised operations (KIP-430) · v4 `group_instance_id` (KIP-345) · v5 flexible · v6 an absent
//! group is an error with a message (KIP-1043); before, it is described as dead (G17). A group that is asked for twice is
//! answered once.

use std::collections::HashSet;
use std::sync::Arc;

use coordinator::GroupError;
use coordinator::event::{ClassicDescription, DescribedMember};
use wire::StrBytes;
use wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::group_calls::{ask, owned, text};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::{error_code, operations};

pub(crate) struct DescribeGroups;

impl WaitingHandler for DescribeGroups {
    type Request = DescribeGroupsRequest;
    const NAME: &'static str = "DescribeGroups";
    const MIN: i16 = 0;
    const MAX: i16 = 6;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<DescribeGroupsRequest>,
    ) -> impl Future<Output = DescribeGroupsResponse> + Send + 'static {
        let version = call.version;
        let with_operations = version >= 3 && call.request.include_authorized_operations;
        let mut answered = HashSet::new();
        let mut asked = Vec::new();
        for group_id in call.request.groups {
            if !answered.insert(group_id.clone()) {
                continue;
            }
            let id = owned(&group_id);
            let question = ask(ctx, &group_id, move |shard, _| shard.describe_classic(&id)).await;
            asked.push((group_id, question));
        }
        async move {
            let mut groups = Vec::with_capacity(asked.len());
            for (group_id, asked) in asked {
                let described = asked.wait().await.and_then(|described| described);
                let mut group = rendered(group_id, described, version);
                if with_operations && group.error_code == 0 {
                    group.authorized_operations = operations::GROUP;
                }
                groups.push(group);
            }
            DescribeGroupsResponse::default().with_groups(groups)
        }
    }
}

fn rendered(
    group_id: GroupId,
    described: Result<ClassicDescription, GroupError>,
    version: i16,
) -> DescribedGroup {
    let group = DescribedGroup::default().with_group_id(group_id);
    match described {
        Ok(described) => group
            .with_group_state(StrBytes::from_static_str(described.state))
            .with_protocol_type(text(described.protocol_type))
            .with_protocol_data(text(described.protocol))
            .with_members(
                described
                    .members
                    .into_iter()
                    .map(|one| member(one, version))
                    .collect(),
            ),
        Err(GroupError::GroupIdNotFound(message)) => {
            let dead = group.with_group_state(StrBytes::from_static_str("Dead"));
            if version < 6 {
                return dead;
            }
            let code = error_code::for_group(&GroupError::GroupIdNotFound(String::new()));
            dead.with_error_code(code.code())
                .with_error_message(Some(text(message)))
        }
        Err(error) => group.with_error_code(error_code::for_group(&error).code()),
    }
}

fn member(described: DescribedMember, version: i16) -> DescribedGroupMember {
    let mut member = DescribedGroupMember::default()
        .with_member_id(text(described.member_id))
        .with_client_id(text(described.client_id))
        .with_client_host(text(described.client_host))
        .with_member_metadata(described.metadata)
        .with_member_assignment(described.assignment);
    if version >= 4 {
        member.group_instance_id = described.group_instance_id.map(text);
    }
    member
}
