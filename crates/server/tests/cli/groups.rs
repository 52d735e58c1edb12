//! `tidewater group`.

use serde_json::{Value, json};

use crate::member::Member;
use crate::support::{Broker, folder};

/// A topic of three partitions with 10 records in each.
fn orders(broker: &Broker) {
    broker
        .run(&["topic", "create", "orders", "-p", "3"])
        .exits(0);
    for partition in ["0", "1", "2"] {
        broker
            .produce(&["orders", "-p", partition], &b"x\n".repeat(10))
            .exits(0);
    }
}

fn describe(broker: &Broker, group: &str) -> Value {
    let described = broker.run(&["group", "describe", group, "-o", "json"]);
    described.exits(0).json()[0].clone()
}

#[test]
fn a_group_is_made_by_a_seek_listed_described_and_deleted() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    orders(&broker);
    let moved = broker
        .run(&["group", "seek", "g", "--to", "+4", "-t", "orders:0,2"])
        .exits(0);
    assert_eq!(
        moved.stdout,
        "TOPIC   PARTITION  BEFORE  NOW\norders  0          -       4\norders  2          -       4\n"
    );
    assert_eq!(
        broker.run(&["group", "list"]).exits(0).stdout,
        "GROUP  STATE  TYPE     PROTOCOL  MEMBERS  COORDINATOR\ng      Empty  classic  -         0        1\n"
    );
    let text = broker.run(&["group", "describe", "g"]).exits(0).stdout;
    let expected = format!(
        "GROUP        g\nSTATE        Empty\nTYPE         classic\nPROTOCOL     -\n\
         COORDINATOR  1 ({})\nMEMBERS      0\nTOTAL LAG    12\n\n\
         TOPIC   PARTITION  COMMITTED  START  END  LAG  MEMBER\n\
         orders  0          4          0      10   6    -\n\
         orders  2          4          0      10   6    -\n",
        broker.address
    );
    assert_eq!(text, expected);

    broker.run(&["group", "delete", "g"]).exits(2);
    let dry = broker.run(&["group", "delete", "g", "--dry-run"]).exits(0);
    assert_eq!(
        dry.stderr,
        "group g: would be deleted, with 2 committed offsets\n"
    );
    assert_eq!(describe(&broker, "g")["total_lag"], 12);
    broker.run(&["group", "delete", "g", "--yes"]).exits(0);
    broker.run(&["group", "describe", "g"]).exits(1);
    broker.run(&["group", "delete", "g", "--yes"]).exits(1);
    broker
        .run(&["group", "delete", "g", "--yes", "--if-exists"])
        .exits(0);
    assert_eq!(
        broker.run(&["group", "list", "-o", "json"]).exits(0).json(),
        json!([])
    );
}

