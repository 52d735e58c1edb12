//! Offsets that are committed with a transaction.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use crate::event::{
    CommitRequest, DeleteOffsetsRequest, Event, FetchOffsetsRequest, Reply, TopicResults,
};
use crate::records::offset_commit::offset_tombstone;
use crate::records::{RecordError, is_row_of_view};
use crate::testing::*;
use crate::{CoordinatorRecord, GroupError, Producer, Replayed};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How late the regular look at a group may be.
const CHECK_MS: i64 = 600_000;

/// A commit for partition 0 of "orders" in a transaction of a producer that says nothing of a member.
fn in_transaction(producer_id: i64, offset: i64) -> CommitRequest {
    let epoch = 0;
    CommitRequest {
        transaction: Some(Producer {
            id: producer_id,
            epoch,
        }),
        knows_new_group_errors: false,
        ..committing("", -1, offset)
    }
}

fn of_topic(topic: &str, request: CommitRequest) -> CommitRequest {
    let mut request = request;
    request.topics[0].0 = topic.to_owned();
    request
}

fn taken(topic: &str) -> Result<Vec<TopicResults>, GroupError> {
    Ok(vec![TopicResults {
        topic: topic.to_owned(),
        partitions: vec![(0, Ok(()))],
    }])
}

/// What a consumer that reads only what is committed is told of partition 0 of "orders".
fn stable_offset(world: &World) -> Result<Option<i64>, GroupError> {
    let request = FetchOffsetsRequest {
        topics: Some(vec![("orders".to_owned(), vec![0])]),
        require_stable: true,
        ..fetching()
    };
    let found = world.shard.fetch_offsets(&world.topics, &request);
    let offset = found.unwrap()[0].partitions[0].1.clone();
    offset.map(|offset| offset.map(|offset| offset.offset))
}

fn any_offset(world: &World) -> Option<i64> {
    world.offset("orders", 0).map(|offset| offset.offset)
}

fn delete_group(world: &mut World) -> Result<(), GroupError> {
    let ticket = world.send(|ticket| Event::DeleteGroups(ticket, vec![GROUP.to_owned()]));
    match &world.answers[&ticket] {
        Reply::DeleteGroups(results) => results[0].1.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_offset_in_a_transaction_is_unstable_until_the_marker() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    assert_eq!(world.commit(in_transaction(7, 5)), taken("orders"));
    assert_eq!(any_offset(&world), Some(1));
    assert_eq!(stable_offset(&world), Err(GroupError::UnstableOffsetCommit));
    world.end_transaction(7, true);
    assert_eq!(stable_offset(&world), Ok(Some(5)));
}

#[test]
fn an_aborted_offset_was_never_there() {
    let mut world = World::new();
    world.commit(in_transaction(7, 5)).unwrap();
    world.end_transaction(7, false);
    assert_eq!(stable_offset(&world), Ok(None));
    assert_eq!(world.state(), "absent", "the group had nothing else");
}

#[test]
fn the_last_of_the_offsets_of_one_transaction_holds() {
    let mut world = World::new();
    world.commit(in_transaction(7, 5)).unwrap();
    world.commit(in_transaction(7, 6)).unwrap();
    world.end_transaction(7, true);
    assert_eq!(stable_offset(&world), Ok(Some(6)));
}

#[test]
fn a_marker_ends_only_its_producers_transaction_and_only_once() {
    let mut world = World::new();
    world.commit(in_transaction(7, 5)).unwrap();
    world.end_transaction(8, true);
    assert_eq!(stable_offset(&world), Err(GroupError::UnstableOffsetCommit));
    world.end_transaction(7, true);
    world.end_transaction(7, false);
    assert_eq!(stable_offset(&world), Ok(Some(5)));
}

#[test]
fn of_two_transactions_the_one_that_committed_the_offset_later_wins() {
    for newest_first in [true, false] {
        let mut world = World::new();
        world.commit(in_transaction(7, 5)).unwrap();
        world.commit(in_transaction(8, 9)).unwrap();
        let (first, second) = if newest_first { (8, 7) } else { (7, 8) };
        world.end_transaction(first, true);
        assert_eq!(stable_offset(&world), Err(GroupError::UnstableOffsetCommit));
        world.end_transaction(second, true);
        assert_eq!(stable_offset(&world), Ok(Some(9)));
    }
}

#[test]
fn an_offset_committed_meanwhile_outside_the_transaction_is_the_newer() {
    let mut world = World::new();
    world.commit(in_transaction(7, 5)).unwrap();
    world.commit(committing("", -1, 2)).unwrap();
    assert_eq!(
        stable_offset(&world),
        Err(GroupError::UnstableOffsetCommit),
        "the partition is held back all the same"
    );
    world.write_view();
    world.restart_from_view();
    world.end_transaction(7, true);
    assert_eq!(stable_offset(&world), Ok(Some(2)));
}

#[test]
fn fetching_all_stable_offsets_names_the_unstable_of_those_committed_before() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    world.commit(in_transaction(7, 5)).unwrap();
    world
        .commit(of_topic("audit", in_transaction(7, 5)))
        .unwrap();
    let all = FetchOffsetsRequest {
        require_stable: true,
        ..fetching()
    };
    let found = world.shard.fetch_offsets(&world.topics, &all).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].topic, "orders");
    assert_eq!(
        found[0].partitions,
        [(0, Err(GroupError::UnstableOffsetCommit))]
    );
}

