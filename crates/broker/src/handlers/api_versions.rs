//! ApiVersions (key 18), v0–v5: what this broker speaks, straight from the table of APIs.
//!
//! v3 flexible, with the client's software (KIP-511) and features (KIP-584) · v4 features whose minimum is 0 · v5 the
//! cluster and node the client believes to talk to, both or neither (REBOOTSTRAP_REQUIRED when they are not ours).
//! An unknown version is answered with error 35 in the layout of v0 (N1); the response header is always v0.
//! The one feature with levels is `transaction.version`: clients that see it at 2 follow the rules of KIP-890.

use std::sync::Arc;

use bytes::Bytes;
use wire::ResponseError;
use wire::StrBytes;
use wire::api_versions::ApiVersionsRequest;
use wire::messages::ApiVersionsResponse;
use wire::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};

use crate::apis::{self, APIS, Answer, Incoming};
use crate::context::Context;

pub(crate) const KEY: i16 = 18;
pub(crate) const MIN: i16 = 0;
pub(crate) const MAX: i16 = 5;
const FEATURES_FROM: i16 = 3;
/// Clients of older versions fail on a feature whose lowest level is 0 (N5).
const FEATURES_FROM_0: i16 = 4;
const TRANSACTION_VERSION: StrBytes = StrBytes::from_static_str("transaction.version");
const TRANSACTION_VERSION_MAX: i16 = 2;
/// REBOOTSTRAP_REQUIRED.
const REBOOTSTRAP_REQUIRED: i16 = 129;

pub(crate) async fn run(ctx: Arc<Context>, incoming: Incoming, body: Bytes) -> Answer {
    let head = &incoming.head;
    if !(MIN..=MAX).contains(&head.api_version) {
        // The layout of v0 has no features.
        let response = apis_spoken().with_error_code(ResponseError::UnsupportedVersion.code());
        return apis::encode(&ctx, response, &incoming, 0);
    }
    let request = match apis::decode::<ApiVersionsRequest>(head, body) {
        Ok(request) => request,
        Err(close) => return close,
    };
    let response = match refusal(&ctx, &request, head.api_version) {
        None => {
            // Before v3 they are empty.
            if !request.client_software_name.is_empty() {
                incoming.connection.introduce(
                    &request.client_software_name,
                    &request.client_software_version,
                );
            }
            tracing::debug!(
                connection = incoming.connection.id,
                software = request.client_software_name.as_str(),
                software_version = request.client_software_version.as_str(),
                "client"
            );
            spoken(&ctx, head.api_version)
        }
        Some(code) => ApiVersionsResponse::default().with_error_code(code),
    };
    apis::encode(&ctx, response, &incoming, head.api_version)
}

fn refusal(ctx: &Context, request: &ApiVersionsRequest, version: i16) -> Option<i16> {
    let named = is_software_word(&request.client_software_name)
        && is_software_word(&request.client_software_version);
    if version >= 3 && !named {
        return Some(ResponseError::InvalidRequest.code());
    }
    if version < 5 {
        return None;
    }
    match (&request.cluster_id, request.node_id) {
        (None, -1) => None,
        (Some(cluster), node) if node != -1 => {
            let is_this = cluster.as_str() == ctx.image().cluster_id && node == ctx.node_id;
            (!is_this).then_some(REBOOTSTRAP_REQUIRED)
        }
        // One without the other.
        _ => Some(ResponseError::InvalidRequest.code()),
    }
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?` (`ApiVersionsRequest.isValid`).
fn is_software_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

fn spoken(ctx: &Context, version: i16) -> ApiVersionsResponse {
    let response = apis_spoken();
    if version < FEATURES_FROM {
        return response;
    }
    let supported = SupportedFeatureKey::default()
        .with_name(TRANSACTION_VERSION)
        .with_min_version(0)
        .with_max_version(TRANSACTION_VERSION_MAX);
    let finalized = FinalizedFeatureKey::default()
        .with_name(TRANSACTION_VERSION)
        .with_min_version_level(TRANSACTION_VERSION_MAX)
        .with_max_version_level(TRANSACTION_VERSION_MAX);
    let supported = (version >= FEATURES_FROM_0).then_some(supported);
    response
        .with_supported_features(supported.into_iter().collect())
        .with_finalized_features(vec![finalized])
        .with_finalized_features_epoch(ctx.image().revision)
}

fn apis_spoken() -> ApiVersionsResponse {
    let keys = APIS.iter().map(|api| {
        ApiVersion::default()
            .with_api_key(api.key)
            .with_min_version(api.advertised_min)
            .with_max_version(api.max)
    });
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_words_follow_kafkas_pattern() {
        for good in ["a", "apache-kafka-java", "4.4.0", "A1.b-c9"] {
            assert!(is_software_word(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "a b", "a_b", "a\n", "ä"] {
            assert!(!is_software_word(bad), "{bad}");
        }
    }
}
