//! `tidewater bench`.

use serde_json::{Value, json};

use crate::support::{Broker, folder};

fn bench(broker: &Broker, arguments: &[&str]) -> Value {
    let command = [&["bench"][..], arguments, &["-o", "json"]].concat();
    broker.run(&command).exits(0).json()
}

fn topics(broker: &Broker) -> Value {
    broker.run(&["topic", "list", "-o", "json"]).exits(0).json()
}

fn in_order(latency: &Value) -> bool {
    let points =
        ["p50", "p95", "p99", "p99_9", "max"].map(|point| latency[point].as_f64().unwrap());
    points[0] > 0.0 && points.is_sorted()
}

#[test]
fn each_benchmark_counts_every_record_and_takes_its_topic_away() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    for (kind, since) in [("produce", "sent"), ("consume", "fetch"), ("e2e", "due")] {
        let report = bench(&broker, &[kind, "-n", "5000", "-s", "100", "-p", "2"]);
        assert_eq!(
            (&report["benchmark"], &report["latency_since"]),
            (&kind.into(), &since.into())
        );
        assert_eq!(report["partitions"], 2);
        assert!(in_order(&report["latency_ms"]), "{report}");
        assert!(
            report["records_per_second"].as_f64().unwrap() > 0.0,
            "{report}"
        );
        match kind {
            // Who reads whole batches may have a few more than were asked for.
            "consume" => assert!(report["records"].as_u64().unwrap() >= 5000, "{report}"),
            _ => assert_eq!(report["records"], 5000, "{report}"),
        }
        assert_eq!(report["missing"], 0);
    }
    assert_eq!(topics(&broker), json!([]));
}

#[test]
fn commits_are_counted_and_their_groups_are_taken_away() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let report = bench(&broker, &["commit", "-n", "300", "-p", "7", "-c", "3"]);
    assert_eq!(
        (&report["benchmark"], &report["latency_since"]),
        (&"commit".into(), &"commit".into())
    );
    assert_eq!(
        (&report["records"], &report["partitions"]),
        (&300.into(), &7.into())
    );
    assert!(in_order(&report["latency_ms"]), "{report}");
    assert_eq!(report["settings"], json!({ "connections": 3 }));
    let groups = broker.run(&["group", "list", "-o", "json"]).exits(0).json();
    assert_eq!((groups, topics(&broker)), (json!([]), json!([])));
}

#[test]
fn transactions_are_counted_and_every_record_of_theirs_is_committed() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.run(&["topic", "create", "mine", "-p", "4"]).exits(0);
    let size = ["-s", "100", "--batch-size", "500"];
    let transaction = ["transaction", "-t", "mine", "-n", "40", "-c", "3"];
    let report = bench(
        &broker,
        &[&transaction[..], &["--spread", "2"], &size].concat(),
    );
    assert_eq!(
        (&report["benchmark"], &report["latency_since"]),
        (&"transaction".into(), &"commit".into())
    );
    assert_eq!(
        (&report["records"], &report["bytes"]),
        (&40.into(), &(40 * 2 * 500).into())
    );
    assert!(in_order(&report["latency_ms"]), "{report}");
    let committed = broker
        .run(&["consume", "mine", "--exit", "--read-committed"])
        .exits(0);
    assert_eq!(committed.stdout.lines().count(), 40 * 2 * 5);
}

#[test]
fn transactions_at_a_rate_take_their_time() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let report = bench(
        &broker,
        &["transaction", "-n", "21", "-c", "2", "--rate", "50"],
    );
    assert_eq!(
        (&report["records"], &report["rate"]),
        (&21.into(), &50.into())
    );
    assert!(report["seconds"].as_f64().unwrap() >= 0.4, "{report}");
    assert_eq!(topics(&broker), json!([]));
}

#[test]
fn a_topic_that_was_named_is_written_to_and_stays() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker.run(&["topic", "create", "mine"]).exits(0);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        bench(
            &broker,
            &[
                "produce", "-t", "mine", "-n", "300", "-s", "50", "-z", codec,
            ],
        );
    }
    let report = bench(&broker, &["consume", "-t", "mine"]);
    assert_eq!(report["records"], 1500);
    let text = broker
        .run(&["bench", "consume", "-t", "mine"])
        .exits(0)
        .stdout;
    assert!(text.contains("P99.9"), "{text}");
    assert_eq!(topics(&broker)[0]["name"], "mine");
}

#[test]
fn at_a_rate_for_a_time_there_are_as_many_records_as_were_due() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    let report = bench(
        &broker,
        &["produce", "-d", "500ms", "--rate", "200", "-s", "16"],
    );
    assert_eq!(
        (&report["records"], &report["rate"]),
        (&100.into(), &200.into())
    );
    assert_eq!(report["latency_since"], "due");
    let unheard = bench(&broker, &["produce", "-n", "100", "--acks", "0"]);
    assert_eq!(
        (&unheard["latency_ms"], &unheard["records"]),
        (&Value::Null, &100.into())
    );
    broker
        .run(&["bench", "e2e", "--acks", "0", "-n", "10"])
        .exits(2);
    broker
        .run(&["bench", "produce", "-n", "10", "-d", "1s"])
        .exits(2);
    broker.run(&["topic", "create", "empty"]).exits(0);
    broker.run(&["bench", "consume", "-t", "empty"]).exits(1);
    assert_eq!(
        topics(&broker).as_array().unwrap().len(),
        1,
        "a failed one leaves nothing either"
    );
}
