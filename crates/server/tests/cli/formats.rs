//! How answers are written: `-o table|wide|json|yaml`.

use crate::support::{Broker, folder};

#[test]
fn yaml_says_what_json_says_and_wide_says_more_than_the_table() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.run(&["topic", "create", "orders"]).exits(0);
    let list = |format| broker.run(&["topic", "list", "-o", format]).exits(0);
    let id = list("json").json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        list("yaml").stdout,
        format!(
            "- name: orders\n  id: {id}\n  internal: false\n  partitions: 1\n  replication_factor: 1\n"
        )
    );
    assert_eq!(
        list("table").stdout,
        "NAME    PARTITIONS  REPLICAS\norders  1           1\n"
    );
    let wide = list("wide").stdout;
    assert_eq!(
        wide.lines().next(),
        Some("NAME    PARTITIONS  REPLICAS  INTERNAL  ID")
    );
    assert!(wide.contains(&id), "{wide}");
    for command in [
        &["topic", "describe", "orders"][..],
        &["cluster", "info"],
        &["config", "describe", "topic", "orders"],
        &["group", "list"],
    ] {
        for format in ["table", "wide", "json", "yaml"] {
            broker.run(&[command, &["-o", format]].concat()).exits(0);
        }
    }
}
