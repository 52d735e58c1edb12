//! kill -9 in the middle of appends, again and again: what was acknowledged is there, once, and byte for byte.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};

use storage::{LogOptions, NoEvents, PartitionLog, Store, StoreOptions};
use support::*;

const DIR: &str = "TIDEWATER_CRASH_TEST_DIR";
const LOGS: i32 = 3;
const PRODUCER: i64 = 77;

fn options(dir: PathBuf) -> StoreOptions {
    let mut options = StoreOptions::new(vec![dir], "cluster", 1);
    options.checkpoint_bytes = 60_000;
    options.checkpoint_interval_ms = 50;
    options.disk.hard_free_percent = 0.0;
    options.disk.soft_free_percent = 0.0;
    options
}

struct WallClock;

impl storage::Clock for WallClock {
    fn now_ms(&self) -> i64 {
        T0
    }
}

fn open(dir: PathBuf) -> (Store, Vec<Arc<PartitionLog>>) {
    let store = Store::open(
        options(dir),
        Arc::new(WallClock),
        Arc::new(NoEvents),
        &prometheus::Registry::new(),
    )
    .unwrap();
    let log_options = |n| LogOptions {
        segment_bytes: 100_000,
        index_interval_bytes: 1000,
        flush_messages: if n == 0 { 1 } else { i64::MAX },
        ..LogOptions::default()
    };
    let logs: Vec<_> = (0..LOGS)
        .map(|n| {
            store
                .create_log(key(n), "topic", Arc::new(log_options(n)))
                .unwrap()
        })
        .collect();
    for log in &logs {
        log.become_leader(0).unwrap();
        log.set_sole_replica(true);
    }
    (store, logs)
}

fn next_sequence(log: &PartitionLog) -> i32 {
    log.producers()
        .first()
        .map_or(0, |producer| producer.last_sequence + 1)
}

/// Value sizes differ from batch to batch, so that a misplaced one is noticed.
fn batch_of(sequence: i32) -> wire::Bytes {
    let options = wire::batch::BatchOptions {
        producer_id: PRODUCER,
        producer_epoch: 0,
        base_sequence: sequence,
        ..wire::batch::BatchOptions::default()
    };
    build(
        options,
        1,
        50 + usize::try_from(sequence).unwrap() * 37 % 3000,
        T0 + i64::from(sequence),
    )
}

