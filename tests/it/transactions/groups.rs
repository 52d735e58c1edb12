//! What a group makes of the offsets that come with a transaction: whom it lets commit (KIP-447), and what becomes of them when
//! they, it or their topic are deleted meanwhile.

use wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use wire::messages::{
    AddOffsetsToTxnRequest, GroupId, OffsetDeleteRequest, TxnOffsetCommitRequest,
};

use super::offsets::{NONE, fetch_offset, find_group, stable_offset, unstable};
use super::*;
use crate::groups::{Member, delete_group};

const GROUP: &str = "readers";

fn group_id() -> GroupId {
    GroupId(text(GROUP))
}

/// An offset of `orders`-0, by a producer that says nothing of its consumer.
fn request(producer: &Transactional, offset: i64) -> TxnOffsetCommitRequest {
    let partition = |index: i32| {
        TxnOffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")))
    };
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(topic_name("orders"))
        .with_partitions(vec![partition(0)]);
    TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional(&producer.id))
        .with_group_id(group_id())
        .with_producer_id(ProducerId(producer.producer.id))
        .with_producer_epoch(producer.producer.epoch)
        .with_topics(vec![topic])
}

impl Transactional {
    /// The codes of all partitions, once they are not passing.
    async fn send_offsets(&mut self, request: &TxnOffsetCommitRequest, version: i16) -> Vec<i16> {
        let client = &mut self.client;
        until("the offsets are answered", async || {
            let answer = client.call_at(request, version).await;
            let topics = answer.topics.iter();
            let codes: Vec<i16> = topics
                .flat_map(|topic| topic.partitions.iter().map(|it| it.error_code))
                .collect();
            (!codes.iter().any(|code| is_passing(*code))).then_some(codes)
        })
        .await
    }

    async fn add_group(&mut self) {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(transactional(&self.id))
            .with_producer_id(ProducerId(self.producer.id))
            .with_producer_epoch(self.producer.epoch)
            .with_group_id(group_id());
        let client = &mut self.client;
        let added = until("the group is added", async || {
            let code = client.call_at(&request, 3).await.error_code;
            (!is_passing(code)).then_some(code)
        });
        assert_eq!(added.await, 0);
    }
}

/// A broker whose group coordinators have loaded, and a producer.
async fn started() -> (TestBroker, Client, Transactional) {
    let broker = broker().await;
    let mut client = broker.client().await;
    find_group(&mut client, GROUP).await;
    stable_offset(&mut client, GROUP).await;
    let producer = Transactional::start(&broker, Rules::V2, "shop").await;
    (broker, client, producer)
}

#[tokio::test]
async fn offsets_come_with_a_transaction_in_every_version() {
    let (_broker, mut client, mut producer) = started().await;
    for version in 0..=5 {
        producer.rules = if version < 5 { Rules::V1 } else { Rules::V2 };
        if version < 5 {
            producer.add_group().await;
        }
        let offset = 10 + i64::from(version);
        let sent = request(&producer, offset);
        assert_eq!(producer.send_offsets(&sent, version).await, [0]);
        producer.commit().await;
        assert_eq!(
            stable_offset(&mut client, GROUP).await,
            (0, offset),
            "v{version}"
        );
        producer.completed().await;
    }
}

#[tokio::test]
async fn one_bad_partition_does_not_keep_the_others_out_of_the_transaction() {
    let (_broker, mut client, mut producer) = started().await;
    let mut sent = request(&producer, 5);
    let good = sent.topics[0].partitions[0].clone();
    let too_long = good
        .clone()
        .with_partition_index(1)
        .with_committed_metadata(Some(text(&"m".repeat(4097))));
    let partitions = vec![
        good.clone().with_partition_index(3),
        good.clone(),
        too_long,
        good.clone().with_partition_index(-1),
    ];
    sent.topics[0].partitions = partitions;
    let unknown = TxnOffsetCommitRequestTopic::default()
        .with_name(topic_name("no-such-topic"))
        .with_partitions(vec![good]);
    sent.topics.insert(0, unknown.clone());
    let no_such = code(ResponseError::UnknownTopicOrPartition);
    let too_long = code(ResponseError::OffsetMetadataTooLarge);
    assert_eq!(
        producer.send_offsets(&sent, 5).await,
        [no_such, no_such, 0, too_long, no_such]
    );
    producer.commit().await;
    assert_eq!(stable_offset(&mut client, GROUP).await, (0, 5));
    producer.completed().await;
    // A transaction that nothing came into has no end.
    let nothing = sent.with_topics(vec![unknown]);
    let nothing = nothing.with_producer_epoch(producer.producer.epoch);
    assert_eq!(producer.send_offsets(&nothing, 5).await, [no_such]);
    let state = describe(&mut client, "shop").await.transaction_state;
    assert_eq!(state.as_str(), "CompleteCommit");
}

