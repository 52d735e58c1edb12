//! The one list of what this broker speaks. Dispatch, ApiVersions, metric labels and `docs/apis.md` read it, so nothing
//! is advertised that is not done.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use wire::header::RequestHead;
use wire::{Request, StrBytes, codec};

use crate::clock;
use crate::context::Context;
use crate::handlers;
use crate::net::connection::ConnectionInfo;
use crate::net::reply::Reply;
use crate::quotas::{Caller, ThrottleTime, Work};

/// Stage 2 of a request: what is still to be waited for. `None` is for requests that want no answer (`acks=0`), an error
/// ends the connection.
pub(crate) type Later = Pin<Box<dyn Future<Output = Result<Option<Reply>, String>> + Send>>;
/// Stage 1 of a request.
pub(crate) type Running = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What stage 1 of a request came to.
pub(crate) enum Answer {
    Now(Reply),
    Later(Later),
    /// The connection must end, for this reason.
    Close(String),
}

/// A request whose body has not been read yet, and what its answer needs.
pub(crate) struct Incoming {
    pub(crate) connection: Arc<ConnectionInfo>,
    pub(crate) head: RequestHead,
    pub(crate) work: Work,
}

impl Incoming {
    /// Whose quotas the request is counted against.
    pub(crate) fn caller(&self) -> Caller<'_> {
        self.connection.caller(self.head.client_id.as_ref())
    }
}

/// One request on its way to a handler.
pub(crate) struct Call<R> {
    pub(crate) request: R,
    pub(crate) version: i16,
    /// What the client calls itself; it shares the request's memory.
    pub(crate) client_id: Option<StrBytes>,
    pub(crate) connection: Arc<ConnectionInfo>,
}

impl<R> Call<R> {
    /// Whose quotas the request is counted against.
    pub(crate) fn caller(&self) -> Caller<'_> {
        self.connection.caller(self.client_id.as_ref())
    }
}

/// A handler that answers in stage 1. Failure travels inside the response, as Kafka has it.
pub(crate) trait Handler: 'static {
    type Request: Request<Response: ThrottleTime> + Send;
    const NAME: &'static str;
    const MIN: i16;
    const MAX: i16;

    fn handle(
        ctx: &Arc<Context>,
        call: Call<Self::Request>,
    ) -> impl Future<Output = <Self::Request as Request>::Response> + Send;
}

/// A handler whose answer may have to wait for others: stage 1 takes the request up, in the connection's order, and stage 2
/// is what it returns.
pub(crate) trait WaitingHandler: 'static {
    type Request: Request<Response: ThrottleTime> + Send;
    const NAME: &'static str;
    const MIN: i16;
    const MAX: i16;

    fn take_up(
        ctx: &Arc<Context>,
        call: Call<Self::Request>,
    ) -> impl Future<
        Output = impl Future<Output = <Self::Request as Request>::Response> + Send + 'static,
    > + Send;
}

type Run = fn(Arc<Context>, Incoming, Bytes) -> Running;

/// A row of the table.
pub(crate) struct Api {
    pub(crate) key: i16,
    pub(crate) name: &'static str,
    /// Lowest version advertised. Below `min` only for Produce (KAFKA-18659).
    pub(crate) advertised_min: i16,
    pub(crate) min: i16,
    pub(crate) max: i16,
    /// Whether stage 1 sees the effects of the connection's earlier produce requests. Only those APIs whose stage 1 does
    /// not look at logs go without.
    after_appends: bool,
    run: Run,
}

impl Api {
    const fn of<H: Handler>() -> Self {
        Self {
            key: <H::Request as Request>::KEY,
            name: H::NAME,
            advertised_min: H::MIN,
            min: H::MIN,
            max: H::MAX,
            after_appends: true,
            run: |ctx, incoming, body| Box::pin(decode_handle_encode::<H>(ctx, incoming, body)),
        }
    }

