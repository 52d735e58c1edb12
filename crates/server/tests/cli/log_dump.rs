//! `tidewater log dump`.

use std::path::Path;

use crate::support::{Broker, folder, run};

#[test]
fn a_segment_file_is_dumped_and_a_flipped_bit_is_found() {
    let dir = folder();
    let broker = Broker::start(dir.path(), &[]);
    broker
        .produce(&["t", "-K", ":", "-z", "lz4"], b"k:v\n")
        .exits(0);
    broker.produce(&["t"], b"again\n").exits(0);
    broker.stop();
    let segment = find_segment(dir.path());
    let path = segment.to_str().unwrap();

    let dumped = run(&["log", "dump", path, "--records", "-o", "json"]).exits(0);
    let batches: Vec<serde_json::Value> = dumped
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(batches.len(), 2);
    assert_eq!(
        (&batches[0]["codec"], &batches[1]["base_offset"]),
        (&"lz4".into(), &1.into())
    );
    assert_eq!(batches[0]["records"][0]["key"], "k");
    assert_eq!(batches[0]["crc_valid"], true);
    let table = run(&["log", "dump", path]).exits(0).stdout;
    assert!(
        table.ends_with("2 records in 2 batches, offsets 0 to 1\n"),
        "{table}"
    );

    let mut bytes = std::fs::read(&segment).unwrap();
    let second = usize::try_from(batches[1]["position"].as_u64().unwrap()).unwrap();
    bytes[second + 65] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let damaged = run(&["log", "dump", path, "--check", "-o", "json"]).exits(1);
    let found: serde_json::Value = serde_json::from_str(&damaged.stdout).unwrap();
    assert_eq!(
        (&found["base_offset"], &found["damage"]),
        (&1.into(), &"wrong CRC".into())
    );
    assert!(
        damaged.stderr.contains("1 batch damaged"),
        "{}",
        damaged.stderr
    );
}

#[test]
fn what_compaction_left_of_a_batch_is_shown() {
    let dir = folder();
    let segment = dir.path().join("00000000000000000000.log");
    let mut builder = wire::batch::BatchBuilder::new(wire::batch::BatchOptions {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 3,
        ..wire::batch::BatchOptions::default()
    });
    builder
        .append(1_700_000_000_000, Some(b"k"), None, &[])
        .unwrap();
    let batch = builder.build().unwrap();
    let records = wire::batch::records(&batch, 1000).unwrap();
    let emptied = wire::batch::emptied(records.header());
    let horizon_ms = 1_700_000_086_400;
    let mut rewriter = wire::batch::BatchRewriter::new(records.header(), Some(horizon_ms));
    let tombstone = records.iter().next().unwrap().unwrap();
    rewriter.push(&tombstone, 1_700_000_000_000).unwrap();
    std::fs::write(&segment, [emptied, rewriter.build().unwrap()].concat()).unwrap();

    let path = segment.to_str().unwrap();
    let table = run(&["log", "dump", path]).exits(0).stdout;
    assert!(table.contains("ok, emptied\n"), "{table}");
    let horizon = "ok, delete horizon 2023-11-14T22:14:46.400Z\n";
    assert!(table.contains(horizon), "{table}");
    let dumped = run(&["log", "dump", path, "--records", "-o", "json"]).exits(0);
    let batches: Vec<serde_json::Value> = dumped
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(batches[0]["record_count"], 0);
    assert!(batches[0]["delete_horizon_ms"].is_null());
    assert_eq!(batches[1]["delete_horizon_ms"], horizon_ms);
    let time = &batches[1]["records"][0]["timestamp"];
    assert_eq!(*time, 1_700_000_000_000_i64);
}

/// The one segment file that has something in it.
fn find_segment(dir: &Path) -> std::path::PathBuf {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .file_name()
                .is_some_and(|name| name == "00000000000000000000.log")
            {
                return path;
            }
        }
    }
    panic!("no segment file under {}", dir.display());
}
