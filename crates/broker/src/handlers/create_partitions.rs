//! CreatePartitions (key 37), v0–v3: a topic grows; it never shrinks (37 INVALID_PARTITIONS).
//!
//! v2 flexible · v3 a topic beyond the quota is refused (KIP-599).

use std::collections::HashSet;
use std::sync::Arc;

use cluster::NewPartitions;
use wire::StrBytes;
use wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use crate::apis::{Call, Handler};
use crate::config_resources::Refused;
use crate::context::Context;
use crate::error_code;
use crate::quotas::{Mutations, QuotaExceeded};

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
        let wanted = call.request.topics.iter().map(|topic| NewPartitions {
            topic: topic.name.to_string(),
            count: topic.count,
            assignments: topic.assignments.as_ref().map(|assignments| {
                assignments
                    .iter()
                    .map(|one| one.broker_ids.iter().map(|id| id.0).collect())
                    .collect()
            }),
        });
        let is_strict = call.version >= STRICT_QUOTA_FROM;
        let mut mutations = ctx.quotas.mutations(call.caller(), is_strict);
        let outcomes = grow(
            ctx,
            wanted.collect(),
            call.request.validate_only,
            &mut mutations,
        )
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
                    Err(refused) => result
                        .with_error_code(refused.code.code())
                        .with_error_message(Some(StrBytes::from_string(refused.message))),
                }
            });
        CreatePartitionsResponse::default()
            .with_results(results.collect())
            .with_throttle_time_ms(mutations.throttle_ms())
    }
}

/// From this version on clients know that a quota may refuse what they ask for.
const STRICT_QUOTA_FROM: i16 = 3;

/// Asks the controller for what the quota covers. Answers in the order of `wanted`.
async fn grow(
    ctx: &Arc<Context>,
    wanted: Vec<NewPartitions>,
    validate_only: bool,
    mutations: &mut Mutations<'_>,
) -> Vec<Result<(), Refused>> {
    let mut answers = vec![Ok(()); wanted.len()];
    if mutations.is_limited() {
        // What cannot be done anyhow costs nothing.
        let image = ctx.image();
        let possible = ctx.controller.create_partitions(wanted.clone(), true).await;
        for ((wanted, possible), answer) in wanted.iter().zip(possible).zip(&mut answers) {
            let present = image
                .topic(&wanted.topic)
                .map_or(0, |topic| topic.partitions.len());
            let added = usize::try_from(wanted.count)
                .unwrap_or(0)
                .saturating_sub(present);
            if possible.is_ok() {
                *answer = mutations.record(added);
            }
        }
    }
    let covered = wanted.into_iter().zip(&answers);
    let covered = covered.filter_map(|(wanted, answer)| answer.is_ok().then_some(wanted));
    let outcomes = ctx
        .controller
        .create_partitions(covered.collect(), validate_only)
        .await;
    let mut outcomes = outcomes.into_iter();
    let outcome = |answer: Result<(), QuotaExceeded>| {
        answer?;
        match outcomes.next() {
            Some(Err(error)) => Err(Refused::new(
                error_code::for_create_partitions(&error),
                error.to_string(),
            )),
            _ => Ok(()),
        }
    };
    answers.into_iter().map(outcome).collect()
}