    const fn waiting<H: WaitingHandler>() -> Self {
        Self {
            key: <H::Request as Request>::KEY,
            name: H::NAME,
            advertised_min: H::MIN,
            min: H::MIN,
            max: H::MAX,
            after_appends: true,
            run: |ctx, incoming, body| Box::pin(decode_take_up_wait::<H>(ctx, incoming, body)),
        }
    }
}

/// Every API of this broker, in the order of keys.
pub(crate) static APIS: &[Api] = &[
    Api {
        key: 0,
        name: "Produce",
        // librdkafka before 2.8 infers from a minimum above 0 that no codec is supported (KAFKA-18659, KIP-896).
        advertised_min: 0,
        min: handlers::produce::MIN,
        max: handlers::produce::MAX,
        after_appends: false,
        run: |ctx, incoming, body| Box::pin(handlers::produce::run(ctx, incoming, body)),
    },
    Api {
        key: 1,
        name: "Fetch",
        advertised_min: handlers::fetch::MIN,
        min: handlers::fetch::MIN,
        max: handlers::fetch::MAX,
        after_appends: true,
        run: |ctx, incoming, body| Box::pin(handlers::fetch::run(ctx, incoming, body)),
    },
    Api::of::<handlers::list_offsets::ListOffsets>(),
    Api::of::<handlers::metadata::Metadata>(),
    Api::waiting::<handlers::offset_commit::OffsetCommit>(),
    Api::waiting::<handlers::offset_fetch::OffsetFetch>(),
    Api::of::<handlers::find_coordinator::FindCoordinator>(),
    Api::waiting::<handlers::join_group::JoinGroup>(),
    Api::waiting::<handlers::heartbeat::Heartbeat>(),
    Api::waiting::<handlers::leave_group::LeaveGroup>(),
    Api::waiting::<handlers::sync_group::SyncGroup>(),
    Api::waiting::<handlers::describe_groups::DescribeGroups>(),
    Api::waiting::<handlers::list_groups::ListGroups>(),
    Api {
        key: 18,
        name: "ApiVersions",
        advertised_min: handlers::api_versions::MIN,
        min: handlers::api_versions::MIN,
        max: handlers::api_versions::MAX,
        after_appends: false,
        run: |ctx, incoming, body| Box::pin(handlers::api_versions::run(ctx, incoming, body)),
    },
    Api::of::<handlers::create_topics::CreateTopics>(),
    Api::of::<handlers::delete_topics::DeleteTopics>(),
    Api::of::<handlers::delete_records::DeleteRecords>(),
    Api::waiting::<handlers::init_producer_id::InitProducerId>(),
    Api::of::<handlers::offset_for_leader_epoch::OffsetForLeaderEpoch>(),
    Api::waiting::<handlers::add_partitions_to_txn::AddPartitionsToTxn>(),
    Api::waiting::<handlers::add_offsets_to_txn::AddOffsetsToTxn>(),
    Api::waiting::<handlers::end_txn::EndTxn>(),
    Api::of::<handlers::write_txn_markers::WriteTxnMarkers>(),
    Api::waiting::<handlers::txn_offset_commit::TxnOffsetCommit>(),
    Api::of::<handlers::describe_configs::DescribeConfigs>(),
    Api::of::<handlers::alter_configs::AlterConfigs>(),
    Api {
        key: 35,
        name: "DescribeLogDirs",
        advertised_min: handlers::describe_log_dirs::MIN,
        min: handlers::describe_log_dirs::MIN,
        max: handlers::describe_log_dirs::MAX,
        after_appends: true,
        run: |ctx, incoming, body| Box::pin(handlers::describe_log_dirs::run(ctx, incoming, body)),
    },
    Api::of::<handlers::create_partitions::CreatePartitions>(),
    Api::waiting::<handlers::delete_groups::DeleteGroups>(),
    Api::of::<handlers::elect_leaders::ElectLeaders>(),
    Api::of::<handlers::incremental_alter_configs::IncrementalAlterConfigs>(),
    Api::of::<handlers::alter_partition_reassignments::AlterPartitionReassignments>(),
    Api::of::<handlers::list_partition_reassignments::ListPartitionReassignments>(),
    Api::waiting::<handlers::offset_delete::OffsetDelete>(),
    Api::of::<handlers::describe_client_quotas::DescribeClientQuotas>(),
    Api::of::<handlers::alter_client_quotas::AlterClientQuotas>(),
    Api::of::<handlers::describe_cluster::DescribeCluster>(),
    Api::of::<handlers::describe_producers::DescribeProducers>(),
    Api::of::<handlers::describe_transactions::DescribeTransactions>(),
    Api::of::<handlers::list_transactions::ListTransactions>(),
    Api::waiting::<handlers::consumer_group_heartbeat::ConsumerGroupHeartbeat>(),
    Api::waiting::<handlers::consumer_group_describe::ConsumerGroupDescribe>(),
    Api::of::<handlers::get_telemetry_subscriptions::GetTelemetrySubscriptions>(),
    Api::waiting::<handlers::push_telemetry::PushTelemetry>(),
    Api::of::<handlers::list_config_resources::ListConfigResources>(),
    Api::of::<handlers::describe_topic_partitions::DescribeTopicPartitions>(),
];

