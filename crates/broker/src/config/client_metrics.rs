//! Client metrics subscriptions (resource type 16, KIP-714): which clients push which of their metrics, and how often.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Regex, RegexBuilder};

use super::value::{Check, ConfigError, Kind, Spec};

/// How often clients push without a subscription that says so.
pub const INTERVAL_DEFAULT_MS: i32 = 300_000;
const INTERVAL_MIN_MS: i64 = 100;
const INTERVAL_MAX_MS: i64 = 3_600_000;
/// Bytes that a compiled selector may take; the engine's time is linear in the text whatever the pattern.
const SELECTOR_BYTES_MAX: usize = 1 << 20;

const METRICS: &str = "metrics";
const INTERVAL_MS: &str = "interval.ms";
const MATCH: &str = "match";

/// One config of a subscription.
#[derive(Debug, Clone, Copy)]
pub struct ClientMetricsKey {
    /// Name, type, default, check.
    pub spec: Spec,
    /// What it does.
    pub doc: &'static str,
}

const fn key(
    kind: Kind,
    name: &'static str,
    default: &'static str,
    check: Check,
    doc: &'static str,
) -> ClientMetricsKey {
    ClientMetricsKey {
        spec: Spec {
            name,
            kind,
            default: Some(default),
            check,
        },
        doc,
    }
}

/// Every config of a subscription, in the order of their names.
#[rustfmt::skip]
pub static CLIENT_METRICS_KEYS: &[ClientMetricsKey] = &[
    // The range is checked by `parse`, which answers with Kafka's other error code.
    key(Kind::Int, INTERVAL_MS, "300000", Check::Any, "How often clients push, 100 to 3600000 milliseconds."),
    key(Kind::List, MATCH, "", Check::NoEmptyElement,
        "Which clients push: `selector=regular expression`,… which must match as a whole and all together. Selectors are \
         `client_instance_id`, `client_id`, `client_software_name`, `client_software_version`, `client_source_address` and \
         `client_source_port`. Empty: all clients."),
    key(Kind::List, METRICS, "", Check::NoEmptyElement,
        "What clients push: the beginnings of the metrics' names; `*` is all of them. Empty: nothing."),
];

/// The config of this name.
pub fn find(name: &str) -> Option<&'static ClientMetricsKey> {
    CLIENT_METRICS_KEYS.iter().find(|key| key.spec.name == name)
}

/// What a selector looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// `client_instance_id`
    InstanceId,
    /// `client_id`
    ClientId,
    /// `client_software_name`
    SoftwareName,
    /// `client_software_version`
    SoftwareVersion,
    /// `client_source_address`
    SourceAddress,
    /// `client_source_port`
    SourcePort,
}

impl Selector {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "client_instance_id" => Self::InstanceId,
            "client_id" => Self::ClientId,
            "client_software_name" => Self::SoftwareName,
            "client_software_version" => Self::SoftwareVersion,
            "client_source_address" => Self::SourceAddress,
            "client_source_port" => Self::SourcePort,
            _ => return None,
        })
    }
}

/// One subscription, ready to be matched.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The beginnings of metrics' names; `*` is all of them.
    pub metrics: BTreeSet<String>,
    /// How often clients push.
    pub interval_ms: i32,
    selectors: BTreeMap<Selector, Regex>,
}

/// Why there can be no such subscription. The texts are Kafka's (`ClientMetricsConfigs`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// A config that does not exist.
    #[error("Unknown client metrics configuration: {0}")]
    UnknownKey(String),
    /// A push interval out of range.
    #[error(
        "Invalid value {0} for {INTERVAL_MS}, interval must be between {INTERVAL_MIN_MS} and {INTERVAL_MAX_MS} (1 hour)"
    )]
    Interval(i64),
    /// A selector that is none, or whose expression is none.
    #[error("Illegal client matching pattern: {0}")]
    Pattern(String),
    /// A value of the wrong type.
    #[error(transparent)]
    Value(#[from] ConfigError),
}