#[test]
fn a_producer_that_names_its_consumer_is_fenced_with_it() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    let as_member = |member_id: &str, generation| CommitRequest {
        member_id: member_id.to_owned(),
        generation_or_epoch: generation,
        ..in_transaction(7, 5)
    };
    for (request, error) in [
        (
            as_member(&ids[0], generation - 1),
            GroupError::IllegalGeneration,
        ),
        (as_member("another", generation), GroupError::UnknownMember),
        (as_member(&ids[0], -1), GroupError::IllegalGeneration),
        (
            CommitRequest {
                group_instance_id: Some("pod".to_owned()),
                ..as_member(&ids[0], generation)
            },
            GroupError::UnknownMember,
        ),
        (
            CommitRequest {
                group_id: "absent".to_owned(),
                ..as_member(&ids[0], generation)
            },
            GroupError::IllegalGeneration,
        ),
    ] {
        assert_eq!(world.commit(request), Err(error));
    }
    assert_eq!(
        world.commit(as_member(&ids[0], generation)),
        taken("orders")
    );
}

#[test]
fn a_static_members_producer_is_fenced_by_the_member_that_took_its_place() {
    let mut world = World::new();
    let ticket = world.join(joining_static("", "pod"));
    world.advance(3_000);
    let first = world.joined(ticket);
    world.sync(&first.member_id, first.generation, &[]);
    let ticket = world.join(joining_static("", "pod"));
    let second = world.joined(ticket);
    assert_ne!(first.member_id, second.member_id);
    let request = CommitRequest {
        member_id: first.member_id,
        generation_or_epoch: first.generation,
        group_instance_id: Some("pod".to_owned()),
        ..in_transaction(7, 5)
    };
    assert_eq!(world.commit(request), Err(GroupError::FencedInstance));
}

#[test]
fn a_producer_that_names_no_consumer_commits_whatever_the_group_does() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    assert_eq!(world.commit(in_transaction(7, 5)), taken("orders"));
    world.join(joining(&ids[0]));
    world.join(joining(&ids[1]));
    assert_eq!(world.state(), "CompletingRebalance");
    assert_eq!(world.commit(in_transaction(7, 6)), taken("orders"));
    world.end_transaction(7, true);
    assert_eq!(stable_offset(&world), Ok(Some(6)));
}

