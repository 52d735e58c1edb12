//! CreateTopics (key 19), v2–v7: new topics, with their logs on disk before the answer leaves.
//!
//! v4 −1 = the broker's default · v5 flexible, returns what was made (KIP-525) · v7 topic id. Per-topic errors; one bad
//! topic does not stop the others; from v6 on a topic beyond the quota is refused (KIP-599). `validate_only` does every check and nothing else. As with Kafka, clients may make
//! `__consumer_offsets` and `__transaction_state` themselves; what they leave open is as the coordinators need it.

use std::collections::HashMap;
use std::sync::Arc;

use cluster::{CreatedTopic, Layout, NewTopic};
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use wire::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::config::alter::Overrides;
use crate::config::describe::Row;
use crate::config_resources::Refused;
use crate::context::Context;
use crate::error_code;
use crate::groups::OFFSETS_TOPIC;
use crate::quotas::Mutations;
use crate::transactions::STATE_TOPIC;

pub(crate) struct CreateTopics;

/// What a client, or auto-creation, wants made.
#[derive(Debug, Clone)]
pub(crate) struct NewTopicSpec {
    name: String,
    /// −1: the broker's default.
    partitions: i32,
    /// −1: the broker's default.
    replication_factor: i16,
    assignments: Vec<(i32, Vec<i32>)>,
    configs: Vec<(String, Option<String>)>,
}

/// A topic that is there now, or would be.
pub(crate) struct Made {
    created: CreatedTopic,
    configs: Overrides,
}

impl Handler for CreateTopics {
    type Request = CreateTopicsRequest;
    const NAME: &'static str = "CreateTopics";
    const MIN: i16 = 2;
    const MAX: i16 = 7;

    async fn handle(ctx: &Arc<Context>, call: Call<CreateTopicsRequest>) -> CreateTopicsResponse {
        let validate_only = call.request.validate_only;
        let client_id = call.client_id.clone();
        let caller = call.connection.caller(client_id.as_ref());
        let is_strict = call.version >= STRICT_QUOTA_FROM;
        let mut mutations = ctx.quotas.mutations(caller, is_strict);
        let names: Vec<TopicName> = call
            .request
            .topics
            .iter()
            .map(|topic| topic.name.clone())
            .collect();
        let specs = specs(ctx, call.request.topics);
        let outcomes = create(ctx, specs, validate_only, &mut mutations).await;
        let topics = names.into_iter().zip(outcomes);
        let mut answered = std::collections::HashSet::new();
        let topics = topics
            .filter(|(name, _)| answered.insert(name.clone()))
            .map(|(name, outcome)| result(ctx, name, outcome, call.version))
            .collect();
        CreateTopicsResponse::default()
            .with_topics(topics)
            .with_throttle_time_ms(mutations.throttle_ms())
    }
}

/// From this version on clients know that a quota may refuse what they ask for.
const STRICT_QUOTA_FROM: i16 = 6;

/// Makes one topic, for auto-creation.
pub(crate) async fn create_one(
    ctx: &Arc<Context>,
    spec: NewTopicSpec,
    mutations: &mut Mutations<'_>,
) -> Result<Made, Refused> {
    let outcome = create(ctx, vec![Ok(spec)], false, mutations).await.pop();
    outcome.unwrap_or_else(|| {
        Err(Refused {
            code: ResponseError::UnknownServerError,
            message: String::new(),
        })
    })
}

