//! Fetch (key 1), v4–v18: batches from partitions' logs, at once or as soon as there are enough.
//!
//! v5 log start offset · v7 incremental sessions (KIP-227) · v9 leader epochs (KIP-320) · v11 follower fetching (KIP-392) ·
//! v12 flexible, diverging epochs (KIP-595) · v13 topic ids (KIP-516) · v15 replica state as a tag · v16 endpoints
//! (KIP-951) · v17 directory id · v18 high watermark of the fetcher (KIP-1166).
//! Stage 1 moves the session on; stage 2 reads, and waits by being woken, never by sleeping.
//! Not done: replicas do not fetch yet, so a request with a replica id is served as a consumer's.

mod encode;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::{LogSlice, PartitionLog, ReadError, ReadLimits, ReadMode, ReadResult};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;
use wire::ResponseError;
use wire::messages::FetchRequest;

use self::encode::{Endpoint, PartitionResponse, Response, TopicResponse};
use crate::apis::{self, Answer, Incoming};
use crate::clock;
use crate::context::Context;
use crate::error_code;
use crate::fetch_session::{
    FetchPlan, Given, SessionHandle, SessionRequest, TopicPartition, TopicRef, Wanted,
};
use crate::metrics::Present;
use crate::net::reply::Reply;
use crate::topics::{Partition, TopicMap};
use crate::waiters::Waiting;

pub(crate) const MIN: i16 = 4;
pub(crate) const MAX: i16 = 18;
const NAME: &str = "Fetch";

/// Partitions of one fetch that are read from the disk at the same time.
const COLD_READS_MAX: usize = 16;

/// A consumer that asks for longer is answered after this; it asks again.
const WAIT_MAX: Duration = Duration::from_secs(300);

struct Fetch {
    version: i16,
    read_committed: bool,
    bytes_min: usize,
    bytes_max: usize,
    deadline: Instant,
    handle: SessionHandle,
    targets: Vec<Target>,
}

struct Target {
    key: TopicPartition,
    name: Arc<str>,
    id: Uuid,
    wanted: Wanted,
    /// The partition, or why it cannot be read.
    partition: Result<Arc<Partition>, ResponseError>,
}

/// What one pass over the targets found.
struct Pass {
    answers: Vec<PartitionResponse>,
    bytes: usize,
    /// An error or a diverging epoch: answered without waiting.
    urgent: bool,
    /// Whether what was cold has been asked of the disk.
    brought_in: bool,
}

