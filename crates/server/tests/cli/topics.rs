//! `tidewater topic`.

use crate::support::{Broker, folder};

#[test]
fn topics_are_created_listed_described_altered_and_deleted() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker
        .run(&[
            "topic",
            "create",
            "orders",
            "-p",
            "3",
            "-c",
            "retention.ms=1000",
        ])
        .exits(0);
    assert_eq!(
        broker.run(&["topic", "list"]).exits(0).stdout,
        "NAME    PARTITIONS  REPLICAS\norders  3           1\n"
    );

    let orders = broker
        .run(&["topic", "describe", "orders", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(orders[0]["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(orders[0]["partitions"][2]["end_offset"], 0);
    assert_eq!(orders[0]["configs"][0]["name"], "retention.ms");
    assert_eq!(orders[0]["configs"][0]["value"], "1000");

    broker
        .run(&[
            "topic",
            "alter",
            "orders",
            "-p",
            "5",
            "-c",
            "segment.bytes=2000000",
            "--reset",
            "retention.ms",
        ])
        .exits(0);
    let orders = broker
        .run(&["topic", "describe", "orders", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(orders[0]["partitions"].as_array().unwrap().len(), 5);
    assert_eq!(orders[0]["configs"].as_array().unwrap().len(), 1);
    assert_eq!(orders[0]["configs"][0]["name"], "segment.bytes");

    broker.run(&["topic", "delete", "orders", "--yes"]).exits(0);
    assert_eq!(
        broker.run(&["topic", "list", "-o", "json"]).exits(0).json(),
        serde_json::json!([])
    );
    broker
        .run(&["topic", "delete", "orders", "--yes", "--if-exists"])
        .exits(0);
}

#[test]
fn a_dry_run_checks_everything_and_changes_nothing() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.run(&["topic", "create", "t", "--dry-run"]).exits(0);
    broker
        .run(&[
            "topic",
            "create",
            "t",
            "--dry-run",
            "-c",
            "retention.ms=never",
        ])
        .exits(1);
    assert_eq!(
        broker.run(&["topic", "list", "-o", "json"]).exits(0).json(),
        serde_json::json!([])
    );

    broker.run(&["topic", "create", "t"]).exits(0);
    broker
        .run(&[
            "topic",
            "alter",
            "t",
            "-p",
            "4",
            "-c",
            "retention.ms=1",
            "--dry-run",
        ])
        .exits(0);
    let t = broker
        .run(&["topic", "describe", "t", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(t[0]["partitions"].as_array().unwrap().len(), 1);
    assert_eq!(t[0]["configs"], serde_json::json!([]));
}

#[test]
fn a_topic_is_trimmed_up_to_an_offset_and_only_after_a_yes() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.produce(&["t"], b"0\n1\n2\n3\n4\n").exits(0);
    let refused = broker.run(&["topic", "trim", "t", "--to", "3"]).exits(2);
    assert!(
        refused.stderr.contains(
            "this deletes 3 offsets of topic t, and that needs --yes where nobody can be asked"
        ),
        "{}",
        refused.stderr
    );
    let dry = broker
        .run(&["topic", "trim", "t", "--to", "3", "--dry-run"])
        .exits(0);
    assert_eq!(
        dry.stdout,
        "TOPIC  PARTITION  STARTED  WOULD START  END\nt      0          0        3            5\n"
    );
    broker
        .run(&["topic", "trim", "t", "--to", "9", "--yes"])
        .exits(1);
    broker
        .run(&["topic", "trim", "t", "--to", "3", "--yes"])
        .exits(0);
    assert_eq!(
        broker.run(&["consume", "t", "-e"]).exits(0).stdout,
        "3\n4\n"
    );
}

#[test]
fn a_dry_run_of_a_deletion_says_what_would_be_gone() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.produce(&["t"], b"0\n1\n2\n").exits(0);
    let dry = broker.run(&["topic", "delete", "t", "--dry-run"]).exits(0);
    assert_eq!(
        dry.stderr,
        "topic t: would be deleted, with 1 partition and 3 offsets\n"
    );
    broker
        .run(&["topic", "delete", "no-such-topic", "--dry-run"])
        .exits(1);
    assert_eq!(
        broker.run(&["consume", "t", "-e"]).exits(0).stdout,
        "0\n1\n2\n"
    );
}
