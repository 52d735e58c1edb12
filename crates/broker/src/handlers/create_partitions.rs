//! CreatePartitions (key 37), v0–v3: a topic grows; it never shrinks (37 INVALID_PARTITIONS).
//!
//! v2 flexible · v3 may be throttled.

use std::collections::HashSet;
use std::sync::Arc;

use cluster::NewPartitions;
use wire::StrBytes;
use wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct CreatePartitions;

impl Handler for CreatePartitions {
    type Request = CreatePartitionsRequest;
    const NAME: &'static str = "CreatePartitions";
    const MIN: i16 = 0;
    const MAX: i16 = 3;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<CreatePartitionsRequest>,
    ) -> CreatePartitionsResponse {
        let names: Vec<_> = call
            .request
            .topics
            .iter()
            .map(|topic| topic.name.clone())
            .collect();
        let wanted = call.request.topics.into_iter().map(|topic| NewPartitions {
            topic: topic.name.to_string(),
            count: topic.count,
            assignments: topic.assignments.map(|assignments| {
                assignments
                    .into_iter()
                    .map(|one| one.broker_ids.into_iter().map(|id| id.0).collect())
                    .collect()
            }),
        });
        let outcomes = ctx
            .controller
            .create_partitions(wanted.collect(), call.request.validate_only)
            .await;
        if !call.request.validate_only {
            ctx.apply_image().await;
        }
        // A name that came twice is refused once.
        let mut answered = HashSet::new();
        let results = names
            .into_iter()
            .zip(outcomes)
            .filter(|(name, _)| answered.insert(name.clone()))
            .map(|(name, outcome)| {
                let result = CreatePartitionsTopicResult::default().with_name(name);
                match outcome {
                    Ok(()) => result,
                    Err(error) => result
                        .with_error_code(error_code::for_create_partitions(&error).code())
                        .with_error_message(Some(StrBytes::from_string(error.to_string()))),
                }
            });
        CreatePartitionsResponse::default().with_results(results.collect())
    }
}