impl Subscription {
    /// Reads a subscription's settings. Compiles expressions: microseconds to a few milliseconds.
    pub fn parse(settings: &BTreeMap<String, String>) -> Result<Self, SubscriptionError> {
        let mut subscription = Self {
            metrics: BTreeSet::new(),
            interval_ms: INTERVAL_DEFAULT_MS,
            selectors: BTreeMap::new(),
        };
        for (name, text) in settings {
            let key = find(name).ok_or_else(|| SubscriptionError::UnknownKey(name.clone()))?;
            let value = key.spec.parse(text)?;
            match key.spec.name {
                METRICS => subscription.metrics.extend(value.list().iter().cloned()),
                INTERVAL_MS => subscription.interval_ms = interval(value.integer())?,
                _ => {
                    for pattern in value.list() {
                        let (selector, regex) = selector(pattern)
                            .ok_or_else(|| SubscriptionError::Pattern(pattern.clone()))?;
                        subscription.selectors.insert(selector, regex);
                    }
                }
            }
        }
        Ok(subscription)
    }

    /// Whether a client is meant, of which `attribute` tells what a selector looks at, if there is any.
    pub fn matches<'a>(&self, attribute: impl Fn(Selector) -> Option<&'a str>) -> bool {
        let mut selectors = self.selectors.iter();
        selectors
            .all(|(selector, regex)| attribute(*selector).is_some_and(|text| regex.is_match(text)))
    }
}

fn interval(ms: i64) -> Result<i32, SubscriptionError> {
    let in_range = (INTERVAL_MIN_MS..=INTERVAL_MAX_MS).contains(&ms);
    i32::try_from(ms)
        .ok()
        .filter(|_| in_range)
        .ok_or(SubscriptionError::Interval(ms))
}

/// `selector=expression`, which as in Kafka has no second `=` but at its end.
fn selector(pattern: &str) -> Option<(Selector, Regex)> {
    let (name, expression) = pattern.trim_end_matches('=').split_once('=')?;
    if expression.contains('=') {
        return None;
    }
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(SELECTOR_BYTES_MAX)
            .build()
    };
    let expression = expression.trim();
    // First alone, since `a)|(b` would be well-formed between the anchors.
    build(expression).ok()?;
    let whole = build(&format!(r"\A(?:{expression})\z")).ok()?;
    Some((Selector::of_name(name.trim())?, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(settings: &[(&str, &str)]) -> Result<Subscription, SubscriptionError> {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Subscription::parse(&settings.collect())
    }

    #[test]
    fn a_subscription_is_for_clients_that_all_its_selectors_match_as_a_whole() {
        let subscription = parse(&[(MATCH, "client_id=app-.*, client_software_name=librdkafka")])
            .expect("a subscription");
        let client = |id: &'static str, software: &'static str| {
            subscription.matches(|selector| match selector {
                Selector::ClientId => Some(id),
                Selector::SoftwareName => Some(software),
                _ => None,
            })
        };
        assert!(client("app-1", "librdkafka"));
        assert!(!client("my-app-1", "librdkafka"));
        assert!(!client("app-1", "apache-kafka-java"));
        assert!(parse(&[]).expect("everybody").matches(|_| None));
    }

    #[test]
    fn of_two_expressions_for_one_selector_the_later_counts() {
        let subscription =
            parse(&[(MATCH, "client_id=x,client_id=y")]).expect("Kafka takes it too");
        assert!(subscription.matches(|_| Some("y")) && !subscription.matches(|_| Some("x")));
    }

    #[test]
    fn what_kafka_refuses_is_refused_in_its_words() {
        for (key, value, words) in [
            (
                INTERVAL_MS,
                "99",
                "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
            ),
            (
                INTERVAL_MS,
                "abc",
                "Invalid value abc for configuration interval.ms: Not a number of type INT",
            ),
            (
                MATCH,
                "client_idd=a.*",
                "Illegal client matching pattern: client_idd=a.*",
            ),
            (
                MATCH,
                "client_id=a=b",
                "Illegal client matching pattern: client_id=a=b",
            ),
            (
                MATCH,
                "client_id=(",
                "Illegal client matching pattern: client_id=(",
            ),
            (
                MATCH,
                "client_id=",
                "Illegal client matching pattern: client_id=",
            ),
            (
                METRICS,
                "a,,b",
                "Configuration 'metrics' values must not be empty.",
            ),
            ("x", "1", "Unknown client metrics configuration: x"),
        ] {
            let error = parse(&[(key, value)]).expect_err(value);
            assert_eq!(error.to_string(), words);
        }
    }
}
