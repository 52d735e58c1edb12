//! DeleteGroups (key 42), v0–v3: groups without members go, and their offsets with them.
//!
//! v2 flexible · v3 says in words why a group was not deleted. A result for each group; one failure does not stop the others.

use std::collections::HashSet;
use std::sync::Arc;

use coordinator::{Event, GroupError, Reply};
use wire::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use wire::messages::GroupId;

use super::group_calls::{owned, submit, text};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct DeleteGroups;

impl WaitingHandler for DeleteGroups {
    type Request = DeleteGroupsRequest;
    const NAME: &'static str = "DeleteGroups";
    const MIN: i16 = 0;
    const MAX: i16 = 3;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<DeleteGroupsRequest>,
    ) -> impl Future<Output = DeleteGroupsResponse> + Send + 'static {
        let version = call.version;
        let mut asked = HashSet::new();
        let mut submitted = Vec::new();
        for group_id in call.request.groups_names {
            if !asked.insert(group_id.clone()) {
                continue;
            }
            let delete = vec![owned(&group_id)];
            let deleted = submit(
                ctx,
                &group_id,
                move |ticket| Event::DeleteGroups(ticket, delete),
                |reply| match reply {
                    Reply::DeleteGroups(mut results) => Some(results.pop()?.1),
                    _ => None,
                },
            )
            .await;
            submitted.push((group_id, deleted));
        }
        async move {
            let mut results = Vec::with_capacity(submitted.len());
            for (group_id, deleted) in submitted {
                results.push(result(group_id, deleted.wait().await, version));
            }
            DeleteGroupsResponse {
                results,
                ..DeleteGroupsResponse::default()
            }
        }
    }
}

fn result(
    group_id: GroupId,
    deleted: Result<(), GroupError>,
    version: i16,
) -> DeletableGroupResult {
    let refused = deleted.err();
    DeletableGroupResult {
        group_id,
        error_code: refused
            .as_ref()
            .map_or(0, |it| error_code::for_group(it).code()),
        error_message: refused
            .filter(|_| version >= 3)
            .map(|refused| text(refused.to_string())),
        ..DeletableGroupResult::default()
    }
}
