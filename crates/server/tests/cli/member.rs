//! Members of groups, since no command of ours joins one.

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use uuid::Uuid;
use wire::client::Connection;
use wire::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use wire::messages::find_coordinator_request::FindCoordinatorRequest;
use wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use wire::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use wire::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use wire::messages::{GroupId, TopicName};
use wire::{Request, StrBytes};

/// Long enough that no test outlives it.
const SESSION_MS: i32 = 300_000;

/// Somebody in a group, who is there until told to leave.
pub(crate) struct Member {
    runtime: Runtime,
    connection: Connection<TcpStream>,
    group: GroupId,
    id: StrBytes,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Member {
    fn connect(address: &str, group: &str) -> Member {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let connection = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let mut connection = Connection::new(stream, "app");
            connection.negotiate().await.unwrap();
            // Who asks for the coordinator has the offsets topic made.
            let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
            let version = connection.version_for::<FindCoordinatorRequest>().unwrap();
            connection.call(&find, version).await.unwrap();
            connection
        });
        Member {
            runtime,
            connection,
            group: GroupId(text(group)),
            id: StrBytes::new(),
        }
    }

    fn call<R: Request>(&mut self, request: &R) -> R::Response {
        let version = self.connection.version_for::<R>().unwrap();
        self.runtime
            .block_on(self.connection.call(request, version))
            .unwrap()
    }

    /// The only member of a classic group, which gave itself these partitions of `topic`.
    pub(crate) fn classic(address: &str, group: &str, topic: &str, partitions: &[i32]) -> Member {
        let mut member = Member::connect(address, group);
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(&[
                0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
            ]));
        let mut join = JoinGroupRequest::default()
            .with_group_id(member.group.clone())
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        // The first answer brings an id (KIP-394).
        join.member_id = member.call(&join).member_id;
        let joined = member.call(&join);
        assert_eq!(joined.error_code, 0);
        member.id = joined.member_id;
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(member.id.clone())
            .with_assignment(assignment(topic, partitions));
        let sync = SyncGroupRequest::default()
            .with_group_id(member.group.clone())
            .with_generation_id(joined.generation_id)
            .with_member_id(member.id.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(vec![assignment]);
        assert_eq!(member.call(&sync).error_code, 0);
        member
    }

    /// The only member of a group of the consumer protocol, which has taken what it was given of `topic`.
    pub(crate) fn consumer(address: &str, group: &str, topic: &str) -> Member {
        let mut member = Member::connect(address, group);
        member.id = text(&Uuid::new_v4().to_string());
        let mut beat = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(member.group.clone())
            .with_member_id(member.id.clone())
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_subscribed_topic_names(Some(vec![TopicName(text(topic))]))
            .with_topic_partitions(Some(Vec::new()));
        let answer = member.call(&beat);
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        let given = answer.assignment.unwrap_or_default().topic_partitions;
        let given = given.into_iter().map(|topic| {
            TopicPartitions::default()
                .with_topic_id(topic.topic_id)
                .with_partitions(topic.partitions)
        });
        beat = beat
            .with_member_epoch(answer.member_epoch)
            .with_topic_partitions(Some(given.collect()));
        assert_eq!(member.call(&beat).error_code, 0);
        member
    }

    /// Leaves a classic group.
    pub(crate) fn leave(mut self) {
        let me = MemberIdentity::default().with_member_id(self.id.clone());
        let leave = LeaveGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_members(vec![me]);
        assert_eq!(self.call(&leave).error_code, 0);
    }
}

/// `ConsumerProtocolAssignment` v0.
fn assignment(topic: &str, partitions: &[i32]) -> Bytes {
    let count = |number: usize| i32::try_from(number).unwrap().to_be_bytes();
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend(count(partitions.len()));
    bytes.extend(partitions.iter().flat_map(|index| index.to_be_bytes()));
    bytes.extend([0xff; 4]);
    bytes.into()
}
