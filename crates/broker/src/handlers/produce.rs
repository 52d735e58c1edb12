//! Produce (key 0), v3–v13; advertised from v0 (KAFKA-18659): batches are appended to the logs of their partitions.
//!
//! v5 log start offset · v8 record errors and a message (KIP-467) · v9 flexible · v10 current leader and endpoints
//! (KIP-951) · v12 implicit transactions (KIP-890) · v13 topic ids (KIP-516).
//! Stage 1 checks every batch and hands it to the store's writer; stage 2 waits for the append and, with `acks=all`, for
//! the high watermark.

mod vouched;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::validate::{self, BatchRules, CompressionRule, InvalidBatch, Validated};
use storage::{AppendError, AppendJob, Appended};
use tokio::sync::oneshot;
use wire::batch::{BatchHeader, Codec};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use wire::messages::{ProduceRequest, ProduceResponse, TopicName};
use wire::{ResponseError, StrBytes};

use crate::apis::{self, Answer, Incoming};
use crate::context::Context;
use crate::error_code;
use crate::metrics::Present;
use crate::net::connection::ConnectionInfo;
use crate::topics::{Partition, Topic, TopicMap};
use crate::waiters::Waiting;
use vouched::Vouched;

pub(crate) const MIN: i16 = 3;
pub(crate) const MAX: i16 = 13;

/// `acks`: who must have a batch before its producer is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acks {
    None,
    Leader,
    AllInSync,
}

impl Acks {
    fn of(acks: i16) -> Option<Self> {
        match acks {
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            -1 => Some(Self::AllInSync),
            _ => None,
        }
    }
}

/// What became of one partition's data in stage 1.
struct Outcome {
    index: i32,
    result: Result<Submitted, Refused>,
}

/// A batch that is on its way to the log.
struct Submitted {
    partition: Arc<Partition>,
    log_append_time_ms: i64,
    /// As it will lie in the log.
    batch: BatchHeader,
}

/// Why a partition's data was not taken, in the words of the response.
struct Refused {
    code: ResponseError,
    message: Option<String>,
    record_errors: Vec<(i32, String)>,
}

impl Refused {
    fn new(code: ResponseError) -> Self {
        Self {
            code,
            message: None,
            record_errors: Vec::new(),
        }
    }

    fn saying(code: ResponseError, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
            record_errors: Vec::new(),
        }
    }
}

impl From<InvalidBatch> for Refused {
    fn from(error: InvalidBatch) -> Self {
        let code = error_code::for_batch(&error);
        let message = error.to_string();
        let record_errors = match error {
            InvalidBatch::RejectedRecords { records, .. }
            | InvalidBatch::InvalidTimestamp { records, .. } => records
                .into_iter()
                .map(|record| (record.index, record.to_string()))
                .collect(),
            InvalidBatch::InvalidRecord { index, error } => vec![(index, error.to_string())],
            _ => Vec::new(),
        };
        Self {
            code,
            message: Some(message),
            record_errors,
        }
    }
}

impl From<AppendError> for Refused {
    fn from(error: AppendError) -> Self {
        Self::saying(error_code::for_append(&error), error.to_string())
    }
}

struct TopicOutcome {
    name: TopicName,
    id: uuid::Uuid,
    partitions: Vec<Outcome>,
}

