//! Metadata (key 3), v0–v13: the brokers, the topics, and who leads what.
//!
//! v1 controller, `null` = all topics · v4 auto-creation may be refused · v7 leader epochs (KIP-320) · v8 authorised
//! operations (KIP-430) · v9 flexible · v10 topic ids · v12 topics by id · v13 top-level error.
//! A topic that is created automatically is answered as it is, at once: its logs exist before the answer leaves, so
//! clients need not retry (Kafka answers 3 first; M2).

use std::collections::HashSet;
use std::sync::Arc;

use cluster::PartitionState;
use uuid::Uuid;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use wire::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::handlers::create_topics::{NewTopicSpec, create_one};
use crate::operations;
use crate::topics::{Topic, TopicMap};

pub(crate) struct Metadata;

impl Handler for Metadata {
    type Request = MetadataRequest;
    const NAME: &'static str = "Metadata";
    const MIN: i16 = 0;
    const MAX: i16 = 13;

    async fn handle(ctx: &Arc<Context>, call: Call<MetadataRequest>) -> MetadataResponse {
        let version = call.version;
        if let Some(refused) = malformed(&call.request, version) {
            return refused;
        }
        let (host, port) = ctx.advertised(&call.connection);
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(ctx.node_id))
            .with_host(StrBytes::from_string(host))
            .with_port(port)
            .with_rack(
                ctx.config()
                    .rack
                    .clone()
                    .filter(|_| version >= 1)
                    .map(StrBytes::from_string),
            );
        let mut response = MetadataResponse::default().with_brokers(vec![broker]);
        if version >= 1 {
            response.controller_id = BrokerId(ctx.node_id);
        }
        if version >= 2 {
            response.cluster_id = Some(StrBytes::from_string(ctx.image().cluster_id.clone()));
        }
        if (8..=10).contains(&version) && call.request.include_cluster_authorized_operations {
            response.cluster_authorized_operations = operations::CLUSTER;
        }
        response.topics = topics(ctx, &call).await;
        response
    }
}

/// Ids come with v12, although the field is there from v10 on: a request that uses it earlier, or names nothing, is
/// refused as a whole (`KafkaApis.handleTopicMetadataRequest`).
fn malformed(request: &MetadataRequest, version: i16) -> Option<MetadataResponse> {
    let topics = request.topics.as_deref().unwrap_or_default();
    let is_named = |topic: &MetadataRequestTopic| topic.name.is_some() && topic.topic_id.is_nil();
    if version >= 12 || topics.iter().all(is_named) {
        return None;
    }
    let topics = topics
        .iter()
        .map(|topic| refused(topic, ResponseError::InvalidRequest, version));
    let response = MetadataResponse::default().with_topics(topics.collect());
    Some(response.with_controller_id(BrokerId(-1)))
}

async fn topics(ctx: &Arc<Context>, call: &Call<MetadataRequest>) -> Vec<MetadataResponseTopic> {
    let version = call.version;
    let with_operations = version >= 8 && call.request.include_topic_authorized_operations;
    let render = |topic: &Topic| rendered(topic, version, with_operations);
    let wanted = match &call.request.topics {
        // v0 has no null: an empty list asks for all (M1).
        Some(topics) if version == 0 && topics.is_empty() => None,
        wanted => wanted.as_ref(),
    };
    let Some(wanted) = wanted else {
        return ctx
            .topics
            .table()
            .sorted()
            .into_iter()
            .map(|topic| render(topic))
            .collect();
    };
    let may_create =
        (version < 4 || call.request.allow_auto_topic_creation) && ctx.config().topics.auto_create;
    let mut answers = Vec::with_capacity(wanted.len());
    // Each topic once: a small request must not be answered by the same partitions a million times.
    let mut asked = HashSet::new();
    for topic in wanted {
        if !asked.insert((topic.topic_id, topic.name.as_ref())) {
            continue;
        }
        answers.push(match lookup(&ctx.topics.table(), topic, version) {
            Lookup::Found(topic) => render(&topic),
            Lookup::Refused(code) => refused(topic, code, version),
            Lookup::Unknown(name) if may_create => match created(ctx, call, &name).await {
                Ok(topic) => render(&topic),
                Err(code) => refused(topic, code, version),
            },
            Lookup::Unknown(name) => {
                let mut answer = refused(topic, ResponseError::UnknownTopicOrPartition, version);
                if version >= 1 {
                    answer.is_internal = cluster::is_internal_topic(&name);
                }
                if with_operations {
                    answer.topic_authorized_operations = operations::TOPIC;
                }
                answer
            }
        });
    }
    answers
}