#[test]
fn a_seek_goes_to_every_place_that_can_be_said() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    orders(&broker);
    let seek = |more: &[&str]| {
        let seek = [&["group", "seek", "g", "-o", "json"][..], more].concat();
        let moved = broker.run(&seek).exits(0).json();
        let after = moved.as_array().unwrap().iter();
        after
            .map(|moved| moved["after"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(seek(&["--to", "start", "-t", "orders"]), [0, 0, 0]);
    assert_eq!(seek(&["--to", "end"]), [10, 10, 10]);
    assert_eq!(seek(&["--to", "-3", "-t", "orders:1"]), [7]);
    assert_eq!(seek(&["--shift-by", "-2"]), [8, 5, 8]);
    assert_eq!(seek(&["--shift-by", "4"]), [10, 9, 10], "not past the end");
    assert_eq!(seek(&["--to", "@-1h"]), [0, 0, 0]);
    assert_eq!(seek(&["--to", "@2100-01-01"]), [10, 10, 10]);
    assert_eq!(seek(&["--to", "6"]), [6, 6, 6]);
    assert_eq!(seek(&["--to", "start", "--dry-run"]), [0, 0, 0]);
    assert_eq!(
        describe(&broker, "g")["partitions"][0]["committed_offset"],
        6
    );

    // What one group has committed, for another, by name and through a file.
    let commits = broker
        .run(&["group", "describe", "g", "--commits"])
        .exits(0)
        .stdout;
    assert_eq!(commits, "orders 0 6\norders 1 6\norders 2 6\n");
    let file = dir.path().join("commits");
    std::fs::write(&file, "orders 0 1\norders,1,2\norders 2 99\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(seek(&["--to-file", file]), [1, 2, 10]);
    broker
        .run(&["group", "seek", "h", "--to-group", "g"])
        .exits(0);
    assert_eq!(describe(&broker, "h")["total_lag"], 9 + 8);

    broker.run(&["group", "seek", "g"]).exits(2);
    broker
        .run(&["group", "seek", "g", "--to", "end", "--shift-by", "1"])
        .exits(2);
    broker
        .run(&["group", "seek", "new", "--to", "end"])
        .exits(2);
    broker
        .run(&["group", "seek", "g", "--to", "end", "-t", "no-such-topic"])
        .exits(1);
    let part = broker.run(&[
        "group",
        "seek",
        "g",
        "--to",
        "end",
        "-t",
        "no-such-topic",
        "-t",
        "orders",
    ]);
    part.exits(3);
}

#[test]
fn a_group_somebody_is_in_is_described_with_its_members_and_neither_moved_nor_deleted() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    orders(&broker);
    broker
        .run(&["group", "seek", "g", "--to", "7", "-t", "orders:0"])
        .exits(0);
    let member = Member::classic(&broker.address, "g", "orders", &[0, 1]);

    let group = describe(&broker, "g");
    assert_eq!(
        (&group["state"], &group["type"], &group["protocol"]),
        (&"Stable".into(), &"classic".into(), &"range".into())
    );
    assert_eq!(group["members"][0]["client_id"], "app");
    assert_eq!(group["members"][0]["assignment"], json!({"orders": [0, 1]}));
    assert_eq!(group["partitions"][0]["lag"], 3);
    assert_eq!(
        group["partitions"][1]["lag"],
        Value::Null,
        "nothing is committed there"
    );
    assert_eq!(
        group["partitions"][1]["member_id"],
        group["members"][0]["member_id"]
    );
    assert_eq!(group["total_lag"], 3);

    for command in [
        &["group", "seek", "g", "--to", "start"][..],
        &["group", "delete", "g", "--yes"],
    ] {
        let refused = broker.run(command).exits(1);
        assert!(
            refused
                .stderr
                .contains("group g is Stable with 1 member: stop them first"),
            "{}",
            refused.stderr
        );
    }
    let listed = |filter: &[&str]| {
        let list = [&["group", "list", "-o", "json"][..], filter].concat();
        broker.run(&list).exits(0).json().as_array().unwrap().len()
    };
    assert_eq!(
        (listed(&["-s", "stable"]), listed(&["-s", "empty,dead"])),
        (1, 0)
    );
    assert_eq!(
        (listed(&["-t", "classic"]), listed(&["-t", "consumer"])),
        (1, 0)
    );
    broker.run(&["group", "list", "-s", "sleeping"]).exits(2);

    member.leave();
    broker
        .run(&["group", "seek", "g", "--to", "start"])
        .exits(0);
}

#[test]
fn a_group_of_the_consumer_protocol_is_described_too() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    orders(&broker);
    let _member = Member::consumer(&broker.address, "modern", "orders");
    let group = describe(&broker, "modern");
    assert_eq!(
        (&group["type"], &group["state"]),
        (&"consumer".into(), &"Stable".into())
    );
    assert_eq!(group["protocol"], "uniform");
    assert_eq!(group["epoch"], group["assignment_epoch"]);
    assert_eq!(
        group["members"][0]["assignment"],
        json!({"orders": [0, 1, 2]})
    );
    let listed = broker.run(&["group", "list", "-o", "json"]).exits(0).json();
    assert_eq!(
        (&listed[0]["type"], &listed[0]["members"]),
        (&"consumer".into(), &1.into())
    );
    let refused = broker
        .run(&["group", "seek", "modern", "--to", "end", "-t", "orders"])
        .exits(1);
    assert!(
        refused.stderr.contains("stop them first"),
        "{}",
        refused.stderr
    );
}

#[test]
fn offsets_of_some_partitions_are_forgotten() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    orders(&broker);
    broker
        .run(&["group", "seek", "g", "--to", "5", "-t", "orders"])
        .exits(0);
    let forget = ["group", "offset-delete", "g", "-t", "orders:0,1"];
    broker.run(&forget).exits(2);
    broker.run(&[&forget[..], &["--dry-run"]].concat()).exits(0);
    assert_eq!(describe(&broker, "g")["total_lag"], 15);
    let forgotten = broker
        .run(&[&forget[..], &["--yes", "-o", "json"]].concat())
        .exits(0);
    assert_eq!(
        forgotten.json()[0],
        json!({"topic": "orders", "partition": 0, "offset": 5})
    );
    assert_eq!(describe(&broker, "g")["total_lag"], 5);
    broker.run(&[&forget[..], &["--yes"]].concat()).exits(1);
}

#[test]
fn lag_is_told_for_what_a_deleted_and_recreated_topic_no_longer_has() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    orders(&broker);
    broker
        .run(&["group", "seek", "g", "--to", "end", "-t", "orders"])
        .exits(0);
    broker
        .run(&["topic", "trim", "orders", "--to", "8", "--yes"])
        .exits(0);
    broker.run(&["group", "seek", "g", "--to", "3"]).exits(0);
    let group = describe(&broker, "g");
    assert_eq!(
        group["partitions"][0]["committed_offset"], 8,
        "the nearest there is"
    );
    assert_eq!(group["total_lag"], 6);
}
