//! Classic groups and committed offsets, as clients see them.

use std::time::Duration;

use bytes::Bytes;
use tidewater_tests::{Client, TestBroker, batch, topic_name};
use uuid::Uuid;
use wire::delete_groups::DeleteGroupsRequest;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::describe_groups_response::DescribedGroup;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::metadata_response::MetadataResponseTopic;
use wire::messages::offset_commit_request::OffsetCommitRequestPartition;
use wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::{
    DeleteTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    FindCoordinatorResponse, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, MetadataRequest, OffsetDeleteRequest,
    SyncGroupRequest, SyncGroupResponse,
};
use wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use wire::{ResponseError, StrBytes};

const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Longer than anything here takes; a test that waits for this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn broker() -> TestBroker {
    broker_with(&[]).await
}

/// With a topic, and coordinators that have loaded.
pub(crate) async fn broker_with(overrides: &[(&str, &str)]) -> TestBroker {
    let quick = [("group.initial.rebalance.delay.ms", "0")];
    let broker = TestBroker::start_with(&[&quick, overrides].concat()).await;
    let mut client = broker.client().await;
    client.create_topic("orders", 3, &[]).await;
    assert_eq!(find(&mut client, "any").await.coordinators[0].error_code, 0);
    loaded(&mut client).await;
    broker
}

/// Waits until no coordinator says any more that it is loading.
pub(crate) async fn loaded(client: &mut Client) {
    let request = ListGroupsRequest::default();
    let loaded = async { while client.call(&request).await.error_code != 0 {} };
    let loaded = tokio::time::timeout(PATIENCE, loaded).await;
    loaded.expect("the coordinators load");
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

fn code(error: ResponseError) -> i16 {
    error.code()
}

async fn find(client: &mut Client, group: &str) -> FindCoordinatorResponse {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    client.call(&request).await
}

/// A member of a classic group on a connection of its own.
pub(crate) struct Member {
    client: Client,
    group: &'static str,
    pub(crate) id: StrBytes,
    instance: Option<StrBytes>,
    pub(crate) generation: i32,
}

impl Member {
    pub(crate) async fn new(broker: &TestBroker, group: &'static str) -> Self {
        Self {
            client: broker.client().await,
            group,
            id: text(""),
            instance: None,
            generation: -1,
        }
    }

    async fn named(broker: &TestBroker, group: &'static str, instance: &str) -> Self {
        let instance = Some(text(instance));
        Self {
            instance,
            ..Self::new(broker, group).await
        }
    }

    fn join_request(&self, session_timeout_ms: i32) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(subscription("orders"));
        JoinGroupRequest::default()
            .with_group_id(group_id(self.group))
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_session_timeout_ms(session_timeout_ms)
            .with_rebalance_timeout_ms(30_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }

    /// Joins, with the second try that a new member needs (KIP-394).
    async fn join(&mut self) -> JoinGroupResponse {
        let mut answer = self.client.call(&self.join_request(30_000)).await;
        if answer.error_code == code(ResponseError::MemberIdRequired) {
            self.id = answer.member_id;
            answer = self.client.call(&self.join_request(30_000)).await;
        }
        if answer.error_code == 0 {
            self.id = answer.member_id.clone();
            self.generation = answer.generation_id;
        }
        answer
    }

    async fn sync(&mut self, assignments: &[(&StrBytes, &'static str)]) -> SyncGroupResponse {
        let assignments = assignments.iter().map(|(member, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id((*member).clone())
                .with_assignment(Bytes::from_static(assignment.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(self.group))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(assignments.collect());
        self.client.call(&request).await
    }

    /// Joins as the only member and assigns itself everything.
    pub(crate) async fn settle(&mut self) {
        assert_eq!(self.join().await.error_code, 0);
        let me = self.id.clone();
        assert_eq!(self.sync(&[(&me, "all")]).await.error_code, 0);
    }

    async fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(self.group))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone());
        self.client.call(&request).await.error_code
    }

    async fn heartbeat_until(&mut self, expected: i16) {
        let beating = async { while self.heartbeat().await != expected {} };
        let reached = tokio::time::timeout(PATIENCE, beating).await;
        reached.expect("the heartbeat's answer changes");
    }

    pub(crate) async fn leave(&mut self) -> LeaveGroupResponse {
        let member = MemberIdentity::default().with_member_id(self.id.clone());
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id(self.group))
            .with_members(vec![member]);
        self.client.call(&request).await
    }

    async fn commit(&mut self, offset: i64) -> i16 {
        let request = OffsetCommitRequest {
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            ..commit_request(self.group, "orders", &[(0, offset, "")])
        };
        committed(&mut self.client, &request, 9).await[0]
    }

    /// Has a new connection to the broker, as after its restart.
    async fn reconnect(&mut self, broker: &TestBroker) {
        self.client = broker.client().await;
    }
}

/// What a consumer of one topic tells the leader: version 0, topics, no user data.
fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, topic.len() as u8];
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.into()
}

