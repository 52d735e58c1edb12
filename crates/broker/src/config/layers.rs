//! Where values come from: static settings with their origins, and the two dynamic layers above them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::keys;
use super::value::Value;

/// Where a static setting was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A properties file.
    File(PathBuf),
    /// An environment variable of this name.
    Environment(String),
    /// The command line, or the embedding program.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// Which layer a value in force comes from, with Kafka's numbers (`DescribeConfigsResponse.ConfigSource`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Set on the topic.
    Topic,
    /// Altered for this broker.
    DynamicBroker,
    /// Altered for all brokers.
    DynamicCluster,
    /// File, environment or command line.
    Static,
    /// Not set at all.
    Default,
    /// A broker's logger.
    BrokerLogger,
    /// Set in a client metrics subscription.
    ClientMetrics,
    /// Set for the group.
    Group,
}

impl Source {
    /// Its number in DescribeConfigs.
    pub fn wire_source(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicCluster => 3,
            Self::Static => 4,
            Self::Default => 5,
            Self::BrokerLogger => 6,
            Self::ClientMetrics => 7,
            Self::Group => 8,
        }
    }
}

/// One static setting: the text as it was written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value's text.
    pub text: String,
    /// Where it was found.
    pub origin: Origin,
}

/// One name under which a value is known, with the value that name has in one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// The key.
    pub name: String,
    /// Its value there.
    pub value: Option<String>,
    /// The layer.
    pub source: Source,
}

/// All layers of one broker's configuration.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    pub(super) fixed: BTreeMap<String, Setting>,
    pub(super) cluster: BTreeMap<String, String>,
    pub(super) broker: BTreeMap<String, String>,
}

impl Layers {
    /// The text in the highest layer that has one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let dynamic = self.broker.get(name).or_else(|| self.cluster.get(name));
        dynamic
            .or_else(|| self.fixed.get(name).map(|setting| &setting.text))
            .map(String::as_str)
    }

    /// The value in force under this very name; its synonyms do not count. `Null` for a name that no key has.
    pub(super) fn value(&self, name: &str) -> Value {
        let Some(key) = keys::find(name) else {
            return Value::Null;
        };
        let set = self.text(name).and_then(|text| key.spec.parse(text).ok());
        set.unwrap_or_else(|| key.spec.default_value())
    }

    /// Whether any layer sets this name.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// Every value that stands behind `name`, the one in force first: by layer, and within a layer in the order of the
    /// names. What precedes the first entry of `name` itself is left out, as Kafka does (`ConfigHelper.configSynonyms`).
    pub(super) fn synonyms(&self, name: &str, names: &[&str]) -> Vec<Synonym> {
        let mut all = Vec::new();
        for (layer, source) in [
            (&self.broker, Source::DynamicBroker),
            (&self.cluster, Source::DynamicCluster),
        ] {
            all.extend(
                names
                    .iter()
                    .filter_map(|name| Some(synonym(name, layer.get(*name)?, source))),
            );
        }
        all.extend(
            names.iter().filter_map(|name| {
                Some(synonym(name, &self.fixed.get(*name)?.text, Source::Static))
            }),
        );
        all.extend(names.iter().filter_map(|name| {
            let value = keys::find(name)?.spec.default_value().text()?;
            Some(Synonym {
                name: (*name).to_owned(),
                value: Some(value),
                source: Source::Default,
            })
        }));
        all.into_iter()
            .skip_while(|synonym| synonym.name != name)
            .collect()
    }
}

fn synonym(name: &str, text: &str, source: Source) -> Synonym {
    let value = match keys::find(name).or_else(|| keys::of_listener(name)) {
        // What is secret, or of a meaning we do not know, is never shown.
        None => None,
        Some(key) if key.sensitive() => None,
        Some(key) => key
            .spec
            .parse(text)
            .map_or_else(|_| Some(text.to_owned()), |value| value.text()),
    };
    Synonym {
        name: name.to_owned(),
        value,
        source,
    }
}

/// The names under which a broker key's value is known, the strongest first (`DynamicBrokerConfig.brokerConfigSynonyms`).
pub(super) fn broker_synonyms(name: &str) -> Vec<&str> {
    const GROUPS: &[&[&str]] = &[
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        &[
            "log.retention.ms",
            "log.retention.minutes",
            "log.retention.hours",
        ],
    ];
    // The last name of the flush pair has a meaning of its own and no synonyms.
    let group = GROUPS
        .iter()
        .find(|group| group.contains(&name) && name != "log.flush.scheduler.interval.ms");
    group.map_or_else(|| vec![name], |group| group.to_vec())
}
