//! What clients may configure, as the config APIs name it: a type and a name.

use std::collections::HashMap;
use std::sync::Arc;

use cluster::{AlterConfigError, ConfigChange, ConfigOps, ConfigResource, TopicImage};
use wire::{ResponseError, StrBytes};

use crate::config::alter::{AlterError, Altered, BrokerScope, Overrides, Wish, check_alterations};
use crate::config::describe::Row;
use crate::config::layers::Source;
use crate::context::Context;
use crate::log_filter::{LogFilter, LoggerError};
use crate::quotas::QuotaExceeded;

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

    fn request(message: impl Into<String>) -> Self {
        Self::new(ResponseError::InvalidRequest, message)
    }
}

impl From<QuotaExceeded> for Refused {
    fn from(error: QuotaExceeded) -> Self {
        Self::new(ResponseError::ThrottlingQuotaExceeded, error.to_string())
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

impl From<LoggerError> for Refused {
    fn from(error: LoggerError) -> Self {
        let code = match error {
            LoggerError::Unknown(_) | LoggerError::Level { .. } => ResponseError::InvalidConfig,
            LoggerError::Root | LoggerError::Operation(_) => ResponseError::InvalidRequest,
            LoggerError::Filter(_) => ResponseError::UnknownServerError,
        };
        Self::new(code, error.to_string())
    }
}

/// Something with a configuration that this broker can read and alter.
pub(crate) enum Resource {
    Topic(Arc<TopicImage>),
    ThisBroker,
    AllBrokers,
    ThisBrokersLoggers,
    ClientMetrics(String),
    Group(String),
}

/// Kafka's `ConfigResource.Type` numbers.
pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const BROKER_LOGGER: i8 = 8;
pub(crate) const CLIENT_METRICS: i8 = 16;
pub(crate) const GROUP: i8 = 32;
/// Stands in the partitions' records too, so the controller must hear of its change.
const MIN_ISR: &str = "min.insync.replicas";

/// How often a request names each resource; Kafka refuses those that are named twice.
#[derive(Default)]
pub(crate) struct Naming(HashMap<(i8, StrBytes), usize>);

impl Naming {
    pub(crate) fn of<'a>(resources: impl Iterator<Item = (i8, &'a StrBytes)>) -> Self {
        let mut times = HashMap::new();
        for (kind, name) in resources {
            *times.entry((kind, name.clone())).or_default() += 1;
        }
        Self(times)
    }

    pub(crate) fn check(&self, kind: i8, name: &StrBytes) -> Result<(), Refused> {
        if self.0.get(&(kind, name.clone())) == Some(&1) {
            return Ok(());
        }
        Err(Refused::request("Each resource must appear at most once."))
    }
}

impl Resource {
    /// Finds what is to be described: an unknown topic is 3, another broker's id 42 (`ConfigHelper`).
    pub(crate) fn to_describe(ctx: &Context, kind: i8, name: &str) -> Result<Self, Refused> {
        let node_id = ctx.node_id;
        match kind {
            TOPIC => topic(ctx, name),
            BROKER if name.is_empty() => Ok(Self::AllBrokers),
            BROKER if broker_id(name)? == node_id => Ok(Self::ThisBroker),
            BROKER => Err(Refused::request(format!(
                "Unexpected broker id, expected {node_id} or empty string, but received {name}"
            ))),
            BROKER_LOGGER if name.is_empty() => {
                Err(Refused::request("Broker id must not be empty"))
            }
            BROKER_LOGGER if broker_id(name)? == node_id => Ok(Self::ThisBrokersLoggers),
            BROKER_LOGGER => Err(Refused::request(format!(
                "Unexpected broker id, expected {node_id} but received {name}"
            ))),
            CLIENT_METRICS if name.is_empty() => Err(Refused::request(
                "Client metrics subscription name must not be empty",
            )),
            CLIENT_METRICS => Ok(Self::ClientMetrics(name.to_owned())),
            GROUP if name.is_empty() => Err(Refused::request("Group name must not be empty")),
            GROUP => Ok(Self::Group(name.to_owned())),
            other => Err(Refused::request(format!(
                "Resources of type {other} have no configuration on this broker."
            ))),
        }
    }

    /// Finds what is to be altered (`ConfigAdminManager`).
    pub(crate) fn to_alter(ctx: &Context, kind: i8, name: &str) -> Result<Self, Refused> {
        let node_id = ctx.node_id;
        match kind {
            TOPIC => topic(ctx, name),
            BROKER if name.is_empty() => Ok(Self::AllBrokers),
            BROKER if node(name)? == node_id => Ok(Self::ThisBroker),
            BROKER => Err(Refused::request(format!(
                "Unexpected broker id, expected {node_id}, but received {name}"
            ))),
            BROKER_LOGGER if node(name)? == node_id => Ok(Self::ThisBrokersLoggers),
            BROKER_LOGGER => Err(Refused::request(format!(
                "Unexpected node id. Expected {node_id}, but received {name}"
            ))),
            CLIENT_METRICS => Ok(Self::ClientMetrics(name.to_owned())),
            GROUP => Ok(Self::Group(name.to_owned())),
            other => Err(unknown_type(other)),
        }
    }

