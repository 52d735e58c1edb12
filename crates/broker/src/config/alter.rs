//! What AlterConfigs and IncrementalAlterConfigs make of a resource's settings (`ConfigAdminManager`,
//! `ConfigurationControlManager`, `DynamicBrokerConfig`), as pure functions: nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};

use super::client_metrics::{Subscription, SubscriptionError};
use super::keys::{self, Update};
use super::layers::Layers;
use super::value::{ConfigError, Kind};
use super::{Config, group, ignored, topic};

/// Settings by name.
pub type Overrides = BTreeMap<String, String>;

/// What is to be done to one key (KIP-339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The key gets the value.
    Set,
    /// The key returns to what it inherits.
    Delete,
    /// The elements that are not there yet are added to a list.
    Append,
    /// The elements are taken out of a list.
    Subtract,
}

impl Operation {
    /// The operation of this number in IncrementalAlterConfigs.
    pub fn from_wire(number: i8) -> Option<Self> {
        [Self::Set, Self::Delete, Self::Append, Self::Subtract]
            .get(usize::try_from(number).ok()?)
            .copied()
    }

    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Delete => "DELETE",
            Self::Append => "APPEND",
            Self::Subtract => "SUBTRACT",
        }
    }
}

/// One wish of IncrementalAlterConfigs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alteration {
    /// The key.
    pub name: String,
    /// What to do to it.
    pub operation: Operation,
    /// With what; only a deletion needs none.
    pub value: Option<String>,
}

/// What a request wants of a resource's settings.
#[derive(Debug, Clone, Copy)]
pub enum Wish<'a> {
    /// These changes, the rest as it is (IncrementalAlterConfigs).
    Alter(&'a [Alteration]),
    /// These settings and no others (AlterConfigs).
    Replace(&'a [(String, Option<String>)]),
}

/// Which brokers an alteration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerScope {
    /// This broker (a resource named by its id).
    This,
    /// All brokers (a resource without a name).
    Cluster,
}

/// What is to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Altered {
    /// All settings of the resource after the change.
    pub overrides: Overrides,
    /// The difference: new values, and `None` for what is removed.
    pub changes: BTreeMap<String, Option<String>>,
}

/// Why an alteration is refused; the resource stays as it was. The texts are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    /// One key twice in a request.
    #[error("Error due to duplicate config keys")]
    DuplicateKeys,
    /// Keys without a value.
    #[error("Null value not supported for : {}", .0.join(","))]
    NullValues(Vec<String>),
    /// A new topic's configs without a value.
    #[error("Null value not supported for topic configs: {}", .0.join(","))]
    NullTopicConfigs(Vec<String>),
    /// A list operation on something else.
    #[error("Can't {operation} to key {name} because its type is not LIST.")]
    NotAList {
        /// APPEND or SUBTRACT.
        operation: &'static str,
        /// The key.
        name: String,
    },
    /// Wrong for a topic: name, value, or what the values mean together.
    #[error(transparent)]
    TopicConfig(ConfigError),
    /// Wrong for a broker: value, or what the values mean together.
    #[error(transparent)]
    BrokerConfig(ConfigError),
    /// Wrong for a group: name, value, or what the values mean together.
    #[error(transparent)]
    GroupConfig(ConfigError),
    /// A resource without a name: there are no defaults for groups.
    #[error("Default group resources are not allowed.")]
    NamelessGroup,
    /// Wrong for a client metrics subscription.
    #[error(transparent)]
    ClientMetrics(SubscriptionError),
    /// A subscription without a name.
    #[error("Subscription name can't be empty")]
    NamelessSubscription,
    /// A broker key that does not exist. (Kafka stores it for plug-ins, of which there are none here.)
    #[error("{0}")]
    UnknownBrokerKey(ConfigError),
    /// Keys that need a restart.
    #[error("Cannot update these configs dynamically: [{}]", .0.join(", "))]
    ReadOnly(Vec<String>),
    /// Keys that are altered for one listener at a time.
    #[error(
        "These security configs can be dynamically updated only per-listener using the listener prefix: [{}]",
        .0.join(", ")
    )]
    PerListener(Vec<String>),
    /// Keys that differ from broker to broker.
    #[error("Cannot update these configs at default cluster level, broker id must be specified: [{}]", .0.join(", "))]
    PerBroker(Vec<String>),
}

impl AlterError {
    /// Whether Kafka answers INVALID_CONFIG (40); otherwise it answers INVALID_REQUEST (42).
    pub fn is_invalid_config(&self) -> bool {
        match self {
            Self::NotAList { .. }
            | Self::TopicConfig(_)
            | Self::GroupConfig(_)
            | Self::ClientMetrics(SubscriptionError::Pattern(_) | SubscriptionError::Value(_))
            | Self::NullTopicConfigs(_)
            | Self::UnknownBrokerKey(_) => true,
            Self::DuplicateKeys
            | Self::NullValues(_)
            | Self::NamelessGroup
            | Self::NamelessSubscription
            | Self::ClientMetrics(
                SubscriptionError::UnknownKey(_) | SubscriptionError::Interval(_),
            )
            | Self::BrokerConfig(_)
            | Self::ReadOnly(_)
            | Self::PerListener(_)
            | Self::PerBroker(_) => false,
        }
    }
}

