//! What every metadata store has to do, asked of each: the embedded one, and etcd where `TIDEWATER_ETCD` names a program to run
//! (`.ci/setup` does).

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use support::etcd::Etcd;
use tidewater_cluster::EmbeddedStore;
use tidewater_cluster::store::{
    Batch, Event, Kv, MetaStore, MetaWatch, Outcome, Revision, StoreError, TXN_KEYS_MAX, Txn,
    WatchItem,
};

/// A store of its own for one test, and what keeps it there.
struct Subject {
    name: &'static str,
    store: Arc<dyn MetaStore>,
    _kept: Box<dyn std::any::Any>,
}

async fn subjects() -> Vec<Subject> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut subjects = vec![Subject {
        name: "embedded",
        store: Arc::new(EmbeddedStore::open(dir.path()).expect("the store opens")),
        _kept: Box::new(dir),
    }];
    if let Some(etcd) = Etcd::start().await {
        subjects.push(Subject {
            name: "etcd",
            store: Arc::new(etcd.store("/conformance/1/").await),
            _kept: Box::new(etcd),
        });
    }
    subjects
}

async fn apply(store: &dyn MetaStore, txn: Txn) -> Revision {
    match store.txn(txn).await {
        Ok(Outcome::Applied(revision)) => revision,
        other => panic!("not applied: {other:?}"),
    }
}

/// The next item, which must not keep a test waiting for ever.
async fn next(watch: &mut Box<dyn MetaWatch>) -> WatchItem {
    let waited = tokio::time::timeout(Duration::from_secs(30), watch.next()).await;
    waited.expect("the watch has something to say")
}

async fn keys(store: &dyn MetaStore, prefixes: &[&str]) -> Vec<String> {
    let (_, found) = store.snapshot(prefixes).await.expect("a snapshot");
    found.into_iter().map(|kv| kv.key).collect()
}

#[tokio::test]
async fn a_compare_that_does_not_hold_changes_nothing_and_says_what_is_there() {
    for Subject { name, store, .. } in &subjects().await {
        let first = apply(&**store, Txn::default().put("a", "1")).await;
        let txn = Txn::default().when("a", 0).when("b", 0);
        let outcome = store.txn(txn.put("a", "2").put("b", "2")).await.unwrap();
        let there = Kv {
            key: "a".into(),
            value: "1".into(),
            mod_revision: first,
        };
        assert_eq!(
            outcome,
            Outcome::Conflict(vec![("a".into(), Some(there.clone())), ("b".into(), None)]),
            "{name}"
        );
        let (revision, found) = store.snapshot(&[""]).await.unwrap();
        assert_eq!(found, [there], "{name}");
        assert_eq!(revision, first, "{name}: no revision was used up");
        assert_eq!(store.snapshot(&[]).await.unwrap().0, first, "{name}");
        let next = Txn::default().when("a", first).when("b", 0).delete("a");
        assert!(apply(&**store, next).await > first, "{name}");
    }
}

#[tokio::test]
async fn of_many_who_race_for_a_key_one_wins() {
    for Subject { name, store, .. } in &subjects().await {
        let racers: Vec<_> = (0..16)
            .map(|racer: i32| {
                let store = Arc::clone(store);
                let txn = Txn::default()
                    .when("leader", 0)
                    .put("leader", racer.to_string());
                tokio::spawn(async move { (racer, store.txn(txn).await.unwrap()) })
            })
            .collect();
        let mut winners = Vec::new();
        for racer in racers {
            if let (racer, Outcome::Applied(_)) = racer.await.unwrap() {
                winners.push(racer.to_string());
            }
        }
        let (_, found) = store.snapshot(&["leader"]).await.unwrap();
        assert_eq!(winners.len(), 1, "{name}");
        assert_eq!(found[0].value, winners[0], "{name}");
    }
}

#[tokio::test]
async fn a_snapshot_takes_the_prefixes_asked_for_and_a_prefix_is_removed_whole() {
    for Subject { name, store, .. } in &subjects().await {
        let four = ["p/1/00000", "p/1/00001", "p/10/00000", "t/a"];
        let txn = four
            .iter()
            .fold(Txn::default(), |txn, key| txn.put(*key, "x"));
        apply(&**store, txn).await;
        assert_eq!(
            keys(&**store, &["t/", "p/1/"]).await,
            ["t/a", "p/1/00000", "p/1/00001"],
            "{name}"
        );
        apply(&**store, Txn::default().delete_prefix("p/1/")).await;
        assert_eq!(keys(&**store, &[""]).await, ["p/10/00000", "t/a"], "{name}");
    }
}

#[tokio::test]
async fn a_snapshot_of_many_keys_is_whole_and_of_one_revision() {
    for Subject { name, store, .. } in &subjects().await {
        let mut expected = BTreeMap::new();
        for part in 0..200 {
            let keys = (0..120).map(|key| format!("k/{part:03}/{key:03}"));
            let txn = keys.fold(Txn::default(), |txn, key| txn.put(key, part.to_string()));
            let revision = apply(&**store, txn).await;
            expected.insert(part, revision);
        }
        // Whoever writes meanwhile is in it with everything or with nothing.
        let writing = tokio::spawn({
            let store = Arc::clone(store);
            async move {
                for round in 0..50 {
                    let txn = (0..100).fold(Txn::default(), |txn, part| {
                        txn.put(format!("moving/{part:03}"), round.to_string())
                    });
                    apply(&*store, txn).await;
                }
            }
        });
        let (revision, found) = store.snapshot(&["k/", "moving/"]).await.unwrap();
        writing.await.unwrap();
        let still: Vec<&Kv> = found.iter().filter(|kv| kv.key.starts_with("k/")).collect();
        assert_eq!(still.len(), 200 * 120, "{name}");
        for kv in still {
            let part: i32 = kv.key[2..5].parse().unwrap();
            assert_eq!(kv.mod_revision, expected[&part], "{name} {}", kv.key);
        }
        let moving: Vec<&Kv> = found.iter().filter(|kv| kv.key.starts_with("m")).collect();
        assert!(moving.is_empty() || moving.len() == 100, "{name}");
        assert!(
            moving.windows(2).all(|two| two[0].value == two[1].value),
            "{name}"
        );
        assert!(found.iter().all(|kv| kv.mod_revision <= revision), "{name}");
    }
}

