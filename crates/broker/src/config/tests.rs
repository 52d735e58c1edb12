use std::path::PathBuf;

use super::alter::{AlterError, Alteration, Altered, BrokerScope, Operation, Overrides, Wish};
use super::client_metrics::CLIENT_METRICS_KEYS;
use super::group::GROUP_KEYS;
use super::keys::{Key, Update};
use super::layers::{Source, Synonym};
use super::topic::TOPIC_KEYS;
use super::*;

fn sources(settings: &[(&str, &str)]) -> Sources {
    settings
        .iter()
        .fold(Sources::default(), |sources, (key, value)| {
            sources.with(key, value)
        })
}

fn config(settings: &[(&str, &str)]) -> Config {
    Config::load(&sources(settings)).unwrap().config
}

fn problems(settings: &[(&str, &str)]) -> Vec<String> {
    let error = Config::load(&sources(settings)).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn environment(pairs: &[(&str, &str)]) -> Sources {
    let environment = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Sources {
        environment,
        ..Sources::default()
    }
}

// The tables.

#[test]
fn every_key_is_named_once_and_says_what_it_does() {
    let mut seen = BTreeSet::new();
    for key in keys::all() {
        assert!(
            seen.insert(key.name()),
            "{} is in the table twice",
            key.name()
        );
        assert!(key.doc().len() > 10, "{} has no doc", key.name());
    }
    let mut seen = BTreeSet::new();
    for key in TOPIC_KEYS {
        assert!(
            seen.insert(key.name()),
            "{} is in the table twice",
            key.name()
        );
        assert!(key.doc.len() > 10, "{} has no doc", key.name());
    }
}

#[test]
fn every_default_passes_its_own_check_and_prints_as_it_is_written() {
    let specs = keys::all()
        .map(|key| key.spec)
        .chain(TOPIC_KEYS.iter().map(|key| key.spec))
        .chain(GROUP_KEYS.iter().map(|key| key.spec))
        .chain(CLIENT_METRICS_KEYS.iter().map(|key| key.spec));
    for spec in specs {
        let Some(text) = spec.default else { continue };
        let value = spec
            .parse(text)
            .unwrap_or_else(|error| panic!("{}: {error}", spec.name));
        assert_eq!(value.text().as_deref(), Some(text), "{}", spec.name);
        assert_eq!(value, spec.default_value());
    }
}

#[test]
fn a_topic_config_has_the_default_of_its_broker_keys() {
    let layers = Layers::default();
    for key in TOPIC_KEYS {
        assert_eq!(
            key.inherited(&layers),
            key.spec.default_value(),
            "{}",
            key.name()
        );
    }
}

#[test]
fn a_group_config_has_the_default_of_its_broker_key_and_is_within_its_bounds() {
    let layers = Layers::default();
    for key in GROUP_KEYS {
        let inherited = key.inherited(&layers);
        if key.spec.default.is_some() {
            assert_eq!(inherited, key.spec.default_value(), "{}", key.name());
        }
        let Some(text) = inherited.text() else {
            panic!("{} has no value", key.name());
        };
        let own = Overrides::from([(key.name().to_owned(), text)]);
        assert_eq!(group::validate(&layers, &own), Ok(()), "{}", key.name());
    }
    assert!(GROUP_KEYS.is_sorted_by_key(|key| key.name()));
}

#[test]
fn a_groups_session_is_longer_than_its_heartbeat() {
    let config = config(&[
        ("group.consumer.min.session.timeout.ms", "100"),
        ("group.consumer.min.heartbeat.interval.ms", "100"),
    ]);
    let set = |name: &str, value: &str| {
        let wish = [alteration(Operation::Set, name, value)];
        let changed = config.change_group("g", &Overrides::new(), Wish::Alter(&wish));
        changed.map(|_| ()).map_err(|error| error.to_string())
    };
    let refused = "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms";
    let session = "consumer.session.timeout.ms";
    assert_eq!(set(session, "5000"), Err(refused.to_owned()));
    assert_eq!(set(session, "5001"), Ok(()));
    let range = "consumer.session.timeout.ms must be in the range 100 to 60000 inclusive.";
    assert_eq!(set(session, "99"), Err(range.to_owned()));
}

#[test]
fn topic_configs_and_broker_keys_name_each_other() {
    for key in TOPIC_KEYS {
        for (broker, _) in key.broker {
            let found = keys::find(broker).unwrap_or_else(|| panic!("{broker} is no key"));
            assert!(
                matches!(found.fate, Fate::TopicDefault(topic) if topic == key.name()),
                "{broker}"
            );
        }
    }
    for key in keys::KEYS {
        if let Fate::TopicDefault(topic) = key.fate {
            let found = topic::find(topic).unwrap_or_else(|| panic!("{topic} is no topic config"));
            assert!(
                found.broker.iter().any(|(broker, _)| *broker == key.name()),
                "{}",
                key.name()
            );
        }
    }
}

/// A key whose value is not used would be a promise not kept.
#[test]
fn every_honoured_key_changes_the_configuration() {
    let default = format!("{:?}", without_layers(config(&[])));
    for key in keys::KEYS
        .iter()
        .filter(|key| matches!(key.fate, Fate::Honoured(_)))
    {
        let Some(other) = another_value(key) else {
            panic!("no other value for {}", key.name())
        };
        let changed = format!("{:?}", without_layers(config(&[(key.name(), &other)])));
        assert_ne!(default, changed, "{} has no effect", key.name());
    }
}

#[test]
fn every_topic_config_that_is_not_marked_stored_changes_the_settings() {
    let config = config(&[]);
    let default = format!("{:?}", config.topic_settings(&BTreeMap::new()));
    for key in TOPIC_KEYS.iter().filter(|key| key.set.is_some()) {
        let other = match key.name() {
            "cleanup.policy" => "compact",
            "compression.type" => "gzip",
            "message.timestamp.type" => "LogAppendTime",
            "leader.replication.throttled.replicas" | "follower.replication.throttled.replicas" => {
                "0:1"
            }
            "preallocate" | "unclean.leader.election.enable" => "true",
            "min.cleanable.dirty.ratio" => "0.25",
            // Only the level of the chosen codec counts.
            "compression.gzip.level" | "compression.lz4.level" | "compression.zstd.level" => {
                continue;
            }
            _ => "2097152",
        };
        let changed = config.topic_settings(&overrides(&[(key.name(), other)]));
        assert_ne!(
            default,
            format!("{changed:?}"),
            "{} has no effect",
            key.name()
        );
    }
}

fn without_layers(mut config: Config) -> Config {
    config.layers = Layers::default();
    config
}

fn another_value(key: &Key) -> Option<String> {
    let candidates = [
        "true", "false", "other", "upgrade", "topic", "1", "7", "7000", "50000", "2097153", "12.5",
    ];
    let fits = |text: &&str| {
        Some(*text) != key.spec.default
            && key.spec.parse(text).is_ok()
            && Config::load(&sources(&[(key.name(), text)])).is_ok()
    };
    candidates.into_iter().find(fits).map(str::to_owned)
}

#[test]
fn keys_of_groups_that_contradict_each_other_are_refused_in_kafka_s_words() {
    const HEARTBEAT: &str = "group.consumer.heartbeat.interval.ms";
    for (settings, problem) in [
        (
            &[("group.consumer.max.heartbeat.interval.ms", "4999")][..],
            "group.consumer.max.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms",
        ),
        (
            &[(HEARTBEAT, "4999")],
            "group.consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms",
        ),
        (
            &[("group.consumer.session.timeout.ms", "60001")],
            "group.consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms",
        ),
        (
            &[
                ("group.consumer.max.heartbeat.interval.ms", "45000"),
                (HEARTBEAT, "45000"),
            ],
            "group.consumer.heartbeat.interval.ms must be less than group.consumer.session.timeout.ms",
        ),
        (
            &[("group.consumer.assignment.interval.ms", "15001")],
            "group.consumer.assignment.interval.ms must be less than or equal to group.consumer.max.assignment.interval.ms",
        ),
        (
            &[("offsets.topic.compression.codec", "5")],
            "Unknown compression type id: 5",
        ),
        (
            &[("group.consumer.assignors", "")],
            "group.consumer.assignors must name an assignor",
        ),
        (
            &[("group.consumer.assignors", "range,mine")],
            "Invalid value mine for configuration group.consumer.assignors: this broker has the assignors uniform and range",
        ),
    ] {
        assert_eq!(problems(settings), [problem]);
    }
    let class = "org.apache.kafka.coordinator.group.assignor.RangeAssignor,uniform";
    let config = config(&[("group.consumer.assignors", class)]);
    assert_eq!(config.groups.consumer.assignors, ["range", "uniform"]);
}

/// The coordinator's own defaults are Kafka's too; one of the two would be forgotten when the other changes.
#[test]
fn the_defaults_of_groups_are_those_of_the_coordinator() {
    let defaults = coordinator::GroupOptions::default();
    assert_eq!(format!("{:?}", config(&[]).groups), format!("{defaults:?}"));
}

#[test]
fn generated_docs_of_the_configuration_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = docs::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "{} is stale: run this test with UPDATE_DOCS=1",
        path.display()
    );
}

