//! AddOffsetsToTxn (key 25), v0–v4: the offsets of a group become part of a transaction, which is to say the partition of
//! `__consumer_offsets` that keeps them. Clients of version 2 of transactions do without it (TxnOffsetCommit v5).
//!
//! v2 PRODUCER_FENCED · v3 flexible · v4 TRANSACTION_ABORTABLE may be answered.

use std::sync::Arc;

use coordinator::transactions::{
    AddPartitions, TopicPartition, TransactionError, TransactionVersion,
};
use wire::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::group_calls::owned;
use super::transaction_calls::{Adding, code};
use crate::apis::{Call, WaitingHandler};
use crate::context::Context;
use crate::coordinators::partition_of;
use crate::groups::OFFSETS_TOPIC;

pub(crate) struct AddOffsetsToTxn;

const FENCED_FROM: i16 = 2;

impl WaitingHandler for AddOffsetsToTxn {
    type Request = AddOffsetsToTxnRequest;
    const NAME: &'static str = "AddOffsetsToTxn";
    const MIN: i16 = 0;
    const MAX: i16 = 4;

    async fn take_up(
        ctx: &Arc<Context>,
        call: Call<AddOffsetsToTxnRequest>,
    ) -> impl Future<Output = AddOffsetsToTxnResponse> + Send + 'static {
        let version = call.version;
        let adding = match request(ctx, &call.request) {
            Ok(request) => Ok(Adding::begin(ctx, &call.request.transactional_id, request).await),
            Err(error) => Err(error),
        };
        async move {
            let added = match adding {
                Ok(adding) => adding.wait().await,
                Err(error) => Err(error),
            };
            let code = added.map_or_else(|error| code(&error, version, FENCED_FROM), |()| 0);
            AddOffsetsToTxnResponse::default().with_error_code(code)
        }
    }
}

/// Fails with `CoordinatorUnavailable` when nobody has asked for the group's coordinator yet.
fn request(
    ctx: &Context,
    request: &AddOffsetsToTxnRequest,
) -> Result<AddPartitions, TransactionError> {
    let topics = ctx.topics.table();
    let offsets = topics
        .named(OFFSETS_TOPIC)
        .ok_or(TransactionError::CoordinatorUnavailable)?;
    let partition = TopicPartition {
        topic: Arc::clone(offsets.name()),
        partition: partition_of(&request.group_id, offsets),
    };
    Ok(AddPartitions {
        transactional_id: owned(&request.transactional_id),
        producer_id: request.producer_id.0,
        epoch: request.producer_epoch,
        partitions: vec![partition],
        version: TransactionVersion::V1,
    })
}