impl NewTopicSpec {
    /// What a topic is like that is created because somebody asked for it: an internal one is made as its coordinator
    /// needs it (`AutoTopicCreationManager.creatableTopic`).
    pub(crate) fn automatic(ctx: &Context, name: &str) -> Self {
        if let Some(internal) = Self::internal(ctx, name) {
            return internal;
        }
        Self {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// An internal topic that a client makes, as Kafka lets it: what it leaves open is as the coordinator would have it.
    /// Kafka would let it delete by age too, and with that the offsets.
    fn completed(mut self, internal: Self) -> Result<Self, Refused> {
        if self.partitions == -1 && self.assignments.is_empty() {
            self.partitions = internal.partitions;
        }
        if self.replication_factor == -1 && self.assignments.is_empty() {
            self.replication_factor = internal.replication_factor;
        }
        for (key, value) in internal.configs {
            match self.configs.iter().find(|(name, _)| *name == key) {
                None => self.configs.push((key, value)),
                Some((_, given)) if key == "cleanup.policy" && *given != value => {
                    return refuse(
                        ResponseError::InvalidConfig,
                        format!("{} must have cleanup.policy=compact.", self.name),
                    );
                }
                Some(_) => {}
            }
        }
        Ok(self)
    }

    /// A coordinator's topic, if the name is one's.
    fn internal(ctx: &Context, name: &str) -> Option<Self> {
        let config = ctx.config();
        let (options, compression) = match name {
            // The batches of groups keep the codec that they are written with.
            OFFSETS_TOPIC => (&config.offsets_topic.topic, "producer"),
            STATE_TOPIC => (&config.transaction_state_topic, "uncompressed"),
            _ => return None,
        };
        let is_alone = ctx.image().active_brokers().count() <= 1;
        let mut configs = vec![
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", compression.to_owned()),
            ("segment.bytes", options.segment_bytes.to_string()),
        ];
        if let Some(min_isr) = options.min_insync_replicas {
            configs.push(("min.insync.replicas", min_isr.to_string()));
        }
        let configs = configs.into_iter();
        Some(Self {
            name: name.to_owned(),
            partitions: options.partitions,
            // A broker that is alone does not wait for others, whatever its configuration was copied from.
            replication_factor: if is_alone {
                1
            } else {
                options.replication_factor
            },
            assignments: Vec::new(),
            configs: configs
                .map(|(key, value)| (key.to_owned(), Some(value)))
                .collect(),
        })
    }
}

fn specs(ctx: &Context, topics: Vec<CreatableTopic>) -> Vec<Result<NewTopicSpec, Refused>> {
    let mut times: HashMap<TopicName, usize> = HashMap::new();
    for topic in &topics {
        *times.entry(topic.name.clone()).or_default() += 1;
    }
    topics
        .into_iter()
        .map(|topic| match times.get(&topic.name) {
            Some(1) => spec(ctx, topic),
            _ => refuse(ResponseError::InvalidRequest, "Duplicate topic name."),
        })
        .collect()
}

fn refuse<T>(code: ResponseError, message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused {
        code,
        message: message.into(),
    })
}

/// The controllers' own log in Kafka; no topic may pass for it (`ControllerApis.createTopics`).
const METADATA_TOPIC: &str = "__cluster_metadata";

fn spec(ctx: &Context, topic: CreatableTopic) -> Result<NewTopicSpec, Refused> {
    if *topic.name == *METADATA_TOPIC {
        return refuse(
            ResponseError::InvalidRequest,
            "Creation of internal topic __cluster_metadata is prohibited.",
        );
    }
    let configs = topic
        .configs
        .into_iter()
        .map(|config| {
            (
                config.name.to_string(),
                config.value.map(|value| value.to_string()),
            )
        })
        .collect();
    let has_assignments = !topic.assignments.is_empty();
    if has_assignments && topic.replication_factor != -1 {
        return refuse(
            ResponseError::InvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        );
    }
    if has_assignments && topic.num_partitions != -1 {
        return refuse(
            ResponseError::InvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        );
    }
    let assignments = topic
        .assignments
        .into_iter()
        .map(|assignment| {
            (
                assignment.partition_index,
                assignment.broker_ids.into_iter().map(|id| id.0).collect(),
            )
        })
        .collect();
    let spec = NewTopicSpec {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments,
        configs,
    };
    match NewTopicSpec::internal(ctx, &spec.name) {
        Some(internal) => spec.completed(internal),
        None => Ok(spec),
    }
}

/// Checks configs, asks the controller, and lets the new logs appear before answering. Results in the order of `specs`.
async fn create(
    ctx: &Arc<Context>,
    mut specs: Vec<Result<NewTopicSpec, Refused>>,
    validate_only: bool,
    mutations: &mut Mutations<'_>,
) -> Vec<Result<Made, Refused>> {
    if mutations.is_limited() {
        specs = within_quota(ctx, specs, mutations).await;
    }
    let mut outcomes = Vec::with_capacity(specs.len());
    let mut asked = Vec::new();
    for spec in specs {
        match spec.and_then(|spec| new_topic(ctx, spec)) {
            Ok(topic) => {
                outcomes.push(Ok(topic.configs.clone()));
                asked.push(topic);
            }
            Err(refused) => outcomes.push(Err(refused)),
        }
    }
    let mut created = ctx
        .controller
        .create_topics(asked, validate_only)
        .await
        .into_iter();
    if !validate_only {
        ctx.apply_image().await;
    }
    outcomes
        .into_iter()
        .map(|outcome| {
            let configs = outcome?;
            match created.next() {
                Some(Ok(created)) => Ok(Made { created, configs }),
                Some(Err(error)) => refuse(error_code::for_create_topic(&error), error.to_string()),
                None => refuse(
                    ResponseError::UnknownServerError,
                    "the controller did not answer",
                ),
            }
        })
        .collect()
}

/// Refuses what the quota does not cover. What cannot be made anyhow costs nothing, so the controller is asked first; a request that
/// only validates costs as much as one that creates (`ReplicationControlManager.createTopic`).
async fn within_quota(
    ctx: &Arc<Context>,
    specs: Vec<Result<NewTopicSpec, Refused>>,
    mutations: &mut Mutations<'_>,
) -> Vec<Result<NewTopicSpec, Refused>> {
    let valid = specs.iter().map(|spec| {
        let spec = spec.as_ref().ok()?;
        new_topic(ctx, spec.clone()).ok()
    });
    let valid: Vec<Option<NewTopic>> = valid.collect();
    let asked = valid.iter().flatten().cloned().collect();
    let mut answers = ctx.controller.create_topics(asked, true).await.into_iter();
    let charge = |(spec, valid): (Result<NewTopicSpec, Refused>, Option<NewTopic>)| {
        let answer = valid.and_then(|_| answers.next());
        if let Some(Ok(created)) = answer {
            let partitions = usize::try_from(created.partitions).unwrap_or(0);
            mutations.record(partitions).map_err(Refused::from)?;
        }
        spec
    };
    specs.into_iter().zip(valid).map(charge).collect()
}

fn new_topic(ctx: &Context, spec: NewTopicSpec) -> Result<NewTopic, Refused> {
    // Before the configs: of several faults Kafka names the first.
    if let Err(error) = cluster::check_topic_name(&spec.name) {
        return refuse(ResponseError::InvalidTopicException, error.to_string());
    }
    let config = ctx.config();
    let configs = config.new_topic(
        spec.configs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref())),
    )?;
    let min_isr = config.topic_settings(&configs).min_insync_replicas;
    let layout = if spec.assignments.is_empty() {
        Layout::Automatic {
            partitions: if spec.partitions == -1 {
                config.topics.partitions
            } else {
                spec.partitions
            },
            replication_factor: if spec.replication_factor == -1 {
                config.topics.replication_factor
            } else {
                i32::from(spec.replication_factor)
            },
        }
    } else {
        Layout::Manual(spec.assignments)
    };
    Ok(NewTopic {
        name: spec.name,
        layout,
        configs,
        min_isr,
    })
}

fn result(
    ctx: &Context,
    name: TopicName,
    outcome: Result<Made, Refused>,
    version: i16,
) -> CreatableTopicResult {
    let mut result = CreatableTopicResult::default().with_name(name);
    match outcome {
        Ok(Made { created, configs }) => {
            result.error_message = None;
            if version >= 7 {
                result.topic_id = created.id;
            }
            if version >= 5 {
                result.num_partitions = created.partitions;
                result.replication_factor =
                    i16::try_from(created.replication_factor).unwrap_or(i16::MAX);
                result.configs = Some(
                    ctx.config()
                        .describe_topic(&configs)
                        .into_iter()
                        .map(creatable_config)
                        .collect(),
                );
            }
        }
        Err(refused) => {
            result.error_code = refused.code.code();
            result.error_message = Some(StrBytes::from_string(refused.message));
        }
    }
    result
}

fn creatable_config(row: Row) -> CreatableTopicConfigs {
    CreatableTopicConfigs::default()
        .with_name(StrBytes::from_string(row.name))
        .with_value(row.value.map(StrBytes::from_string))
        .with_read_only(row.read_only)
        .with_config_source(row.source.wire_source())
        .with_is_sensitive(row.sensitive)
}