// Sources.

#[test]
fn nothing_configured_is_a_working_broker_on_loopback() {
    let loaded = Config::load(&Sources::default()).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = loaded.config;
    assert_eq!(config.node_id, 1);
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(
        config.listeners[0].to_string(),
        "PLAINTEXT://127.0.0.1:9092"
    );
    assert_eq!(config.listeners[0].advertised, Advertised::Own);
    assert_eq!(config.inter_broker_listener, "PLAINTEXT");
    assert_eq!(
        config.admin_listeners,
        [AdminListener {
            host: "127.0.0.1".to_owned(),
            port: 9644
        }]
    );
    assert_eq!(config.store.dirs, [PathBuf::from("./data")]);
    assert_eq!(config.network.request_bytes_max, 104_857_600);
    assert!(config.network.request_budget_bytes >= config.network.request_bytes_max);
    assert!(config.topics.auto_create);
}

#[test]
fn a_later_source_wins_and_every_value_remembers_its_origin() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.properties");
    std::fs::write(
        &file,
        "# a comment\nnum.partitions=2\nbroker.rack = r1\nlog.retention.hours:5\nnode.id=4\n",
    )
    .unwrap();
    let environment = [
        ("KAFKA_NUM_PARTITIONS", "3"),
        ("KAFKA_BROKER_RACK", "r2"),
        ("HOME", "/root"),
    ];
    let sources = Sources {
        file: Some(file.clone()),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        set: vec!["num.partitions=4".to_owned()],
        allow_unknown: false,
    };
    let config = Config::load(&sources).unwrap().config;
    assert_eq!(config.topics.partitions, 4);
    assert_eq!(config.origin("num.partitions"), Some(&Origin::CommandLine));
    assert_eq!(config.rack.as_deref(), Some("r2"));
    assert_eq!(
        config.origin("broker.rack"),
        Some(&Origin::Environment("KAFKA_BROKER_RACK".to_owned()))
    );
    assert_eq!(config.node_id, 4);
    assert_eq!(config.origin("node.id"), Some(&Origin::File(file)));
    assert_eq!(config.origin("max.connections"), None);
    assert_eq!(
        config.topic_settings(&BTreeMap::new()).log.retention_ms,
        5 * 3_600_000
    );

    let dynamic = config.with_dynamic(
        &overrides(&[("message.max.bytes", "10"), ("max.connections", "5")]),
        &BTreeMap::new(),
    );
    let dynamic = dynamic.config.with_dynamic(
        &overrides(&[("message.max.bytes", "10"), ("max.connections", "5")]),
        &overrides(&[("message.max.bytes", "20")]),
    );
    assert_eq!(dynamic.warnings, Vec::<String>::new());
    assert_eq!(dynamic.config.network.connections_max, 5);
    assert_eq!(
        dynamic
            .config
            .topic_settings(&BTreeMap::new())
            .batch
            .max_message_bytes,
        20
    );
    assert_eq!(
        dynamic
            .config
            .topic_settings(&overrides(&[("max.message.bytes", "30")]))
            .batch
            .max_message_bytes,
        30
    );
}