    /// Every config of it.
    pub(crate) fn describe(&self, ctx: &Context) -> Vec<Row> {
        let config = ctx.config();
        match self {
            Self::Topic(topic) => config.describe_topic(&topic.configs),
            Self::ThisBroker => config.describe_broker(),
            Self::AllBrokers => config.describe_cluster_default(),
            Self::ThisBrokersLoggers => loggers(ctx.log_filter.as_deref()),
            Self::ClientMetrics(name) => config.describe_client_metrics(&stored(
                ctx,
                &ConfigResource::ClientMetrics(name.clone()),
            )),
            Self::Group(name) => {
                config.describe_group(&stored(ctx, &ConfigResource::Group(name.clone())))
            }
        }
    }

    /// Makes its settings what is wished; unless `validate_only`, they are stored and in force when this returns.
    pub(crate) async fn alter(
        self,
        ctx: &Arc<Context>,
        wish: Wish<'_>,
        validate_only: bool,
    ) -> Result<(), Refused> {
        let Some((resource, altered)) = self.altered(ctx, wish)? else {
            return alter_loggers(ctx.log_filter.as_deref(), wish, validate_only);
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

    /// What would be stored, and under which resource; `None` for loggers, of which nothing is.
    fn altered(
        self,
        ctx: &Context,
        wish: Wish<'_>,
    ) -> Result<Option<(ConfigResource, Altered)>, AlterError> {
        let config = ctx.config();
        let broker = |scope| match wish {
            Wish::Alter(alterations) => config.alter_broker(scope, alterations),
            Wish::Replace(entries) => config.replace_broker(scope, entries),
        };
        Ok(Some(match self {
            Self::Topic(image) => {
                let altered = match wish {
                    Wish::Alter(alterations) => config.alter_topic(&image.configs, alterations)?,
                    Wish::Replace(entries) => config.replace_topic(&image.configs, entries)?,
                };
                (ConfigResource::Topic(image.name.to_string()), altered)
            }
            Self::ThisBroker => (
                ConfigResource::Broker(ctx.node_id),
                broker(BrokerScope::This)?,
            ),
            Self::AllBrokers => (ConfigResource::BrokerDefault, broker(BrokerScope::Cluster)?),
            Self::ThisBrokersLoggers => return Ok(None),
            Self::ClientMetrics(name) => {
                let resource = ConfigResource::ClientMetrics(name.clone());
                let current = stored(ctx, &resource);
                let altered = config.change_client_metrics(&name, &current, wish)?;
                (resource, altered)
            }
            Self::Group(name) => {
                let resource = ConfigResource::Group(name.clone());
                let current = stored(ctx, &resource);
                (resource, config.change_group(&name, &current, wish)?)
            }
        }))
    }
}

pub(crate) fn unknown_type(kind: i8) -> Refused {
    Refused::request(format!("Unknown resource type {kind}"))
}

fn topic(ctx: &Context, name: &str) -> Result<Resource, Refused> {
    if let Some(topic) = ctx.image().topic(name) {
        return Ok(Resource::Topic(Arc::clone(topic)));
    }
    Err(match cluster::check_topic_name(name) {
        Err(error) => Refused::new(ResponseError::InvalidTopicException, error.to_string()),
        Ok(()) => Refused::new(
            ResponseError::UnknownTopicOrPartition,
            format!("The topic '{name}' does not exist."),
        ),
    })
}

fn broker_id(name: &str) -> Result<i32, Refused> {
    let invalid = || Refused::request(format!("Broker id must be an integer, but it is: {name}"));
    name.parse().map_err(|_| invalid())
}

fn node(name: &str) -> Result<i32, Refused> {
    let invalid = || Refused::request(format!("Node id must be an integer, but it is: {name}"));
    name.parse().map_err(|_| invalid())
}

fn stored(ctx: &Context, resource: &ConfigResource) -> Arc<Overrides> {
    let image = ctx.image();
    let config = image.config(resource);
    config
        .map(|config| Arc::clone(&config.values))
        .unwrap_or_default()
}

/// Without a filter of the embedder's there is no logger that this broker could speak of.
fn loggers(filter: Option<&LogFilter>) -> Vec<Row> {
    let levels = filter.map(LogFilter::levels).unwrap_or_default();
    let row = |(name, level): (String, &str)| Row {
        name,
        value: Some(level.to_owned()),
        source: Source::BrokerLogger,
        wire_type: 0,
        read_only: false,
        sensitive: false,
        synonyms: Vec::new(),
        doc: String::new(),
    };
    levels.into_iter().map(row).collect()
}

fn alter_loggers(
    filter: Option<&LogFilter>,
    wish: Wish<'_>,
    validate_only: bool,
) -> Result<(), Refused> {
    let Wish::Alter(alterations) = wish else {
        return Err(unknown_type(BROKER_LOGGER));
    };
    check_alterations(alterations)?;
    let filter = filter.ok_or_else(|| {
        Refused::request("The program that embeds this broker keeps its log filter to itself.")
    })?;
    filter.alter(alterations, validate_only)?;
    if !validate_only {
        tracing::info!(filter = filter.current(), "log levels changed");
    }
    Ok(())
}

fn refused(error: &AlterConfigError) -> Refused {
    Refused::new(
        crate::error_code::for_alter_config(error),
        error.to_string(),
    )
}
