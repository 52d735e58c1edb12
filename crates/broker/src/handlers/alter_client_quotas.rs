//! AlterClientQuotas (key 49), v0–v1: limits of users, client ids and addresses are set and removed (KIP-546, KIP-612).
//!
//! v1 flexible. Entries stand and fall alone; what changed is in force before the answer leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{QUOTA_IP, QuotaAlteration};
use tokio::time::Instant;
use wire::StrBytes;
use wire::messages::alter_client_quotas_request::EntryData;
use wire::messages::alter_client_quotas_response::{EntityData, EntryData as EntryResult};
use wire::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};

use crate::apis::{Call, Handler};
use crate::clock;
use crate::context::Context;
use crate::error_code;
use crate::quotas::hosts;

pub(crate) struct AlterClientQuotas;

impl Handler for AlterClientQuotas {
    type Request = AlterClientQuotasRequest;
    const NAME: &'static str = "AlterClientQuotas";
    const MIN: i16 = 0;
    const MAX: i16 = 1;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<AlterClientQuotasRequest>,
    ) -> AlterClientQuotasResponse {
        let validate_only = call.request.validate_only;
        let mut alterations = Vec::with_capacity(call.request.entries.len());
        let deadline = clock::monotonic() + hosts::LOOKUP_MAX;
        for entry in call.request.entries {
            alterations.push(alteration(entry, deadline).await);
        }
        let entities: Vec<_> = alterations
            .iter()
            .map(|alteration| alteration.entity.clone())
            .collect();
        let outcomes = ctx
            .controller
            .alter_client_quotas(alterations, validate_only)
            .await;
        if !validate_only {
            ctx.apply_image().await;
        }
        // An entity that came twice is answered once, with what was said last (`AlterClientQuotasResponse.fromQuotaEntities`).
        let answers: BTreeMap<_, _> = entities.into_iter().zip(outcomes).collect();
        let results = answers.into_iter().map(|(entity, outcome)| {
            let result = EntryResult::default().with_entity(parts(entity));
            match outcome {
                Ok(()) => result.with_error_message(None),
                Err(error) => result
                    .with_error_code(error_code::for_alter_quota(&error).code())
                    .with_error_message(Some(StrBytes::from_string(error.to_string()))),
            }
        });
        AlterClientQuotasResponse::default().with_entries(results.collect())
    }
}

async fn alteration(entry: EntryData, deadline: Instant) -> QuotaAlteration {
    let entity: BTreeMap<_, _> = entry
        .entity
        .into_iter()
        .map(|part| {
            let name = part.entity_name.map(|name| name.to_string());
            (part.entity_type.to_string(), name)
        })
        .collect();
    let host_is_known = match entity.get(QUOTA_IP) {
        Some(Some(host)) => hosts::address_of(host, deadline).await.is_some(),
        _ => true,
    };
    let ops = entry
        .ops
        .into_iter()
        .map(|op| (op.key.to_string(), (!op.remove).then_some(op.value)));
    QuotaAlteration {
        entity,
        ops: ops.collect(),
        host_is_known,
    }
}

fn parts(entity: BTreeMap<String, Option<String>>) -> Vec<EntityData> {
    entity
        .into_iter()
        .map(|(kind, name)| {
            EntityData::default()
                .with_entity_type(StrBytes::from_string(kind))
                .with_entity_name(name.map(StrBytes::from_string))
        })
        .collect()
}