#[tokio::test]
async fn a_watch_delivers_every_revision_once_and_whole() {
    for Subject { name, store, .. } in &subjects().await {
        let first = apply(&**store, Txn::default().put("a", "1")).await;
        let mut watch = store.watch(first);
        let writing = tokio::spawn({
            let store = Arc::clone(store);
            async move {
                let changes = Txn::default()
                    .put("b", "2")
                    .delete("a")
                    .delete("never there");
                let second = apply(&*store, changes).await;
                let third = apply(&*store, Txn::default().put("p/1", "3")).await;
                (
                    second,
                    third,
                    apply(&*store, Txn::default().delete_prefix("p/")).await,
                )
            }
        });
        let mut batches = Vec::new();
        for _ in 0..4 {
            match next(&mut watch).await {
                WatchItem::Batch(batch) => batches.push(batch),
                other => panic!("{name}: {other:?}"),
            }
        }
        let (second, third, fourth) = writing.await.unwrap();
        let put = |key: &str, value: &'static str, mod_revision| {
            Event::Put(Kv {
                key: key.into(),
                value: value.into(),
                mod_revision,
            })
        };
        let delete = |key: &str| Event::Delete { key: key.into() };
        let expected = [
            (first, vec![put("a", "1", first)]),
            (second, vec![put("b", "2", second), delete("a")]),
            (third, vec![put("p/1", "3", third)]),
            (fourth, vec![delete("p/1")]),
        ]
        .map(|(revision, events)| Arc::new(Batch { revision, events }));
        assert_eq!(batches, expected, "{name}");
        assert!(first < second && second < third && third < fourth, "{name}");
    }
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing_of_a_watch() {
    for Subject { name, store, .. } in &subjects().await {
        let (revision, _) = store.snapshot(&[]).await.unwrap();
        let mut watch = store.watch(revision + 1);
        let writing = tokio::spawn({
            let store = Arc::clone(store);
            async move {
                for round in 0..100 {
                    apply(&*store, Txn::default().put("a", round.to_string())).await;
                }
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let patience = Duration::from_micros(300);
            if let Ok(WatchItem::Batch(batch)) = tokio::time::timeout(patience, watch.next()).await
            {
                let [Event::Put(kv)] = &batch.events[..] else {
                    panic!("{name}: {batch:?}");
                };
                seen.push(String::from_utf8(kv.value.to_vec()).unwrap());
            }
        }
        let expected: Vec<String> = (0..100).map(|round| round.to_string()).collect();
        assert_eq!(seen, expected, "{name}");
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn a_transaction_without_a_change_is_applied_and_nobody_waits_for_it() {
    for Subject { name, store, .. } in &subjects().await {
        let first = apply(&**store, Txn::default().put("a", "1")).await;
        let mut watch = store.watch(first + 1);
        let nothing = apply(&**store, Txn::default().when("a", first)).await;
        let second = apply(&**store, Txn::default().put("b", "2")).await;
        // A revision that was named is seen; whether an empty one is named is the store's affair.
        let mut seen = 0;
        while seen < second {
            let WatchItem::Batch(batch) = next(&mut watch).await else {
                panic!("{name}: the watch ended");
            };
            assert!(batch.revision > seen, "{name}");
            seen = batch.revision;
        }
        assert!(nothing <= seen, "{name}");
    }
}

#[tokio::test]
async fn what_no_transaction_may_hold_is_refused_before_it_is_sent() {
    for Subject { name, store, .. } in &subjects().await {
        let many =
            |keys: usize| (0..keys).fold(Txn::default(), |txn, key| txn.put(key.to_string(), "v"));
        assert!(
            matches!(
                store.txn(many(TXN_KEYS_MAX + 1)).await,
                Err(StoreError::TooLarge { .. })
            ),
            "{name}"
        );
        // As many as may be, of both kinds at once.
        let full =
            (0..TXN_KEYS_MAX).fold(many(TXN_KEYS_MAX), |txn, key| txn.when(key.to_string(), 0));
        apply(&**store, full.clone()).await;
        let Outcome::Conflict(found) = store.txn(full).await.unwrap() else {
            panic!("{name}: applied twice");
        };
        assert_eq!(found.len(), TXN_KEYS_MAX, "{name}");
        assert!(found.iter().all(|(_, kv)| kv.is_some()), "{name}");
    }
}

#[tokio::test]
async fn a_session_that_is_held_keeps_its_keys_for_longer_than_its_time() {
    for Subject { name, store, .. } in &subjects().await {
        let ttl = Duration::from_secs(2);
        let session = store.session(ttl).await.unwrap();
        let txn = Txn::default().put_while(session.id(), "s/1", "here");
        apply(&**store, txn).await;
        tokio::time::sleep(ttl * 2).await;
        assert!(session.is_valid(tokio::time::Instant::now()), "{name}");
        assert_eq!(keys(&**store, &["s/"]).await, ["s/1"], "{name}");
    }
}