#[tokio::test]
async fn offsets_outside_their_transaction_are_refused() {
    let (_broker, mut client, mut producer) = started().await;
    let sent = request(&producer, 5);
    let mut refusals = Vec::new();
    for (sent, version, error) in [
        (sent.clone(), 4, ResponseError::TransactionAbortable),
        (sent.clone(), 3, ResponseError::InvalidTxnState),
        (
            sent.clone().with_transactional_id(transactional("nobody")),
            5,
            ResponseError::InvalidProducerIdMapping,
        ),
        (
            sent.clone().with_producer_id(ProducerId(-1)),
            5,
            ResponseError::InvalidProducerIdMapping,
        ),
        (
            sent.clone()
                .with_producer_epoch(producer.producer.epoch + 1),
            5,
            ResponseError::InvalidProducerEpoch,
        ),
        (
            sent.clone().with_group_id(GroupId(text(""))),
            5,
            ResponseError::InvalidGroupId,
        ),
    ] {
        let answered = producer.send_offsets(&sent, version).await;
        refusals.push((answered, vec![code(error)]));
    }
    for (answered, expected) in refusals {
        assert_eq!(answered, expected);
    }
    assert_eq!(fetch_offset(&mut client, GROUP, true).await, NONE);
}

#[tokio::test]
async fn a_producer_is_fenced_with_the_consumer_it_commits_for() {
    let (broker, mut client, mut producer) = started().await;
    let mut member = Member::new(&broker, GROUP).await;
    member.settle().await;
    let of_member = |generation: i32, id: &StrBytes| {
        request(&producer, 5)
            .with_generation_id(generation)
            .with_member_id(id.clone())
    };
    let current = of_member(member.generation, &member.id);
    let refused = [
        (
            of_member(member.generation - 1, &member.id),
            ResponseError::IllegalGeneration,
        ),
        (
            of_member(member.generation, &text("another")),
            ResponseError::UnknownMemberId,
        ),
        (
            current.clone().with_group_instance_id(Some(text("pod"))),
            ResponseError::UnknownMemberId,
        ),
        (
            current
                .clone()
                .with_group_id(GroupId(text("no-such-group"))),
            ResponseError::IllegalGeneration,
        ),
    ];
    for (sent, error) in refused {
        assert_eq!(producer.send_offsets(&sent, 5).await, [code(error)]);
    }
    assert_eq!(fetch_offset(&mut client, GROUP, true).await, NONE);
    assert_eq!(producer.send_offsets(&current, 5).await, [0]);
    assert_eq!(fetch_offset(&mut client, GROUP, true).await, unstable());
    producer.commit().await;
    assert_eq!(stable_offset(&mut client, GROUP).await, (0, 5));
}

#[tokio::test]
async fn deleted_offsets_do_not_come_back_with_the_commit_of_their_transaction() {
    for whole_group in [true, false] {
        let (_broker, mut client, mut producer) = started().await;
        assert_eq!(producer.send_offsets(&request(&producer, 5), 5).await, [0]);
        if whole_group {
            assert_eq!(delete_group(&mut client, GROUP).await, 0);
        } else {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
            let topic = OffsetDeleteRequestTopic::default()
                .with_name(topic_name("orders"))
                .with_partitions(vec![partition]);
            let delete = OffsetDeleteRequest::default()
                .with_group_id(group_id())
                .with_topics(vec![topic]);
            let answer = client.call(&delete).await;
            assert_eq!(answer.topics[0].partitions[0].error_code, 0);
        }
        assert_eq!(fetch_offset(&mut client, GROUP, true).await, NONE);
        producer.commit().await;
        producer.completed().await;
        assert_eq!(fetch_offset(&mut client, GROUP, false).await, NONE);
    }
}

#[tokio::test]
async fn pending_offsets_are_there_again_after_every_crash_until_they_are_decided() {
    for committed in [true, false] {
        let (mut broker, mut client, mut producer) = started().await;
        assert_eq!(producer.send_offsets(&request(&producer, 5), 5).await, [0]);
        producer.commit().await;
        assert_eq!(stable_offset(&mut client, GROUP).await, (0, 5));
        assert_eq!(producer.send_offsets(&request(&producer, 7), 5).await, [0]);
        // Only the log has it at first; what reads it back from there leaves it to the view.
        for _ in 0..3 {
            broker.crash().await;
            producer.reconnect(&broker).await;
            client = broker.client().await;
            find_group(&mut client, GROUP).await;
            let found = until("the group's coordinator loads", async || {
                let found = fetch_offset(&mut client, GROUP, true).await;
                (!is_passing(found.0)).then_some(found)
            });
            assert_eq!(found.await, unstable());
            assert_eq!(fetch_offset(&mut client, GROUP, false).await, (0, 5));
        }
        if committed {
            producer.commit().await;
        } else {
            producer.abort().await;
        }
        let expected = (0, if committed { 7 } else { 5 });
        assert_eq!(stable_offset(&mut client, GROUP).await, expected);
        for _ in 0..2 {
            broker.crash().await;
            client = broker.client().await;
            find_group(&mut client, GROUP).await;
            let found = until("the group's coordinator loads", async || {
                let found = fetch_offset(&mut client, GROUP, true).await;
                (!is_passing(found.0)).then_some(found)
            });
            assert_eq!(found.await, expected);
        }
    }
}
