//! A disk that answers every call with an error: its directory goes offline, and nothing else does.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

extern crate tidewater_storage as storage;

mod support;

use std::sync::Arc;

use storage::{AppendError, LogOptions, ReadError};
use support::*;

#[test]
fn an_io_error_takes_one_directory_offline_and_not_the_store() {
    let root = tempfile::tempdir().unwrap();
    let Some(switch) = PowerSwitch::install(root.path()) else {
        return;
    };
    let mut harness = Harness::unopened(|_| {});
    let events = Arc::new(CountingEvents::default());
    harness.events = events.clone();
    harness.options.dirs.push(switch.mount.join("d1"));
    harness.reopen();
    let logs: Vec<_> = (0..2)
        .map(|n| harness.create(n, LogOptions::default()))
        .collect();
    for log in &logs {
        harness.append(log, batch(1, 100, T0)).unwrap();
    }
    let (dying, healthy) = match logs[0].dir().starts_with(&switch.mount) {
        true => (&logs[0], &logs[1]),
        false => (&logs[1], &logs[0]),
    };
    switch.off();
    let refused = harness.append(dying, batch(1, 100, T0));
    assert!(
        matches!(
            refused,
            Err(AppendError::Engine(_) | AppendError::Offline { .. })
        ),
        "{refused:?}"
    );
    assert!(dying.is_offline());
    assert_eq!(dying.log_end_offset(), 1);
    assert!(matches!(
        read_from(dying, 0, 10),
        Err(ReadError::Offline { .. })
    ));
    assert_eq!(events.offline.lock().unwrap().len(), 1);
    let offline = harness
        .store()
        .dirs()
        .iter()
        .filter(|dir| dir.offline.is_some())
        .count();
    assert_eq!(offline, 1);
    // The rest goes on: appends, reads, new logs, and an orderly end.
    assert_eq!(
        harness
            .append(healthy, batch(1, 100, T0))
            .unwrap()
            .base_offset,
        1
    );
    assert_eq!(read_all(healthy).len(), 2);
    let new = harness.create(2, LogOptions::default());
    assert_eq!(new.dir(), healthy.dir());
    drop((logs, new));
    harness.close();
    // A directory that cannot even be opened is offline from the start.
    harness.reopen();
    assert_eq!(
        harness
            .store()
            .dirs()
            .iter()
            .filter(|dir| dir.offline.is_some())
            .count(),
        1
    );
    assert_eq!(harness.store().logs().len(), 2);
    harness.close();
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let Some(switch) = PowerSwitch::install(root.path()) else {
        return;
    };
    let mut harness = Harness::unopened(|options| options.dirs = vec![switch.mount.join("d0")]);
    harness.reopen();
    let safe = harness.create(
        0,
        LogOptions {
            flush_messages: 1,
            ..LogOptions::default()
        },
    );
    harness.append(&safe, batch(1, 100, T0)).unwrap();
    switch.off();
    assert!(harness.append(&safe, batch(1, 100, T0)).is_err());
    assert!(safe.is_offline());
    assert!(safe.flush().is_err());
    assert!(matches!(
        harness.append(&safe, batch(1, 100, T0)),
        Err(AppendError::Offline { .. })
    ));
    assert_eq!(safe.log_end_offset(), 1);
    drop(safe);
    harness.crash();
    switch.unmount();
    assert!(switch.on());
    harness.reopen();
    assert_eq!(read_all(&harness.log(0)).len(), 1);
    harness.close();
}
