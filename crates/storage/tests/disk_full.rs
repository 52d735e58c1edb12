//! A full disk, on a small tmpfs: appends are refused with a reason, everything else goes on, and it heals by itself.
//!
//! Mounting needs privileges. Without them the tests say so and do nothing; CI runs them with privileges.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use storage::{AppendError, DiskPressure, LogOptions};
use support::*;

struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: PathBuf, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        let mut out = std::io::stderr();
        let told = out
            .write_all(b"SKIPPED: a tmpfs cannot be mounted here: the full disk was not tested\n");
        told.unwrap();
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn harness(megabytes: u32) -> Option<(Harness, Tmpfs)> {
    let harness = Harness::unopened(|_| {});
    let tmpfs = Tmpfs::mount(harness.dir(), megabytes)?;
    Some((harness, tmpfs))
}

/// Takes all the space there is, in a file beside the log directory's own.
fn fill(path: &Path) -> PathBuf {
    let path = path.join("foreign");
    let mut file = std::fs::File::create(&path).unwrap();
    for chunk in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; chunk]).is_ok() {}
    }
    path
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 1 << 20,
        file_delete_delay_ms: 0,
        ..LogOptions::default()
    }
}

#[test]
fn enospc_in_the_middle_of_an_append_leaves_nothing_half_done_and_heals() {
    let Some((mut harness, tmpfs)) = harness(16) else {
        return;
    };
    harness.reopen();
    let log = harness.create(0, options());
    for n in 0..100 {
        harness.append(&log, idempotent(3, 0, n, 1)).unwrap();
    }
    let foreign = fill(&tmpfs.0);
    // The limits are at zero here, so the refusal comes from the file system itself.
    let (mut end, mut refused) = (100, 0);
    for _ in 0..20 {
        match harness.append(&log, batch(1, 100_000, T0)) {
            Ok(appended) => end = appended.last_offset + 1,
            Err(AppendError::DiskFull { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0);
    assert_eq!((log.log_end_offset(), log.is_offline()), (end, false));
    assert_eq!(read_all(&log).last().unwrap().next_offset(), end);
    std::fs::remove_file(foreign).unwrap();
    wait_until("appends are accepted again", || {
        harness.append(&log, batch(1, 1000, T0)).is_ok()
    });
    // The producer's refused batches left no trace in its state.
    assert!(
        !harness
            .append(&log, idempotent(3, 0, 100, 1))
            .unwrap()
            .duplicate
    );
    read_all(&log);
    drop(log);
    harness.crash();
    harness.reopen();
    assert!(!read_all(&harness.log(0)).is_empty());
    harness.close();
}

#[test]
fn below_the_limits_producers_are_slowed_and_then_refused_while_reads_and_deletes_go_on() {
    let Some((mut harness, _tmpfs)) = harness(64) else {
        return;
    };
    harness.options.disk.soft_free_percent = 50.0;
    harness.options.disk.hard_free_percent = 30.0;
    harness.reopen();
    let log = harness.create(0, options());
    assert_eq!(harness.store().produce_throttle_ms(&log), 0);
    let (mut throttles, mut refused) = (Vec::new(), false);
    for _ in 0..500 {
        match harness.append(&log, batch(1, 200_000, T0)) {
            Ok(_) => throttles.push(harness.store().produce_throttle_ms(&log)),
            Err(AppendError::DiskFull { free_bytes, .. }) => {
                assert!(free_bytes < 20 << 20);
                refused = true;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        refused && throttles.is_sorted() && throttles.iter().any(|ms| *ms > 200),
        "{throttles:?}"
    );
    assert_eq!(harness.store().dirs()[0].pressure, DiskPressure::Hard);
    let own = internal(&log, batch(1, 1000, T0));
    let taken = harness.append_all(vec![own]).remove(0);
    assert!(taken.is_ok(), "what is kept free is for the broker itself");
    read_all(&log);
    log.delete_records(log.high_watermark()).unwrap();
    wait_until("space is freed and appends are accepted", || {
        harness.clock.advance(1000);
        harness.append(&log, batch(1, 1000, T0)).is_ok()
    });
    wait_until("producers are no longer slowed", || {
        harness.clock.advance(1000);
        harness.store().produce_throttle_ms(&log) == 0
    });
}

#[test]
fn a_store_opens_on_a_full_disk_serves_reads_and_heals() {
    let Some((mut harness, tmpfs)) = harness(24) else {
        return;
    };
    harness.reopen();
    let log = harness.create(0, options());
    for _ in 0..50 {
        harness.append(&log, batch(1, 50_000, T0)).unwrap();
    }
    wait_until("the reserve is laid by", || {
        tmpfs.0.join("ballast").exists()
    });
    let before = read_all(&log);
    drop(log);
    for stop in [Harness::crash as fn(&mut Harness), Harness::close] {
        let foreign = fill(&tmpfs.0);
        stop(&mut harness);
        // Give nothing back that closing may have freed.
        let more = tmpfs.0.join("more");
        let mut file = std::fs::File::create(&more).unwrap();
        while file.write_all(&[1; 512]).is_ok() {}
        harness.reopen();
        let log = harness.log(0);
        assert_eq!(read_all(&log), before);
        assert!(log.delete_records(0).is_ok());
        std::fs::remove_file(foreign).unwrap();
        std::fs::remove_file(more).unwrap();
        wait_until("the reserve is laid by again", || {
            harness.clock.advance(1000);
            tmpfs.0.join("ballast").exists()
        });
    }
    let log = harness.log(0);
    wait_until("appends are accepted again", || {
        harness.append(&log, batch(1, 1000, T0)).is_ok()
    });
    drop(log);
    harness.close();
}

#[test]
fn a_journaled_topic_is_refused_and_heals_too() {
    let Some((mut harness, tmpfs)) = harness(16) else {
        return;
    };
    harness.reopen();
    let log = harness.create(
        0,
        LogOptions {
            flush_messages: 1,
            ..options()
        },
    );
    harness.append(&log, batch(1, 1000, T0)).unwrap();
    let foreign = fill(&tmpfs.0);
    let results: Vec<_> = (0..20)
        .map(|_| harness.append(&log, batch(1, 100_000, T0)))
        .collect();
    assert!(
        results
            .iter()
            .any(|result| matches!(result, Err(AppendError::DiskFull { .. })))
    );
    assert!(!log.is_offline());
    std::fs::remove_file(foreign).unwrap();
    wait_until("appends are accepted again", || {
        harness.append(&log, batch(1, 1000, T0)).is_ok()
    });
    read_all(&log);
}
