//! A thousand topics, one request each, as provisioning tools send them.
//! `cargo test -p tidewater-cluster --test thousand_topics -- --nocapture` prints the figures.

mod support;

use std::time::{Duration, Instant};

use support::Node;
use tidewater_cluster::TopicRef;

#[tokio::test]
#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures, and prints what it measured"
)]
async fn a_thousand_topics_are_created_described_and_deleted_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let mut laps = vec![("start", Instant::now(), cpu_seconds())];
    let mut lap = |name| laps.push((name, Instant::now(), cpu_seconds()));
    for number in 0..1_000 {
        node.create(&format!("topic-{number}"), 5).await.unwrap();
    }
    lap("create");
    let image = node.controller.image();
    assert_eq!(
        image
            .topics()
            .map(|topic| topic.partitions.len())
            .sum::<usize>(),
        5_000
    );
    node.stop().await;
    lap("describe and stop");
    let node = Node::start(dir.path()).await;
    lap("start again");
    let image = node.controller.image();
    assert_eq!(
        image
            .topics()
            .filter(|topic| topic.partitions[4].leader_epoch == 1)
            .count(),
        1_000
    );
    for number in 0..1_000 {
        let topic = TopicRef::Name(format!("topic-{number}"));
        assert!(node.controller.delete_topics(vec![topic]).await[0].is_ok());
    }
    lap("delete");
    assert_eq!(node.controller.image().topic_count(), 0);
    for pair in laps.windows(2) {
        let [(_, began, cpu_began), (name, ended, cpu_ended)] = pair else {
            continue;
        };
        let (elapsed, cpu) = (*ended - *began, cpu_ended - cpu_began);
        println!("{name}: {:.3} s, {cpu:.2} s of CPU", elapsed.as_secs_f64());
        // Quadratic work would take minutes of CPU; a busy machine does not.
        assert!(cpu < 10.0, "{name}");
    }
    node.stop().await;
    let began = Instant::now();
    let node = Node::start(dir.path()).await;
    println!("start of an empty one: {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10));
    node.stop().await;
}

/// CPU time that this process has used.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = [11, 12]
        .iter()
        .filter_map(|&field: &usize| fields.get(field)?.parse::<u64>().ok());
    ticks.sum::<u64>() as f64 / 100.0
}

#[tokio::test]
#[ignore = "a figure for capacity planning: a hundred thousand partitions on one node"]
#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures, and prints what it measured"
)]
async fn twenty_thousand_topics_fit_into_one_image() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let before = resident_mib();
    let began = (Instant::now(), cpu_seconds());
    for request in 0..10 {
        let names = (0..2_000).map(|number| format!("topic-{request}-{number}"));
        node.create_many(names, 5).await;
    }
    let (elapsed, cpu) = (began.0.elapsed(), cpu_seconds() - began.1);
    println!(
        "create 100,000 partitions: {elapsed:.2?}, {cpu:.2} s of CPU, {} MiB more",
        resident_mib() - before
    );
    let began = (Instant::now(), cpu_seconds());
    node.create("one-more", 1).await.unwrap();
    println!(
        "create one more: {:.2?}, {:.2} s of CPU",
        began.0.elapsed(),
        cpu_seconds() - began.1
    );
    node.stop().await;
    let began = (Instant::now(), cpu_seconds());
    let node = Node::start(dir.path()).await;
    println!(
        "start again: {:.2?}, {:.2} s of CPU",
        began.0.elapsed(),
        cpu_seconds() - began.1
    );
    assert_eq!(node.controller.image().topic_count(), 20_001);
    node.stop().await;
}

/// Memory that this process has in RAM.
fn resident_mib() -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<i64>().ok());
    kib.unwrap_or(0) / 1024
}
