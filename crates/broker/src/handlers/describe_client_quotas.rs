//! DescribeClientQuotas (key 48), v0–v1: the quotas of the entities that a filter matches (KIP-546, KIP-612).
//!
//! v1 flexible. What a filter may say, and with which error the rest is refused, is Kafka's `ClientQuotasImage.describe`.

use std::sync::Arc;

use cluster::{QUOTA_CLIENT_ID, QUOTA_IP, QUOTA_USER, QuotaEntity, QuotaImage};
use wire::messages::describe_client_quotas_request::ComponentData;
use wire::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use wire::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use wire::{ResponseError, StrBytes};

use crate::apis::{Call, Handler};
use crate::config_resources::Refused;
use crate::context::Context;

pub(crate) struct DescribeClientQuotas;

impl Handler for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;
    const NAME: &'static str = "DescribeClientQuotas";
    const MIN: i16 = 0;
    const MAX: i16 = 1;

    async fn handle(
        ctx: &Arc<Context>,
        call: Call<DescribeClientQuotasRequest>,
    ) -> DescribeClientQuotasResponse {
        match Filter::of(&call.request) {
            Ok(filter) => {
                let image = ctx.image();
                let found = image.quotas().filter(|(entity, _)| filter.matches(entity));
                DescribeClientQuotasResponse::default().with_entries(Some(
                    found.map(|(entity, quota)| entry(entity, quota)).collect(),
                ))
            }
            Err(refused) => DescribeClientQuotasResponse::default()
                .with_error_code(refused.code.code())
                .with_error_message(Some(StrBytes::from_string(refused.message)))
                .with_entries(None),
        }
    }
}

/// What one component of a filter asks of the entity's part of its type.
enum Wanted {
    Name(StrBytes),
    Default,
    Any,
}

/// What is asked of an entity's parts, by type.
struct Filter {
    parts: Vec<(StrBytes, Wanted)>,
    /// Whether the entity may have no other part.
    strict: bool,
}

impl Filter {
    fn of(request: &DescribeClientQuotasRequest) -> Result<Self, Refused> {
        let mut parts: Vec<(StrBytes, Wanted)> = Vec::with_capacity(3);
        for component in &request.components {
            let kind = &component.entity_type;
            if kind.is_empty() {
                return invalid("Invalid empty entity type.");
            }
            if parts.iter().any(|(other, _)| other == kind) {
                return invalid(format!(
                    "Entity type {} cannot appear more than once in the filter.",
                    kind.as_str()
                ));
            }
            if ![QUOTA_USER, QUOTA_CLIENT_ID, QUOTA_IP].contains(&kind.as_str()) {
                return Err(Refused::new(
                    ResponseError::UnsupportedVersion,
                    format!("Unsupported entity type {}", kind.as_str()),
                ));
            }
            parts.push((kind.clone(), wanted(component)?));
        }
        if parts.len() > 1 && parts.iter().any(|(kind, _)| kind.as_str() == QUOTA_IP) {
            return invalid(
                "Invalid entity filter component combination. IP filter component should not be used with user or \
                 clientId filter component.",
            );
        }
        Ok(Self {
            parts,
            strict: request.strict,
        })
    }

    fn matches(&self, entity: &QuotaEntity) -> bool {
        let is_met = |(kind, wanted): &(StrBytes, Wanted)| {
            let part = entity.parts().find(|(part, _)| *part == kind.as_str());
            match (part, wanted) {
                (None, _) => false,
                (Some(_), Wanted::Any) => true,
                (Some((_, name)), Wanted::Default) => name.is_none(),
                (Some((_, name)), Wanted::Name(wanted)) => name == Some(wanted.as_str()),
            }
        };
        (!self.strict || entity.parts().count() == self.parts.len())
            && self.parts.iter().all(is_met)
    }
}

fn wanted(component: &ComponentData) -> Result<Wanted, Refused> {
    let stray = |kind: &str| {
        invalid(format!(
            "Request specified MATCH_TYPE_{kind}, but also specified a match string."
        ))
    };
    match (component.match_type, &component._match) {
        (0, Some(name)) => Ok(Wanted::Name(name.clone())),
        (0, None) => invalid("Request specified MATCH_TYPE_EXACT, but set match string to null."),
        (1, None) => Ok(Wanted::Default),
        (1, Some(_)) => stray("DEFAULT"),
        (2, None) => Ok(Wanted::Any),
        (2, Some(_)) => stray("SPECIFIED"),
        (other, _) => invalid(format!("Unknown match type {other}")),
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::new(ResponseError::InvalidRequest, message))
}

fn entry(entity: &QuotaEntity, quota: &QuotaImage) -> EntryData {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let parts = entity.parts().map(|(kind, name)| {
        EntityData::default()
            .with_entity_type(StrBytes::from_static_str(kind))
            .with_entity_name(name.map(text))
    });
    let values = quota
        .values
        .iter()
        .map(|(key, value)| ValueData::default().with_key(text(key)).with_value(*value));
    EntryData::default()
        .with_entity(parts.collect())
        .with_values(values.collect())
}
