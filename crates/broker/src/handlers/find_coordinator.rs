//! FindCoordinator (key 10), v0–v6: who coordinates a group, a transaction or a share partition.
//!
//! v1 key types · v3 flexible · v4 several keys at once (KIP-699) · v6 share groups (KIP-932).
//! A group's coordinator is the leader of its partition of `__consumer_offsets`, a transactional id's that of
//! `__transaction_state`. The topic is made for the first who asks, and answered at once: its coordinators run before the
//! answer leaves (Kafka answers 15 first; G18). Share groups are not coordinated, and say so: 15 COORDINATOR_NOT_AVAILABLE.

use std::sync::Arc;

use tracing::warn;
use wire::messages::find_coordinator_response::Coordinator;
use wire::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use wire::{ResponseError, StrBytes};

use super::create_topics::{NewTopicSpec, create_one};
use crate::apis::{Call, Handler};
use crate::context::Context;
use crate::groups::OFFSETS_TOPIC;
use crate::net::connection::ConnectionInfo;
use crate::transactions::STATE_TOPIC;

pub(crate) struct FindCoordinator;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

impl Handler for FindCoordinator {
    type Request = FindCoordinatorRequest;
    const NAME: &'static str = "FindCoordinator";
    const MIN: i16 = 0;
    const MAX: i16 = 6;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<FindCoordinatorRequest>,
    ) -> FindCoordinatorResponse {
        let kind = kind(call.request.key_type, call.version);
        if let Ok(kind) = kind {
            make_topic(ctx, kind.topic()).await;
        }
        let find = |key: &StrBytes| match kind {
            Ok(kind) => find(ctx, &call.connection, kind, key),
            Err(refused) => refused.answer(),
        };
        if call.version >= 4 {
            let keys = call.request.coordinator_keys.into_iter();
            let coordinators = keys.map(|key| find(&key).with_key(key)).collect();
            return FindCoordinatorResponse::default().with_coordinators(coordinators);
        }
        let found = find(&call.request.key);
        let mut response = FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port);
        if call.version >= 1 {
            response.error_message = found.error_message;
        }
        response
    }
}

/// What is coordinated here.
#[derive(Clone, Copy)]
enum Kind {
    Group,
    Transaction,
}

impl Kind {
    /// Where what is coordinated is kept.
    fn topic(self) -> &'static str {
        match self {
            Self::Group => OFFSETS_TOPIC,
            Self::Transaction => STATE_TOPIC,
        }
    }

    fn is_here(self, ctx: &Context, key: &str) -> bool {
        let topics = ctx.topics.table();
        match self {
            Self::Group => ctx.groups.coordinator(&topics, key).is_ok(),
            Self::Transaction => ctx.transactions.coordinator(&topics, key).is_ok(),
        }
    }
}

#[derive(Clone, Copy)]
struct Refused {
    code: ResponseError,
    message: &'static str,
}

impl Refused {
    fn answer(self) -> Coordinator {
        Coordinator::default()
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(self.code.code())
            .with_error_message(Some(StrBytes::from_static_str(self.message)))
    }
}

/// Whether there is a coordinator of this kind at all.
fn kind(key_type: i8, version: i16) -> Result<Kind, Refused> {
    let (code, message) = match key_type {
        GROUP => return Ok(Kind::Group),
        TRANSACTION => return Ok(Kind::Transaction),
        // Share groups came with v6 (`KafkaApis.getCoordinator`).
        SHARE if version < 6 => (ResponseError::InvalidRequest, "share groups need version 6"),
        SHARE => (
            ResponseError::CoordinatorNotAvailable,
            "this broker has no coordinator of that kind",
        ),
        _ => (ResponseError::InvalidRequest, "unknown key type"),
    };
    Err(Refused { code, message })
}

/// Several may come at once: the controller makes it for one of them, and the others find it.
async fn make_topic(ctx: &Arc<Context>, name: &str) {
    if ctx.topics.table().named(name).is_some() {
        return;
    }
    let spec = NewTopicSpec::automatic(ctx, name);
    if let Err(refused) = create_one(ctx, spec, &mut ctx.quotas.own_mutations()).await
        && refused.code != ResponseError::TopicAlreadyExists
    {
        warn!(code = ?refused.code, "{name} cannot be created: {}", refused.message);
    }
}

fn find(ctx: &Context, connection: &ConnectionInfo, kind: Kind, key: &str) -> Coordinator {
    if !kind.is_here(ctx, key) {
        let message = match kind {
            Kind::Group => "the group's partition of __consumer_offsets has no leader",
            Kind::Transaction => "the id's partition of __transaction_state has no leader",
        };
        let code = ResponseError::CoordinatorNotAvailable;
        return Refused { code, message }.answer();
    }
    let (host, port) = ctx.advertised(connection);
    Coordinator::default()
        .with_node_id(BrokerId(ctx.node_id))
        .with_host(StrBytes::from_string(host))
        .with_port(port)
        .with_error_message(None)
}
