//! ElectLeaders (key 43), v0–v2: asks for the preferred leaders, or for any.
//!
//! v1 election type · v2 flexible. No partitions named = all, and of those only the ones that have not the leader they
//! should (A6).

use std::sync::Arc;

use cluster::{ClusterImage, ElectLeaderError, ElectionType, why_no_election};
use wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use wire::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct ElectLeaders;

impl Handler for ElectLeaders {
    type Request = ElectLeadersRequest;
    const NAME: &'static str = "ElectLeaders";
    const MIN: i16 = 0;
    const MAX: i16 = 2;

    async fn handle(ctx: &Arc<Context>, call: Call<ElectLeadersRequest>) -> ElectLeadersResponse {
        let image = ctx.image();
        let asked = call.request.election_type;
        let Some(election) = election_type(asked) else {
            let code = ResponseError::InvalidRequest.code();
            let message = format!("Unknown election type {asked}");
            let results = named(&call.request, |_, partition| {
                Some(result(partition, code, &message))
            });
            let response = ElectLeadersResponse::default().with_replica_election_results(results);
            // v0 has no error of the whole, and no election type that could be unknown either.
            return response.with_error_code(code);
        };
        let results = match call.request.topic_partitions {
            Some(_) => named(&call.request, |topic, partition| {
                Some(answer(&image, topic, partition, election))
            }),
            None => all(&image, election),
        };
        ElectLeadersResponse::default().with_replica_election_results(results)
    }
}

fn election_type(number: i8) -> Option<ElectionType> {
    match number {
        0 => Some(ElectionType::Preferred),
        1 => Some(ElectionType::Unclean),
        _ => None,
    }
}

fn named(
    request: &ElectLeadersRequest,
    answer: impl Fn(&str, i32) -> Option<PartitionResult>,
) -> Vec<ReplicaElectionResult> {
    let topics = request.topic_partitions.iter().flatten();
    topics
        .map(|asked| {
            let results = asked.partitions.iter();
            let results = results.filter_map(|&partition| answer(&asked.topic, partition));
            of_topic(asked.topic.clone(), results.collect())
        })
        .collect()
}

fn all(image: &ClusterImage, election: ElectionType) -> Vec<ReplicaElectionResult> {
    let topics = image.topics().map(|topic| {
        let partitions = (0..).take(topic.partitions.len());
        let results = partitions.filter_map(|partition| {
            let why = why_no_election(image, &topic.name, partition, election);
            (why != ElectLeaderError::NotNeeded).then(|| refused(partition, &why))
        });
        let name = StrBytes::from_string(topic.name.to_string());
        of_topic(TopicName(name), results.collect())
    });
    topics.collect()
}

fn answer(
    image: &ClusterImage,
    topic: &str,
    partition: i32,
    election: ElectionType,
) -> PartitionResult {
    let why = why_no_election(image, topic, partition, election);
    refused(partition, &why)
}

fn refused(partition: i32, why: &ElectLeaderError) -> PartitionResult {
    let code = error_code::for_elect_leader(why).code();
    result(partition, code, &why.to_string())
}

fn result(partition: i32, code: i16, message: &str) -> PartitionResult {
    PartitionResult::default()
        .with_partition_id(partition)
        .with_error_code(code)
        .with_error_message(Some(StrBytes::from_string(message.to_owned())))
}

fn of_topic(topic: TopicName, results: Vec<PartitionResult>) -> ReplicaElectionResult {
    ReplicaElectionResult::default()
        .with_topic(topic)
        .with_partition_result(results)
}