impl Config {
    /// The overrides a new topic starts with. A later entry of the same name wins, as in Kafka.
    pub fn new_topic<'a>(
        &self,
        configs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<Overrides, AlterError> {
        let (mut overrides, mut nulls) = (Overrides::new(), Vec::new());
        for (name, value) in configs {
            match value {
                Some(value) => drop(overrides.insert(name.to_owned(), value.to_owned())),
                None => nulls.push(name.to_owned()),
            }
        }
        if !nulls.is_empty() {
            return Err(AlterError::NullTopicConfigs(nulls));
        }
        topic::validate(&overrides).map_err(AlterError::TopicConfig)?;
        Ok(overrides)
    }

    /// IncrementalAlterConfigs of a topic that has the `current` overrides.
    pub fn alter_topic(
        &self,
        current: &Overrides,
        alterations: &[Alteration],
    ) -> Result<Altered, AlterError> {
        let inherited = |name: &str| {
            topic::find(name)
                .filter(|key| key.spec.kind == Kind::List)
                .map(|key| key.inherited(&self.layers).list().to_vec())
        };
        let altered = apply(current, alterations, inherited)?;
        topic::validate(&altered.overrides).map_err(AlterError::TopicConfig)?;
        Ok(altered)
    }

    /// AlterConfigs of a topic: what is not named returns to its default.
    pub fn replace_topic(
        &self,
        current: &Overrides,
        entries: &[(String, Option<String>)],
    ) -> Result<Altered, AlterError> {
        let altered = replace(current, entries)?;
        topic::validate(&altered.overrides).map_err(AlterError::TopicConfig)?;
        Ok(altered)
    }

    /// IncrementalAlterConfigs of this broker, or of all brokers.
    pub fn alter_broker(
        &self,
        scope: BrokerScope,
        alterations: &[Alteration],
    ) -> Result<Altered, AlterError> {
        let inherited = |name: &str| {
            keys::find(name)
                .filter(|key| key.spec.kind == Kind::List)
                .map(|key| self.layers.value(key.name()).list().to_vec())
        };
        let altered = apply(self.dynamic(scope), alterations, inherited)?;
        self.check_broker(scope, altered)
    }

    /// AlterConfigs of this broker, or of all brokers.
    pub fn replace_broker(
        &self,
        scope: BrokerScope,
        entries: &[(String, Option<String>)],
    ) -> Result<Altered, AlterError> {
        let altered = replace(self.dynamic(scope), entries)?;
        self.check_broker(scope, altered)
    }

    /// Either call for a group that has the `current` overrides.
    pub fn change_group(
        &self,
        name: &str,
        current: &Overrides,
        wish: Wish<'_>,
    ) -> Result<Altered, AlterError> {
        let altered = changed_as(wish, current)?;
        if name.is_empty() {
            return Err(AlterError::NamelessGroup);
        }
        group::validate(&self.layers, &altered.overrides).map_err(AlterError::GroupConfig)?;
        Ok(altered)
    }

    /// Either call for a client metrics subscription that has the `current` settings.
    pub fn change_client_metrics(
        &self,
        name: &str,
        current: &Overrides,
        wish: Wish<'_>,
    ) -> Result<Altered, AlterError> {
        let altered = changed_as(wish, current)?;
        if name.is_empty() {
            return Err(AlterError::NamelessSubscription);
        }
        Subscription::parse(&altered.overrides).map_err(AlterError::ClientMetrics)?;
        Ok(altered)
    }

    fn dynamic(&self, scope: BrokerScope) -> &Overrides {
        match scope {
            BrokerScope::This => &self.layers.broker,
            BrokerScope::Cluster => &self.layers.cluster,
        }
    }

    fn check_broker(&self, scope: BrokerScope, altered: Altered) -> Result<Altered, AlterError> {
        self.check_names(scope, &altered.overrides)?;
        for (name, text) in &altered.overrides {
            if let Some(key) = keys::find(name) {
                key.spec.parse(text).map_err(AlterError::BrokerConfig)?;
            }
        }
        let mut layers: Layers = self.layers.clone();
        match scope {
            BrokerScope::This => layers.broker = altered.overrides.clone(),
            BrokerScope::Cluster => layers.cluster = altered.overrides.clone(),
        }
        Self::build(layers, self.allow_unknown, &mut Vec::new())
            .map_err(AlterError::BrokerConfig)?;
        Ok(altered)
    }

    /// In Kafka's order: what needs a restart, what is a listener's, what is a broker's.
    fn check_names(&self, scope: BrokerScope, overrides: &Overrides) -> Result<(), AlterError> {
        let (mut read_only, mut per_listener, mut per_broker) =
            (Vec::new(), Vec::new(), Vec::new());
        for name in overrides.keys() {
            match update_of(name) {
                Some(Update::ReadOnly) => read_only.push(name.clone()),
                Some(Update::PerBroker) if is_key_material(name) => per_listener.push(name.clone()),
                Some(Update::PerBroker) if scope == BrokerScope::Cluster => {
                    per_broker.push(name.clone())
                }
                Some(_) => {}
                None if self.allow_unknown => {}
                None => {
                    return Err(AlterError::UnknownBrokerKey(keys::unknown(
                        name,
                        "dynamic setting",
                    )));
                }
            }
        }
        if !read_only.is_empty() {
            return Err(AlterError::ReadOnly(read_only));
        }
        if !per_listener.is_empty() {
            return Err(AlterError::PerListener(per_listener));
        }
        if per_broker.is_empty() {
            Ok(())
        } else {
            Err(AlterError::PerBroker(per_broker))
        }
    }
}

