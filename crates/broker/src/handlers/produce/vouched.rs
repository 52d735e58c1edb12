//! What a transactional batch needs before it is appended: that the coordinator of its transaction has, or takes, the partition into
//! the transaction (T6; KIP-890; Kafka's `ReplicaManager.handleProduceAppend`).

use std::sync::Arc;

use coordinator::transactions::TransactionError;
use foldhash::HashMap;
use storage::{Origin, VerificationGuard};
use uuid::Uuid;
use wire::ResponseError;
use wire::batch::BatchHeader;
use wire::messages::ProduceRequest;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};

use crate::context::Context;
use crate::error_code;
use crate::topics::{Topic, TopicMap};
use crate::transactions::Enter;

/// From here on a producer does not say beforehand where it will write.
const ADDS_PARTITIONS: i16 = 12;
/// From here on it knows that it may abort and go on.
const KNOWS_ABORTABLE: i16 = 11;

/// The coordinator's word for the partitions of one request whose producer has no transaction open there yet.
#[derive(Debug, Default)]
pub(super) struct Vouched(HashMap<(Uuid, i32), Result<VerificationGuard, ResponseError>>);

/// One partition that the coordinator is asked about.
struct Asked {
    key: (Uuid, i32),
    name: Arc<str>,
    guard: VerificationGuard,
}

/// Who writes, in which transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Producer {
    id: i64,
    epoch: i16,
}

impl Vouched {
    /// Asks the coordinator where that is necessary; waits for it at most as long as [`crate::transactions`] does.
    ///
    /// # Errors
    /// What is wrong with the request as a whole, so that no partition of it is taken. One transactional batch is enough
    /// (`KafkaApis.handleProduceRequest`); stored, it would hold back every read_committed consumer for good.
    pub(super) async fn for_request(
        ctx: &Context,
        topics: &TopicMap,
        request: &ProduceRequest,
        version: i16,
    ) -> Result<Self, ResponseError> {
        let Some(producer) = producer_of(request)? else {
            return Ok(Self::default());
        };
        let Some(transactional_id) = &request.transactional_id else {
            return Err(ResponseError::TransactionalIdAuthorizationFailed);
        };
        let asked = open_questions(topics, request, version);
        if asked.is_empty() {
            return Ok(Self::default());
        }
        let how = if version >= ADDS_PARTITIONS {
            Enter::Add
        } else {
            Enter::Verify
        };
        let partitions = asked.iter().map(|it| (Arc::clone(&it.name), it.key.1));
        let Producer { id, epoch } = producer;
        let entered = if how == Enter::Verify && !ctx.config().verify_transactions {
            Ok(vec![Ok(()); asked.len()])
        } else {
            let partitions = partitions.collect();
            let transactions = &ctx.transactions;
            transactions
                .enter(ctx, transactional_id, id, epoch, partitions, how)
                .await
        };
        let results: Vec<Result<(), TransactionError>> = match entered {
            Ok(results) => results,
            Err(error) => vec![Err(error); asked.len()],
        };
        let words = asked.into_iter().zip(results).map(|(asked, result)| {
            let word = result.map(|()| asked.guard);
            (asked.key, word.map_err(|error| code(&error, version)))
        });
        Ok(Self(words.collect()))
    }

    /// How a batch is to be appended.
    ///
    /// # Errors
    /// When the coordinator does not vouch for it.
    pub(super) fn origin(
        &self,
        topic: &Topic,
        index: i32,
        batch: &BatchHeader,
    ) -> Result<Origin, ResponseError> {
        if !batch.attributes.is_transactional() {
            return Ok(Origin::Client);
        }
        match self.0.get(&(topic.id(), index)) {
            // Its transaction is open there; if it is not any more, the log refuses.
            None => Ok(Origin::Client),
            Some(Ok(guard)) => Ok(Origin::Verified(*guard)),
            Some(Err(code)) => Err(*code),
        }
    }
}

/// The producer of the request's transactional batches, if there are any.
fn producer_of(request: &ProduceRequest) -> Result<Option<Producer>, ResponseError> {
    let mut found = None;
    for batch in transactional(request).map(|(_, _, batch)| batch) {
        let producer = Producer {
            id: batch.producer_id,
            epoch: batch.producer_epoch,
        };
        if found
            .replace(producer)
            .is_some_and(|other| other != producer)
        {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
    }
    Ok(found)
}

fn transactional(
    request: &ProduceRequest,
) -> impl Iterator<Item = (&TopicProduceData, &PartitionProduceData, BatchHeader)> {
    let all = request.topic_data.iter().flat_map(|topic| {
        let partitions = topic.partition_data.iter();
        partitions.map(move |data| (topic, data))
    });
    all.filter_map(|(topic, data)| {
        let batch = BatchHeader::parse(data.records.as_deref()?).ok()?;
        let is_transactional = batch.attributes.is_transactional();
        is_transactional.then_some((topic, data, batch))
    })
}

/// The partitions led here in which the producer has no transaction open.
fn open_questions(topics: &TopicMap, request: &ProduceRequest, version: i16) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    for (data, partition, batch) in transactional(request) {
        let Some(topic) = super::topic_of(topics, data, version) else {
            continue;
        };
        let Ok(led) = topic.led(partition.index) else {
            continue;
        };
        let guard = led.log.begin_verification(
            batch.producer_id,
            batch.producer_epoch,
            batch.base_sequence,
            version >= ADDS_PARTITIONS,
        );
        let key = (topic.id(), partition.index);
        if let Some(guard) = guard
            && asked.iter().all(|other| other.key != key)
        {
            asked.push(Asked {
                key,
                name: Arc::clone(topic.name()),
                guard,
            });
        }
    }
    asked
}

/// What the coordinator's refusal means to a producer of this version (`ReplicaManager.handleProduceAppend`,
/// `AddPartitionsToTxnManager`).
fn code(error: &TransactionError, version: i16) -> ResponseError {
    match error_code::for_transaction(error) {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        ResponseError::TransactionAbortable if version < KNOWS_ABORTABLE => {
            ResponseError::InvalidTxnState
        }
        // Older producers would not try these again as they should, and this one without asking for metadata.
        ResponseError::ConcurrentTransactions
        | ResponseError::CoordinatorLoadInProgress
        | ResponseError::CoordinatorNotAvailable
        | ResponseError::NotCoordinator
            if version < ADDS_PARTITIONS =>
        {
            ResponseError::NotEnoughReplicas
        }
        code => code,
    }
}