#[test]
fn a_transaction_keeps_no_member_alive() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.advance(40_000);
    let request = CommitRequest {
        member_id: ids[0].clone(),
        generation_or_epoch: generation,
        ..in_transaction(7, 5)
    };
    world.commit(request).unwrap();
    world.advance(10_000);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn offsets_that_a_transaction_holds_do_not_expire_and_keep_their_group() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    world
        .commit(of_topic("audit", committing("", -1, 1)))
        .unwrap();
    world.commit(in_transaction(7, 5)).unwrap();
    world.advance(8 * DAY_MS);
    assert_eq!(any_offset(&world), Some(1));
    assert_eq!(world.offset("audit", 0), None);
    world.end_transaction(7, false);
    world.advance(CHECK_MS);
    assert_eq!(world.state(), "absent");
    assert_eq!(world.shard.next_deadline(), None);

    world.commit(in_transaction(7, 5)).unwrap();
    world.advance(8 * DAY_MS);
    assert_eq!(world.state(), "Empty");
    world.end_transaction(7, true);
    assert_eq!(stable_offset(&world), Ok(Some(5)));
}

#[test]
fn a_deleted_offset_takes_the_pending_one_with_it() {
    let mut world = World::new();
    world.commit(in_transaction(7, 5)).unwrap();
    world
        .commit(of_topic("audit", in_transaction(7, 6)))
        .unwrap();
    let delete = DeleteOffsetsRequest {
        group_id: GROUP.to_owned(),
        topics: vec![("orders".to_owned(), vec![0, 1])],
    };
    world.send(|ticket| Event::DeleteOffsets(ticket, delete));
    assert_eq!(stable_offset(&world), Ok(None));
    world.write_view();
    world.restart_from_view();
    world.end_transaction(7, true);
    assert_eq!(stable_offset(&world), Ok(None));
    assert_eq!(world.offset("audit", 0).unwrap().offset, 6);
}

#[test]
fn a_deleted_group_takes_its_pending_offsets_with_it() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    world.commit(in_transaction(7, 5)).unwrap();
    world
        .commit(of_topic("audit", in_transaction(7, 5)))
        .unwrap();
    assert_eq!(delete_group(&mut world), Ok(()));
    assert_eq!(world.state(), "absent");
    world.end_transaction(7, true);
    assert_eq!(world.state(), "absent");
    assert_eq!(world.shard.durable(&world.topics), []);
    world.restart();
    assert_eq!(world.shard.durable(&world.topics), []);
}

#[test]
fn pending_offsets_of_a_deleted_topic_are_gone_and_those_of_its_namesake_stay() {
    let mut world = World::new();
    world.commit(in_transaction(7, 5)).unwrap();
    world
        .commit(of_topic("audit", in_transaction(7, 5)))
        .unwrap();
    let (orders, _) = world.topics.0.remove("orders").unwrap();
    let now_ms = world.now_ms;
    let gone = [
        ("orders".to_owned(), orders),
        ("audit".to_owned(), Uuid::from_u128(99)),
    ];
    world.shard.topics_deleted(now_ms, &gone);
    world.advance(0);
    let held = world.shard.durable(&world.topics).remove(0).pending;
    let held: Vec<_> = held.into_keys().collect();
    assert_eq!(held, [("audit".to_owned(), 0, 7)]);
    world.end_transaction(7, true);
    assert_eq!(world.offset("audit", 0).unwrap().offset, 5);
}

#[test]
fn the_records_of_a_commit_that_cannot_be_stored_hold_nothing_back() {
    let mut world = World::new();
    world.broken = Some(GroupError::InvalidProducerEpoch);
    assert_eq!(
        world.commit(in_transaction(7, 5)),
        Err(GroupError::InvalidProducerEpoch)
    );
    assert_eq!(stable_offset(&world), Ok(None));
    assert_eq!(world.state(), "absent");
}

#[test]
fn a_view_is_read_back_as_it_was_and_rows_that_cannot_be_read_change_nothing() {
    let mut world = World::new();
    world.commit(in_transaction(7, 5)).unwrap();
    world.commit(in_transaction(8, 6)).unwrap();
    world.commit(committing("", -1, 1)).unwrap();
    world
        .commit(of_topic("audit", in_transaction(8, 6)))
        .unwrap();
    world.write_view();
    assert_eq!(world.view.len(), 4);
    let lived = world.shard.durable(&world.topics);
    world.restart_from_view();
    assert_eq!(world.shard.durable(&world.topics), lived);
    let rows = world.view.clone().into_iter();
    for (key, value) in rows.filter(|(key, _)| is_row_of_view(key)) {
        for len in 0..8 {
            let (key, value) = (key.clone(), Some(value.slice(..len)));
            let cut = CoordinatorRecord { key, value };
            assert_eq!(world.shard.restore(&cut), Err(RecordError::Truncated));
        }
        let cut = CoordinatorRecord {
            key: key.slice(..key.len() - 1),
            value: Some(value),
        };
        assert_eq!(world.shard.restore(&cut), Err(RecordError::Truncated));
    }
    assert_eq!(world.shard.durable(&world.topics), lived);
}