#[test]
fn variables_become_keys_by_the_rule_of_the_apache_kafka_image() {
    // What kafka.docker.KafkaDockerWrapper of 4.4 writes for these variables.
    for (variable, key) in [
        ("KAFKA_LOG_DIRS", Some("log.dirs")),
        ("KAFKA_lower_Case", Some("lower.case")),
        ("KAFKA_A_B__C___D____E_____F", Some("a.b_c-d-.e-_f")),
        (
            "KAFKA_LISTENER_NAME_SASL__PLAINTEXT_SCRAM___SHA___256_SASL_JAAS_CONFIG",
            Some("listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config"),
        ),
        ("KAFKA_ADMIN_LISTENERS", Some("admin.listeners")),
        ("KAFKA_HEAP_OPTS", None),
        ("KAFKA_OPTS", None),
        ("KAFKA_JVM_PERFORMANCE_OPTS", None),
        ("KAFKA_LOG4J_OPTS", None),
        ("KAFKA_LOG4J_LOGGERS", None),
        ("KAFKA_VERSION", None),
        ("PATH", None),
    ] {
        assert_eq!(
            sources::key_of_variable(variable, "x").as_deref(),
            key,
            "{variable}"
        );
    }
}

#[test]
fn what_kubernetes_says_about_a_service_named_kafka_is_no_setting() {
    let loaded = Config::load(&environment(&[
        ("KAFKA_SERVICE_HOST", "10.0.0.1"),
        ("KAFKA_SERVICE_PORT", "9092"),
        ("KAFKA_SERVICE_PORT_CLIENT", "9092"),
        ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
        ("KAFKA_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
        ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
        ("KAFKA_HEADLESS_PORT_9092_TCP_PROTO", "tcp"),
    ]));
    assert_eq!(loaded.unwrap().warnings, Vec::<String>::new());
}

#[test]
fn the_image_s_environment_of_a_combined_node_starts_with_warnings_only() {
    let loaded = Config::load(&environment(&[
        ("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw"),
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        (
            "KAFKA_LISTENERS",
            "PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093",
        ),
        ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:9092"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        (
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        ),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_HEAP_OPTS", "-Xmx1g"),
        ("KAFKA_LOG_DIRS", "/tmp/kraft-combined-logs"),
    ]))
    .unwrap();
    assert_eq!(
        loaded.config.cluster_id.as_deref(),
        Some("5L6g3nShT-eMCtK--X86sw")
    );
    assert_eq!(loaded.config.listeners.len(), 1);
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].starts_with(
        "controller.quorum.voters (environment variable KAFKA_CONTROLLER_QUORUM_VOTERS)"
    ));
}

#[test]
fn an_unknown_key_is_refused_and_the_nearest_one_named() {
    assert_eq!(
        problems(&[
            ("num.partition", "3"),
            ("log.retention.hour", "1"),
            ("wholly.unheard.of", "x")
        ]),
        [
            "unknown key log.retention.hour (command line); did you mean log.retention.hours?",
            "unknown key num.partition (command line); did you mean num.partitions?",
            "unknown key wholly.unheard.of (command line)",
        ]
    );
    // A topic's name for it, in a broker's file.
    assert_eq!(
        problems(&[("retention.ms", "1")]),
        ["unknown key retention.ms (command line); did you mean log.retention.ms?"]
    );
    let lenient = Sources {
        allow_unknown: true,
        ..sources(&[("num.partition", "3")])
    };
    let loaded = Config::load(&lenient).unwrap();
    assert_eq!(
        loaded.warnings,
        ["num.partition (command line) is unknown and ignored"]
    );
}

#[test]
fn an_unknown_key_of_the_environment_is_warned_of_and_does_not_stop_the_broker() {
    let environment = vec![("KAFKA_NUM_PARTITION".to_owned(), "3".to_owned())];
    let loaded = Config::load(&Sources {
        environment,
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "unknown key num.partition (environment variable KAFKA_NUM_PARTITION); did you mean num.partitions? It is ignored."
        ]
    );
}

#[test]
fn every_problem_is_reported_at_once() {
    let found = problems(&[
        ("num.partitions", "0"),
        ("log.segment.bytes", "12"),
        ("nosuch", "1"),
    ]);
    assert_eq!(found.len(), 3, "{found:?}");
    let missing = Sources {
        file: Some(PathBuf::from("/nonexistent/file")),
        ..sources(&[("num.partitions", "x")])
    };
    assert_eq!(Config::load(&missing).unwrap_err().problems.len(), 2);
    assert!(
        Config::load(&Sources {
            set: vec!["word".to_owned()],
            ..Sources::default()
        })
        .is_err()
    );
}

