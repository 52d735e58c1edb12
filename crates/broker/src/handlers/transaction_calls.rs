//! What the handlers of transactions share: the coordinator of a transactional id is found and handed a request in stage 1,
//! and waited for in stage 2.

use coordinator::transactions::{
    AddPartitions, TransactionError, TransactionReply, TransactionShard,
};
use wire::ResponseError;

use crate::context::Context;
use crate::error_code;
use crate::transactions::{Pending, Request};

/// A request that has its place in line with its coordinator.
pub(super) struct Submitted(Result<Pending, TransactionError>);

impl Submitted {
    /// What the coordinator made of it.
    pub(super) async fn wait(self) -> Result<TransactionReply, TransactionError> {
        self.0?.wait().await
    }
}

/// Hands the request to the coordinator of its transactional id.
pub(super) async fn submit(ctx: &Context, transactional_id: &str, request: Request) -> Submitted {
    let coordinator = ctx
        .transactions
        .coordinator(&ctx.topics.table(), transactional_id);
    Submitted(match coordinator {
        Ok(coordinator) => Ok(coordinator.submit(request).await),
        Err(error) => Err(error),
    })
}

/// Partitions that are being added to a transaction.
pub(super) struct Adding(Submitted);

impl Adding {
    pub(super) async fn begin(
        ctx: &Context,
        transactional_id: &str,
        request: AddPartitions,
    ) -> Self {
        Self(submit(ctx, transactional_id, Request::Add(request)).await)
    }

    pub(super) async fn wait(self) -> Result<(), TransactionError> {
        match self.0.wait().await? {
            TransactionReply::AddPartitions(result) => result,
            // A coordinator answers a request in kind.
            _ => Err(TransactionError::Internal),
        }
    }
}

/// Asks the coordinator of a transactional id, after everything that was handed to it before.
pub(super) async fn ask<T: Send + 'static>(
    ctx: &Context,
    transactional_id: &str,
    question: impl FnOnce(&TransactionShard) -> T + Send + 'static,
) -> Result<T, TransactionError> {
    let coordinator = ctx
        .transactions
        .coordinator(&ctx.topics.table(), transactional_id)?;
    coordinator.ask(question).await
}

/// The code of an error; requests below version `fenced_from` do not know that a producer may be fenced, and are told that its
/// epoch is wrong.
pub(super) fn code(error: &TransactionError, version: i16, fenced_from: i16) -> i16 {
    let code = match error_code::for_transaction(error) {
        ResponseError::ProducerFenced if version < fenced_from => {
            ResponseError::InvalidProducerEpoch
        }
        code => code,
    };
    code.code()
}
