//! What DescribeConfigs tells of topics, brokers, groups and client metrics (`ConfigHelper`), as neutral rows.

use std::collections::BTreeMap;

use super::client_metrics::CLIENT_METRICS_KEYS;
use super::group::{GROUP_KEYS, GroupKey};
use super::keys::{self, Key, Update};
use super::layers::{Layers, Source, Synonym, broker_synonyms};
use super::topic::{TOPIC_KEYS, TopicKey};
use super::value::Spec;
use super::{Config, ignored, listeners};

/// One key of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub name: String,
    /// The value in force; `None` where there is none or it is secret.
    pub value: Option<String>,
    /// The layer it comes from.
    pub source: Source,
    /// The type's number on the wire.
    pub wire_type: i8,
    /// Whether it cannot be altered while the broker runs.
    pub read_only: bool,
    /// Whether the value is secret.
    pub sensitive: bool,
    /// Every value behind it, the strongest first.
    pub synonyms: Vec<Synonym>,
    /// What it does.
    pub doc: String,
}

impl Config {
    /// Every config of a topic with these overrides.
    pub fn describe_topic(&self, overrides: &BTreeMap<String, String>) -> Vec<Row> {
        let listed = TOPIC_KEYS
            .iter()
            .filter(|key| !key.hidden || overrides.contains_key(key.name()));
        listed
            .map(|key| topic_row(&self.layers, key, overrides))
            .collect()
    }

    /// Every config of a group with these overrides.
    pub fn describe_group(&self, overrides: &BTreeMap<String, String>) -> Vec<Row> {
        let listed = GROUP_KEYS
            .iter()
            .filter(|key| !key.hidden || overrides.contains_key(key.name()));
        listed
            .map(|key| group_row(&self.layers, key, overrides))
            .collect()
    }

    /// Every config of a client metrics subscription with these settings.
    pub fn describe_client_metrics(&self, settings: &BTreeMap<String, String>) -> Vec<Row> {
        let rows = CLIENT_METRICS_KEYS.iter().map(|key| {
            let own = own(&key.spec, settings, Source::ClientMetrics);
            let inherited = key.spec.default_value().text();
            row(&key.spec, key.doc, own, inherited, Vec::new())
        });
        rows.collect()
    }

    /// Every config of this broker.
    pub fn describe_broker(&self) -> Vec<Row> {
        let layers = &self.layers;
        let mut rows: Vec<Row> = keys::all()
            .filter(|key| !key.hidden || layers.is_set(key.name()))
            .map(|key| broker_row(layers, key))
            .collect();
        let strangers = layers
            .broker
            .keys()
            .chain(layers.cluster.keys())
            .chain(layers.fixed.keys());
        let mut strangers: Vec<_> = strangers
            .filter(|name| keys::find(name).is_none())
            .collect();
        strangers.sort_unstable();
        strangers.dedup();
        rows.extend(strangers.into_iter().map(|name| unknown_row(layers, name)));
        rows.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        rows
    }

    /// What is altered for all brokers of the cluster.
    pub fn describe_cluster_default(&self) -> Vec<Row> {
        let only = Layers {
            cluster: self.layers.cluster.clone(),
            ..Layers::default()
        };
        let cluster = only.cluster.keys();
        cluster
            .map(|name| {
                let mut row = keys::find(name)
                    .map_or_else(|| unknown_row(&only, name), |key| broker_row(&only, key));
                row.synonyms
                    .retain(|synonym| synonym.source == Source::DynamicCluster);
                row
            })
            .collect()
    }
}

fn topic_row(layers: &Layers, key: &TopicKey, overrides: &BTreeMap<String, String>) -> Row {
    let synonyms = match key.broker {
        [(first, _), ..] => layers.synonyms(first, &broker_synonyms(first)),
        [] => Vec::new(),
    };
    let own = own(&key.spec, overrides, Source::Topic);
    let inherited = key.inherited(layers).text();
    row(&key.spec, key.doc, own, inherited, synonyms)
}

fn group_row(layers: &Layers, key: &GroupKey, overrides: &BTreeMap<String, String>) -> Row {
    let inherited = key.inherited(layers).text();
    let synonyms = match key.broker {
        Some(broker) => layers.synonyms(broker, &broker_synonyms(broker)),
        None => vec![Synonym {
            name: key.name().to_owned(),
            value: inherited.clone(),
            source: Source::Default,
        }],
    };
    let own = own(&key.spec, overrides, Source::Group);
    row(&key.spec, key.doc, own, inherited, synonyms)
}

/// What the resource itself sets a key to, if it does.
fn own(spec: &Spec, overrides: &BTreeMap<String, String>, source: Source) -> Option<Synonym> {
    let text = overrides.get(spec.name)?;
    let value = spec
        .parse(text)
        .map_or_else(|_| Some(text.clone()), |value| value.text());
    Some(Synonym {
        name: spec.name.to_owned(),
        value,
        source,
    })
}

fn row(
    spec: &Spec,
    doc: &str,
    own: Option<Synonym>,
    inherited: Option<String>,
    mut synonyms: Vec<Synonym>,
) -> Row {
    let value = own.as_ref().map_or(inherited, |own| own.value.clone());
    if let Some(own) = own {
        synonyms.insert(0, own);
    }
    Row {
        name: spec.name.to_owned(),
        value,
        source: synonyms
            .first()
            .map_or(Source::Default, |first| first.source),
        wire_type: spec.kind.wire_type(),
        read_only: false,
        sensitive: false,
        synonyms,
        doc: doc.to_owned(),
    }
}

fn broker_row(layers: &Layers, key: &Key) -> Row {
    let synonyms = layers.synonyms(key.name(), &broker_synonyms(key.name()));
    let value = if key.sensitive() {
        None
    } else {
        layers.value(key.name()).text()
    };
    Row {
        name: key.name().to_owned(),
        value,
        source: synonyms
            .first()
            .map_or(Source::Default, |first| first.source),
        wire_type: key.spec.kind.wire_type(),
        read_only: key.update == Update::ReadOnly,
        sensitive: key.sensitive(),
        synonyms,
        doc: key.doc(),
    }
}

/// A key that is only known by its beginning, or not at all. Its value may be secret, so it is shown only where a
/// listener's own value of a key is not, as Kafka does.
fn unknown_row(layers: &Layers, name: &str) -> Row {
    let synonyms = layers.synonyms(name, &[name]);
    let base = keys::of_listener(name);
    let sensitive = base.is_none_or(Key::sensitive);
    let why = ignored::family_of(name).map_or("", |why| why.text());
    Row {
        name: name.to_owned(),
        value: synonyms.first().and_then(|first| first.value.clone()),
        source: synonyms
            .first()
            .map_or(Source::Default, |first| first.source),
        wire_type: base.map_or(0, |key| key.spec.kind.wire_type()),
        read_only: base.is_none_or(|key| key.update == Update::ReadOnly),
        sensitive,
        synonyms,
        doc: match base {
            Some(base) if listeners::is_honoured(name) => base.doc(),
            _ => format!("Accepted and ignored. {why}").trim_end().to_owned(),
        },
    }
}
