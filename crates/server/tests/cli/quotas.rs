//! `tidewater quota`.

use serde_json::json;

use crate::support::{Broker, folder};

#[test]
fn quotas_are_set_listed_described_and_deleted() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let app = ["--user", "alice", "--client-id", "app"];
    let set = [
        &["quota", "set"][..],
        &app,
        &["-c", "producer_byte_rate=1048576"],
    ]
    .concat();
    broker.run(&[&set[..], &["--dry-run"]].concat()).exits(0);
    assert_eq!(
        broker.run(&["quota", "list", "-o", "json"]).exits(0).json(),
        json!([])
    );
    broker.run(&set).exits(0);
    broker
        .run(&[
            "quota",
            "set",
            "--default",
            "user",
            "-c",
            "request_percentage=50.5",
        ])
        .exits(0);
    assert_eq!(
        broker
            .run(&["quota", "list", "--user", "alice"])
            .exits(0)
            .stdout,
        "ENTITY                     QUOTA               VALUE\n\
         client-id app, user alice  producer_byte_rate  1048576\n"
    );
    assert_eq!(
        broker
            .run(&["quota", "describe", "--default", "user", "-o", "json"])
            .exits(0)
            .json(),
        json!([{"entity": {"user": null}, "quotas": {"request_percentage": 50.5}}])
    );
    assert_eq!(
        broker
            .run(&["quota", "describe", "--user", "alice", "-o", "json"])
            .exits(0)
            .json(),
        json!([]),
        "the quota is of a client of hers"
    );
    let delete = [&["quota", "delete"][..], &app].concat();
    broker.run(&delete).exits(2);
    broker.run(&[&delete[..], &["--dry-run"]].concat()).exits(0);
    broker.run(&[&delete[..], &["--yes"]].concat()).exits(0);
    broker.run(&[&delete[..], &["--yes"]].concat()).exits(1);
    assert_eq!(
        broker
            .run(&["quota", "list", "--user", "alice", "-o", "json"])
            .exits(0)
            .json(),
        json!([])
    );
    broker
        .run(&["quota", "set", "-c", "producer_byte_rate=1"])
        .exits(2);
    broker
        .run(&["quota", "set", "--user", "alice", "-c", "no_such_quota=1"])
        .exits(1);
}
