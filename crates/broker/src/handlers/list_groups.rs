//! ListGroups (key 16), v0–v5: the groups that this broker coordinates.
//!
//! v1 throttle time · v3 flexible · v4 states, and a filter of them (KIP-518) · v5 types, and a filter of them (KIP-848).

use std::sync::Arc;

use coordinator::GroupError;
use coordinator::event::{ListFilter, ListedGroup};
use wire::StrBytes;
use wire::messages::list_groups_response::ListedGroup as ListedGroupAnswer;
use wire::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};

use super::group_calls::{owned, text};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;
use crate::groups::Asked;

pub(crate) struct ListGroups;

impl WaitingHandler for ListGroups {
    type Request = ListGroupsRequest;
    const NAME: &'static str = "ListGroups";
    const MIN: i16 = 0;
    const MAX: i16 = 5;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<ListGroupsRequest>,
    ) -> impl Future<Output = ListGroupsResponse> + Send + 'static {
        let filter = ListFilter {
            states: call.request.states_filter.iter().map(owned).collect(),
            types: call.request.types_filter.iter().map(owned).collect(),
        };
        let asked = ask_all(ctx, filter).await;
        async move {
            match listed(asked).await {
                Ok(groups) => {
                    let groups = groups.into_iter().map(|group| answer(group, call.version));
                    ListGroupsResponse::default().with_groups(groups.collect())
                }
                Err(error) => ListGroupsResponse::default()
                    .with_error_code(error_code::for_group(&error).code()),
            }
        }
    }
}

/// Asks all coordinators here.
async fn ask_all(ctx: &Context, filter: ListFilter) -> Vec<Asked<Vec<ListedGroup>>> {
    let filter = Arc::new(filter);
    let mut asked = Vec::new();
    for coordinator in ctx.groups.all() {
        let filter = Arc::clone(&filter);
        let question = coordinator.ask(move |shard, _| shard.list_groups(&filter));
        asked.push(question.await);
    }
    asked
}

/// What all say. A coordinator that has just gone elsewhere has no groups; one that is not ready makes the list as a whole
/// fail, as half a list would pass for a whole one (`GroupCoordinatorService.listGroups`).
async fn listed(asked: Vec<Asked<Vec<ListedGroup>>>) -> Result<Vec<ListedGroup>, GroupError> {
    let mut groups = Vec::new();
    for one in asked {
        match one.wait().await {
            Ok(found) => groups.extend(found),
            Err(GroupError::NotCoordinator) => {}
            Err(error) => return Err(error),
        }
    }
    groups.sort_unstable_by(|a, b| a.group_id.cmp(&b.group_id));
    Ok(groups)
}

fn answer(group: ListedGroup, version: i16) -> ListedGroupAnswer {
    let mut answer = ListedGroupAnswer::default()
        .with_group_id(GroupId(text(group.group_id)))
        .with_protocol_type(text(group.protocol_type));
    if version >= 4 {
        answer.group_state = StrBytes::from_static_str(group.state);
    }
    if version >= 5 {
        answer.group_type = StrBytes::from_static_str(group.group_type);
    }
    answer
}
