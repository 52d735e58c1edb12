//! TxnOffsetCommit (key 28), v0–v4: a producer commits a group's offsets with its transaction; they are pending until it ends.
//!
//! v2 leader epoch · v3 flexible, and the consumer's member id, generation and `group_instance_id`, which fence the producer with it
//! (KIP-447) · v4 TRANSACTION_ABORTABLE may be answered · v5 adds the group to the transaction (KIP-890).
//! The transaction's coordinator is asked in stage 1, unless the transaction has committed offsets there before.

use std::sync::Arc;

use coordinator::event::{CommitRequest, PartitionCommit, TopicResults};
use coordinator::{Event, GroupError, Producer, Reply};
use storage::VerificationGuard;
use wire::ResponseError;
use wire::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use wire::messages::{TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::group_calls::{Submitted, owned, owned_or_none, submit_verified};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::coordinators::partition_of;
use crate::error_code;
use crate::groups::OFFSETS_TOPIC;
use crate::topics::TopicMap;
use crate::transactions::Enter;

pub(crate) struct TxnOffsetCommit;

/// Producers before 2.3 crash when they are told that the coordinator loads (KAFKA-7296).
const LOADING_FROM: i16 = 2;
/// From here on a producer knows that it may abort and go on.
const KNOWS_ABORTABLE: i16 = 4;
/// From here on it does not say beforehand that it will commit for the group.
const ADDS_GROUP: i16 = 5;

impl WaitingHandler for TxnOffsetCommit {
    type Request = TxnOffsetCommitRequest;
    const NAME: &'static str = "TxnOffsetCommit";
    const MIN: i16 = 0;
    const MAX: i16 = 5;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<TxnOffsetCommitRequest>,
    ) -> impl Future<Output = TxnOffsetCommitResponse> + Send + 'static {
        let table = ctx.topics.snapshot();
        let topics = call.request.topics.iter();
        let asked: Vec<Asked> = topics.map(|topic| Asked::of(topic, &table)).collect();
        let submitted = if asked.iter().any(Asked::is_known) {
            hand_in(ctx, &table, &call.request, call.version).await
        } else {
            Err(ResponseError::UnknownTopicOrPartition)
        };
        async move {
            let version = call.version;
            let results = match submitted {
                Ok(pending) => pending.wait().await.map_err(|error| code(&error, version)),
                Err(code) => Err(code.code()),
            };
            answer(asked, &results, version)
        }
    }
}

/// Asks the transaction's coordinator, and hands the commit to the group's.
async fn hand_in(
    ctx: &Context,
    table: &TopicMap,
    request: &TxnOffsetCommitRequest,
    version: i16,
) -> Result<Submitted<Vec<TopicResults>>, ResponseError> {
    let guard = vouched(ctx, table, request, version).await?;
    let commit = commit(request);
    let submitted = submit_verified(
        ctx,
        &request.group_id,
        move |ticket| Event::CommitOffsets(ticket, commit),
        guard,
        |reply| match reply {
            Reply::CommitOffsets(result) => Some(result),
            _ => None,
        },
    );
    Ok(submitted.await)
}

