//! Kill -9 at any moment: what was acknowledged is there, what was given out once is not given out again.

#![allow(clippy::unwrap_used, reason = "a test, helpers included")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::Node;
use tidewater_cluster::{NewPartitions, TopicRef, id_text};

const ROUNDS: u64 = 100;
/// Tells a copy of this test binary that it is the process to be killed, and on which directory it works.
const DIRECTORY: &str = "TIDEWATER_TEST_CRASH_DIR";

/// What the processes before acknowledged, and what became of it.
#[derive(Default)]
struct Acknowledged {
    /// Topic → its id and its partitions.
    topics: BTreeMap<String, (String, usize)>,
    deleted: BTreeSet<String>,
    ids: BTreeSet<String>,
    producer_ids: BTreeSet<i64>,
    leader_epochs: BTreeMap<(String, usize), i32>,
    cluster_id: Option<String>,
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_and_no_id_is_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let seed = uuid::Uuid::new_v4().as_u128() as u64;
    eprintln_seed(seed);
    let mut random = seed;
    let mut acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let lines = acknowledge_then_kill(dir.path(), round, random >> 33);
        for line in &lines {
            acknowledged.note(line);
        }
        let node = Node::start(dir.path()).await;
        acknowledged.check(&node, round).await;
        node.stop().await;
    }
    assert!(
        acknowledged.topics.len() > 50,
        "the processes did something before they were killed"
    );
}

#[allow(clippy::print_stderr, reason = "a failure is repeated from its seed")]
fn eprintln_seed(seed: u64) {
    eprintln!("seed {seed}");
}

/// Runs a process until it has acknowledged a random number of lines, and kills it wherever it is then.
fn acknowledge_then_kill(dir: &Path, round: u64, random: u64) -> Vec<String> {
    let mut child = start_child(dir, round);
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut lines = Vec::new();
    let mut line = String::new();
    while lines.len() < 1 + (random % 24) as usize {
        line.clear();
        assert!(
            stdout.read_line(&mut line).unwrap() > 0,
            "the process ended by itself"
        );
        lines.extend(
            line.strip_prefix("ack ")
                .map(|ack| ack.trim_end().to_owned()),
        );
    }
    std::thread::sleep(std::time::Duration::from_micros((random >> 8) % 3_000));
    child.kill().unwrap();
    child.wait().unwrap();
    // What it managed to write before it died counts too; a line cut short was not read by anybody.
    for rest in stdout.lines().map_while(Result::ok) {
        lines.extend(
            rest.strip_prefix("ack ")
                .filter(|ack| ack.ends_with('.'))
                .map(str::to_owned),
        );
    }
    lines
}

fn start_child(dir: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "the_process_to_be_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIRECTORY, dir)
        .env("TIDEWATER_TEST_CRASH_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Acknowledged {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.trim_end_matches(" .").split(' ').collect();
        match words[..] {
            ["created", name, id, partitions] => {
                assert!(
                    self.ids.insert(id.to_owned()),
                    "topic id {id} was given twice"
                );
                self.deleted.remove(name);
                self.topics.insert(
                    name.to_owned(),
                    (id.to_owned(), partitions.parse().unwrap()),
                );
            }
            ["deleting", name] => {
                self.topics.remove(name);
            }
            ["deleted", name] => {
                self.deleted.insert(name.to_owned());
            }
            ["grown", name, partitions] => {
                self.topics.get_mut(name).expect("it was created").1 = partitions.parse().unwrap();
            }
            ["producer", first, last] => {
                for id in first.parse::<i64>().unwrap()..last.parse().unwrap() {
                    assert!(
                        self.producer_ids.insert(id),
                        "producer id {id} was given twice"
                    );
                }
            }
            _ => panic!("{line:?} is no acknowledgement"),
        }
    }

    async fn check(&mut self, node: &Node, round: u64) {
        let image = node.controller.image();
        let cluster_id = self
            .cluster_id
            .get_or_insert_with(|| image.cluster_id.clone());
        assert_eq!(*cluster_id, image.cluster_id, "round {round}");
        for (name, (id, partitions)) in &self.topics {
            let topic = image
                .topic(name)
                .unwrap_or_else(|| panic!("round {round}: {name} is gone"));
            assert_eq!(id_text(topic.id), *id, "round {round}: {name}");
            // One more expansion may have been made than the process lived to acknowledge.
            assert!(
                topic.partitions.len() >= *partitions,
                "round {round}: {name}"
            );
            for (number, partition) in topic.partitions.iter().enumerate() {
                assert_eq!(partition.leader, 1);
                let before = self
                    .leader_epochs
                    .insert((id.clone(), number), partition.leader_epoch);
                assert!(
                    partition.leader_epoch > before.unwrap_or(-1),
                    "round {round}: {name}"
                );
            }
        }
        for name in &self.deleted {
            assert!(image.topic(name).is_none(), "round {round}: {name} is back");
        }
        let given = node.controller.allocate_producer_ids(3).await.unwrap();
        self.note(&format!("producer {} {} .", given.start, given.end));
    }
}

/// Not a test by itself: the other half of the test above, which runs it in a process of its own.
#[tokio::test]
async fn the_process_to_be_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let round = std::env::var("TIDEWATER_TEST_CRASH_ROUND").unwrap();
    let node = Node::start(Path::new(&dir)).await;
    // Not `println!`, which the test harness may hold back.
    let acknowledge = |line: String| {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(format!("\nack {line} .\n").as_bytes())
            .unwrap();
        stdout.flush().unwrap();
    };
    for number in 0.. {
        let name = format!("topic-{round}-{number}");
        let partitions = if number % 7 == 6 { 300 } else { 2 };
        let id = node.create(&name, partitions).await.unwrap();
        acknowledge(format!("created {name} {} {partitions}", id_text(id)));
        let ids = node
            .controller
            .allocate_producer_ids(1 + number * 131 % 700)
            .await
            .unwrap();
        acknowledge(format!("producer {} {}", ids.start, ids.end));
        if number % 3 == 1 {
            let count = partitions + 3;
            let request = NewPartitions {
                topic: name.clone(),
                count,
                assignments: None,
            };
            node.controller
                .create_partitions(vec![request], false)
                .await
                .remove(0)
                .unwrap();
            acknowledge(format!("grown {name} {count}"));
        }
        if number % 3 == 2 {
            acknowledge(format!("deleting {name}"));
            node.controller
                .delete_topics(vec![TopicRef::Name(name.clone())])
                .await
                .remove(0)
                .unwrap();
            acknowledge(format!("deleted {name}"));
        }
    }
}