#[test]
fn a_row_of_the_view_means_nothing_in_the_log() {
    let mut world = World::new();
    world.commit(in_transaction(7, 5)).unwrap();
    world.write_view();
    let (key, value) = world.view.pop_first().unwrap();
    let value = Some(value);
    let row = CoordinatorRecord { key, value };
    let mut other = World::new();
    assert_eq!(other.shard.replay(&row), Ok(Replayed::Ignored(-1)));
    assert_eq!(
        other.shard.replay_in_transaction(7, &row, 0),
        Ok(Replayed::Ignored(-1))
    );
    assert_eq!(other.shard.take_rows(), []);
    assert_eq!(other.shard.durable(&other.topics), []);
}

#[test]
fn a_tombstone_in_a_transaction_counts_at_once() {
    let mut world = World::new();
    world.commit(committing("", -1, 1)).unwrap();
    world.commit(in_transaction(8, 5)).unwrap();
    let tombstone = offset_tombstone(GROUP, "orders", 0);
    let replayed = world.shard.replay_in_transaction(7, &tombstone, 9);
    assert_eq!(replayed, Ok(Replayed::Applied));
    assert_eq!(stable_offset(&world), Ok(None));
    assert_eq!(world.state(), "absent");
}

/// By group and partition: offset, and where its record stands.
type Offsets = BTreeMap<(usize, i32), (i64, usize)>;

/// What Kafka keeps, done plainly: every offset with its place in the log, and both compared when a transaction ends.
#[derive(Debug, Default)]
struct Model {
    committed: Offsets,
    pending: BTreeMap<i64, Offsets>,
}

impl Model {
    fn commit(&mut self, producer: Option<i64>, key: (usize, i32), value: (i64, usize)) {
        let offsets = match producer {
            Some(id) => self.pending.entry(id).or_default(),
            None => &mut self.committed,
        };
        offsets.insert(key, value);
    }

    fn end(&mut self, producer: i64, committed: bool) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        for (key, value) in pending.into_iter().filter(|_| committed) {
            let known = self.committed.entry(key).or_insert(value);
            if value.1 > known.1 {
                *known = value;
            }
        }
    }

    fn delete(&mut self, gone: impl Fn(&(usize, i32)) -> bool) {
        self.committed.retain(|key, _| !gone(key));
        for offsets in self.pending.values_mut() {
            offsets.retain(|key, _| !gone(key));
        }
    }

    fn is_held(&self, key: (usize, i32)) -> bool {
        self.pending.values().any(|held| held.contains_key(&key))
    }
}

#[derive(Debug, Clone)]
enum Op {
    Commit(usize, i32, Option<i64>),
    End(i64, bool),
    DeleteOffset(usize, i32),
    DeleteGroup(usize),
    WriteView,
    Restart { from_view: bool },
    Break(bool),
}

const GROUPS: usize = 2;

fn any_op() -> impl Strategy<Value = Op> {
    let group = 0..GROUPS;
    let partition = 0..3i32;
    let producer = 1..4i64;
    prop_oneof![
        12 => (group.clone(), partition.clone(), prop::option::weighted(0.7, producer.clone()))
            .prop_map(|(group, partition, producer)| Op::Commit(group, partition, producer)),
        6 => (producer, any::<bool>()).prop_map(|(id, committed)| Op::End(id, committed)),
        2 => (group.clone(), partition).prop_map(|(group, partition)| Op::DeleteOffset(group, partition)),
        1 => group.prop_map(Op::DeleteGroup),
        3 => Just(Op::WriteView),
        2 => any::<bool>().prop_map(|from_view| Op::Restart { from_view }),
        1 => any::<bool>().prop_map(Op::Break),
    ]
}