/// What the log of the group's offsets needs to take the first of a transaction; `None` for those after it. A group that is
/// coordinated elsewhere is refused by whoever is asked next.
async fn vouched(
    ctx: &Context,
    table: &TopicMap,
    request: &TxnOffsetCommitRequest,
    version: i16,
) -> Result<Option<VerificationGuard>, ResponseError> {
    let (id, epoch) = (request.producer_id.0, request.producer_epoch);
    let led = table.named(OFFSETS_TOPIC).and_then(|topic| {
        let index = partition_of(&request.group_id, topic);
        Some((index, topic.led(index).ok()?))
    });
    // Offsets have no sequences: any of them may come first.
    let begun = led.and_then(|(index, led)| {
        let bumps_epoch = version >= ADDS_GROUP;
        let guard = led
            .log
            .begin_verification(id, epoch, i32::MAX, bumps_epoch)?;
        Some((index, guard))
    });
    let Some((index, guard)) = begun else {
        return Ok(None);
    };
    let how = if version >= ADDS_GROUP {
        Enter::Add
    } else {
        Enter::Verify
    };
    if how == Enter::Verify && !ctx.config().verify_transactions {
        return Ok(Some(guard));
    }
    let partitions = vec![(Arc::from(OFFSETS_TOPIC), index)];
    let entered = ctx
        .transactions
        .enter(ctx, &request.transactional_id, id, epoch, partitions, how)
        .await;
    let entered = entered.and_then(|results| results.into_iter().collect::<Result<Vec<()>, _>>());
    match entered {
        Ok(_) => Ok(Some(guard)),
        Err(error) => Err(match error_code::for_transaction(&error) {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            ResponseError::TransactionAbortable if version < KNOWS_ABORTABLE => {
                ResponseError::InvalidTxnState
            }
            code => code,
        }),
    }
}

fn commit(request: &TxnOffsetCommitRequest) -> CommitRequest {
    CommitRequest {
        group_id: owned(&request.group_id),
        generation_or_epoch: request.generation_id,
        member_id: owned(&request.member_id),
        group_instance_id: owned_or_none(&request.group_instance_id),
        retention_time_ms: None,
        knows_new_group_errors: false,
        transaction: Some(Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        }),
        topics: request
            .topics
            .iter()
            .map(|topic| (owned(&topic.name), commits(topic)))
            .collect(),
    }
}

fn commits(topic: &TxnOffsetCommitRequestTopic) -> Vec<PartitionCommit> {
    let commits = topic.partitions.iter().map(|partition| PartitionCommit {
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: owned_or_none(&partition.committed_metadata),
    });
    commits.collect()
}

/// What a request says of one topic, for its answer.
struct Asked {
    name: TopicName,
    /// Index, and whether there is such a partition.
    partitions: Vec<(i32, bool)>,
}

impl Asked {
    fn of(topic: &TxnOffsetCommitRequestTopic, table: &TopicMap) -> Self {
        let known = table.named(&topic.name);
        let count = known.map_or(0, |known| known.partition_count());
        let indexes = topic.partitions.iter().map(|it| it.partition_index);
        let is_known = |index| usize::try_from(index).is_ok_and(|index| index < count);
        Self {
            name: topic.name.clone(),
            partitions: indexes.map(|index| (index, is_known(index))).collect(),
        }
    }

    fn is_known(&self) -> bool {
        self.partitions.iter().any(|(_, known)| *known)
    }
}

/// A failure of the whole has no place of its own: every partition carries it that exists.
fn answer(
    asked: Vec<Asked>,
    results: &Result<Vec<TopicResults>, i16>,
    version: i16,
) -> TxnOffsetCommitResponse {
    let code_at = |topic: usize, partition: usize| match results {
        Err(code) => *code,
        Ok(results) => {
            let found = results
                .get(topic)
                .and_then(|it| it.partitions.get(partition));
            match found {
                Some((_, Ok(()))) => 0,
                Some((_, Err(error))) => code(error, version),
                None => ResponseError::UnknownServerError.code(),
            }
        }
    };
    let topics = asked.into_iter().enumerate().map(|(topic, asked)| {
        let partitions = asked.partitions.into_iter().enumerate();
        let partitions = partitions.map(|(at, (index, is_known))| {
            let code = match is_known {
                true => code_at(topic, at),
                false => ResponseError::UnknownTopicOrPartition.code(),
            };
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code)
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(asked.name)
            .with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn code(error: &GroupError, version: i16) -> i16 {
    let code = match error_code::for_group(error) {
        ResponseError::CoordinatorLoadInProgress if version < LOADING_FROM => {
            ResponseError::CoordinatorNotAvailable
        }
        code => code,
    };
    code.code()
}
