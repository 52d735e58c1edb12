//! What only etcd can do to the metadata store: end sessions, compact, stop, come back.

mod support;

use std::time::Duration;

use support::etcd::Etcd;
use tidewater_cluster::store::{Event, MetaStore, MetaWatch, Outcome, Txn, WatchItem};
use tokio::time::Instant;

async fn next(watch: &mut Box<dyn MetaWatch>) -> WatchItem {
    let waited = tokio::time::timeout(Duration::from_secs(60), watch.next()).await;
    waited.expect("the watch has something to say")
}

#[tokio::test]
async fn the_keys_of_a_session_that_nobody_holds_any_more_go_and_watchers_are_told() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let store = etcd.store("/t/1/").await;
    let session = store.session(Duration::from_secs(2)).await.unwrap();
    let put = Txn::default().put_while(session.id(), "s/1", "x");
    let Outcome::Applied(revision) = store.txn(put.put("stays", "x")).await.unwrap() else {
        panic!("not applied");
    };
    let mut watch = store.watch(revision + 1);
    drop(session);
    let WatchItem::Batch(batch) = next(&mut watch).await else {
        panic!("the watch ended");
    };
    assert_eq!(batch.events, [Event::Delete { key: "s/1".into() }]);
}

#[tokio::test]
async fn a_session_that_etcd_has_ended_is_lost_and_another_can_be_had() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let store = etcd.store("/t/1/").await;
    let mut session = store.session(Duration::from_secs(2)).await.unwrap();
    store
        .txn(Txn::default().put_while(session.id(), "s/1", "x"))
        .await
        .unwrap();
    // With a new, empty data directory it is another etcd, which never heard of the lease.
    etcd.replace().await;
    let lost = tokio::time::timeout(Duration::from_secs(60), session.lost()).await;
    lost.expect("the loss is noticed");
    assert!(!session.is_valid(Instant::now()));
    let again = store.session(Duration::from_secs(2)).await.unwrap();
    assert!(again.is_valid(Instant::now()));
}

#[tokio::test]
async fn a_watch_from_a_compacted_revision_is_told_to_read_everything() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let store = etcd.store("/t/1/").await;
    let mut last = 0;
    for round in 0..10 {
        let put = Txn::default().put("a", round.to_string());
        let Outcome::Applied(revision) = store.txn(put).await.unwrap() else {
            panic!("not applied");
        };
        last = revision;
    }
    etcd.compact(last).await;
    assert_eq!(next(&mut store.watch(2)).await, WatchItem::Compacted);
    assert!(matches!(
        next(&mut store.watch(last)).await,
        WatchItem::Batch(batch) if batch.revision == last
    ));
}

#[tokio::test]
async fn a_watch_and_a_session_outlive_a_restart_of_etcd() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let store = etcd.store("/t/1/").await;
    let session = store.session(Duration::from_secs(5)).await.unwrap();
    let Outcome::Applied(revision) = store
        .txn(Txn::default().put_while(session.id(), "s/1", "x"))
        .await
        .unwrap()
    else {
        panic!("not applied");
    };
    let mut watch = store.watch(revision + 1);
    etcd.kill();
    let outcome = store.txn(Txn::default().put("while it is away", "x")).await;
    assert!(
        matches!(outcome, Ok(Outcome::Unknown { .. }) | Err(_)),
        "{outcome:?}"
    );
    etcd.start_again().await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let written = loop {
        if let Ok(Outcome::Applied(revision)) = store.txn(Txn::default().put("b", "2")).await {
            break revision;
        }
        assert!(Instant::now() < deadline, "etcd is not back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    loop {
        let WatchItem::Batch(batch) = next(&mut watch).await else {
            panic!("the watch ended");
        };
        let gone = Event::Delete { key: "s/1".into() };
        assert!(!batch.events.contains(&gone), "the session was kept");
        if batch.revision == written {
            break;
        }
    }
    while !session.is_valid(Instant::now()) {
        assert!(Instant::now() < deadline, "the session is not renewed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_etcd_every_call_ends_in_time() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let store = etcd.store("/t/1/").await;
    etcd.kill();
    let began = Instant::now();
    assert!(store.snapshot(&[""]).await.is_err());
    assert!(store.session(Duration::from_secs(2)).await.is_err());
    let outcome = store.txn(Txn::default().put("a", "1")).await;
    assert!(!matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
}