pub(crate) async fn run(ctx: Arc<Context>, incoming: Incoming, body: Bytes) -> Answer {
    let body_bytes = body.len();
    let request = match apis::decode::<ProduceRequest>(&incoming.head, body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let acks = Acks::of(request.acks);
    let version = incoming.head.api_version;
    let (outcomes, appends) = take_up(&ctx, &incoming.connection, request, acks, version).await;
    let throttle_ms = throttle_ms(&ctx, &incoming, acks, body_bytes);
    // At once: a client that does not wait for answers must not be read ahead of its quota.
    incoming.connection.throttle(throttle_ms);
    let finish = finish(ctx, incoming, outcomes, appends, acks, timeout, throttle_ms);
    Answer::Later(Box::pin(finish))
}

/// What the client's quotas say to this request. Without an answer there is no work to count (`KafkaApis.handleProduceRequest`).
fn throttle_ms(ctx: &Context, incoming: &Incoming, acks: Option<Acks>, body_bytes: usize) -> i32 {
    let produced_ms = ctx.quotas.produced(incoming.caller(), body_bytes);
    if acks == Some(Acks::None) {
        incoming.work.exempt();
    }
    produced_ms.max(incoming.work.settle(ctx))
}

/// Stage 1: checks every batch and queues those that pass for the writer, in request order.
async fn take_up(
    ctx: &Arc<Context>,
    connection: &Arc<ConnectionInfo>,
    request: ProduceRequest,
    acks: Option<Acks>,
    version: i16,
) -> (
    Vec<TopicOutcome>,
    Option<oneshot::Receiver<Vec<Result<Appended, AppendError>>>>,
) {
    let table = ctx.topics.snapshot();
    let mut outcomes = Vec::with_capacity(request.topic_data.len());
    let mut jobs = Vec::with_capacity(request.topic_data.len());
    let vouched = Vouched::for_request(ctx, &table, &request, version).await;
    let refusal = vouched.as_ref().err().copied();
    let vouched = vouched.unwrap_or_default();
    for data in request.topic_data {
        let topic = topic_of(&table, &data, version);
        // Kafka looks for the topic before it looks at `acks`.
        let refusal = match topic {
            Some(_) if acks.is_none() => refusal.or(Some(ResponseError::InvalidRequiredAcks)),
            _ => refusal,
        };
        outcomes.push(take_up_topic(ctx, topic, data, refusal, version, &vouched, &mut jobs).await);
    }
    if jobs.is_empty() {
        return (outcomes, None);
    }
    let (sender, receiver) = oneshot::channel();
    let entered = Entered::new(connection);
    ctx.store.append(
        jobs,
        Box::new(move |results| {
            drop(entered);
            // The connection may be gone; what was appended stays appended.
            let _ = sender.send(results);
        }),
    );
    (outcomes, Some(receiver))
}

/// An append on its way. Leaves the gate when dropped, so also with a store that goes away without an answer.
struct Entered(Arc<ConnectionInfo>);

impl Entered {
    fn new(connection: &Arc<ConnectionInfo>) -> Self {
        connection.appends.enter();
        Self(Arc::clone(connection))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.appends.leave();
    }
}

/// The topic that part of a request is for; from v13 on they go by their ids.
fn topic_of<'a>(
    topics: &'a TopicMap,
    data: &TopicProduceData,
    version: i16,
) -> Option<&'a Arc<Topic>> {
    if version >= 13 {
        topics.with_id(data.topic_id)
    } else {
        topics.named(&data.name)
    }
}

async fn take_up_topic(
    ctx: &Arc<Context>,
    topic: Option<&Arc<Topic>>,
    data: TopicProduceData,
    refusal: Option<ResponseError>,
    version: i16,
    vouched: &Vouched,
    jobs: &mut Vec<AppendJob>,
) -> TopicOutcome {
    let mut partitions = Vec::with_capacity(data.partition_data.len());
    for partition in data.partition_data {
        let index = partition.index;
        let result = match refusal {
            Some(code) => Err(Refused::new(code)),
            None => take_up_partition(ctx, topic, partition, version, vouched, jobs).await,
        };
        partitions.push(Outcome { index, result });
    }
    TopicOutcome {
        name: data.name,
        id: data.topic_id,
        partitions,
    }
}

