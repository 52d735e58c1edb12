use bytes::Bytes;

use crate::records::RecordError;
use crate::records::codec::Writer;
use crate::records::group_metadata::group_tombstone;
use crate::records::offset_commit::offset_tombstone;
use crate::testing::*;
use crate::{CoordinatorRecord, Replayed};

fn record(key: Bytes, value: Option<Bytes>) -> CoordinatorRecord {
    CoordinatorRecord { key, value }
}

#[test]
fn records_of_other_kinds_of_groups_are_passed_over_and_counted() {
    let mut world = World::new();
    for kind in [9, 15, 17, 1_000, -1] {
        let mut key = Writer::versioned(kind);
        key.string("some-group");
        let unknown = record(key.finish(), Some(Bytes::from_static(b"anything")));
        assert_eq!(world.shard.replay(&unknown), Ok(Replayed::Ignored(kind)));
    }
    assert_eq!(world.shard.stats().records_ignored, 5);
    assert_eq!(world.shard.durable(&world.topics), []);
}

#[test]
fn records_that_cannot_be_read_change_nothing_and_are_counted() {
    let mut world = World::new();
    world.stable(1);
    let before = world.shard.durable(&world.topics);
    let good = world.log.last().unwrap().clone();
    let value = good.value.clone().unwrap();
    let cut = record(good.key.clone(), Some(value.slice(..value.len() - 1)));
    assert_eq!(world.shard.replay(&cut), Err(RecordError::Truncated));
    let newer = record(good.key, Some(Bytes::from_static(&[0, 9])));
    assert!(matches!(
        world.shard.replay(&newer),
        Err(RecordError::UnknownVersion { version: 9, .. })
    ));
    let no_key = record(Bytes::from_static(&[0]), None);
    assert_eq!(world.shard.replay(&no_key), Err(RecordError::Truncated));
    assert_eq!(world.shard.stats().records_refused, 3);
    assert_eq!(world.shard.durable(&world.topics), before);
}

#[test]
fn tombstones_for_what_is_not_there_are_no_matter() {
    let mut world = World::new();
    let tombstones = [offset_tombstone("g", "t", 0), group_tombstone("g")];
    for tombstone in tombstones {
        assert_eq!(world.shard.replay(&tombstone), Ok(Replayed::Applied));
    }
    assert_eq!(world.shard.durable(&world.topics), []);
}

#[test]
fn a_compacted_log_gives_the_same_groups() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    for offset in 0..5 {
        world
            .commit(committing(&ids[0], generation, offset))
            .unwrap();
    }
    world.leave(&[(&ids[0], None), (&ids[1], None)]);
    let lived = world.shard.durable(&world.topics);
    let mut compacted: Vec<CoordinatorRecord> = Vec::new();
    for record in &world.log {
        compacted.retain(|earlier| earlier.key != record.key);
        compacted.push(record.clone());
    }
    assert!(compacted.len() < world.log.len());
    world.log.clear();
    world.restart();
    for record in &compacted {
        world.shard.replay(record).unwrap();
    }
    assert_eq!(world.shard.durable(&world.topics), lived);
}

#[test]
fn offsets_outlive_the_record_of_their_group() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.commit(committing(&ids[0], generation, 5)).unwrap();
    world.leave(&[(&ids[0], None)]);
    world.log.push(group_tombstone(GROUP));
    world.restart();
    assert_eq!(world.offset("orders", 0).unwrap().offset, 5);
    assert_eq!((world.state(), world.stored()), ("Empty", None));
}

#[test]
fn a_group_that_has_nothing_left_at_the_end_of_the_log_is_not_there() {
    let mut world = World::new();
    world.commit(committing("", -1, 5)).unwrap();
    world.log.push(offset_tombstone(GROUP, "orders", 0));
    world.restart();
    assert_eq!(world.state(), "absent");
    assert_eq!(world.shard.next_deadline(), None);
}
