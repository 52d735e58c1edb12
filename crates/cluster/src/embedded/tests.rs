use super::*;
use crate::store::WatchItem;

fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(dir).expect("the store opens")
}

async fn apply(store: &EmbeddedStore, txn: Txn) -> Revision {
    match store.txn(txn).await {
        Ok(Outcome::Applied(revision)) => revision,
        other => panic!("not applied: {other:?}"),
    }
}

/// The next item, which must not keep a test waiting for ever.
async fn next(watch: &mut Box<dyn MetaWatch>) -> WatchItem {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), watch.next()).await;
    waited.expect("the watch has something to say")
}

async fn all(store: &EmbeddedStore) -> Vec<(String, Vec<u8>, Revision)> {
    let (_, found) = store.snapshot(&[""]).await.unwrap();
    found
        .into_iter()
        .map(|kv| (kv.key, kv.value.to_vec(), kv.mod_revision))
        .collect()
}

#[tokio::test]
async fn a_transaction_is_applied_whole_at_the_next_revision_and_found_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(
        apply(&store, Txn::default().put("a", "1").put("b", "2")).await,
        1
    );
    assert_eq!(
        apply(
            &store,
            Txn::default().when("a", 1).delete("a").put("c", "3")
        )
        .await,
        2
    );
    let expected = vec![
        ("b".to_owned(), b"2".to_vec(), 1),
        ("c".to_owned(), b"3".to_vec(), 2),
    ];
    assert_eq!(all(&store).await, expected);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.snapshot(&[""]).await.unwrap().0, 2);
    assert_eq!(all(&store).await, expected);
    assert_eq!(apply(&store, Txn::default().put("d", "4")).await, 3);
}

#[tokio::test]
async fn a_watch_from_before_what_is_kept_is_told_to_read_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    apply(&store, Txn::default().put("a", "1")).await;
    drop(store);
    let store = open(dir.path());
    assert_eq!(next(&mut store.watch(1)).await, WatchItem::Compacted);
    assert_eq!(next(&mut store.watch(i64::MIN)).await, WatchItem::Compacted);
    assert_eq!(store.core.history.watch(2).ready(), None);
    let mut watch = store.watch(2);
    for _ in 0..60 {
        let many = (0..100).fold(Txn::default(), |txn, key| txn.put(format!("k{key}"), "v"));
        apply(&store, many).await;
    }
    assert_eq!(
        next(&mut watch).await,
        WatchItem::Compacted,
        "6,000 events are more than are kept"
    );
    assert!(
        matches!(next(&mut store.watch(61)).await, WatchItem::Batch(batch) if batch.revision == 61)
    );
}

#[tokio::test]
async fn sessions_end_with_the_process_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    apply(
        &store,
        Txn::default()
            .put("s/1", "x")
            .put("ctl/leader", "x")
            .put("ctl/epoch", "x")
            .put("b/1", "x"),
    )
    .await;
    drop(store);
    let store = open(dir.path());
    let keys: Vec<String> = all(&store).await.into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, ["b/1", "ctl/epoch"]);
    drop(store);
    assert_eq!(
        open(dir.path()).snapshot(&[]).await.unwrap().0,
        2,
        "nothing to end, nothing written"
    );
}

#[tokio::test]
async fn one_process_has_the_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let reserved = || dir.path().join("reserve").exists();
    let before = reserved();
    assert!(matches!(
        EmbeddedStore::open(dir.path()),
        Err(StoreError::Unavailable { .. })
    ));
    assert_eq!(
        reserved(),
        before,
        "what the other process holds is left to it"
    );
    apply(&store, Txn::default().put("a", "1")).await;
}

#[test]
fn what_no_store_wrote_is_called_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let damaged = |key: &[u8], value: &[u8]| {
        let rocks = rocksdb::DB::open_default(dir.path()).unwrap();
        rocks.put(key, value).unwrap();
        drop(rocks);
        let opened =
            EmbeddedStore::open(dir.path()).and_then(|store| store.core.snapshot(&[String::new()]));
        let rocks = rocksdb::DB::open_default(dir.path()).unwrap();
        rocks.delete(key).unwrap();
        matches!(opened, Err(StoreError::Corrupt { .. }))
    };
    assert!(damaged(b"short", b"1234567"), "a value without a revision");
    assert!(damaged(b"zero", &[0; 9]), "a revision that was never given");
    assert!(damaged(b"\xff\xfe", &[1; 9]), "a key that is not text");
    assert!(damaged(b"\0format", &[9]), "a format of the future");
    assert!(damaged(b"\0revision", &[9]), "a counter of one byte");
}

use super::faults::{Faults, WriteFault, failure};

async fn with_faults(writes: &[WriteFault], opens: usize) -> (tempfile::TempDir, EmbeddedStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    apply(&store, Txn::default().put("a", "1")).await;
    store.inject(Faults {
        writes: writes.to_vec(),
        opens,
    });
    (dir, store)
}

#[tokio::test]
async fn a_write_that_failed_is_repeated_once_the_reserve_has_made_room() {
    let (_dir, store) = with_faults(&[WriteFault::Refused], 0).await;
    let mut watch = store.watch(2);
    assert_eq!(
        apply(&store, Txn::default().when("a", 1).put("a", "2")).await,
        2
    );
    assert!(matches!(next(&mut watch).await, WatchItem::Batch(batch) if batch.revision == 2));
    assert_eq!(all(&store).await, [("a".to_owned(), b"2".to_vec(), 2)]);
}

#[tokio::test]
async fn a_write_that_fails_again_changed_nothing_and_the_next_one_works() {
    let (_dir, store) = with_faults(&[WriteFault::Refused, WriteFault::Refused], 0).await;
    assert_eq!(
        store.txn(Txn::default().put("a", "2")).await,
        Err(failure())
    );
    assert_eq!(all(&store).await, [("a".to_owned(), b"1".to_vec(), 1)]);
    assert_eq!(
        apply(&store, Txn::default().when("a", 1).put("a", "3")).await,
        2
    );
}

#[tokio::test]
async fn a_write_that_is_found_on_disk_was_applied_whatever_was_reported() {
    let (_dir, store) = with_faults(&[WriteFault::Written], 0).await;
    let mut watch = store.watch(2);
    assert_eq!(
        apply(&store, Txn::default().when("a", 1).put("a", "2")).await,
        2
    );
    assert!(matches!(next(&mut watch).await, WatchItem::Batch(batch) if batch.revision == 2));
}

#[tokio::test]
async fn when_nothing_can_be_read_back_the_outcome_is_unknown_and_watchers_read_again() {
    for fault in [WriteFault::Refused, WriteFault::Written] {
        let (_dir, store) = with_faults(&[fault], 2).await;
        let mut watch = store.watch(2);
        let outcome = store.txn(Txn::default().when("a", 1).put("a", "2")).await;
        assert!(
            matches!(outcome, Ok(Outcome::Unknown { .. })),
            "{outcome:?}"
        );
        assert_eq!(store.snapshot(&[""]).await, Err(failure()));
        let found = all(&store).await;
        match fault {
            WriteFault::Spared | WriteFault::Refused => {
                assert_eq!(found, [("a".to_owned(), b"1".to_vec(), 1)])
            }
            WriteFault::Written => {
                assert_eq!(found, [("a".to_owned(), b"2".to_vec(), 2)]);
                assert_eq!(next(&mut watch).await, WatchItem::Compacted);
            }
        }
    }
}