/// Not a test by itself: the process that is killed. It says on its standard output what was acknowledged.
#[test]
fn child_appends_until_it_is_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let (store, logs) = open(dir.into());
    let mut sequences: Vec<i32> = logs.iter().map(|log| next_sequence(log)).collect();
    let (sender, receiver) = mpsc::channel();
    for round in 0.. {
        let jobs: Vec<_> = (0..3)
            .flat_map(|_| {
                logs.iter()
                    .zip(sequences.iter_mut())
                    .map(|(log, sequence)| {
                        *sequence += 1;
                        job(log, batch_of(*sequence - 1))
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        let names: Vec<_> = jobs.iter().map(|job| job.log.key().partition).collect();
        let sender = sender.clone();
        store.append(
            jobs,
            Box::new(move |results| {
                let mut text = String::new();
                for (partition, result) in names.iter().zip(results) {
                    let appended = result.unwrap();
                    assert!(!appended.duplicate);
                    text.push_str(&format!("ack {partition} {}\n", appended.base_offset));
                }
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes())
                    .and_then(|()| out.flush())
                    .unwrap();
                sender.send(()).unwrap();
            }),
        );
        // A few submissions in flight.
        if round >= 4 {
            receiver.recv().unwrap();
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("d0");
    let seed: u64 = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    std::io::stderr()
        .write_all(format!("SEED={seed}\n").as_bytes())
        .unwrap();
    let mut random = seed;
    let mut acknowledged: BTreeMap<i32, i64> = BTreeMap::new();
    for round in 0..15 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let lines = 1 + (random >> 33) % 3000;
        run_and_kill(&dir, lines, &mut acknowledged);
        let (store, logs) = open(dir.clone());
        for (partition, log) in (0..).zip(&logs) {
            check(log, acknowledged.get(&partition).copied(), round);
        }
        if round % 4 == 3 {
            store.close().unwrap();
        }
    }
    assert!(
        acknowledged.values().all(|offset| *offset > 100),
        "{acknowledged:?}"
    );
}

#[test]
fn what_a_topic_with_synced_writes_acknowledged_survives_losing_power() {
    let root = tempfile::tempdir().unwrap();
    let Some(switch) = PowerSwitch::install(root.path()) else {
        return;
    };
    let dir = switch.mount.join("d0");
    let mut acknowledged = BTreeMap::new();
    let mut lost = 0;
    for round in 0..8 {
        let lines = 200 + round * 77;
        run_and_stop(&dir, lines, &mut acknowledged, |child| {
            // Stopped first: an answer must not come from a disk that is just dying.
            assert!(run(
                "kill",
                &["-STOP".as_ref(), child.id().to_string().as_ref()]
            ));
            switch.off();
            child.kill().unwrap();
        });
        switch.unmount();
        assert!(switch.on());
        let (store, logs) = open(dir.clone());
        check(&logs[0], acknowledged.get(&0).copied(), round);
        for (partition, log) in (0..).zip(&logs).skip(1) {
            // These promise less, but what is there is in order, and goes on from there.
            check(log, None, round);
            let before: &mut i64 = acknowledged.entry(partition).or_insert(-1);
            lost += (*before + 1 - log.log_end_offset()).max(0);
            *before = log.log_end_offset() - 1;
        }
        drop(store);
    }
    assert!(acknowledged[&0] > 100, "{acknowledged:?}");
    assert!(
        lost > 0,
        "losing power took nothing: the test does not test"
    );
}

fn run_and_kill(dir: &Path, lines: u64, acknowledged: &mut BTreeMap<i32, i64>) {
    run_and_stop(dir, lines, acknowledged, |child| child.kill().unwrap());
}

fn run_and_stop(
    dir: &Path,
    lines: u64,
    acknowledged: &mut BTreeMap<i32, i64>,
    stop: impl Fn(&mut Child),
) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_appends_until_it_is_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = 0;
    let mut killed = false;
    // What was written before the kill counts, also what is read after it.
    for line in BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        let Some(ack) = line.find("ack ").map(|at| &line[at..]) else {
            continue;
        };
        let mut words = ack.split(' ').skip(1);
        let partition = words.next().and_then(|word| word.parse::<i32>().ok());
        let offset = words.next().and_then(|word| word.parse::<i64>().ok());
        let (Some(partition), Some(offset)) = (partition, offset) else {
            continue;
        };
        // The last line may have been cut off by the kill, and then says a smaller number: no harm.
        let known: &mut i64 = acknowledged.entry(partition).or_insert(-1);
        *known = offset.max(*known);
        seen += 1;
        if seen >= lines && !killed {
            stop(&mut child);
            killed = true;
        }
    }
    assert!(
        killed,
        "the child ended by itself after {seen} acknowledgements"
    );
    child.wait().unwrap();
}

/// Every offset holds the batch with that sequence: none missing, none twice, none changed.
fn check(log: &PartitionLog, acknowledged: Option<i64>, round: u64) {
    let end = log.log_end_offset();
    assert!(
        acknowledged.is_none_or(|offset| offset < end),
        "round {round}: {acknowledged:?} was acknowledged, the log ends at {end}"
    );
    let mut offset = 0;
    while offset < end {
        let bytes = read_from(log, offset, 200_000).unwrap();
        assert!(
            !bytes.is_empty(),
            "round {round}: nothing at {offset} below {end}"
        );
        for found in wire::batch::batches(&bytes) {
            let (header, bytes) = found.unwrap();
            assert_eq!(
                (header.base_offset, i64::from(header.base_sequence)),
                (offset, offset),
                "round {round}"
            );
            let expected = batch_of(header.base_sequence);
            assert_eq!(
                bytes[wire::batch::MAGIC_AT..],
                expected[wire::batch::MAGIC_AT..]
            );
            offset = header.next_offset();
        }
    }
    assert_eq!(i64::from(next_sequence(log)), end);
}