#[test]
fn keys_without_effect_warn_once_each() {
    let settings = [
        ("zookeeper.connect", "localhost"),
        ("zookeeper.some.future.key", "1"),
        ("num.io.threads", "8"),
        ("listener.name.internal.ssl.keystore.location", "/x"),
        ("inter.broker.protocol.version", "3.9"),
    ];
    let loaded = Config::load(&sources(&settings)).unwrap();
    assert_eq!(
        loaded.warnings.len(),
        settings.len(),
        "{:?}",
        loaded.warnings
    );
    // Their values are checked all the same: Kafka would not have started either.
    assert_eq!(
        problems(&[("num.io.threads", "0")]),
        ["Invalid value 0 for configuration num.io.threads: Value must be at least 1"]
    );
}

#[test]
fn broker_id_is_another_name_of_node_id() {
    assert_eq!(config(&[("broker.id", "7")]).node_id, 7);
    assert_eq!(config(&[("broker.id", "7"), ("node.id", "7")]).node_id, 7);
    for given in ["broker.id", "node.id"] {
        let rows = config(&[(given, "7")]).describe_broker();
        assert_eq!(row(rows.clone(), "node.id").value.as_deref(), Some("7"));
        assert_eq!(row(rows, "broker.id").value.as_deref(), Some("7"));
    }
    assert_eq!(
        problems(&[("broker.id", "7"), ("node.id", "8")]),
        ["You must set `node.id` to the same value as `broker.id`."]
    );
}

#[test]
fn contradictions_are_refused() {
    for (settings, message) in [
        (
            vec![("queued.max.request.bytes", "1000")],
            "queued.max.request.bytes must be larger or equal",
        ),
        (
            vec![("log.retention.hours", "0")],
            "log.retention.hours must be unlimited (-1)",
        ),
        (
            vec![("max.connections.per.ip", "0")],
            "max.connections.per.ip can be set to zero only if",
        ),
        (
            vec![("max.connections.per.ip.overrides", "foo")],
            "Invalid value foo for configuration",
        ),
        (
            vec![("process.roles", "controller")],
            "process.roles must contain broker",
        ),
        (
            vec![("log.dirs", "a,a")],
            "log.dirs names a directory twice",
        ),
        (vec![("log.dirs", "")], "At least one log directory"),
        (
            vec![("admin.listeners", "https://127.0.0.1:1")],
            "Expected http://host:port",
        ),
        (
            vec![("metadata.store", "etcd")],
            "String must be one of: embedded",
        ),
        (vec![("cluster.id", "")], "String must be non-empty"),
    ] {
        let found = problems(&settings);
        assert!(found[0].contains(message), "{found:?}");
    }
    let config = config(&[
        ("max.connections.per.ip", "0"),
        ("max.connections.per.ip.overrides", "127.0.0.1:5,[::1]:6"),
    ]);
    assert_eq!(config.network.connections_max_of([127, 0, 0, 1].into()), 5);
    assert_eq!(config.network.connections_max_of("::1".parse().unwrap()), 6);
    assert_eq!(config.network.connections_max_of([10, 0, 0, 1].into()), 0);
}

// Listeners.

