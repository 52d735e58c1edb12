//! DeleteTopics (key 20), v1–v6: topics go at once, their files after `file.delete.delay.ms`.
//!
//! v4 flexible · v5 error message, and a topic beyond the quota is refused (KIP-599) · v6 by name or by id.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cluster::{ClusterImage, TopicRef};
use uuid::Uuid;
use wire::messages::delete_topics_response::DeletableTopicResult;
use wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::config_resources::Refused;
use crate::context::Context;
use crate::error_code;

pub(crate) struct DeleteTopics;

impl Handler for DeleteTopics {
    type Request = DeleteTopicsRequest;
    const NAME: &'static str = "DeleteTopics";
    const MIN: i16 = 1;
    const MAX: i16 = 6;

    async fn handle(ctx: &Arc<Context>, call: Call<DeleteTopicsRequest>) -> DeleteTopicsResponse {
        let client_id = call.client_id.clone();
        let caller = call.connection.caller(client_id.as_ref());
        let is_strict = call.version >= STRICT_QUOTA_FROM;
        let mut mutations = ctx.quotas.mutations(caller, is_strict);
        let wanted: Vec<Named> = if call.version >= 6 {
            call.request
                .topics
                .into_iter()
                .map(|topic| (topic.name, topic.topic_id))
                .collect()
        } else {
            call.request
                .topic_names
                .into_iter()
                .map(|name| (Some(name), Uuid::nil()))
                .collect()
        };
        let mut results = Vec::with_capacity(wanted.len());
        let mut asked = Vec::new();
        for ((name, id), selector) in selectors(ctx, wanted) {
            let mut result = DeletableTopicResult::default()
                .with_name(name)
                .with_topic_id(id);
            let image = ctx.image();
            let covered = selector.and_then(|selector| {
                mutations.record(partitions_of(&image, &selector))?;
                Ok(selector)
            });
            match covered {
                Ok(selector) => asked.push((results.len(), selector)),
                Err(refused) => refuse(&mut result, refused, call.version),
            }
            results.push(result);
        }
        let (places, selectors): (Vec<usize>, Vec<TopicRef>) = asked.into_iter().unzip();
        let outcomes = ctx.controller.delete_topics(selectors).await;
        ctx.apply_image().await;
        for (place, outcome) in places.into_iter().zip(outcomes) {
            let result: &mut DeletableTopicResult = &mut results[place];
            match outcome {
                Ok(deleted) => {
                    result.name = Some(TopicName(StrBytes::from_string(deleted.name)));
                    result.topic_id = deleted.id;
                }
                Err(error) => {
                    let refused =
                        Refused::new(error_code::for_delete_topic(&error), error.to_string());
                    refuse(result, refused, call.version);
                }
            }
            if call.version < 6 {
                result.topic_id = Uuid::nil();
            }
        }
        DeleteTopicsResponse::default()
            .with_responses(results)
            .with_throttle_time_ms(mutations.throttle_ms())
    }
}

/// From this version on clients know that a quota may refuse what they ask for.
const STRICT_QUOTA_FROM: i16 = 5;

/// How many partitions go with a topic; none with one that is not there.
fn partitions_of(image: &ClusterImage, topic: &TopicRef) -> usize {
    let found = match topic {
        TopicRef::Name(name) => image.topic(name),
        TopicRef::Id(id) => image.topic_by_id(*id),
    };
    found.map_or(0, |topic| topic.partitions.len())
}

/// What a request names a topic by.
type Named = (Option<TopicName>, Uuid);

fn refuse(result: &mut DeletableTopicResult, refused: Refused, version: i16) {
    result.error_code = refused.code.code();
    if version >= 5 {
        result.error_message = Some(StrBytes::from_string(refused.message));
    }
}

/// What is to be deleted, and what is refused before anything is. A topic that is named twice, by whatever means, is not
/// deleted at all, and answered once (`ControllerApis.deleteTopics`).
fn selectors(ctx: &Context, wanted: Vec<Named>) -> Vec<(Named, Result<TopicRef, Refused>)> {
    let mut times: HashMap<Named, usize> = HashMap::new();
    for named in &wanted {
        *times.entry(named.clone()).or_default() += 1;
    }
    let image = ctx.image();
    let mut answered = HashSet::new();
    let distinct = wanted
        .into_iter()
        .filter(|named| answered.insert(named.clone()));
    let mut judged: Vec<_> = distinct
        .map(|named| {
            let selector = selector(ctx, &named, times[&named]);
            (named, selector)
        })
        .collect();
    let ids: HashSet<Uuid> = judged.iter().map(|((_, id), _)| *id).collect();
    let id_of = |name: &Option<TopicName>| Some(image.topic(name.as_ref()?)?.id);
    // Where an id and a name mean the same topic, the name's answer stands for both.
    let mut told = HashSet::new();
    for ((name, id), selector) in &mut judged {
        if let (Ok(TopicRef::Name(_)), Some(same)) = (&*selector, id_of(name))
            && ids.contains(&same)
        {
            told.insert(same);
            *id = same;
            *selector = Err(invalid(
                "The provided topic name maps to an ID that was already supplied.",
            ));
        }
    }
    judged.retain(|((name, id), _)| name.is_some() || !told.contains(id));
    judged
}

fn invalid(message: &str) -> Refused {
    Refused::new(ResponseError::InvalidRequest, message)
}

fn selector(ctx: &Context, (name, id): &Named, times: usize) -> Result<TopicRef, Refused> {
    if !ctx.config().topics.delete {
        return Err(Refused::new(
            ResponseError::TopicDeletionDisabled,
            "Topic deletion is disabled.",
        ));
    }
    match (name, id.is_nil()) {
        (None, true) => Err(invalid("Neither topic name nor id were specified.")),
        (Some(_), false) => Err(invalid("You may not specify both topic name and topic id.")),
        (Some(_), true) if times > 1 => Err(invalid("Duplicate topic name.")),
        (None, false) if times > 1 => Err(invalid("Duplicate topic id.")),
        (Some(name), true) => Ok(TopicRef::Name(name.to_string())),
        (None, false) => Ok(TopicRef::Id(*id)),
    }
}
