//! Random damage to any file of a directory: opening and reading may fail, but nothing panics, and no bytes are served that
//! are not a batch with the right checksum.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use storage::{LogOptions, PartitionLog, ReadError};
use support::*;

#[derive(Debug, Clone)]
enum Damage {
    Flip(f64, f64, u8),
    Cut(f64, f64),
    Zero(f64, f64),
    Append(f64, Vec<u8>),
    Remove(f64),
}

fn damage() -> impl Strategy<Value = Damage> {
    let share = || 0.0..1.0f64;
    prop_oneof![
        6 => (share(), share(), 1..=255u8).prop_map(|(f, at, bits)| Damage::Flip(f, at, bits)),
        2 => (share(), share()).prop_map(|(f, at)| Damage::Cut(f, at)),
        2 => (share(), share()).prop_map(|(f, at)| Damage::Zero(f, at)),
        1 => (share(), prop::collection::vec(any::<u8>(), 1..200)).prop_map(|(f, bytes)| Damage::Append(f, bytes)),
        1 => share().prop_map(Damage::Remove),
    ]
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

fn inflict(dir: &Path, damage: &Damage) {
    let mut paths = Vec::new();
    files(dir, &mut paths);
    let pick = |share: f64| paths[(paths.len() as f64 * share) as usize].clone();
    let open = |path: &Path| {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap()
    };
    let place =
        |path: &Path, share: f64| (std::fs::metadata(path).unwrap().len() as f64 * share) as u64;
    match damage {
        Damage::Flip(file, at, bits) => {
            let path = pick(*file);
            let (file, at) = (open(&path), place(&path, *at));
            let mut byte = [0];
            if file.read_at(&mut byte, at).unwrap() == 1 {
                file.write_all_at(&[byte[0] ^ bits], at).unwrap();
            }
        }
        Damage::Cut(file, at) => {
            let path = pick(*file);
            open(&path).set_len(place(&path, *at)).unwrap();
        }
        Damage::Zero(file, at) => {
            let path = pick(*file);
            let at = place(&path, *at);
            let len = (std::fs::metadata(&path).unwrap().len() - at).min(700);
            open(&path)
                .write_all_at(&vec![0; usize::try_from(len).unwrap()], at)
                .unwrap();
        }
        Damage::Append(file, bytes) => {
            let path = pick(*file);
            open(&path).write_all_at(bytes, place(&path, 1.0)).unwrap();
        }
        Damage::Remove(file) => std::fs::remove_file(pick(*file)).unwrap(),
    }
}

/// Reads as much as the log gives; every batch must be one.
fn read_what_is_left(log: &PartitionLog) {
    let mut offset = log.log_start_offset();
    // A damaged base offset may leave a gap of 2^31 offsets, each of them an error: the steps over errors grow.
    let mut step = 1;
    while offset < log.log_end_offset() {
        match read_from(log, offset, 5000) {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => {
                let before = offset;
                for found in wire::batch::batches(&bytes) {
                    let (header, bytes) = found.unwrap();
                    assert!(wire::batch::check_crc(bytes));
                    assert!(header.last_offset() >= offset);
                    offset = header.next_offset();
                }
                assert!(offset > before);
                step = 1;
            }
            Err(ReadError::Corrupt { .. }) => {
                offset += step;
                step *= 2;
            }
            Err(ReadError::Offline { .. } | ReadError::Engine(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
    let _ = log.offset_for_timestamp(T0 + 100, log.log_end_offset());
    let _ = log.max_timestamp_offset(log.log_end_offset());
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_never_served_and_never_panic(
        damages in prop::collection::vec(damage(), 1..6), clean: bool, lost_power: bool
    ) {
        let mut harness = Harness::with(|options| options.tail_cache_bytes = 0);
        for partition in 0..2 {
            let options = LogOptions {
                segment_bytes: 8000,
                index_interval_bytes: 300,
                flush_messages: if partition == 0 { 1 } else { i64::MAX },
                ..LogOptions::default()
            };
            let log = harness.create(partition, options);
            for n in 0..60 {
                harness.append(&log, idempotent(4, 0, n * 2, 2)).unwrap();
                harness.append(&log, batch(1, 200, T0 + i64::from(n))).unwrap();
            }
        }
        match (clean, lost_power) {
            (true, _) => harness.close(),
            (false, true) => harness.pretend_machine_crash(),
            (false, false) => harness.crash(),
        }
        for damage in &damages {
            inflict(&harness.dir(), damage);
        }
        // A directory may be refused, but one that opens works.
        if harness.try_open().is_ok() {
            for log in harness.store().logs() {
                log.set_sole_replica(true);
                read_what_is_left(&log);
                if !log.is_offline() {
                    let jobs = vec![internal(&log, batch(1, 100, T0))];
                    if let Ok(appended) = harness.append_all(jobs).remove(0) {
                        // Unless the way from the last index entry leads through the damage.
                        match read_from(&log, appended.base_offset, 1) {
                            Ok(bytes) => prop_assert_eq!(bytes.len(), batch(1, 100, T0).len()),
                            Err(ReadError::Corrupt { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            }
            harness.crash();
        }
    }
}