/// Where keys and certificates lie, which each listener has its own (`SslConfigs.RECONFIGURABLE_CONFIGS`).
fn is_key_material(name: &str) -> bool {
    ["ssl.key.", "ssl.keystore.", "ssl.truststore."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// When a name may be altered; `None` for a name that no key has.
fn update_of(name: &str) -> Option<Update> {
    const LISTENER_KEYS_OF_THE_CLUSTER: &[&str] = &[
        "max.connections",
        "max.connection.creation.rate",
        "num.network.threads",
    ];
    if let Some(of_listener) = name.strip_prefix("listener.name.") {
        let base = of_listener.split_once('.').map_or("", |(_, base)| base);
        let everywhere = LISTENER_KEYS_OF_THE_CLUSTER.contains(&base);
        return Some(if everywhere {
            Update::ClusterWide
        } else {
            Update::PerBroker
        });
    }
    let key = keys::find(name).map(|key| key.update);
    key.or_else(|| ignored::family_of(name).map(|_| Update::ReadOnly))
}

/// Kafka appends to lists of topics and brokers only (`KafkaConfigSchema`).
fn changed_as(wish: Wish<'_>, current: &Overrides) -> Result<Altered, AlterError> {
    match wish {
        Wish::Alter(alterations) => apply(current, alterations, |_| None),
        Wish::Replace(entries) => replace(current, entries),
    }
}

/// Refuses one key named twice, and what is set to nothing.
pub(crate) fn check_alterations(alterations: &[Alteration]) -> Result<(), AlterError> {
    distinct(
        alterations
            .iter()
            .map(|alteration| alteration.name.as_str()),
    )?;
    not_null(
        alterations
            .iter()
            .filter(|alteration| alteration.operation != Operation::Delete)
            .map(|alteration| (&alteration.name, &alteration.value)),
    )
}

fn apply(
    current: &Overrides,
    alterations: &[Alteration],
    inherited: impl Fn(&str) -> Option<Vec<String>>,
) -> Result<Altered, AlterError> {
    check_alterations(alterations)?;
    let mut altered = Altered {
        overrides: current.clone(),
        changes: BTreeMap::new(),
    };
    for Alteration {
        name,
        operation,
        value,
    } in alterations
    {
        let value = value.as_deref().unwrap_or_default();
        let new = match operation {
            Operation::Delete => None,
            Operation::Set => Some(value.to_owned()),
            Operation::Append | Operation::Subtract => {
                let not_a_list = || AlterError::NotAList {
                    operation: operation.name(),
                    name: name.clone(),
                };
                let inherited = inherited(name).ok_or_else(not_a_list)?;
                let elements = current.get(name).map_or(inherited, |text| elements(text));
                Some(changed(elements, value, *operation).join(","))
            }
        };
        altered.put(name, new);
    }
    Ok(altered)
}

fn replace(
    current: &Overrides,
    entries: &[(String, Option<String>)],
) -> Result<Altered, AlterError> {
    distinct(entries.iter().map(|(name, _)| name.as_str()))?;
    not_null(entries.iter().map(|(name, value)| (name, value)))?;
    let mut altered = Altered {
        overrides: current.clone(),
        changes: BTreeMap::new(),
    };
    let named: BTreeSet<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    for gone in current.keys().filter(|name| !named.contains(name.as_str())) {
        altered.put(gone, None);
    }
    for (name, value) in entries {
        altered.put(name, value.clone());
    }
    Ok(altered)
}

impl Altered {
    fn put(&mut self, name: &str, value: Option<String>) {
        let before = match &value {
            Some(value) => self.overrides.insert(name.to_owned(), value.clone()),
            None => self.overrides.remove(name),
        };
        if before != value {
            self.changes.insert(name.to_owned(), value);
        }
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), AlterError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(AlterError::DuplicateKeys);
        }
    }
    Ok(())
}

fn not_null<'a>(
    entries: impl Iterator<Item = (&'a String, &'a Option<String>)>,
) -> Result<(), AlterError> {
    let nulls: Vec<_> = entries
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.clone())
        .collect();
    if nulls.is_empty() {
        Ok(())
    } else {
        Err(AlterError::NullValues(nulls))
    }
}

fn elements(text: &str) -> Vec<String> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

fn changed(mut list: Vec<String>, operand: &str, operation: Operation) -> Vec<String> {
    for element in elements(operand) {
        match operation {
            Operation::Append if !list.contains(&element) => list.push(element),
            Operation::Subtract => list.retain(|one| *one != element),
            _ => {}
        }
    }
    list
}