fn group_id(group: usize) -> String {
    format!("group-{group}")
}

struct Trial {
    world: World,
    model: Model,
    offset: i64,
}

impl Trial {
    fn run(&mut self, op: &Op) {
        let world = &mut self.world;
        match *op {
            Op::Commit(group, partition, producer) => {
                self.offset += 1;
                let mut request = in_transaction(producer.unwrap_or(0), self.offset);
                request.group_id = group_id(group);
                request.topics[0].1[0].partition = partition;
                request.transaction = request.transaction.filter(|_| producer.is_some());
                let at = world.log.len();
                if world.commit(request).is_ok() {
                    let value = (self.offset, at);
                    self.model.commit(producer, (group, partition), value);
                }
            }
            Op::End(producer_id, committed) => {
                world.end_transaction(producer_id, committed);
                self.model.end(producer_id, committed);
            }
            Op::DeleteOffset(group, partition) => {
                let delete = DeleteOffsetsRequest {
                    group_id: group_id(group),
                    topics: vec![("orders".to_owned(), vec![partition])],
                };
                let ticket = world.send(|ticket| Event::DeleteOffsets(ticket, delete));
                if matches!(world.answers[&ticket], Reply::DeleteOffsets(Ok(_))) {
                    self.model.delete(|key| *key == (group, partition));
                }
            }
            Op::DeleteGroup(group) => {
                let ids = vec![group_id(group)];
                let ticket = world.send(|ticket| Event::DeleteGroups(ticket, ids));
                if matches!(&world.answers[&ticket], Reply::DeleteGroups(r) if r[0].1.is_ok()) {
                    self.model.delete(|key| key.0 == group);
                }
            }
            Op::WriteView => world.write_view(),
            Op::Restart { from_view: true } => world.restart_from_view(),
            Op::Restart { from_view: false } => world.restart(),
            Op::Break(broken) => {
                world.broken = broken.then_some(GroupError::CoordinatorUnavailable);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let world = &mut self.world;
        let lived = world.shard.durable(&world.topics);
        assert_eq!(world.replayed().durable(&world.topics), lived);
        for group in 0..GROUPS {
            for partition in 0..3 {
                let expected = match self.model.is_held((group, partition)) {
                    true => Err(GroupError::UnstableOffsetCommit),
                    false => Ok(self.model.committed.get(&(group, partition)).map(|it| it.0)),
                };
                let request = FetchOffsetsRequest {
                    group_id: group_id(group),
                    topics: Some(vec![("orders".to_owned(), vec![partition])]),
                    require_stable: true,
                    ..fetching()
                };
                let found = world.shard.fetch_offsets(&world.topics, &request).unwrap();
                let found = found[0].partitions[0].1.clone();
                assert_eq!(found.map(|it| it.map(|it| it.offset)), expected);
                let all = FetchOffsetsRequest {
                    require_stable: false,
                    ..request
                };
                let found = world.shard.fetch_offsets(&world.topics, &all).unwrap();
                let found = found[0].partitions[0].1.clone().unwrap();
                let expected = self.model.committed.get(&(group, partition));
                assert_eq!(found.map(|it| it.offset), expected.map(|it| it.0));
            }
        }
    }

    /// Every transaction comes to its end, and nothing is left of it but what it committed.
    fn end(&mut self) {
        for producer_id in 1..4 {
            self.run(&Op::End(producer_id, producer_id == 2));
        }
        let world = &mut self.world;
        world.write_view();
        assert!(!world.view.keys().any(|key: &Bytes| is_row_of_view(key)));
        let lived = world.shard.durable(&world.topics);
        world.restart_from_view();
        assert_eq!(world.shard.durable(&world.topics), lived);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_transactions_the_offsets_are_those_that_kafka_would_keep(
        ops in proptest::collection::vec(any_op(), 1..100),
    ) {
        let mut trial = Trial { world: World::new(), model: Model::default(), offset: 0 };
        for op in &ops {
            trial.run(op);
        }
        trial.end();
    }
}
