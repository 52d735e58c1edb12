//! `docs/configuration.md`, made from the tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::client_metrics::CLIENT_METRICS_KEYS;
use super::group::GROUP_KEYS;
use super::ignored;
use super::keys::{self, Fate, KEYS, Kafka, Key, Update, Why};
use super::topic::{TOPIC_KEYS, TopicKey};
use super::value::Check;

const HEAD: &str = "\
# Configuration

<!-- Generated from the tables in crates/broker/src/config; `make docs` writes it again. -->

Keys have Apache Kafka's names, and Kafka's meaning unless this page says otherwise. A value is looked for in this
order, and the first one found is in force:

1. altered for this broker, then altered for all brokers (IncrementalAlterConfigs; keys marked *broker* or *cluster*)
2. `--set key=value`
3. the environment: `KAFKA_` and the key in capitals with `.` as `_`, `_` as `__` and `-` as `___`, as the apache/kafka
   image has it (`KAFKA_LOG_DIRS` is `log.dirs`); `CLUSTER_ID` is `cluster.id`
4. the properties file given with `--config`
5. the default

An unknown key is refused, and the nearest known one named; with `--allow-unknown` it is taken and ignored. In the
environment, which other programs share, it is only warned of. Variables of the image that are no settings (`KAFKA_OPTS`, `KAFKA_HEAP_OPTS`, …) and those Kubernetes makes for a service named
`kafka` are passed over.
";

/// The whole page.
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    section(
        &mut page,
        "Broker keys",
        "*Altered*: whether a change takes effect without a restart, for one *broker* at a time or for the whole \
         *cluster* at once.",
        broker_table(
            KEYS.iter()
                .filter(|key| !matches!(key.fate, Fate::TopicDefault(_))),
        ),
    );
    section(
        &mut page,
        "Defaults of topic configs",
        "For topics that do not override them.",
        broker_table(
            KEYS.iter()
                .filter(|key| matches!(key.fate, Fate::TopicDefault(_))),
        ),
    );
    section(
        &mut page,
        "Topic configs",
        "Set when a topic is created, or altered later; a change takes effect at once. Those marked *stored* are \
         checked, kept and reported, and have no effect in this release.",
        topic_table(),
    );
    section(
        &mut page,
        "Group configs",
        "Altered for one group at a time (`kafka-configs --entity-type groups`); a change takes effect with the next \
         heartbeat. The broker keys that bound a value have `min.` or `max.` in their names. Those marked *stored* are \
         checked, kept and reported, and have no effect in this release.",
        group_table(),
    );
    section(
        &mut page,
        "Client metrics subscriptions",
        "Which metrics clients push to the broker (KIP-714), which shows them on `/metrics`, \
         added up by metric and client software: what clients count as `tidewater_client_counted_total`, what they \
         measure as `tidewater_client_observed` \
         (`kafka-client-metrics`, `kafka-configs --entity-type client-metrics`).",
        client_metrics_table(),
    );
    section(
        &mut page,
        "Broker loggers",
        "What is logged, while the broker runs and not beyond (`kafka-configs --entity-type broker-loggers`): `root`, and \
         the parts of the broker, whose names are those in the log. A part without a level of its own has that of the \
         part whose name its own begins with, or of `root`. Levels are FATAL (nothing is logged), ERROR, WARN, INFO, DEBUG and TRACE. \
         `TIDEWATER_LOG` and `/log-level` of the admin server speak of the same filter.",
        String::new(),
    );
    section(
        &mut page,
        "Defaults that differ from Kafka's",
        "Compared with Apache Kafka 4.4.",
        differences(),
    );
    section(
        &mut page,
        "Keys that need a restart here",
        "Apache Kafka alters them while it runs.",
        need_restart(),
    );
    section(
        &mut page,
        "Known keys without effect",
        "Accepted with one warning each, so that an existing file can be kept.",
        without_effect(),
    );
    page
}

fn section(page: &mut String, title: &str, text: &str, body: String) {
    // Writing to a string cannot fail.
    let _ = write!(page, "\n## {title}\n\n{text}\n\n{body}");
}

fn broker_table<'a>(keys: impl Iterator<Item = &'a Key>) -> String {
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable_by_key(|key| key.name());
    let mut table =
        String::from("| key | type | default | values | altered | |\n|---|---|---|---|---|---|\n");
    for key in keys {
        let altered = match key.update {
            Update::ReadOnly => "",
            Update::PerBroker => "broker",
            Update::ClusterWide => "cluster",
        };
        let own = if key.kafka == Kafka::Absent {
            " Not a key of Kafka."
        } else {
            ""
        };
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} | {altered} | {}{own} |",
            key.name(),
            key.spec.kind.name().to_lowercase(),
            default(key.spec.default),
            values(key.spec.check),
            cell(&key.doc()),
        );
    }
    table
}