pub(crate) fn commit_request(
    group: &str,
    topic: &str,
    partitions: &[(i32, i64, &str)],
) -> OffsetCommitRequest {
    let partitions = partitions.iter().map(|(index, offset, metadata)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text(metadata)))
    });
    let topic = OffsetCommitRequestTopic {
        name: topic_name(topic),
        partitions: partitions.collect(),
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest {
        group_id: group_id(group),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    }
}

/// The code of each partition.
pub(crate) async fn committed(
    client: &mut Client,
    request: &OffsetCommitRequest,
    version: i16,
) -> Vec<i16> {
    let answer = client.call_at(request, version).await;
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

fn fetch_request(group: &str, topics: Option<&[(&str, &[i32])]>) -> OffsetFetchRequest {
    let topics = topics.map(|topics| {
        let topics = topics
            .iter()
            .map(|(name, partitions)| OffsetFetchRequestTopics {
                name: topic_name(name),
                partition_indexes: partitions.to_vec(),
                ..OffsetFetchRequestTopics::default()
            });
        topics.collect()
    });
    let group = OffsetFetchRequestGroup {
        group_id: group_id(group),
        topics,
        ..OffsetFetchRequestGroup::default()
    };
    OffsetFetchRequest {
        groups: vec![group],
        ..OffsetFetchRequest::default()
    }
}

/// Of the first group: topic, partition, offset, metadata, code.
async fn offsets(
    client: &mut Client,
    request: &OffsetFetchRequest,
) -> Vec<(String, i32, i64, String, i16)> {
    let answer = client.call_at(request, 9).await;
    assert_eq!(answer.groups[0].error_code, 0);
    let topics = answer.groups[0].topics.iter();
    let partitions = topics.flat_map(|topic| topic.partitions.iter().map(move |it| (topic, it)));
    partitions
        .map(|(topic, it)| {
            (
                topic.name.to_string(),
                it.partition_index,
                it.committed_offset,
                it.metadata
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                it.error_code,
            )
        })
        .collect()
}

/// The offset of partition 0 of `orders`.
pub(crate) async fn offset(client: &mut Client, group: &str) -> i64 {
    let request = fetch_request(group, Some(&[("orders", &[0])]));
    offsets(client, &request).await[0].2
}

async fn describe(client: &mut Client, group: &str) -> DescribedGroup {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    client.call(&request).await.groups.remove(0)
}

pub(crate) async fn delete_group(client: &mut Client, group: &str) -> i16 {
    let request = DeleteGroupsRequest {
        groups_names: vec![group_id(group)],
        ..DeleteGroupsRequest::default()
    };
    client.call_at(&request, 3).await.results[0].error_code
}

async fn metadata(client: &mut Client, topic: &str) -> MetadataResponseTopic {
    let wanted = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![wanted]))
        .with_allow_auto_topic_creation(true);
    client.call(&request).await.topics.remove(0)
}

