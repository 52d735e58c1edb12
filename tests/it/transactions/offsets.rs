//! Offsets that are committed with a transaction.

use wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use wire::messages::{AddOffsetsToTxnRequest, GroupId, TxnOffsetCommitRequest};
use wire::offset_fetch::OffsetFetchRequest;

use super::*;

impl Transactional {
    /// Commits an offset of `orders`-0 for a group, as a part of the transaction.
    async fn commit_offset(&mut self, group: &str, offset: i64) -> i16 {
        let group = GroupId(text(group));
        if self.rules == Rules::V1 {
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(transactional(&self.id))
                .with_producer_id(ProducerId(self.producer.id))
                .with_producer_epoch(self.producer.epoch)
                .with_group_id(group.clone());
            let client = &mut self.client;
            let added = until("the group is added", async || {
                let code = client.call_at(&request, 3).await.error_code;
                (!is_passing(code)).then_some(code)
            });
            assert_eq!(added.await, 0);
        }
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name("orders"))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(transactional(&self.id))
            .with_group_id(group)
            .with_producer_id(ProducerId(self.producer.id))
            .with_producer_epoch(self.producer.epoch)
            .with_topics(vec![topic]);
        let version = match self.rules {
            Rules::V1 => 4,
            Rules::V2 => 5,
        };
        let client = &mut self.client;
        until("the offset is taken", async || {
            let answer = client.call_at(&request, version).await;
            let code = answer.topics[0].partitions[0].error_code;
            (!is_passing(code)).then_some(code)
        })
        .await
    }
}

/// (error, offset) of `orders`-0; the error may be that of the whole.
pub(super) async fn fetch_offset(
    client: &mut Client,
    group: &str,
    require_stable: bool,
) -> (i16, i64) {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(topic_name("orders"))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest {
        group_id: GroupId(text(group)),
        topics: Some(vec![topic]),
        require_stable,
        ..OffsetFetchRequest::default()
    };
    let answer = client.call_at(&request, 7).await;
    if answer.error_code != 0 {
        return (answer.error_code, -1);
    }
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.committed_offset)
}

pub(super) async fn find_group(client: &mut Client, group: &str) {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    assert_eq!(client.call(&request).await.coordinators[0].error_code, 0);
}

pub(super) const NONE: (i16, i64) = (0, -1);

pub(super) fn unstable() -> (i16, i64) {
    (code(ResponseError::UnstableOffsetCommit), -1)
}

/// The offset once the transactions that have one have ended.
pub(super) async fn stable_offset(client: &mut Client, group: &str) -> (i16, i64) {
    until("the offset is stable", async || {
        let found = fetch_offset(client, group, true).await;
        (found != unstable() && !is_passing(found.0)).then_some(found)
    })
    .await
}

#[tokio::test]
async fn offsets_hold_from_the_commit_of_their_transaction_on() {
    for rules in BOTH {
        let broker = broker().await;
        let mut client = broker.client().await;
        find_group(&mut client, "readers").await;
        let mut producer = Transactional::start(&broker, rules, "shop").await;
        producer
            .produce("orders", 1, &["made of the first five"])
            .await;
        assert_eq!(producer.commit_offset("readers", 5).await, 0);
        assert_eq!(
            fetch_offset(&mut client, "readers", false).await,
            NONE,
            "{rules:?}"
        );
        assert_eq!(
            fetch_offset(&mut client, "readers", true).await,
            unstable(),
            "{rules:?}"
        );
        producer.commit().await;
        assert_eq!(
            stable_offset(&mut client, "readers").await,
            (0, 5),
            "{rules:?}"
        );
        assert_eq!(producer.commit_offset("readers", 9).await, 0);
        producer.abort().await;
        assert_eq!(
            stable_offset(&mut client, "readers").await,
            (0, 5),
            "{rules:?}"
        );
    }
}

#[tokio::test]
async fn offsets_of_an_open_transaction_survive_a_crash_and_hold_when_it_commits() {
    for rules in BOTH {
        let mut broker = broker().await;
        let mut client = broker.client().await;
        find_group(&mut client, "readers").await;
        let mut producer = Transactional::start(&broker, rules, "shop").await;
        assert_eq!(producer.commit_offset("readers", 5).await, 0);
        producer.commit().await;
        assert_eq!(
            stable_offset(&mut client, "readers").await,
            (0, 5),
            "{rules:?}"
        );
        assert_eq!(producer.commit_offset("readers", 7).await, 0);
        broker.crash().await;
        producer.reconnect(&broker).await;
        let mut client = broker.client().await;
        find_group(&mut client, "readers").await;
        until("the group's coordinator loads", async || {
            let found = fetch_offset(&mut client, "readers", true).await;
            (!is_passing(found.0)).then_some(found)
        })
        .await;
        assert_eq!(
            fetch_offset(&mut client, "readers", false).await,
            (0, 5),
            "{rules:?}"
        );
        assert_eq!(
            fetch_offset(&mut client, "readers", true).await,
            unstable(),
            "{rules:?}"
        );
        producer.commit().await;
        assert_eq!(
            stable_offset(&mut client, "readers").await,
            (0, 7),
            "{rules:?}"
        );
    }
}

#[tokio::test]
async fn the_offsets_of_a_fenced_producer_never_hold() {
    for rules in BOTH {
        let broker = broker().await;
        let mut client = broker.client().await;
        find_group(&mut client, "readers").await;
        let mut first = Transactional::start(&broker, rules, "shop").await;
        assert_eq!(first.commit_offset("readers", 5).await, 0);
        let mut second = Transactional::start(&broker, rules, "shop").await;
        assert_eq!(
            stable_offset(&mut client, "readers").await,
            NONE,
            "{rules:?}"
        );
        assert_eq!(second.commit_offset("readers", 3).await, 0);
        second.commit().await;
        assert_eq!(
            stable_offset(&mut client, "readers").await,
            (0, 3),
            "{rules:?}"
        );
    }
}
