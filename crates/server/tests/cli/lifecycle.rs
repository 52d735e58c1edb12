//! The broker as a process: how it starts, logs and stops.

use std::io::{BufRead, BufReader};

use crate::support::{Broker, folder, run, tidewater};

#[test]
fn the_start_up_lines_say_what_runs_where_and_how_to_reach_it() {
    let dir = folder();
    let broker = Broker::start(
        dir.path(),
        &[
            "--set",
            "node.id=7",
            "--set",
            "cluster.id=QOWwYkKYQ6yV9yTb8W6tHQ",
        ],
    );
    let lines = broker.start_up.join("\n");
    let address = &broker.address;
    assert!(lines.contains(&format!(
        "tidewater {}, cluster QOWwYkKYQ6yV9yTb8W6tHQ, node 7",
        env!("CARGO_PKG_VERSION")
    )));
    assert!(
        lines.contains(&format!(
            "listening on PLAINTEXT://{address} (clients are told {address})"
        )),
        "{lines}"
    );
    assert!(
        lines.contains(&format!("data in {}", dir.path().display())),
        "{lines}"
    );
    assert!(lines.contains("admin on http://127.0.0.1:"), "{lines}");
}

#[test]
fn sigterm_stops_in_order_and_everything_is_there_after_the_next_start() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let info = broker
        .run(&["cluster", "info", "-o", "json"])
        .exits(0)
        .json();
    broker.produce(&["kept", "-p", "0"], b"one\ntwo\n").exits(0);
    broker.stop();

    let broker = Broker::start(dir.path(), &[]);
    let again = broker
        .run(&["cluster", "info", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(again["cluster_id"], info["cluster_id"]);
    assert_eq!(
        broker.run(&["consume", "kept", "-e"]).exits(0).stdout,
        "one\ntwo\n"
    );
}

#[test]
fn the_log_is_json_where_it_was_asked_for() {
    let dir = folder();
    let dirs = format!("log.dirs={}", dir.path().display());
    let any_port = [
        "--set",
        "listeners=PLAINTEXT://127.0.0.1:0",
        "--set",
        "admin.listeners=http://127.0.0.1:0",
    ];
    let mut child = tidewater(&[&["--log-format", "json", "--set", &dirs][..], &any_port].concat())
        .spawn()
        .unwrap();
    let mut ready = None;
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["message"] == "ready" {
            ready = Some(event);
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let ready = ready.expect("the broker says that it is ready");
    assert_eq!(ready["node_id"], 1);
    assert!(
        ready["listeners"]
            .as_str()
            .unwrap()
            .starts_with("PLAINTEXT://127.0.0.1:")
    );
    assert!(ready["took_ms"].is_u64());
}

#[test]
fn a_trial_broker_leaves_nothing_behind() {
    let temporary = folder();
    let set = [
        "broker",
        "--dev",
        "--set",
        "listeners=PLAINTEXT://127.0.0.1:0",
        "--set",
        "admin.listeners=",
    ];
    let mut command = tidewater(&set);
    command.env("TMPDIR", temporary.path());
    let broker = Broker::spawn(command);
    assert_eq!(temporary.path().read_dir().unwrap().count(), 1);
    broker.produce(&["made-on-demand"], b"x\n").exits(0);
    broker.stop();
    assert_eq!(temporary.path().read_dir().unwrap().count(), 0);
}

#[test]
fn wrong_settings_are_all_named_at_once_with_exit_code_2() {
    let wrong = run(&[
        "broker",
        "--set",
        "num.partitons=3",
        "--set",
        "log.segment.bytes=many",
    ])
    .exits(2);
    assert!(
        wrong.stderr.contains("num.partitions"),
        "the nearest key is named: {}",
        wrong.stderr
    );
    assert!(
        wrong.stderr.contains("log.segment.bytes"),
        "{}",
        wrong.stderr
    );
    assert_eq!(wrong.stdout, "");

    let dir = folder();
    let file = dir.path().join("server.properties");
    std::fs::write(
        &file,
        "num.partitions=3\nzookeeper.connect=localhost:2181\n",
    )
    .unwrap();
    let checked = run(&["config", "check", file.to_str().unwrap()]).exits(0);
    assert!(
        checked.stderr.contains("zookeeper.connect"),
        "{}",
        checked.stderr
    );
    run(&["config", "check", "/there/is/no/such/file"]).exits(2);
}
