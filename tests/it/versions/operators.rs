//! Quotas, telemetry of clients, and what has a configuration.

use uuid::Uuid;
use wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use wire::messages::describe_client_quotas_request::ComponentData;
use wire::messages::{
    AlterClientQuotasRequest, DescribeClientQuotasRequest, GetTelemetrySubscriptionsRequest,
    ListConfigResourcesRequest, PushTelemetryRequest,
};

use super::{Asker, text};

pub(super) async fn operators(asker: &mut Asker) {
    quotas(asker).await;
    telemetry(asker).await;
    let list = |_| ListConfigResourcesRequest::default();
    asker
        .every(0, list, |version, answer| {
            assert_eq!(answer.error_code, 0, "ListConfigResources v{version}");
            let none = answer.config_resources.is_empty();
            assert_eq!(none, version == 0, "ListConfigResources v{version}");
        })
        .await;
    let unknown = |_| ListConfigResourcesRequest::default().with_resource_types(vec![99]);
    asker
        .every(1, unknown, |version, answer| {
            assert_eq!(answer.error_code, 35, "ListConfigResources v{version}");
        })
        .await;
}

async fn quotas(asker: &mut Asker) {
    for key in ["consumer_byte_rate", "no.such.quota"] {
        let alter = |_| {
            let entity = EntityData::default()
                .with_entity_type(text("user"))
                .with_entity_name(Some(text("alice")));
            let op = OpData::default().with_key(text(key)).with_value(1e6);
            let entry = EntryData::default()
                .with_entity(vec![entity])
                .with_ops(vec![op]);
            AlterClientQuotasRequest::default().with_entries(vec![entry])
        };
        asker
            .every(0, alter, |version, answer| {
                let taken = answer.entries[0].error_code == 0;
                assert_eq!(
                    taken,
                    key == "consumer_byte_rate",
                    "AlterClientQuotas v{version}"
                );
            })
            .await;
    }
    for kind in ["user", "nobody"] {
        let describe = |_| {
            let any = ComponentData::default()
                .with_entity_type(text(kind))
                .with_match_type(2)
                .with_match(None);
            DescribeClientQuotasRequest::default().with_components(vec![any])
        };
        asker
            .every(0, describe, |version, answer| {
                assert_eq!(
                    answer.error_code == 0,
                    kind == "user",
                    "DescribeClientQuotas v{version}"
                );
            })
            .await;
    }
}

async fn telemetry(asker: &mut Asker) {
    let instance = Uuid::from_u128(1 << 64);
    for code in [0, 89] {
        let ask = |_| GetTelemetrySubscriptionsRequest::default().with_client_instance_id(instance);
        asker
            .every(0, ask, |version, answer| {
                assert_eq!(
                    answer.error_code, code,
                    "GetTelemetrySubscriptions v{version}"
                );
            })
            .await;
    }
    let push = |_| PushTelemetryRequest::default().with_client_instance_id(instance);
    asker
        .every(0, push, |version, answer| {
            assert_eq!(answer.error_code, 117, "PushTelemetry v{version}");
        })
        .await;
}
