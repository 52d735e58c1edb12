//! `tidewater config` and `tidewater cluster`.

use serde_json::json;

use crate::support::{Broker, folder};

#[test]
fn what_has_a_configuration_is_listed_and_described() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.run(&["topic", "create", "orders"]).exits(0);
    let listed = broker
        .run(&["config", "list", "topic", "broker", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(
        listed,
        json!([{"kind": "topic", "name": "orders"}, {"kind": "broker", "name": "1"}])
    );
    broker
        .run(&[
            "config",
            "alter",
            "topic",
            "orders",
            "-c",
            "retention.ms=1000",
        ])
        .exits(0);
    let changed = broker
        .run(&["config", "describe", "topic", "orders", "--changed"])
        .exits(0)
        .stdout;
    assert_eq!(
        changed,
        "KEY           VALUE  SOURCE\nretention.ms  1000   DYNAMIC_TOPIC_CONFIG\n"
    );
    broker
        .run(&["config", "describe", "broker", "1", "node.id"])
        .exits(0);
    broker
        .run(&["config", "describe", "broker", "default"])
        .exits(0);
    broker
        .run(&["config", "describe", "broker", "first"])
        .exits(2);
    broker
        .run(&["config", "describe", "broker-logger", "default"])
        .exits(2);
}

#[test]
fn log_directories_are_shown_with_what_is_in_them() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.produce(&["t"], b"some record\n").exits(0);
    let dirs = broker
        .run(&["cluster", "log-dirs", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(
        (&dirs[0]["broker"], &dirs[0]["error"]),
        (&1.into(), &serde_json::Value::Null)
    );
    assert_eq!(dirs[0]["path"], dir.path().to_str().unwrap());
    let held = &dirs[0]["partitions"][0];
    assert_eq!(
        (&held["topic"], &held["partition"]),
        (&"t".into(), &0.into())
    );
    assert!(held["bytes"].as_i64().unwrap() > 0, "{dirs}");
    let partitions = broker
        .run(&["cluster", "log-dirs", "-t", "t"])
        .exits(0)
        .stdout;
    assert!(
        partitions.starts_with("TOPIC  PARTITION  BROKER  DIRECTORY"),
        "{partitions}"
    );
    let missing = broker
        .run(&["cluster", "log-dirs", "--brokers", "1,2"])
        .exits(3);
    assert!(
        missing.stderr.contains("the cluster has no broker 2"),
        "{}",
        missing.stderr
    );
}

#[test]
fn groups_loggers_and_client_metrics_have_configurations_too() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker
        .run(&[
            "config",
            "alter",
            "group",
            "g",
            "-c",
            "consumer.session.timeout.ms=50000",
        ])
        .exits(0);
    broker
        .run(&[
            "config",
            "alter",
            "client-metrics",
            "m",
            "-c",
            "interval.ms=10000",
        ])
        .exits(0);
    let changed = broker
        .run(&["config", "describe", "group", "g", "--changed"])
        .exits(0)
        .stdout;
    assert!(
        changed.contains("consumer.session.timeout.ms  50000  DYNAMIC_GROUP_CONFIG"),
        "{changed}"
    );
    let listed = broker
        .run(&["config", "list", "group", "client-metrics", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(
        listed,
        json!([{"kind": "client-metrics", "name": "m"}, {"kind": "group", "name": "g"}])
    );
    let loggers = broker
        .run(&["config", "describe", "broker-logger", "1", "-o", "json"])
        .exits(0)
        .json();
    let logger = loggers[0]["name"].as_str().unwrap();
    let debug = format!("{logger}=DEBUG");
    broker
        .run(&["config", "alter", "broker-logger", "1", "-c", &debug])
        .exits(0);
    let loggers = broker
        .run(&[
            "config",
            "describe",
            "broker-logger",
            "1",
            logger,
            "-o",
            "json",
        ])
        .exits(0)
        .json();
    assert_eq!(loggers[0]["value"], "DEBUG");
}