/// The row of `key`, if we speak it.
pub(crate) fn api(key: i16) -> Option<(usize, &'static Api)> {
    APIS.binary_search_by_key(&key, |api| api.key)
        .ok()
        .map(|index| (index, &APIS[index]))
}

/// Stage 1 of one request. A key or version we do not speak ends the connection without an answer, as Kafka does
/// (`RequestHeader.parse`); only ApiVersions answers for unknown versions of itself (N1).
pub(crate) async fn dispatch(
    ctx: &Arc<Context>,
    connection: &Arc<ConnectionInfo>,
    head: RequestHead,
    body: Bytes,
) -> Answer {
    let Some((index, api)) = api(head.api_key) else {
        return Answer::Close(format!("unknown API key {}", head.api_key));
    };
    let metrics = ctx.metrics.api(index);
    let in_range = (api.min..=api.max).contains(&head.api_version);
    if !in_range && api.key != handlers::api_versions::KEY {
        metrics.refused.inc();
        return Answer::Close(format!(
            "unsupported version {} of {}",
            head.api_version, api.name
        ));
    }
    metrics.requests.inc();
    metrics.request_bytes.inc_by(body.len() as u64);
    let version = head.api_version;
    let started = clock::monotonic();
    if api.after_appends {
        connection.appends.drained().await;
    }
    let work = Work::begin(&ctx.quotas, connection, head.client_id.as_ref());
    let incoming = Incoming {
        connection: Arc::clone(connection),
        head,
        work: work.clone(),
    };
    let answer = work.timed((api.run)(Arc::clone(ctx), incoming, body)).await;
    match answer {
        Answer::Later(later) => {
            let ctx = Arc::clone(ctx);
            Answer::Later(Box::pin(async move {
                let reply = work.timed(later).await;
                work.finish(&ctx);
                let metrics = &ctx.metrics;
                let seconds = &metrics.api(index).seconds;
                seconds.observe(started.elapsed().as_secs_f64());
                if let Ok(Some(reply)) = &reply {
                    metrics.answered(index, version, reply);
                }
                reply
            }))
        }
        done => {
            work.finish(ctx);
            metrics.seconds.observe(started.elapsed().as_secs_f64());
            if let Answer::Now(reply) = &done {
                ctx.metrics.answered(index, version, reply);
            }
            done
        }
    }
}

async fn decode_handle_encode<H: Handler>(
    ctx: Arc<Context>,
    incoming: Incoming,
    body: Bytes,
) -> Answer {
    let call = match call(&incoming, body) {
        Ok(call) => call,
        Err(close) => return close,
    };
    let response = H::handle(&ctx, call).await;
    encode(&ctx, response, &incoming, incoming.head.api_version)
}