async fn topic_config(client: &mut Client, topic: &str, key: &str) -> String {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configuration_keys(Some(vec![text(key)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(&request).await;
    answer.results[0].configs[0]
        .value
        .as_ref()
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn two_members_share_a_generation_and_each_learns_what_the_leader_gave_it() {
    let broker = broker().await;
    let mut first = Member::new(&broker, "g").await;
    first.settle().await;
    assert_eq!((first.generation, first.heartbeat().await), (1, 0));

    let mut second = Member::new(&broker, "g").await;
    let joining = tokio::spawn(async move {
        let answer = second.join().await;
        (second, answer)
    });
    first
        .heartbeat_until(code(ResponseError::RebalanceInProgress))
        .await;
    let as_leader = first.join().await;
    let (mut second, as_follower) = joining.await.unwrap();
    assert_eq!((first.generation, second.generation), (2, 2));
    assert_eq!(as_leader.leader, first.id);
    assert_eq!(as_follower.leader, first.id);
    assert_eq!(as_leader.members.len(), 2);
    assert!(
        as_leader
            .members
            .iter()
            .all(|it| it.metadata == subscription("orders"))
    );
    assert_eq!(as_follower.members.len(), 0, "only the leader needs them");

    let (first_id, second_id) = (first.id.clone(), second.id.clone());
    let waiting = tokio::spawn(async move {
        let answer = second.sync(&[]).await;
        (second, answer)
    });
    let mine = first.sync(&[(&first_id, "0"), (&second_id, "1,2")]).await;
    let (mut second, theirs) = waiting.await.unwrap();
    assert_eq!((mine.error_code, theirs.error_code), (0, 0));
    assert_eq!(mine.assignment, "0");
    assert_eq!(theirs.assignment, "1,2");
    assert_eq!(
        theirs.protocol_name.as_deref().map(AsRef::as_ref),
        Some("range")
    );
    assert_eq!((first.heartbeat().await, second.heartbeat().await), (0, 0));

    assert_eq!(second.leave().await.members[0].error_code, 0);
    assert_eq!(
        first.heartbeat().await,
        code(ResponseError::RebalanceInProgress)
    );
    first.settle().await;
    assert_eq!(first.generation, 3);
}

#[tokio::test]
async fn metrics_tell_groups_by_state_and_why_they_rebalanced() {
    let broker = broker().await;
    let mut member = Member::new(&broker, "g").await;
    member.settle().await;
    for _ in 0..2 {
        let page = crate::admin::metrics(&broker).await;
        for line in [
            "tidewater_groups{state=\"Stable\",type=\"classic\"} 1",
            "tidewater_groups{state=\"Stable\",type=\"consumer\"} 0",
            "tidewater_group_members 1",
            "tidewater_group_rebalances_total{reason=\"member_joined\",type=\"classic\"} 1",
            "tidewater_group_rebalance_seconds_count{reason=\"member_joined\",type=\"classic\"} 1",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}

#[tokio::test]
async fn a_member_that_falls_silent_is_removed_when_its_session_ends() {
    let mut broker = broker().await;
    broker.set("group.min.session.timeout.ms", "1");
    broker.restart().await;
    loaded(&mut broker.client().await).await;
    let mut member = Member::new(&broker, "g").await;
    let first = member.client.call(&member.join_request(100)).await;
    member.id = first.member_id;
    let joined = member.client.call(&member.join_request(100)).await;
    member.generation = joined.generation_id;
    let me = member.id.clone();
    assert_eq!(member.sync(&[(&me, "all")]).await.error_code, 0);
    let mut client = broker.client().await;
    let emptied = async {
        while describe(&mut client, "g").await.group_state != text("Empty") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, emptied)
        .await
        .expect("the member goes");
    assert_eq!(
        member.heartbeat().await,
        code(ResponseError::UnknownMemberId)
    );
}

#[tokio::test]
async fn a_request_that_comes_after_a_session_ended_finds_the_member_gone() {
    let mut broker = broker().await;
    broker.set("group.min.session.timeout.ms", "1");
    broker.restart().await;
    let mut client = broker.client().await;
    loaded(&mut client).await;
    // The moment between a session's end and the timer that tells of it is short: many tries, or none meets it.
    for session_ms in 20..60 {
        let mut member = Member::new(&broker, "g").await;
        let join = member.join_request(session_ms);
        member.id = member.client.call(&join).await.member_id;
        let join = member.join_request(session_ms);
        member.generation = member.client.call(&join).await.generation_id;
        let me = member.id.clone();
        assert_eq!(member.sync(&[(&me, "all")]).await.error_code, 0);
        // The broker shares this thread, so its timer has not run when the request is there.
        std::thread::sleep(Duration::from_millis(u64::from(session_ms.unsigned_abs())));
        let deleted = delete_group(&mut client, "g").await;
        assert_eq!(deleted, 0, "a session of {session_ms} ms");
    }
}

#[tokio::test]
async fn what_a_group_refuses_is_said_in_the_codes_clients_act_on() {
    let broker = broker().await;
    let mut member = Member::new(&broker, "g").await;
    let join = member.join_request(30_000);
    let session = join.clone().with_session_timeout_ms(5_999);
    let stranger = join.clone().with_member_id(text("stranger"));
    let nameless = join.clone().with_group_id(group_id(""));
    let speechless = join.clone().with_protocols(Vec::new());
    for (request, expected) in [
        (session, ResponseError::InvalidSessionTimeout),
        (stranger, ResponseError::UnknownMemberId),
        (nameless, ResponseError::InvalidGroupId),
        (speechless, ResponseError::InconsistentGroupProtocol),
        (join, ResponseError::MemberIdRequired),
    ] {
        let answer = member.client.call(&request).await;
        assert_eq!(answer.error_code, code(expected), "{request:?}");
        assert_eq!((answer.generation_id, answer.protocol_name), (-1, None));
    }
    member.settle().await;

    let mut wrong = Member::new(&broker, "g").await;
    (wrong.id, wrong.generation) = (member.id.clone(), 7);
    assert_eq!(
        wrong.heartbeat().await,
        code(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        wrong.sync(&[]).await.error_code,
        code(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        wrong.commit(1).await,
        code(ResponseError::IllegalGeneration)
    );
    (wrong.id, wrong.generation) = (text("stranger"), 1);
    assert_eq!(
        wrong.heartbeat().await,
        code(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        wrong.sync(&[]).await.error_code,
        code(ResponseError::UnknownMemberId)
    );
    assert_eq!(wrong.commit(1).await, code(ResponseError::UnknownMemberId));
    assert_eq!(
        wrong.leave().await.members[0].error_code,
        code(ResponseError::UnknownMemberId)
    );
    wrong.group = "absent";
    assert_eq!(
        wrong.heartbeat().await,
        code(ResponseError::UnknownMemberId)
    );
    assert_eq!(wrong.commit(1).await, code(ResponseError::GroupIdNotFound));
    wrong.group = "";
    assert_eq!(wrong.heartbeat().await, code(ResponseError::InvalidGroupId));
    assert_eq!(
        wrong.leave().await.error_code,
        code(ResponseError::InvalidGroupId)
    );

    let unnamed = SyncGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_generation_id(member.generation)
        .with_member_id(member.id.clone());
    let answer = member.client.call_at(&unnamed, 5).await;
    assert_eq!(
        answer.error_code,
        code(ResponseError::InconsistentGroupProtocol)
    );
    assert_eq!(member.client.call_at(&unnamed, 4).await.assignment, "all");
    assert_eq!(
        member.heartbeat().await,
        0,
        "nothing of this has harmed the member"
    );
}

#[tokio::test]
async fn before_there_is_a_coordinator_groups_send_their_clients_to_look_for_one() {
    let broker = TestBroker::start().await;
    let mut member = Member::new(&broker, "g").await;
    let elsewhere = code(ResponseError::NotCoordinator);
    assert_eq!(member.join().await.error_code, elsewhere);
    assert_eq!(member.heartbeat().await, elsewhere);
    assert_eq!(member.leave().await.error_code, elsewhere);
    assert_eq!(member.commit(1).await, elsewhere);
    let mut client = broker.client().await;
    let topic = OffsetFetchRequestTopic::default()
        .with_name(topic_name("orders"))
        .with_partition_indexes(vec![0, 1]);
    let request = OffsetFetchRequest {
        group_id: group_id("g"),
        topics: Some(vec![topic]),
        ..OffsetFetchRequest::default()
    };
    let answer = client.call_at(&request, 1).await;
    let partitions = answer.topics[0].partitions.iter();
    let codes: Vec<_> = partitions
        .map(|it| (it.committed_offset, it.error_code))
        .collect();
    assert_eq!(
        codes,
        [(-1, elsewhere); 2],
        "version 1 has no place for it but the partitions"
    );
    let answer = client.call_at(&request, 2).await;
    assert_eq!((answer.error_code, answer.topics.len()), (elsewhere, 0));
    let answer = client.call_at(&fetch_request("g", None), 8).await;
    assert_eq!(answer.groups[0].error_code, elsewhere);
    assert_eq!(describe(&mut client, "g").await.error_code, elsewhere);
    assert_eq!(delete_group(&mut client, "g").await, elsewhere);
    let listed = client.call(&ListGroupsRequest::default()).await;
    assert_eq!((listed.error_code, listed.groups.len()), (0, 0));
}

#[tokio::test]
async fn offsets_come_back_as_they_were_committed_from_the_lowest_to_the_highest_version() {
    let broker = broker().await;
    let mut client = broker.client().await;
    let id = metadata(&mut client, "orders").await.topic_id;
    let metadata = "π, \"quoted\" and\nbroken";
    let mut request = commit_request("g", "orders", &[(0, 11, metadata), (2, 22, "")]);
    assert_eq!(committed(&mut client, &request, 2).await, [0, 0]);

    let topic = OffsetFetchRequestTopic::default()
        .with_name(topic_name("orders"))
        .with_partition_indexes(vec![0, 1, 2]);
    let lowest = OffsetFetchRequest {
        group_id: group_id("g"),
        topics: Some(vec![topic]),
        ..OffsetFetchRequest::default()
    };
    let answer = client.call_at(&lowest, 1).await;
    let found: Vec<_> = answer.topics[0]
        .partitions
        .iter()
        .map(|it| {
            (
                it.partition_index,
                it.committed_offset,
                it.metadata.as_deref().unwrap(),
            )
        })
        .map(|(index, offset, metadata)| (index, offset, metadata.to_owned()))
        .collect();
    let expected = [(0, 11, metadata), (1, -1, ""), (2, 22, "")];
    assert_eq!(
        found,
        expected.map(|(index, offset, it)| (index, offset, it.to_owned()))
    );

    request.topics[0].topic_id = id;
    request.topics[0].partitions[0].committed_leader_epoch = 4;
    request.topics[0].partitions[0].committed_offset = 12;
    let unknown = OffsetCommitRequestTopic {
        topic_id: Uuid::from_u128(9),
        ..request.topics[0].clone()
    };
    request.topics.insert(0, unknown);
    let unknown_id = code(ResponseError::UnknownTopicId);
    assert_eq!(
        committed(&mut client, &request, 10).await,
        [unknown_id, unknown_id, 0, 0]
    );

    let mut highest = fetch_request("g", Some(&[("", &[0]), ("", &[0, 1])]));
    let topics = highest.groups[0].topics.as_mut().unwrap();
    topics[0].topic_id = Uuid::from_u128(9);
    topics[1].topic_id = id;
    let answer = client.call_at(&highest, 10).await;
    let topics = &answer.groups[0].topics;
    assert_eq!(
        (topics[0].topic_id, topics[1].topic_id),
        (id, Uuid::from_u128(9))
    );
    let partition = &topics[0].partitions[0];
    assert_eq!(
        (partition.committed_offset, partition.committed_leader_epoch),
        (12, 4)
    );
    assert_eq!(topics[0].partitions[1].committed_offset, -1);
    assert_eq!(topics[1].partitions[0].error_code, unknown_id);
    let all = client.call_at(&fetch_request("g", None), 10).await;
    let all = &all.groups[0].topics;
    assert_eq!(
        (all.len(), all[0].topic_id, all[0].partitions.len()),
        (1, id, 2)
    );
}

#[tokio::test]
async fn a_null_list_of_topics_asks_for_all_and_several_groups_are_answered_in_one() {
    let broker = broker().await;
    let mut client = broker.client().await;
    client.create_topic("returns", 1, &[]).await;
    for (group, topic, offset) in [("g", "orders", 1), ("g", "returns", 2), ("h", "orders", 3)] {
        let request = commit_request(group, topic, &[(0, offset, "")]);
        assert_eq!(committed(&mut client, &request, 9).await, [0]);
    }
    let all = offsets(&mut client, &fetch_request("g", None)).await;
    let named = |topic: &str, offset| (topic.to_owned(), 0, offset, String::new(), 0);
    assert_eq!(all, [named("orders", 1), named("returns", 2)]);
    let none = offsets(&mut client, &fetch_request("absent", None)).await;
    assert_eq!(none, []);
    let empty = offsets(&mut client, &fetch_request("g", Some(&[]))).await;
    assert_eq!(empty, []);

    let mut several = fetch_request("g", None);
    several.groups.extend(fetch_request("h", None).groups);
    several.groups.extend(fetch_request("g", None).groups);
    let answer = client.call_at(&several, 8).await;
    let found: Vec<_> = answer
        .groups
        .iter()
        .map(|group| (group.group_id.to_string(), group.topics.len()))
        .collect();
    assert_eq!(
        found,
        [("g".to_owned(), 2), ("h".to_owned(), 1)],
        "each group once"
    );
}

#[tokio::test]
async fn one_bad_partition_does_not_keep_the_others_from_being_committed() {
    let broker = broker().await;
    let mut client = broker.client().await;
    let long = "m".repeat(4097);
    let request = commit_request(
        "g",
        "orders",
        &[(0, 1, &long), (1, 2, &long[1..]), (9, 3, "")],
    );
    assert_eq!(
        committed(&mut client, &request, 9).await,
        [
            code(ResponseError::OffsetMetadataTooLarge),
            0,
            code(ResponseError::UnknownTopicOrPartition)
        ]
    );
    let found = offsets(&mut client, &fetch_request("g", None)).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].1, found[0].2, found[0].3.len()), (1, 2, 4096));
}

/// G19: nobody joins again because the broker was away.
async fn members_go_on(broker: &mut TestBroker, away: impl AsyncFn(&mut TestBroker)) {
    let mut dynamic = Member::new(broker, "g").await;
    dynamic.settle().await;
    let mut fixed = Member::named(broker, "h", "rack-1").await;
    fixed.settle().await;
    let joined = fixed.id.clone();
    assert_eq!((dynamic.commit(5).await, fixed.commit(6).await), (0, 0));
    assert_eq!(dynamic.commit(7).await, 0);
    away(broker).await;
    for member in [&mut dynamic, &mut fixed] {
        member.reconnect(broker).await;
        // The coordinator may still be loading; a heartbeat that meets it then is answered all the same.
        assert_eq!(member.heartbeat().await, 0);
    }
    let mut client = broker.client().await;
    loaded(&mut client).await;
    assert_eq!(
        (
            offset(&mut client, "g").await,
            offset(&mut client, "h").await
        ),
        (7, 6)
    );
    for member in [&mut dynamic, &mut fixed] {
        assert_eq!((member.heartbeat().await, member.generation), (0, 1));
        assert_eq!(member.sync(&[]).await.assignment, "all");
        assert_eq!(member.commit(8).await, 0);
    }
    // The static member's process came back too: it has its place again, and no generation begins.
    let mut again = Member::named(broker, "h", "rack-1").await;
    let answer = again.join().await;
    assert_eq!(
        (
            answer.error_code,
            answer.generation_id,
            answer.skip_assignment
        ),
        (0, 1, true)
    );
    assert_ne!(again.id, joined);
    assert_eq!(
        fixed.heartbeat().await,
        code(ResponseError::FencedInstanceId)
    );
}

#[tokio::test]
async fn members_and_offsets_outlive_an_orderly_restart() {
    let mut broker = broker().await;
    members_go_on(&mut broker, async |broker| broker.restart().await).await;
}

#[tokio::test]
async fn members_and_offsets_outlive_a_crash() {
    let mut broker = broker().await;
    members_go_on(&mut broker, async |broker| broker.crash().await).await;
}

#[tokio::test]
async fn groups_are_described_listed_and_deleted() {
    let broker = broker().await;
    let mut member = Member::named(&broker, "g", "rack-1").await;
    member.settle().await;
    let mut client = broker.client().await;
    let simple = commit_request("simple", "orders", &[(0, 1, "")]);
    assert_eq!(committed(&mut client, &simple, 9).await, [0]);

    let described = describe(&mut client, "g").await;
    assert_eq!(
        (
            &*described.group_state,
            &*described.protocol_type,
            &*described.protocol_data
        ),
        ("Stable", "consumer", "range")
    );
    let found = &described.members[0];
    assert_eq!(found.member_id, member.id);
    assert_eq!(found.group_instance_id, Some(text("rack-1")));
    assert_eq!(
        (&*found.client_id, &*found.client_host),
        ("test", "/127.0.0.1")
    );
    assert_eq!(found.member_metadata, subscription("orders"));
    assert_eq!(found.member_assignment, "all");
    let absent = describe(&mut client, "absent").await;
    assert_eq!(absent.error_code, code(ResponseError::GroupIdNotFound));

    let list = |states: &[&str], types: &[&str]| {
        ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|it| text(it)).collect())
            .with_types_filter(types.iter().map(|it| text(it)).collect())
    };
    for (states, types, expected) in [
        (&[][..], &[][..], &["g", "simple"][..]),
        (&["Stable"], &[], &["g"]),
        (&["empty"], &["Classic"], &["simple"]),
        (&[], &["consumer"], &[]),
    ] {
        let answer = client.call(&list(states, types)).await;
        let found: Vec<_> = answer
            .groups
            .iter()
            .map(|it| it.group_id.to_string())
            .collect();
        assert_eq!(
            (answer.error_code, &found[..]),
            (
                0,
                &expected
                    .iter()
                    .map(|it| (*it).to_owned())
                    .collect::<Vec<_>>()[..]
            )
        );
    }

    assert_eq!(
        delete_group(&mut client, "g").await,
        code(ResponseError::NonEmptyGroup)
    );
    assert_eq!(
        delete_group(&mut client, "absent").await,
        code(ResponseError::GroupIdNotFound)
    );
    assert_eq!(delete_group(&mut client, "simple").await, 0);
    assert_eq!(offset(&mut client, "simple").await, -1);
    assert_eq!(member.commit(4).await, 0);
    assert_eq!(member.leave().await.members[0].error_code, 0);
    assert_eq!(describe(&mut client, "g").await.group_state, text("Empty"));
    assert_eq!(delete_group(&mut client, "g").await, 0);
    assert_eq!(client.call(&list(&[], &[])).await.groups, []);
}

#[tokio::test]
async fn offsets_are_deleted_unless_a_member_reads_the_topic() {
    let broker = broker().await;
    let mut member = Member::new(&broker, "g").await;
    member.settle().await;
    assert_eq!(member.commit(4).await, 0);
    let mut client = broker.client().await;
    let partitions =
        [0, 9].map(|index| OffsetDeleteRequestPartition::default().with_partition_index(index));
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(topic_name("orders"))
        .with_partitions(partitions.into());
    let request = OffsetDeleteRequest::default()
        .with_group_id(group_id("g"))
        .with_topics(vec![topic]);
    let unknown = code(ResponseError::UnknownTopicOrPartition);
    for (expected, left) in [(code(ResponseError::GroupSubscribedToTopic), 4), (0, -1)] {
        let answer = client.call(&request).await;
        let partitions = &answer.topics[0].partitions;
        let codes: Vec<_> = partitions.iter().map(|it| it.error_code).collect();
        assert_eq!((answer.error_code, codes), (0, vec![expected, unknown]));
        assert_eq!(offset(&mut client, "g").await, left);
        member.leave().await;
    }
    let absent = request.with_group_id(group_id("absent"));
    assert_eq!(
        client.call(&absent).await.error_code,
        code(ResponseError::GroupIdNotFound)
    );
}

#[tokio::test]
async fn a_deleted_topic_takes_its_offsets_with_it_and_its_namesake_begins_without_any() {
    let broker = broker().await;
    let mut client = broker.client().await;
    let request = commit_request("g", "orders", &[(0, 5, "")]);
    assert_eq!(committed(&mut client, &request, 9).await, [0]);
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("orders")]);
    client.call_at(&delete, 5).await;
    client.create_topic("orders", 3, &[]).await;
    assert_eq!(offset(&mut client, "g").await, -1);
}

#[tokio::test]
async fn the_offsets_topic_is_made_once_for_all_who_ask_at_the_same_time() {
    let broker = TestBroker::start().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = broker.client().await;
        asking.spawn(async move { find(&mut client, "g").await });
    }
    while let Some(answer) = asking.join_next().await {
        let found = &answer.unwrap().coordinators[0];
        assert_eq!(
            (found.error_code, found.node_id.0),
            (0, broker.broker().node_id())
        );
        assert_eq!(&*found.host, "127.0.0.1");
        assert_eq!(found.port, i32::from(broker.addr().port()));
    }
    let mut client = broker.client().await;
    let topic = metadata(&mut client, OFFSETS_TOPIC).await;
    assert_eq!(
        (topic.error_code, topic.partitions.len(), topic.is_internal),
        (0, 50, true)
    );
    assert_eq!(
        topic_config(&mut client, OFFSETS_TOPIC, "cleanup.policy").await,
        "compact"
    );
    assert_eq!(
        topic_config(&mut client, OFFSETS_TOPIC, "compression.type").await,
        "producer"
    );
    assert_eq!(
        topic_config(&mut client, OFFSETS_TOPIC, "segment.bytes").await,
        "104857600"
    );
}

#[tokio::test]
async fn the_offsets_topic_is_the_same_whoever_makes_it() {
    let settings = [
        ("offsets.topic.num.partitions", "7"),
        ("offsets.topic.replication.factor", "3"),
    ];
    let broker = TestBroker::start_with(&settings).await;
    let mut client = broker.client().await;
    let refused = client
        .try_create_topic(OFFSETS_TOPIC, 7, &[("cleanup.policy", "delete")])
        .await;
    assert_eq!(
        refused.topics[0].error_code,
        code(ResponseError::InvalidConfig)
    );
    assert_eq!(
        metadata(&mut client, OFFSETS_TOPIC).await.partitions.len(),
        7
    );
    assert_eq!(
        topic_config(&mut client, OFFSETS_TOPIC, "cleanup.policy").await,
        "compact"
    );

    let broker = TestBroker::start_with(&settings).await;
    let mut client = broker.client().await;
    client.create_topic(OFFSETS_TOPIC, -1, &[]).await;
    assert_eq!(
        metadata(&mut client, OFFSETS_TOPIC).await.partitions.len(),
        7
    );
    assert_eq!(
        topic_config(&mut client, OFFSETS_TOPIC, "cleanup.policy").await,
        "compact"
    );
    assert_eq!(find(&mut client, "g").await.coordinators[0].error_code, 0);
}

#[tokio::test]
async fn on_a_full_disk_groups_go_on_and_only_producers_are_refused() {
    let mut broker = broker().await;
    let mut client = broker.client().await;
    client.produce("orders", 0, batch(&[b"x"])).await;
    broker.set("storage.disk.hard.free.percent", "100");
    broker.set("storage.disk.hard.free.bytes", "9223372036854775807");
    broker.restart().await;
    let mut client = broker.client().await;
    loaded(&mut client).await;
    let refused = client.try_produce("orders", 0, batch(&[b"y"])).await;
    assert_eq!(refused.error_code, code(ResponseError::KafkaStorageError));
    assert_eq!(client.fetch("orders", 0, 0).await.values(0).len(), 1);
    let request = commit_request("g", "orders", &[(0, 1, "")]);
    assert_eq!(committed(&mut client, &request, 9).await, [0]);
    assert_eq!(offset(&mut client, "g").await, 1);
}