#[test]
fn listeners_are_read_as_kafka_reads_them() {
    for (settings, expected) in [
        (
            vec![("listeners", "PLAINTEXT://:0")],
            Ok((":0", Advertised::Connection)),
        ),
        (
            vec![("listeners", "plaintext://0.0.0.0:9092")],
            Ok(("0.0.0.0:9092", Advertised::Connection)),
        ),
        (
            vec![("listeners", "PLAINTEXT://[::]:9092")],
            Ok(("[::]:9092", Advertised::Connection)),
        ),
        (
            vec![("listeners", "PLAINTEXT://[::1]:9092")],
            Ok(("[::1]:9092", Advertised::Own)),
        ),
        (
            vec![
                ("listeners", "PLAINTEXT://0.0.0.0:9092"),
                ("advertised.listeners", "PLAINTEXT://broker-1.example:19092"),
            ],
            Ok((
                "0.0.0.0:9092",
                Advertised::Address {
                    host: "broker-1.example".to_owned(),
                    port: 19092,
                },
            )),
        ),
        (
            vec![
                ("listeners", "EXTERNAL://h:1"),
                ("listener.security.protocol.map", "EXTERNAL:PLAINTEXT"),
            ],
            Ok(("h:1", Advertised::Own)),
        ),
        (
            vec![("listeners", "h:9092")],
            Err("Unable to parse h:9092 to a broker endpoint"),
        ),
        (vec![("listeners", "PLAINTEXT://h")], Err("Unable to parse")),
        (
            vec![("listeners", "PLAINTEXT://h:70000")],
            Err("Unable to parse"),
        ),
        (
            vec![("listeners", "PLAINTEXT://::1:9092")],
            Err("Unable to parse"),
        ),
        (
            vec![("listeners", "PLAINTEXT://h:1,")],
            Err("values must not be empty"),
        ),
        (vec![("listeners", "")], Err("at least one listener")),
        (
            vec![("listeners", "PLAINTEXT://h:1,PLAINTEXT://h:2")],
            Err("different name"),
        ),
        (
            vec![
                ("listeners", "A://h:1,B://h:1"),
                ("listener.security.protocol.map", "A:PLAINTEXT,B:PLAINTEXT"),
            ],
            Err("different port"),
        ),
        (
            vec![("listeners", "SSL://h:1")],
            Err("SSL is not supported by this release"),
        ),
        (
            vec![("listeners", "SASL_PLAINTEXT://h:1")],
            Err("SASL_PLAINTEXT is not supported"),
        ),
        (
            vec![("listeners", "INSIDE://h:1")],
            Err("No security protocol defined for listener INSIDE"),
        ),
        (
            vec![("listener.security.protocol.map", "PLAINTEXT:TCP")],
            Err("no such security protocol: TCP"),
        ),
        (
            vec![("advertised.listeners", "PLAINTEXT://0.0.0.0:9092")],
            Err("nonroutable meta-address 0.0.0.0"),
        ),
        (
            vec![("advertised.listeners", "PLAINTEXT://[::]:9092")],
            Err("nonroutable meta-address ::"),
        ),
        (
            vec![("advertised.listeners", "PLAINTEXT://:9092")],
            Err("must name a host"),
        ),
        (
            vec![("advertised.listeners", "OTHER://h:9092")],
            Err("equal to or a subset"),
        ),
        (
            vec![("inter.broker.listener.name", "OTHER")],
            Err("must be a listener name defined in listeners"),
        ),
        (
            vec![("security.inter.broker.protocol", "SSL")],
            Err("no listener has the protocol SSL"),
        ),
        (
            vec![
                ("inter.broker.listener.name", "PLAINTEXT"),
                ("security.inter.broker.protocol", "PLAINTEXT"),
            ],
            Err("Only one of"),
        ),
    ] {
        match (Config::load(&sources(&settings)), expected) {
            (Ok(loaded), Ok((address, advertised))) => {
                let listener = &loaded.config.listeners[0];
                assert_eq!(listener.to_string().split_once("://").unwrap().1, address);
                assert_eq!(listener.advertised, advertised, "{settings:?}");
            }
            (Err(error), Err(text)) => {
                assert!(error.to_string().contains(text), "{settings:?}: {error}")
            }
            (found, expected) => panic!("{settings:?}: {found:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn clients_are_told_an_address_that_reaches_the_broker() {
    let local = |text: &str| text.parse().unwrap();
    let config = config(&[
        ("listeners", "A://0.0.0.0:0,B://127.0.0.1:0,C://[::]:9"),
        (
            "listener.security.protocol.map",
            "A:PLAINTEXT,B:PLAINTEXT,C:PLAINTEXT",
        ),
        ("advertised.listeners", "C://far:0"),
    ]);
    let told = |index: usize, address: &str| config.listeners[index].advertised_to(local(address));
    assert_eq!(told(0, "10.1.2.3:5555"), ("10.1.2.3".to_owned(), 5555));
    assert_eq!(
        told(0, "[::ffff:10.1.2.3]:5555"),
        ("10.1.2.3".to_owned(), 5555)
    );
    assert_eq!(told(1, "127.0.0.1:7777"), ("127.0.0.1".to_owned(), 7777));
    assert_eq!(told(2, "[fe80::1]:9"), ("far".to_owned(), 9));
}

// Topics.

#[test]
fn topic_overrides_are_checked_in_kafkas_words() {
    // The answers of Apache Kafka 4.4 to the same configs.
    for (name, value, answer) in [
        (
            "retention.ms",
            "abc",
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            "retention.ms",
            "",
            "Invalid value  for configuration retention.ms: Not a number of type LONG",
        ),
        ("retention.ms", " 5 ", ""),
        (
            "retention.ms",
            "-2",
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
        (
            "retention.ms",
            "99999999999999999999",
            "Invalid value 99999999999999999999 for configuration retention.ms: Not a number of type LONG",
        ),
        (
            "segment.bytes",
            "1",
            "Invalid value 1 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            "segment.bytes",
            "3000000000",
            "Invalid value 3000000000 for configuration segment.bytes: Not a number of type INT",
        ),
        (
            "cleanup.policy",
            "foo",
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        ("cleanup.policy", "", ""),
        (
            "cleanup.policy",
            "delete,",
            "Configuration 'cleanup.policy' values must not be empty.",
        ),
        ("cleanup.policy", " delete , compact ", ""),
        (
            "compression.type",
            "GZIP",
            "Invalid value GZIP for configuration compression.type: String must be one of: uncompressed, zstd, lz4, \
             snappy, gzip, producer",
        ),
        ("compression.type", " gzip", ""),
        (
            "compression.gzip.level",
            "0",
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        (
            "compression.lz4.level",
            "18",
            "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17",
        ),
        (
            "compression.zstd.level",
            "-131073",
            "Invalid value -131073 for configuration compression.zstd.level: Value must be at least -131072",
        ),
        (
            "min.cleanable.dirty.ratio",
            "1.5",
            "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        (
            "min.cleanable.dirty.ratio",
            "abc",
            "Invalid value abc for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE",
        ),
        ("min.cleanable.dirty.ratio", ".5", ""),
        (
            "preallocate",
            "yes",
            "Invalid value yes for configuration preallocate: Expected value to be either true or false",
        ),
        ("preallocate", "TRUE", ""),
        (
            "leader.replication.throttled.replicas",
            "*,0:1",
            "Invalid value [*, 0:1] for configuration leader.replication.throttled.replicas: \
             leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
        ("leader.replication.throttled.replicas", " 0:1 , 1:2 ", ""),
        ("leader.replication.throttled.replicas", "", ""),
        (
            "min.insync.replicas",
            "0",
            "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1",
        ),
        ("min.insync.replicas", "5", ""),
        ("nosuch", "1", "Unknown topic config name: nosuch"),
        (
            "log.retention.ms",
            "1",
            "Unknown topic config name: log.retention.ms",
        ),
        (
            "message.format.version",
            "3.0",
            "Unknown topic config name: message.format.version",
        ),
        ("internal.segment.bytes", "1000", ""),
        ("retention.bytes", "-5", ""),
        (
            "max.decompressed.message.bytes",
            "2147483647",
            "Invalid value 2147483647 for configuration max.decompressed.message.bytes: Value must be no more than 2147483639",
        ),
        (
            "remote.storage.enable",
            "true",
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        ),
        ("remote.log.copy.disable", "true", ""),
    ] {
        let found = topic::validate(&overrides(&[(name, value)]))
            .err()
            .map(|error| error.to_string());
        assert_eq!(found.unwrap_or_default(), answer, "{name}={value}");
    }
    let conflict = overrides(&[
        ("min.compaction.lag.ms", "100"),
        ("max.compaction.lag.ms", "50"),
    ]);
    assert_eq!(
        topic::validate(&conflict).unwrap_err().to_string(),
        "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)"
    );
}

#[test]
fn settings_of_a_topic_come_from_its_overrides_then_the_broker() {
    use storage::validate::CompressionRule;
    use wire::batch::{Codec, TimestampType};
    let config = config(&[
        ("log.roll.hours", "2"),
        ("log.flush.scheduler.interval.ms", "77"),
        ("compression.gzip.level", "4"),
    ]);
    let settings = config.topic_settings(&overrides(&[
        ("cleanup.policy", "compact,delete"),
        ("compression.type", "gzip"),
        ("message.timestamp.type", "LogAppendTime"),
        ("min.insync.replicas", "2"),
        ("retention.bytes", "not a number"),
    ]));
    assert_eq!(settings.log.segment_ms, 2 * 3_600_000);
    assert_eq!(settings.log.flush_ms, 77);
    assert!(settings.log.compact && settings.log.delete && settings.batch.compacted);
    assert_eq!(
        settings.batch.compression,
        CompressionRule::Codec {
            codec: Codec::Gzip,
            level: Some(4)
        }
    );
    assert_eq!(
        settings.batch.message_timestamp_type,
        TimestampType::LogAppendTime
    );
    assert_eq!(settings.min_insync_replicas, 2);
    assert_eq!(settings.log.retention_bytes, -1);

    let empty = config.topic_settings(&overrides(&[("cleanup.policy", "")]));
    assert!(!empty.log.compact && !empty.log.delete);
    let hours = super::tests::config(&[("log.retention.hours", "-1")]);
    assert_eq!(hours.topic_settings(&BTreeMap::new()).log.retention_ms, -1);
}

#[test]
fn the_typed_defaults_are_those_of_the_store() {
    let settings = config(&[]).topic_settings(&BTreeMap::new());
    assert_eq!(
        format!("{:?}", settings.log),
        format!("{:?}", Arc::new(storage::LogOptions::default()))
    );
    assert_eq!(
        format!("{:?}", settings.batch),
        format!("{:?}", storage::validate::BatchRules::default())
    );
    let config = config(&[]);
    let store = storage::StoreOptions::new(config.store.dirs.clone(), "c", 1);
    let ours = storage::StoreOptions {
        tail_cache_bytes: store.tail_cache_bytes,
        ..config.store_options("c")
    };
    assert_eq!(format!("{ours:?}"), format!("{store:?}"));
}

// DescribeConfigs.

fn row(rows: Vec<describe::Row>, name: &str) -> describe::Row {
    rows.into_iter()
        .find(|row| row.name == name)
        .unwrap_or_else(|| panic!("no row {name}"))
}

fn synonym(name: &str, value: &str, source: Source) -> Synonym {
    Synonym {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        source,
    }
}

#[test]
fn synonyms_stand_in_kafkas_order() {
    // As Apache Kafka 4.4 answered after the same alterations.
    let config = config(&[("log.retention.hours", "168")]);
    let quiet = row(config.describe_topic(&BTreeMap::new()), "retention.ms");
    assert_eq!(
        (quiet.source, quiet.synonyms),
        (Source::Default, Vec::new())
    );
    assert_eq!(quiet.value.as_deref(), Some("604800000"));

    let config = config.with_dynamic(
        &overrides(&[("log.retention.ms", "1000000")]),
        &overrides(&[("log.retention.ms", "2000000")]),
    );
    let config = config.config;
    let behind = vec![
        synonym("log.retention.ms", "2000000", Source::DynamicBroker),
        synonym("log.retention.ms", "1000000", Source::DynamicCluster),
        synonym("log.retention.hours", "168", Source::Static),
        synonym("log.retention.hours", "168", Source::Default),
    ];
    let broker = row(config.describe_broker(), "log.retention.ms");
    assert_eq!(broker.synonyms, behind);
    assert_eq!(
        (broker.value.as_deref(), broker.source, broker.read_only),
        (Some("2000000"), Source::DynamicBroker, false)
    );
    let topic = row(
        config.describe_topic(&overrides(&[("retention.ms", " 007 ")])),
        "retention.ms",
    );
    assert_eq!(
        topic.synonyms[0],
        synonym("retention.ms", "7", Source::Topic)
    );
    assert_eq!(topic.synonyms[1..], behind);
    assert_eq!(
        (topic.value.as_deref(), topic.source),
        (Some("7"), Source::Topic)
    );

    let cluster = config.describe_cluster_default();
    assert_eq!(cluster.len(), 1);
    assert_eq!(
        cluster[0].synonyms,
        [synonym(
            "log.retention.ms",
            "1000000",
            Source::DynamicCluster
        )]
    );
}

#[test]
fn secrets_and_keys_of_unknown_meaning_are_never_shown() {
    let config = config(&[
        ("ssl.key.password", "hunter2"),
        ("listener.name.x.sasl.jaas.config", "hunter2"),
        ("listener.name.x.plain.sasl.jaas.config", "hunter2"),
        ("listener.name.x.max.connections", "4"),
        ("max.connections", "12"),
    ]);
    let rows = config.describe_broker();
    assert!(!format!("{rows:?}").contains("hunter2"));
    let secret = row(rows.clone(), "ssl.key.password");
    assert!(secret.sensitive && secret.value.is_none() && secret.synonyms[0].value.is_none());
    assert!(row(rows.clone(), "listener.name.x.sasl.jaas.config").sensitive);
    assert!(row(rows.clone(), "listener.name.x.plain.sasl.jaas.config").sensitive);
    let listener = row(rows.clone(), "listener.name.x.max.connections");
    assert_eq!(
        (listener.value.as_deref(), listener.wire_type),
        (Some("4"), 3)
    );
    let plain = row(rows.clone(), "max.connections");
    assert_eq!(
        (plain.value.as_deref(), plain.source, plain.read_only),
        (Some("12"), Source::Static, false)
    );
    assert!(row(rows.clone(), "node.id").read_only);
    // Retired keys are listed only where somebody sets them.
    assert!(!rows.iter().any(|row| row.name == "zookeeper.connect"));
}

// AlterConfigs.

fn alteration(operation: Operation, name: &str, value: &str) -> Alteration {
    Alteration {
        name: name.to_owned(),
        operation,
        value: Some(value.to_owned()),
    }
}

fn deletion(name: &str) -> Alteration {
    Alteration {
        name: name.to_owned(),
        operation: Operation::Delete,
        value: None,
    }
}

fn altered(
    current: &[(&str, &str)],
    alterations: &[Alteration],
) -> Result<BTreeMap<String, String>, AlterError> {
    config(&[])
        .alter_topic(&overrides(current), alterations)
        .map(|altered| altered.overrides)
}

#[test]
fn lists_are_appended_to_and_subtracted_from_without_doubles() {
    use Operation::{Append, Subtract};
    let policy = |current: &[(&str, &str)], operation, value: &str| {
        altered(current, &[alteration(operation, "cleanup.policy", value)]).unwrap()["cleanup.policy"].clone()
    };
    // A list without an override starts from the value it inherits, as in Kafka.
    assert_eq!(policy(&[], Append, "compact"), "delete,compact");
    assert_eq!(policy(&[], Subtract, "compact"), "delete");
    assert_eq!(
        policy(
            &[("cleanup.policy", "delete,compact")],
            Append,
            "delete, compact"
        ),
        "delete,compact"
    );
    assert_eq!(
        policy(&[("cleanup.policy", "delete,compact")], Subtract, "delete"),
        "compact"
    );
    assert_eq!(
        policy(&[("cleanup.policy", "compact")], Subtract, "delete,compact"),
        ""
    );
    let replicas = "leader.replication.throttled.replicas";
    let appended = altered(
        &[(replicas, "0:1")],
        &[alteration(Append, replicas, " 0:1 ,2:2,2:2")],
    )
    .unwrap();
    assert_eq!(appended[replicas], "0:1,2:2");
}

#[test]
fn an_alteration_that_is_wrong_changes_nothing() {
    use Operation::{Append, Set, Subtract};
    for (alterations, message, invalid_config) in [
        (
            vec![
                alteration(Set, "retention.ms", "1"),
                alteration(Set, "retention.ms", "1"),
            ],
            "Error due to duplicate config keys",
            false,
        ),
        (
            vec![Alteration {
                name: "retention.ms".to_owned(),
                operation: Set,
                value: None,
            }],
            "Null value not supported for : retention.ms",
            false,
        ),
        (
            vec![alteration(Append, "retention.ms", "1")],
            "Can't APPEND to key retention.ms because its type is not LIST.",
            true,
        ),
        (
            vec![alteration(Subtract, "nosuch", "1")],
            "Can't SUBTRACT to key nosuch because its type is not LIST.",
            true,
        ),
        (
            vec![alteration(Set, "nosuch", "1")],
            "Unknown topic config name: nosuch",
            true,
        ),
        (
            vec![
                alteration(Set, "segment.ms", "5"),
                alteration(Append, "cleanup.policy", "foo"),
            ],
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
            true,
        ),
    ] {
        let error = altered(&[], &alterations).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.is_invalid_config(), invalid_config, "{message}");
    }
}

#[test]
fn deleting_returns_a_key_to_its_default_and_an_absent_or_unknown_one_is_no_error() {
    let config = config(&[]);
    let current = overrides(&[("retention.ms", "5"), ("segment.ms", "6")]);
    let Altered {
        overrides: after,
        changes,
    } = config
        .alter_topic(
            &current,
            &[
                deletion("retention.ms"),
                deletion("flush.ms"),
                deletion("nosuch"),
            ],
        )
        .unwrap();
    assert_eq!(after, overrides(&[("segment.ms", "6")]));
    assert_eq!(changes, BTreeMap::from([("retention.ms".to_owned(), None)]));
}

#[test]
fn the_older_call_replaces_everything() {
    let config = config(&[]);
    let current = overrides(&[("retention.ms", "5"), ("segment.ms", "6")]);
    let entry = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let altered = config
        .replace_topic(
            &current,
            &[entry("segment.ms", "6"), entry("flush.ms", "7")],
        )
        .unwrap();
    assert_eq!(
        altered.overrides,
        overrides(&[("segment.ms", "6"), ("flush.ms", "7")])
    );
    let changes = [
        ("retention.ms".to_owned(), None),
        ("flush.ms".to_owned(), Some("7".to_owned())),
    ];
    assert_eq!(altered.changes, BTreeMap::from(changes));
    assert_eq!(
        config.replace_topic(&current, &[]).unwrap().overrides,
        BTreeMap::new()
    );
    assert!(
        config
            .replace_topic(&current, &[entry("nosuch", "6")])
            .is_err()
    );
    let twice = [entry("flush.ms", "6"), entry("flush.ms", "6")];
    assert_eq!(
        config.replace_topic(&current, &twice),
        Err(AlterError::DuplicateKeys)
    );
}

#[test]
fn brokers_are_altered_within_what_may_change_while_they_run() {
    use BrokerScope::{Cluster, This};
    use Operation::Set;
    let config = config(&[]);
    for (scope, name, value, answer) in [
        (
            This,
            "num.partitions",
            "3",
            "Cannot update these configs dynamically: [num.partitions]",
        ),
        (
            Cluster,
            "node.id",
            "3",
            "Cannot update these configs dynamically: [node.id]",
        ),
        (
            This,
            "log.retention.ms",
            "abc",
            "Invalid value abc for configuration log.retention.ms: Not a number of type LONG",
        ),
        (
            This,
            "log.retention.ms",
            "0",
            "log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
        ),
        (
            This,
            "message.max.bytes",
            "-1",
            "Invalid value -1 for configuration message.max.bytes: Value must be at least 0",
        ),
        (
            Cluster,
            "ssl.client.auth",
            "none",
            "Cannot update these configs at default cluster level, broker id must be specified: [ssl.client.auth]",
        ),
        (
            Cluster,
            "listener.name.x.ssl.keystore.location",
            "/x",
            "Cannot update these configs at default cluster level, broker id must be specified: \
             [listener.name.x.ssl.keystore.location]",
        ),
        (
            Cluster,
            "ssl.keystore.location",
            "/x",
            "These security configs can be dynamically updated only per-listener using the listener prefix: \
             [ssl.keystore.location]",
        ),
        (This, "listener.name.x.ssl.keystore.location", "/x", ""),
        (Cluster, "listener.name.x.max.connections", "5", ""),
        (This, "message.max.bytes", "5", ""),
        (Cluster, "log.cleanup.policy", "compact", ""),
        (This, "num.io.threads", "9", ""),
        (
            This,
            "mesage.max.bytes",
            "5",
            "unknown key mesage.max.bytes (dynamic setting); did you mean message.max.bytes?",
        ),
    ] {
        let found = config
            .alter_broker(scope, &[alteration(Set, name, value)])
            .err();
        assert_eq!(
            found.map(|error| error.to_string()).unwrap_or_default(),
            answer,
            "{name}={value}"
        );
    }
    // Deleting what cannot be set is no error, so that a leftover of another version can be removed.
    assert!(
        config
            .alter_broker(This, &[deletion("num.partitions")])
            .is_ok()
    );
    let appended = config
        .alter_broker(
            This,
            &[alteration(
                Operation::Append,
                "log.cleanup.policy",
                "compact",
            )],
        )
        .unwrap();
    assert_eq!(appended.overrides["log.cleanup.policy"], "delete,compact");
    assert!(
        !config
            .alter_broker(This, &[alteration(Set, "num.partitions", "3")])
            .unwrap_err()
            .is_invalid_config()
    );
}

#[test]
fn a_stored_dynamic_setting_that_is_no_longer_right_does_not_stop_the_broker() {
    let loaded = config(&[]).with_dynamic(
        &overrides(&[("message.max.bytes", "x"), ("max.connections", "3")]),
        &BTreeMap::new(),
    );
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert_eq!(loaded.config.network.connections_max, 3);
}

#[test]
fn a_new_topic_takes_its_configs_or_says_what_is_wrong() {
    let config = config(&[]);
    let taken = config
        .new_topic([("retention.ms", Some("5")), ("retention.ms", Some("6"))])
        .unwrap();
    assert_eq!(taken, overrides(&[("retention.ms", "6")]));
    let error = config.new_topic([("retention.ms", None)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Null value not supported for topic configs: retention.ms"
    );
    assert!(error.is_invalid_config());
}

#[test]
fn operations_have_kafkas_numbers() {
    let found: Vec<_> = (-1..5).map(Operation::from_wire).collect();
    use Operation::{Append, Delete, Set, Subtract};
    assert_eq!(
        found,
        [
            None,
            Some(Set),
            Some(Delete),
            Some(Append),
            Some(Subtract),
            None
        ]
    );
}

#[test]
fn what_kafka_alters_while_it_runs_and_this_broker_does_not_is_listed() {
    let listed: Vec<_> = keys::all()
        .filter(|key| key.kafka_alters)
        .map(Key::name)
        .collect();
    assert!(listed.contains(&"listeners"), "{listed:?}");
    for name in listed {
        assert_eq!(
            keys::find(name).map(|key| key.update),
            Some(Update::ReadOnly),
            "{name}"
        );
        assert!(docs::markdown().contains(&format!("`{name}`")));
    }
}

proptest::proptest! {
    /// Values come from clients too: whatever they send is taken or refused, and what is taken is printed so that
    /// reading it again gives the same.
    #[test]
    fn any_text_is_a_value_or_an_error(text in "\\PC{0,24}|[-+]?[0-9.eE,:* ]{0,24}") {
        let specs = keys::all().map(|key| key.spec).chain(TOPIC_KEYS.iter().map(|key| key.spec));
        for spec in specs {
            let Ok(value) = spec.parse(&text) else { continue };
            let printed = value.text().unwrap();
            proptest::prop_assert_eq!(spec.parse(&printed).unwrap(), value, "{}", spec.name);
        }
        let _ = listeners::EndPoint::parse(&text);
        let _ = sources::key_of_variable(&format!("KAFKA_{text}"), &text);
        let _ = topic::validate(&overrides(&[("cleanup.policy", &text)]));
    }
}