enum Lookup {
    Found(Arc<Topic>),
    Unknown(String),
    Refused(ResponseError),
}

fn lookup(table: &TopicMap, wanted: &MetadataRequestTopic, version: i16) -> Lookup {
    if version >= 12 && !wanted.topic_id.is_nil() {
        return match table.with_id(wanted.topic_id) {
            Some(topic) => Lookup::Found(Arc::clone(topic)),
            None => Lookup::Refused(ResponseError::UnknownTopicId),
        };
    }
    let Some(name) = &wanted.name else {
        return Lookup::Refused(ResponseError::InvalidRequest);
    };
    match table.named(name) {
        Some(topic) => Lookup::Found(Arc::clone(topic)),
        None if cluster::check_topic_name(name).is_err() => {
            Lookup::Refused(ResponseError::InvalidTopicException)
        }
        None => Lookup::Unknown(name.to_string()),
    }
}

async fn created(
    ctx: &Arc<Context>,
    call: &Call<MetadataRequest>,
    name: &str,
) -> Result<Arc<Topic>, ResponseError> {
    let mut mutations = ctx.quotas.mutations(call.caller(), true);
    let made = create_one(ctx, NewTopicSpec::automatic(ctx, name), &mut mutations).await;
    match (ctx.topics.table().named(name), made) {
        // Somebody else may have been faster; either way it is there.
        (Some(topic), _) => Ok(Arc::clone(topic)),
        // The client asks again, as it does while Kafka creates a topic; by then the quota may let it.
        (None, Err(refused)) if refused.code == ResponseError::ThrottlingQuotaExceeded => {
            Err(ResponseError::UnknownTopicOrPartition)
        }
        (None, Err(refused)) => Err(refused.code),
        (None, Ok(_)) => Err(ResponseError::LeaderNotAvailable),
    }
}

fn refused(
    wanted: &MetadataRequestTopic,
    code: ResponseError,
    version: i16,
) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(code.code())
        // Only from v12 on may the name be null (an unknown id); before, the field cannot be.
        .with_name(wanted.name.clone().or_else(|| {
            (version < 12 || wanted.topic_id.is_nil())
                .then(|| TopicName(StrBytes::from_static_str("")))
        }))
        .with_topic_id(wanted.topic_id)
}

fn rendered(topic: &Topic, version: i16, with_operations: bool) -> MetadataResponseTopic {
    let mut answer = MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(
            topic.name().to_string(),
        ))))
        .with_partitions(
            (0..)
                .zip(&topic.image.partitions)
                .map(|(i, state)| partition(topic, i, state, version))
                .collect(),
        );
    if version >= 1 {
        answer.is_internal = topic.image.internal;
    }
    if version >= 10 {
        answer.topic_id = topic.id();
    } else {
        answer.topic_id = Uuid::nil();
    }
    if with_operations {
        answer.topic_authorized_operations = operations::TOPIC;
    }
    answer
}

fn partition(
    topic: &Topic,
    index: i32,
    state: &PartitionState,
    version: i16,
) -> MetadataResponsePartition {
    let served = topic
        .partition(index)
        .is_some_and(|partition| !partition.log.is_offline());
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let mut answer = MetadataResponsePartition::default()
        .with_partition_index(index)
        .with_leader_id(BrokerId(if served { state.leader } else { -1 }))
        .with_replica_nodes(ids(&state.replicas))
        .with_isr_nodes(ids(&state.isr));
    if !served {
        answer.error_code = ResponseError::LeaderNotAvailable.code();
        if version >= 5 {
            answer.offline_replicas = ids(&state.replicas);
        }
    }
    if version >= 7 {
        answer.leader_epoch = state.leader_epoch;
    }
    answer
}