async fn take_up_partition(
    ctx: &Arc<Context>,
    topic: Option<&Arc<Topic>>,
    data: PartitionProduceData,
    version: i16,
    vouched: &Vouched,
    jobs: &mut Vec<AppendJob>,
) -> Result<Submitted, Refused> {
    let Some(topic) = topic else {
        let by_id = version >= 13;
        return Err(Refused::new(if by_id {
            ResponseError::UnknownTopicId
        } else {
            ResponseError::UnknownTopicOrPartition
        }));
    };
    let partition = topic.led(data.index).map_err(Refused::new)?;
    partition.traffic.produce();
    if topic.image.internal {
        // Only coordinators write internal topics (`ReplicaManager.appendRecords`).
        return Err(Refused::new(ResponseError::InvalidTopicException));
    }
    let records = data.records.unwrap_or_default();
    let validated = validated(ctx, topic, records, version)
        .await
        .inspect_err(|refused| partition.traffic.produce_failed(refused.code))?;
    let log_append_time_ms = validated.log_append_time_ms;
    let origin = vouched
        .origin(topic, data.index, &validated.header)
        .map_err(Refused::new)
        .inspect_err(|refused| partition.traffic.produce_failed(refused.code))?;
    jobs.push(AppendJob {
        log: Arc::clone(&partition.log),
        batch: validated.batch,
        leader_epoch: partition.leader_epoch,
        origin,
    });
    Ok(Submitted {
        partition: Arc::clone(partition),
        log_append_time_ms,
        batch: validated.header,
    })
}

/// Checks one batch by the topic's rules. What must open the batch (recompression, compacted topics) runs off the async
/// threads.
async fn validated(
    ctx: &Arc<Context>,
    topic: &Arc<Topic>,
    records: Bytes,
    version: i16,
) -> Result<Validated, Refused> {
    let codec = BatchHeader::parse(&records)
        .and_then(|header| header.codec())
        .unwrap_or(Codec::None);
    if version < 7 && codec == Codec::Zstd {
        return Err(Refused::new(ResponseError::UnsupportedCompressionType));
    }
    let now_ms = ctx.now_ms();
    if !is_opened(codec, &topic.settings.batch) {
        return Ok(validate::validate(records, &topic.settings.batch, now_ms)?);
    }
    let topic = Arc::clone(topic);
    let checked = tokio::task::spawn_blocking(move || {
        validate::validate(records, &topic.settings.batch, now_ms)
    })
    .await;
    match checked {
        Ok(checked) => Ok(checked?),
        Err(panic) => {
            tracing::error!(%panic, "checking a batch panicked");
            Err(Refused::new(ResponseError::UnknownServerError))
        }
    }
}

/// Whether checking a batch means decompressing or compressing it.
fn is_opened(codec: Codec, rules: &BatchRules) -> bool {
    match rules.compression {
        CompressionRule::Codec { codec: wanted, .. } if wanted != codec => true,
        _ => (rules.compacted || rules.open_compressed) && codec != Codec::None,
    }
}

/// Stage 2: waits for the append and for whom `acks` names, and builds the response.
async fn finish(
    ctx: Arc<Context>,
    incoming: Incoming,
    outcomes: Vec<TopicOutcome>,
    appends: Option<oneshot::Receiver<Vec<Result<Appended, AppendError>>>>,
    acks: Option<Acks>,
    timeout: Duration,
    mut throttle_ms: i32,
) -> Result<Option<crate::net::reply::Reply>, String> {
    let version = incoming.head.api_version;
    let mut appended = match appends {
        // A writer that dies answers with nothing: the partitions below then say so.
        Some(receiver) => receiver.await.unwrap_or_default().into_iter(),
        None => Vec::new().into_iter(),
    };
    let deadline = crate::clock::monotonic() + timeout;
    let mut failed = None;
    let mut responses = Vec::with_capacity(outcomes.len());
    for topic in outcomes {
        let mut partition_responses = Vec::with_capacity(topic.partitions.len());
        for Outcome { index, result } in topic.partitions {
            let result = match result {
                Ok(submitted) => {
                    throttle_ms =
                        throttle_ms.max(ctx.store.produce_throttle_ms(&submitted.partition.log));
                    match appended.next() {
                        Some(result) => {
                            count(&ctx, &submitted, &result);
                            committed(&ctx, &submitted, result, acks, deadline).await
                        }
                        // The store has closed: the partition will be led again, here or elsewhere.
                        None => Err(Refused::new(ResponseError::NotLeaderOrFollower)),
                    }
                }
                Err(refused) => Err(refused),
            };
            if let Err(refused) = &result {
                ctx.metrics.produce_refused(refused.code);
                failed.get_or_insert(refused.code);
            }
            partition_responses.push(partition_response(index, result, version));
        }
        let mut response =
            TopicProduceResponse::default().with_partition_responses(partition_responses);
        if version >= 13 {
            response = response.with_topic_id(topic.id);
        } else {
            response = response.with_name(topic.name);
        }
        responses.push(response);
    }
    if acks == Some(Acks::None) {
        incoming.connection.throttle(throttle_ms);
        // No answer is wanted, so closing the connection is the only way to say that something failed (P2).
        return match failed {
            None => Ok(None),
            Some(code) => Err(format!("produce with acks=0 failed: {code:?}")),
        };
    }
    let response = ProduceResponse::default()
        .with_responses(responses)
        .with_throttle_time_ms(throttle_ms);
    apis::reply(&ctx, response, &incoming, version).map(Some)
}