fn topic_table() -> String {
    let mut table = String::from(
        "| config | type | default | values | broker keys | |\n|---|---|---|---|---|---|\n",
    );
    for key in TOPIC_KEYS.iter().filter(|key| !key.hidden) {
        let brokers: Vec<_> = key
            .broker
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {} |",
            key.name(),
            key.spec.kind.name().to_lowercase(),
            default(key.spec.default),
            values(key.spec.check),
            brokers.join(", "),
            cell(&topic_doc(key)),
        );
    }
    table
}

fn group_table() -> String {
    let mut table = String::from(
        "| config | type | default | values | broker key | |\n|---|---|---|---|---|---|\n",
    );
    for key in GROUP_KEYS.iter().filter(|key| !key.hidden) {
        let stored = if key.in_force { "" } else { " *Stored.*" };
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {}{stored} |",
            key.name(),
            key.spec.kind.name().to_lowercase(),
            default(key.spec.default),
            values(key.spec.check),
            key.broker
                .map(|name| format!("`{name}`"))
                .unwrap_or_default(),
            cell(key.doc),
        );
    }
    table
}

fn client_metrics_table() -> String {
    let mut table = String::from("| config | type | default | |\n|---|---|---|---|\n");
    for key in CLIENT_METRICS_KEYS {
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            key.spec.name,
            key.spec.kind.name().to_lowercase(),
            default(key.spec.default),
            cell(key.doc),
        );
    }
    table
}

fn topic_doc(key: &TopicKey) -> String {
    // Refused outright rather than stored.
    let refused = key.name() == "remote.storage.enable";
    if key.set.is_none() && !refused {
        format!("{} *Stored.*", key.doc)
    } else {
        key.doc.to_owned()
    }
}

fn differences() -> String {
    let mut table = String::from("| key | here | Kafka | why |\n|---|---|---|---|\n");
    let mut keys: Vec<_> = KEYS.iter().collect();
    keys.sort_unstable_by_key(|key| key.name());
    for key in keys {
        if let Kafka::Differs {
            default: theirs,
            why,
        } = key.kafka
        {
            let _ = writeln!(
                table,
                "| `{}` | {} | {theirs} | {why} |",
                key.name(),
                default(key.spec.default)
            );
        }
    }
    table
}

fn need_restart() -> String {
    let mut names: Vec<_> = KEYS
        .iter()
        .filter(|key| key.kafka_alters)
        .map(|key| format!("`{}`", key.name()))
        .collect();
    names.sort_unstable();
    format!("{}\n", names.join(", "))
}

fn without_effect() -> String {
    let mut by_reason: BTreeMap<Why, Vec<String>> = BTreeMap::new();
    for key in keys::all() {
        if let Fate::Ignored(why) = key.fate {
            by_reason
                .entry(why)
                .or_default()
                .push(format!("`{}`", key.name()));
        }
    }
    for (prefix, why) in ignored::families() {
        by_reason
            .entry(why)
            .or_default()
            .push(format!("`{prefix}*`"));
    }
    let mut text = String::new();
    for (why, mut names) in by_reason {
        names.sort_unstable();
        let _ = writeln!(text, "* {} {}", why.text(), names.join(", "));
    }
    text
}

fn default(text: Option<&str>) -> String {
    match text {
        None => "unset".to_owned(),
        Some("") => "empty".to_owned(),
        Some("9223372036854775807" | "2147483647") => "no limit".to_owned(),
        Some(text) => format!("`{text}`"),
    }
}

fn values(check: Check) -> String {
    match check {
        Check::Any | Check::NoEmptyElement => String::new(),
        Check::AtLeast(min) => format!("≥ {min}"),
        Check::Between(min, max) => format!("{min} … {max}"),
        Check::BetweenOr(min, max, other) => format!("{min} … {max}, {other}"),
        Check::Fraction(min, max) => format!("{min} … {max}"),
        Check::OneOf(allowed) | Check::OneOfAnyCase(allowed) => allowed.join(", "),
        Check::Each(allowed) => format!("list of {}", allowed.join(", ")),
        Check::NotEmpty => "not empty".to_owned(),
        Check::ShareOffsetReset => "earliest, latest, by_duration:…".to_owned(),
        Check::ThrottledReplicas => "`partition:broker`,… or `*`".to_owned(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
