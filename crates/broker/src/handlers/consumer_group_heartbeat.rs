//! ConsumerGroupHeartbeat (key 68), v0–v1: members of KIP-848 groups join, go on, reconcile and leave.
//!
//! v1 subscriptions by regular expression, and member ids made by the client (KIP-1082). Every failure has a message.
//! Not done: topics that a member may not describe, as there are no ACLs yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator::consumer::{ConsumerHeartbeat, ConsumerHeartbeatReply};
use coordinator::event::ConsumerHeartbeatRequest;
use coordinator::{Event, GroupError, Reply};
use wire::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::group_calls::{java_host, owned, owned_or_none, submit, text};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::error_code;

pub(crate) struct ConsumerGroupHeartbeat;

impl WaitingHandler for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;
    const NAME: &'static str = "ConsumerGroupHeartbeat";
    const MIN: i16 = 0;
    const MAX: i16 = 1;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<ConsumerGroupHeartbeatRequest>,
    ) -> impl Future<Output = ConsumerGroupHeartbeatResponse> + Send + 'static {
        let group_id = call.request.group_id.clone();
        let request = event(call);
        let submitted = submit(
            ctx,
            &group_id,
            move |ticket| Event::ConsumerHeartbeat(ticket, request),
            |reply| match reply {
                Reply::ConsumerHeartbeat(result) => Some(result),
                _ => None,
            },
        )
        .await;
        async move { rendered(submitted.wait().await) }
    }
}

fn event(call: Call<ConsumerGroupHeartbeatRequest>) -> ConsumerHeartbeatRequest {
    let request = call.request;
    let heartbeat = ConsumerHeartbeat {
        member_id: owned(&request.member_id),
        member_epoch: request.member_epoch,
        instance_id: owned_or_none(&request.instance_id),
        rack_id: owned_or_none(&request.rack_id),
        rebalance_timeout_ms: (request.rebalance_timeout_ms != -1)
            .then_some(request.rebalance_timeout_ms),
        subscribed_topic_names: request
            .subscribed_topic_names
            .map(|names| names.iter().map(|name| owned(name)).collect()),
        subscribed_topic_regex: owned_or_none(&request.subscribed_topic_regex),
        server_assignor: owned_or_none(&request.server_assignor),
        owned: request.topic_partitions.map(|topics| {
            let mut owned = BTreeMap::new();
            for topic in topics {
                let partitions: &mut std::collections::BTreeSet<i32> =
                    owned.entry(topic.topic_id).or_default();
                partitions.extend(topic.partitions);
            }
            owned
        }),
        client_id: owned_or_none(&call.client_id).unwrap_or_default(),
        client_host: java_host(call.connection.peer.ip()),
    };
    ConsumerHeartbeatRequest {
        group_id: owned(&request.group_id),
        heartbeat,
        brings_member_id: call.version >= 1,
        may_describe: None,
    }
}

fn rendered(result: Result<ConsumerHeartbeatReply, GroupError>) -> ConsumerGroupHeartbeatResponse {
    let response = ConsumerGroupHeartbeatResponse::default();
    match result {
        Ok(reply) => response
            .with_member_id(Some(text(reply.member_id)))
            .with_member_epoch(reply.member_epoch)
            .with_heartbeat_interval_ms(reply.heartbeat_interval_ms)
            .with_assignment(reply.assignment.map(|topics| {
                let topics = topics.into_iter().map(|(topic_id, partitions)| {
                    TopicPartitions::default()
                        .with_topic_id(topic_id)
                        .with_partitions(partitions.into_iter().collect())
                });
                Assignment::default().with_topic_partitions(topics.collect())
            })),
        Err(error) => response
            .with_error_code(error_code::for_group(&error).code())
            .with_error_message(Some(text(error.to_string()))),
    }
}