pub(crate) async fn run(ctx: Arc<Context>, incoming: Incoming, body: Bytes) -> Answer {
    let request = match apis::decode::<FetchRequest>(&incoming.head, body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    match plan(&ctx, &incoming, &request) {
        Ok(fetch) => Answer::Later(Box::pin(async move {
            let reply = serve(&ctx, &incoming, fetch).await;
            Ok(Some(reply))
        })),
        Err(code) => {
            ctx.metrics.request_error(NAME, code.code());
            let response = Response {
                error_code: code.code(),
                throttle_time_ms: incoming.work.settle(&ctx),
                ..Response::default()
            };
            Answer::Now(encoded(response, &incoming))
        }
    }
}

/// Encodes the response; the connection is not read while it is throttled (KIP-219).
fn encoded(response: Response, incoming: &Incoming) -> Reply {
    incoming.connection.throttle(response.throttle_time_ms);
    let head = &incoming.head;
    encode::encode(response, head.correlation_id, head.api_version)
}

fn plan(
    ctx: &Context,
    incoming: &Incoming,
    request: &FetchRequest,
) -> Result<Fetch, ResponseError> {
    let version = incoming.head.api_version;
    let uses_topic_ids = version >= 13;
    let (partitions, forgotten) = partitions_of(request, uses_topic_ids);
    let (id, epoch) = if version >= 7 {
        (request.session_id, request.session_epoch)
    } else {
        (0, crate::fetch_session::FINAL_EPOCH)
    };
    let session = SessionRequest {
        id,
        epoch,
        uses_topic_ids,
        partitions: &partitions,
        forgotten: &forgotten,
    };
    let FetchPlan { handle, partitions } = ctx.fetch_sessions.plan(&session, clock::monotonic())?;
    let table = ctx.topics.table();
    let targets = partitions
        .into_iter()
        .map(|(key, wanted)| resolve(&table, key, wanted))
        .collect();
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
    let bytes_max = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(ctx.config().fetch_bytes_max)
        .min(ctx.quotas.fetch_bytes_max(incoming.caller()));
    Ok(Fetch {
        version,
        read_committed: request.isolation_level == 1,
        bytes_min: usize::try_from(request.min_bytes)
            .unwrap_or(0)
            .min(bytes_max),
        bytes_max,
        deadline: clock::monotonic() + wait,
        handle,
        targets,
    })
}

type Partitions = (Vec<(TopicPartition, Wanted)>, Vec<TopicPartition>);

/// The request's partitions, without pieces of its buffer: a session outlives the request.
fn partitions_of(request: &FetchRequest, uses_topic_ids: bool) -> Partitions {
    let topic_ref = |id: Uuid, name: &str| {
        if uses_topic_ids {
            TopicRef::Id(id)
        } else {
            TopicRef::Name(name.into())
        }
    };
    let mut partitions = Vec::new();
    for topic in &request.topics {
        let topic_ref = topic_ref(topic.topic_id, &topic.topic);
        partitions.extend(topic.partitions.iter().map(|partition| {
            let key = TopicPartition {
                topic: topic_ref.clone(),
                partition: partition.partition,
            };
            let wanted = Wanted {
                fetch_offset: partition.fetch_offset,
                bytes_max: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            (key, wanted)
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let topic_ref = topic_ref(topic.topic_id, &topic.topic);
        forgotten.extend(topic.partitions.iter().map(|&partition| TopicPartition {
            topic: topic_ref.clone(),
            partition,
        }));
    }
    (partitions, forgotten)
}

fn resolve(table: &TopicMap, key: TopicPartition, wanted: Wanted) -> Target {
    let (topic, unknown, name, id) = match &key.topic {
        TopicRef::Id(id) => (
            table.with_id(*id),
            ResponseError::UnknownTopicId,
            Arc::from(""),
            *id,
        ),
        TopicRef::Name(name) => (
            table.named(name),
            ResponseError::UnknownTopicOrPartition,
            Arc::clone(name),
            Uuid::nil(),
        ),
    };
    let Some(topic) = topic else {
        return Target {
            key,
            name,
            id,
            wanted,
            partition: Err(unknown),
        };
    };
    let partition = topic.led(key.partition).cloned();
    Target {
        name: Arc::clone(topic.name()),
        id: topic.id(),
        key,
        wanted,
        partition,
    }
}

/// Stage 2: answers at once if there is enough, else waits for the partitions to move (F1).
async fn serve(ctx: &Arc<Context>, incoming: &Incoming, fetch: Fetch) -> Reply {
    let mut pass = read_all(ctx, &fetch).await;
    if !is_enough(&fetch, &pass) {
        let places = fetch
            .targets
            .iter()
            .filter_map(|t| Some(Arc::clone(&t.partition.as_ref().ok()?.waiters)))
            .collect();
        let _counted = Present::at(&ctx.metrics.waiting_fetches);
        let waiting = Waiting::on(places);
        // Once more: something may have moved between the first look and taking the places.
        pass = read_all(ctx, &fetch).await;
        while !is_enough(&fetch, &pass) {
            let expired = tokio::select! {
                () = waiting.moved() => false,
                () = tokio::time::sleep_until(fetch.deadline) => true,
                () = ctx.stop.cancelled() => true,
            };
            pass = read_all(ctx, &fetch).await;
            if expired {
                break;
            }
        }
    }
    respond(ctx, incoming, fetch, pass)
}

fn is_enough(fetch: &Fetch, pass: &Pass) -> bool {
    pass.urgent
        || pass.bytes >= fetch.bytes_min
        || fetch.targets.is_empty()
        || fetch.deadline <= clock::monotonic()
}

async fn read_all(ctx: &Arc<Context>, fetch: &Fetch) -> Pass {
    let mut pass = Pass {
        answers: Vec::with_capacity(fetch.targets.len()),
        bytes: 0,
        urgent: false,
        brought_in: false,
    };
    for (at, target) in fetch.targets.iter().enumerate() {
        let mut answer = match &target.partition {
            Ok(partition) => read_one(ctx, fetch, &mut pass, at, partition).await,
            Err(code) => empty(target, *code),
        };
        answer.error_code = code_for_version(answer.error_code, fetch.version);
        pass.bytes += answer.records.iter().map(LogSlice::len).sum::<usize>();
        pass.urgent |= answer.error_code != 0 || answer.diverging_epoch.is_some();
        pass.answers.push(answer);
    }
    pass
}

/// One partition's share: the first that has data gives a whole batch however large it is, later ones only what fits (F2).
async fn read_one(
    ctx: &Arc<Context>,
    fetch: &Fetch,
    pass: &mut Pass,
    at: usize,
    partition: &Arc<Partition>,
) -> PartitionResponse {
    let target = &fetch.targets[at];
    let wanted = &target.wanted;
    if let Err(code) = check_epoch(wanted.current_leader_epoch, partition.leader_epoch) {
        return empty(target, code);
    }
    if let Err(code) = is_there(&partition.log) {
        return empty(target, code);
    }
    match diverges(partition, wanted) {
        Ok(None) => {}
        Ok(Some(end)) => {
            let mut answer = standing(target, partition);
            answer.diverging_epoch = Some(end);
            return answer;
        }
        Err(code) => return empty(target, code),
    }
    let below = visible_end(fetch, partition);
    if wanted.fetch_offset == below {
        // Nothing new, the commonest case of a long poll.
        return PartitionResponse {
            aborted: fetch.read_committed.then(Vec::new),
            ..standing(target, partition)
        };
    }
    let limits = ReadLimits {
        max_bytes: wanted_bytes(wanted).min(fetch.bytes_max.saturating_sub(pass.bytes)),
        below,
        whole_first_batch: pass.bytes == 0,
    };
    let read_now = || {
        partition
            .log
            .read(wanted.fetch_offset, limits, ReadMode::NoWait)
    };
    let mut read = read_now();
    if matches!(read, Err(ReadError::WouldBlock)) && !pass.brought_in {
        pass.brought_in = true;
        bring_in(ctx, fetch, at, pass.bytes).await;
        read = read_now();
    }
    if matches!(read, Err(ReadError::WouldBlock)) {
        read = read_cold(ctx, partition, wanted.fetch_offset, limits).await;
    }
    match read {
        Ok(read) => {
            let mut answer = standing(target, partition);
            if fetch.read_committed {
                // Up to the end of what may be read; a client ignores those beyond what it got.
                let aborted = partition
                    .log
                    .aborted_transactions(wanted.fetch_offset, below);
                answer.aborted = Some(
                    aborted
                        .into_iter()
                        .map(|txn| (txn.producer_id, txn.first_offset))
                        .collect(),
                );
            }
            answer.records = read.slices;
            answer
        }
        Err(error) => empty(target, error_code::for_read(&error)),
    }
}

fn wanted_bytes(wanted: &Wanted) -> usize {
    usize::try_from(wanted.bytes_max).unwrap_or(0)
}

/// Where what this fetch may see ends.
fn visible_end(fetch: &Fetch, partition: &Partition) -> i64 {
    if fetch.read_committed {
        partition.log.last_stable_offset()
    } else {
        partition.log.high_watermark()
    }
}

/// Has the partitions from `first` on read into the page cache and checked side by side, as many as may find room in the
/// answer: one after the other, the disk and the other cores would wait for each.
async fn bring_in(ctx: &Arc<Context>, fetch: &Fetch, first: usize, mut bytes: usize) {
    let mut reads = JoinSet::new();
    for target in &fetch.targets[first..] {
        let Ok(partition) = &target.partition else {
            continue;
        };
        let limits = ReadLimits {
            max_bytes: wanted_bytes(&target.wanted).min(fetch.bytes_max.saturating_sub(bytes)),
            below: visible_end(fetch, partition),
            whole_first_batch: bytes == 0,
        };
        if reads.len() == COLD_READS_MAX || (limits.max_bytes == 0 && bytes > 0) {
            break;
        }
        bytes += limits.max_bytes;
        ctx.metrics.cold_reads.inc();
        let (partition, from) = (Arc::clone(partition), target.wanted.fetch_offset);
        // What it says is asked again by the pass itself.
        reads.spawn_blocking(move || drop(partition.log.read(from, limits, ReadMode::Wait)));
    }
    while reads.join_next().await.is_some() {}
}

/// Reads what is not in memory on a blocking thread, so that a slow disk stops nobody else.
async fn read_cold(
    ctx: &Arc<Context>,
    partition: &Arc<Partition>,
    from: i64,
    limits: ReadLimits,
) -> Result<ReadResult, ReadError> {
    ctx.metrics.cold_reads.inc();
    let partition = Arc::clone(partition);
    match tokio::task::spawn_blocking(move || partition.log.read(from, limits, ReadMode::Wait))
        .await
    {
        Ok(read) => read,
        Err(panic) => {
            tracing::error!(%panic, "reading a partition panicked");
            Err(ReadError::WouldBlock)
        }
    }
}

/// KIP-320: the client's epoch is older than ours (it must refresh), or newer (we must).
pub(crate) fn check_epoch(theirs: i32, ours: i32) -> Result<(), ResponseError> {
    match theirs {
        ..0 => Ok(()),
        older if older < ours => Err(ResponseError::FencedLeaderEpoch),
        newer if newer > ours => Err(ResponseError::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

/// Whether the log can still be read: a long poll at the end of one that was deleted or went offline would not notice.
fn is_there(log: &PartitionLog) -> Result<(), ResponseError> {
    if log.is_deleted() {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    if log.is_offline() {
        return Err(ResponseError::KafkaStorageError);
    }
    Ok(())
}

/// Where the reader's log parts from ours, if it says what epoch it read last (`Partition.readRecords`, v12).
fn diverges(partition: &Partition, wanted: &Wanted) -> Result<Option<(i32, i64)>, ResponseError> {
    if wanted.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let end = partition
        .log
        .end_offset_for_epoch(wanted.last_fetched_epoch);
    if end.epoch < 0 || end.end_offset < 0 {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let parted = end.epoch < wanted.last_fetched_epoch || end.end_offset < wanted.fetch_offset;
    Ok(parted.then_some((end.epoch, end.end_offset)))
}

fn code_for_version(code: i16, version: i16) -> i16 {
    if version <= 5 && code == ResponseError::KafkaStorageError.code() {
        return ResponseError::NotLeaderOrFollower.code();
    }
    code
}

/// A partition's offsets without records, for answers without an error: Kafka tells no offsets beside one.
fn standing(target: &Target, partition: &Partition) -> PartitionResponse {
    PartitionResponse {
        high_watermark: partition.log.high_watermark(),
        last_stable_offset: partition.log.last_stable_offset(),
        log_start_offset: partition.log.log_start_offset(),
        ..unknown(target)
    }
}

fn empty(target: &Target, code: ResponseError) -> PartitionResponse {
    PartitionResponse {
        error_code: code.code(),
        ..unknown(target)
    }
}

fn unknown(target: &Target) -> PartitionResponse {
    PartitionResponse {
        index: target.key.partition,
        error_code: 0,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        diverging_epoch: None,
        current_leader: None,
        aborted: None,
        records: Vec::new(),
    }
}

/// Bytes of a partition's part of a response beside its records, about. Quotas need a size before anything is encoded.
const PARTITION_BYTES: usize = 64;

fn respond(ctx: &Context, incoming: &Incoming, fetch: Fetch, pass: Pass) -> Reply {
    let with_records = pass
        .answers
        .iter()
        .filter(|answer| !answer.records.is_empty());
    let response_bytes = pass.bytes + PARTITION_BYTES * (1 + with_records.count());
    let work_ms = incoming.work.settle(ctx);
    let throttle = ctx
        .quotas
        .fetched(incoming.caller(), response_bytes, work_ms);
    if throttle.is_emptied {
        // As if nothing had been asked for: the session tells next time what it would have told now.
        let response = Response {
            throttle_time_ms: throttle.throttle_ms,
            session_id: ctx.fetch_sessions.throttled(&fetch.handle),
            ..Response::default()
        };
        return encoded(response, incoming);
    }
    tally::count(ctx, &fetch.targets, &pass);
    let given: Vec<_> = fetch
        .targets
        .iter()
        .zip(&pass.answers)
        .map(|(target, answer)| (&target.key, given(answer)))
        .collect();
    let selected = fetch.handle.select(&given);
    let mut response = Response {
        session_id: fetch.handle.id(),
        throttle_time_ms: throttle.throttle_ms,
        ..Response::default()
    };
    let mut needs_endpoint = false;
    for ((target, mut answer), selected) in
        fetch.targets.into_iter().zip(pass.answers).zip(selected)
    {
        if !selected {
            continue;
        }
        if let Ok(partition) = &target.partition
            && redirects(answer.error_code)
        {
            answer.current_leader = Some((ctx.node_id, partition.leader_epoch));
            needs_endpoint = true;
        }
        match response.topics.last_mut() {
            Some(last) if last.id == target.id && *last.name == *target.name => {
                last.partitions.push(answer)
            }
            _ => response.topics.push(TopicResponse {
                name: target.name.to_string(),
                id: target.id,
                partitions: vec![answer],
            }),
        }
    }
    if needs_endpoint {
        let (host, port) = ctx.advertised(&incoming.connection);
        response.endpoints.push(Endpoint {
            node_id: ctx.node_id,
            host,
            port,
            rack: ctx.config().rack.clone(),
        });
    }
    encoded(response, incoming)
}

/// Whether an error comes with a hint where the leader is (KIP-951).
fn redirects(code: i16) -> bool {
    [
        ResponseError::NotLeaderOrFollower.code(),
        ResponseError::FencedLeaderEpoch.code(),
    ]
    .contains(&code)
}

fn given(answer: &PartitionResponse) -> Given {
    Given {
        high_watermark: answer.high_watermark,
        log_start_offset: answer.log_start_offset,
        has_records: !answer.records.is_empty(),
        is_error: answer.error_code != 0,
        redirects: answer.diverging_epoch.is_some(),
    }
}