fn count(ctx: &Context, submitted: &Submitted, result: &Result<Appended, AppendError>) {
    let traffic = &submitted.partition.traffic;
    match result {
        // It was counted when it was appended.
        Ok(appended) if appended.duplicate => {}
        Ok(_) => {
            let batch = &submitted.batch;
            let bytes = batch.total_len() as u64;
            let records = u64::try_from(batch.record_count).unwrap_or(0);
            traffic.appended(bytes, records);
            let codec = batch.codec().unwrap_or(Codec::None);
            ctx.metrics.produced(codec, bytes, records);
        }
        Err(error) => traffic.produce_failed(error_code::for_append(error)),
    }
}

/// The append's result once everybody whom `acks` names has it.
async fn committed(
    ctx: &Context,
    submitted: &Submitted,
    result: Result<Appended, AppendError>,
    acks: Option<Acks>,
    deadline: tokio::time::Instant,
) -> Result<(Appended, i64), Refused> {
    let appended = result?;
    let log = &submitted.partition.log;
    let is_committed = || log.high_watermark() > appended.last_offset;
    if acks == Some(Acks::AllInSync) && !is_committed() {
        let _counted = Present::at(&ctx.metrics.waiting_produces);
        let waiting = Waiting::on(vec![Arc::clone(&submitted.partition.waiters)]);
        let all = async {
            while !is_committed() {
                waiting.moved().await;
            }
        };
        if tokio::time::timeout_at(deadline, all).await.is_err() {
            // The data stays appended (P3).
            return Err(Refused::new(ResponseError::RequestTimedOut));
        }
    }
    // A repeated batch is answered with the time it was first stamped with (`UnifiedLog.append`).
    let time = if appended.duplicate {
        appended.log_append_time_ms
    } else {
        submitted.log_append_time_ms
    };
    Ok((appended, time))
}

fn partition_response(
    index: i32,
    result: Result<(Appended, i64), Refused>,
    version: i16,
) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match result {
        Ok((appended, log_append_time_ms)) => response
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(log_append_time_ms)
            .with_log_start_offset(if version >= 5 {
                appended.log_start_offset
            } else {
                -1
            }),
        Err(refused) => {
            let mut response = response
                .with_error_code(code_for_version(refused.code, version).code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1);
            if version >= 8 {
                response.error_message = refused.message.map(StrBytes::from_string);
                response.record_errors = refused
                    .record_errors
                    .into_iter()
                    .map(|(batch_index, message)| {
                        BatchIndexAndErrorMessage::default()
                            .with_batch_index(batch_index)
                            .with_batch_index_error_message(Some(StrBytes::from_string(message)))
                    })
                    .collect();
            }
            response
        }
    }
}

/// Codes that older clients do not know are replaced by what they did before (`KafkaApis.handleProduceRequest`).
fn code_for_version(code: ResponseError, version: i16) -> ResponseError {
    match code {
        ResponseError::KafkaStorageError if version < 4 => ResponseError::NotLeaderOrFollower,
        code => code,
    }
}
