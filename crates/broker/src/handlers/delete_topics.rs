//! DeleteTopics (key 20), v1–v6: topics go at once, their files after `file.delete.delay.ms`.
//!
//! v4 flexible · v5 error message · v6 by name or by id.

use std::sync::Arc;

use cluster::TopicRef;
use wire::messages::delete_topics_response::DeletableTopicResult;
use wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct DeleteTopics;

impl Handler for DeleteTopics {
    type Request = DeleteTopicsRequest;
    const NAME: &'static str = "DeleteTopics";
    const MIN: i16 = 1;
    const MAX: i16 = 6;

    async fn handle(ctx: &Arc<Context>, call: Call<DeleteTopicsRequest>) -> DeleteTopicsResponse {
        let wanted: Vec<(Option<TopicName>, uuid::Uuid)> = if call.version >= 6 {
            call.request
                .topics
                .into_iter()
                .map(|topic| (topic.name, topic.topic_id))
                .collect()
        } else {
            call.request
                .topic_names
                .into_iter()
                .map(|name| (Some(name), uuid::Uuid::nil()))
                .collect()
        };
        let mut results = Vec::with_capacity(wanted.len());
        let mut asked = Vec::new();
        for (name, id) in wanted {
            let mut result = DeletableTopicResult::default()
                .with_name(name.clone())
                .with_topic_id(id);
            match selector(ctx, name.as_ref(), id) {
                Ok(selector) => asked.push((results.len(), selector)),
                Err(code) => result.error_code = code.code(),
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
                    result.error_code = error_code::for_delete_topic(&error).code();
                    if call.version >= 5 {
                        result.error_message = Some(StrBytes::from_string(error.to_string()));
                    }
                }
            }
            if call.version < 6 {
                result.topic_id = uuid::Uuid::nil();
            }
        }
        DeleteTopicsResponse::default().with_responses(results)
    }
}

fn selector(
    ctx: &Context,
    name: Option<&TopicName>,
    id: uuid::Uuid,
) -> Result<TopicRef, ResponseError> {
    if !ctx.config().topics.delete {
        return Err(ResponseError::TopicDeletionDisabled);
    }
    match (name, id.is_nil()) {
        (Some(name), true) => Ok(TopicRef::Name(name.to_string())),
        (None, false) => Ok(TopicRef::Id(id)),
        // Neither, or both at once.
        _ => Err(ResponseError::InvalidRequest),
    }
}