async fn decode_take_up_wait<H: WaitingHandler>(
    ctx: Arc<Context>,
    incoming: Incoming,
    body: Bytes,
) -> Answer {
    let call = match call(&incoming, body) {
        Ok(call) => call,
        Err(close) => return close,
    };
    let response = H::take_up(&ctx, call).await;
    // Now, so that a client that is over its quota is not heard while this one waits.
    incoming.connection.throttle(incoming.work.settle(&ctx));
    Answer::Later(Box::pin(async move {
        let version = incoming.head.api_version;
        reply(&ctx, response.await, &incoming, version).map(Some)
    }))
}

fn call<R: Request>(incoming: &Incoming, body: Bytes) -> Result<Call<R>, Answer> {
    Ok(Call {
        request: decode(&incoming.head, body)?,
        version: incoming.head.api_version,
        client_id: incoming.head.client_id.clone(),
        connection: Arc::clone(&incoming.connection),
    })
}

/// Reads a request's body, or says why the connection must end.
pub(crate) fn decode<R: Request>(head: &RequestHead, body: Bytes) -> Result<R, Answer> {
    codec::decode(head.api_version, body).map_err(|error| {
        let name = api(head.api_key).map_or("a request", |(_, api)| api.name);
        Answer::Close(format!("malformed {name} v{}: {error}", head.api_version))
    })
}

/// Encodes a response as a whole frame of `version`, with the longest of the throttles in it, for which the connection then is not
/// read (KIP-219). A response that its version cannot carry is our bug: the connection ends, and the log says which.
pub(crate) fn encode<R: wire::Encodable + wire::HeaderVersion + ThrottleTime>(
    ctx: &Context,
    response: R,
    incoming: &Incoming,
    version: i16,
) -> Answer {
    match reply(ctx, response, incoming, version) {
        Ok(reply) => Answer::Now(reply),
        Err(reason) => Answer::Close(reason),
    }
}

/// What [`encode`] does, for stage 2.
pub(crate) fn reply<R: wire::Encodable + wire::HeaderVersion + ThrottleTime>(
    ctx: &Context,
    mut response: R,
    incoming: &Incoming,
    version: i16,
) -> Result<Reply, String> {
    let mut throttle_ms = incoming.work.settle(ctx);
    if let Some(field) = response.throttle_time_ms() {
        throttle_ms = throttle_ms.max(*field);
        *field = throttle_ms;
    }
    incoming.connection.throttle(throttle_ms);
    let head = &incoming.head;
    match codec::encode_response(&response, head.correlation_id, head.api_key, version) {
        Ok(frame) => Ok(frame.into()),
        Err(error) => {
            tracing::error!(key = head.api_key, version, %error, "a response could not be encoded");
            Err(format!(
                "response to key {} v{version} not encodable: {error}",
                head.api_key
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_their_keys_and_none_is_twice() {
        assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
    }

    /// `docs/apis.md`, from the table.
    fn page() -> String {
        let mut page = String::from(
            "# APIs\n\nWhat this broker speaks, generated from the table that dispatch and ApiVersions read \
             (`make docs`). Versions are those of Apache Kafka's protocol; Kafka 4.4's ranges stand beside them where they \
             differ.\n\n| key | API | versions | note |\n|---|---|---|---|\n",
        );
        for api in APIS {
            let note = if api.advertised_min < api.min {
                format!(
                    "advertised from {}, so that older librdkafka sees the codecs (KAFKA-18659)",
                    api.advertised_min
                )
            } else {
                String::new()
            };
            page.push_str(&format!(
                "| {} | {} | {}–{} | {note} |\n",
                api.key, api.name, api.min, api.max
            ));
        }
        page
    }

    #[test]
    fn generated_docs_apis_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/apis.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, page()).expect("the page can be written");
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(found == page(), "docs/apis.md is stale: run `make docs`");
    }

    #[test]
    fn only_produce_advertises_less_than_it_accepts() {
        let below: Vec<_> = APIS
            .iter()
            .filter(|api| api.advertised_min < api.min)
            .map(|api| api.name)
            .collect();
        assert_eq!(below, ["Produce"]);
    }
}
