//! What clients may configure, as the config APIs name it: a type and a name.

use std::sync::Arc;

use cluster::{AlterConfigError, ConfigChange, ConfigOps, ConfigResource, TopicImage};
use wire::ResponseError;

use crate::config::alter::{AlterError, Altered, BrokerScope, Overrides};
use crate::context::Context;

/// A refusal in the words of a response.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: ResponseError,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn new(code: ResponseError, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl From<AlterError> for Refused {
    fn from(error: AlterError) -> Self {
        let code = if error.is_invalid_config() {
            ResponseError::InvalidConfig
        } else {
            ResponseError::InvalidRequest
        };
        Self::new(code, error.to_string())
    }
}

/// Something with a configuration that this broker can read and alter.
pub(crate) enum Resource {
    Topic(Arc<TopicImage>),
    ThisBroker,
    AllBrokers,
}

/// Kafka's `ConfigResource.Type` numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Stands in the partitions' records too, so the controller must hear of its change.
const MIN_ISR: &str = "min.insync.replicas";

impl Resource {
    /// Finds the resource: an unknown topic is 3, another broker's id 42.
    pub(crate) fn find(ctx: &Context, resource_type: i8, name: &str) -> Result<Self, Refused> {
        match resource_type {
            TOPIC => match ctx.image().topic(name) {
                Some(topic) => Ok(Self::Topic(Arc::clone(topic))),
                None => Err(match cluster::check_topic_name(name) {
                    Err(error) => {
                        Refused::new(ResponseError::InvalidTopicException, error.to_string())
                    }
                    Ok(()) => Refused::new(
                        ResponseError::UnknownTopicOrPartition,
                        format!("The topic '{name}' does not exist."),
                    ),
                }),
            },
            BROKER if name.is_empty() => Ok(Self::AllBrokers),
            BROKER if name.parse() == Ok(ctx.node_id) => Ok(Self::ThisBroker),
            BROKER => Err(Refused::new(
                ResponseError::InvalidRequest,
                format!(
                    "Unexpected broker id, expected {} or empty string, but received {name}",
                    ctx.node_id
                ),
            )),
            other => Err(Refused::new(
                ResponseError::InvalidRequest,
                format!("Resources of type {other} have no configuration on this broker."),
            )),
        }
    }

    /// What `topic` makes of a topic's overrides, or `broker` of a broker's; and then, unless `validate_only`, stored and
    /// in force.
    pub(crate) async fn alter(
        self,
        ctx: &Arc<Context>,
        topic: impl FnOnce(&Overrides) -> Result<Altered, AlterError>,
        broker: impl FnOnce(BrokerScope) -> Result<Altered, AlterError>,
        validate_only: bool,
    ) -> Result<(), Refused> {
        let (resource, altered) = match self {
            Self::Topic(image) => (
                ConfigResource::Topic(image.name.to_string()),
                topic(&image.configs)?,
            ),
            Self::ThisBroker => (
                ConfigResource::Broker(ctx.node_id),
                broker(BrokerScope::This)?,
            ),
            Self::AllBrokers => (ConfigResource::BrokerDefault, broker(BrokerScope::Cluster)?),
        };
        if validate_only || altered.changes.is_empty() {
            return Ok(());
        }
        let min_isr = match &resource {
            ConfigResource::Topic(_) if altered.changes.contains_key(MIN_ISR) => Some(
                ctx.config()
                    .topic_settings(&altered.overrides)
                    .min_insync_replicas,
            ),
            _ => None,
        };
        let ops = ConfigOps::Incremental(altered.changes);
        let change = ConfigChange {
            resource,
            ops,
            expected_revision: None,
            min_isr,
        };
        for outcome in ctx.controller.alter_configs(vec![change], false).await {
            outcome.map_err(|error| refused(&error))?;
        }
        ctx.apply_image().await;
        Ok(())
    }
}

fn refused(error: &AlterConfigError) -> Refused {
    Refused::new(
        crate::error_code::for_alter_config(error),
        error.to_string(),
    )
}
