//! What groups are made of: DescribeGroups for the classic ones, ConsumerGroupDescribe for those of KIP-848, and members'
//! assignments in Kafka's `ConsumerProtocolAssignment`.

use std::collections::BTreeMap;

use anyhow::anyhow;
use bytes::{Buf, Bytes};
use wire::ResponseError;
use wire::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use wire::messages::consumer_group_describe_response as consumer;
use wire::messages::describe_groups_request::DescribeGroupsRequest;
use wire::messages::describe_groups_response as classic;

use super::Link;
use super::groups::group_id;
use crate::outcome::Refusal;

/// So many groups are asked about at once.
const GROUPS_AT_ONCE: usize = 100;
/// The protocol type whose assignments can be read.
const CONSUMER: &str = "consumer";

/// A group as its coordinator tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// `classic` or `consumer`.
    pub(crate) kind: &'static str,
    pub(crate) state: String,
    pub(crate) protocol_type: String,
    /// The assignor; "" while there is none.
    pub(crate) protocol: String,
    /// Of groups of the consumer protocol.
    pub(crate) epochs: Option<Epochs>,
    pub(crate) members: Vec<Member>,
}

/// How far a group of the consumer protocol has come (KIP-848).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epochs {
    pub(crate) group: i32,
    pub(crate) assignment: i32,
}

/// Somebody in a group.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// Of a static member (KIP-345).
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) host: String,
    /// Of groups of the consumer protocol.
    pub(crate) epoch: Option<i32>,
    /// Partitions by topic; `None` if the member's protocol is not that of consumers, or its bytes cannot be read.
    pub(crate) assignment: Option<BTreeMap<String, Vec<i32>>>,
}

impl Group {
    /// Whether nobody is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && matches!(self.state.as_str(), "Empty" | "Dead")
    }
}

/// A group, `None` if there is none of that name, or why nothing can be said.
pub(crate) type Described = (String, Result<Option<Group>, Refusal>);

impl Link {
    /// Describes groups this broker coordinates. Those that are no groups of the consumer protocol are asked about again as
    /// classic ones, as Kafka's own admin client does.
    pub(crate) async fn describe_groups(
        &mut self,
        ids: &[String],
    ) -> anyhow::Result<Vec<Described>> {
        let mut described = Vec::new();
        for ids in ids.chunks(GROUPS_AT_ONCE) {
            let mut classic = Vec::new();
            if self.version::<ConsumerGroupDescribeRequest>().is_ok() {
                for (id, group) in self.describe_consumer_groups(ids).await? {
                    match group {
                        Ok(None) => classic.push(id),
                        group => described.push((id, group)),
                    }
                }
            } else {
                classic = ids.to_vec();
            }
            if !classic.is_empty() {
                described.extend(self.describe_classic_groups(&classic).await?);
            }
        }
        Ok(described)
    }

    async fn describe_consumer_groups(&mut self, ids: &[String]) -> anyhow::Result<Vec<Described>> {
        let version = self.version::<ConsumerGroupDescribeRequest>()?;
        let request = ConsumerGroupDescribeRequest::default()
            .with_group_ids(ids.iter().map(|id| group_id(id)).collect());
        let response = self.call(&request, version).await?;
        let described = response.groups.into_iter().map(|group| {
            let id = group.group_id.0.to_string();
            let code = ResponseError::try_from_code(group.error_code);
            let found = match code {
                // What the classic protocol is for, and what cannot be asked so.
                Some(ResponseError::GroupIdNotFound | ResponseError::UnsupportedVersion) => {
                    Ok(None)
                }
                _ => self
                    .accept(
                        &format!("describe group {id}"),
                        group.error_code,
                        group.error_message.clone(),
                    )
                    .map(|()| Some(Group::of_consumers(group))),
            };
            (id, found)
        });
        Ok(described.collect())
    }

    async fn describe_classic_groups(&mut self, ids: &[String]) -> anyhow::Result<Vec<Described>> {
        let version = self.version::<DescribeGroupsRequest>()?;
        let request = DescribeGroupsRequest::default()
            .with_groups(ids.iter().map(|id| group_id(id)).collect());
        let response = self.call(&request, version).await?;
        let described = response.groups.into_iter().map(|group| {
            let id = group.group_id.0.to_string();
            let absent = group.error_code == ResponseError::GroupIdNotFound.code()
                // Brokers before v6 know no better word for it.
                || (group.error_code == 0 && &*group.group_state == "Dead");
            let found = match absent {
                true => Ok(None),
                false => self
                    .accept(
                        &format!("describe group {id}"),
                        group.error_code,
                        group.error_message.clone(),
                    )
                    .map(|()| Some(Group::of_classic(group))),
            };
            (id, found)
        });
        Ok(described.collect())
    }
}

impl Group {
    fn of_consumers(group: consumer::DescribedGroup) -> Group {
        let members = group.members.into_iter().map(|member| {
            let assigned = member.assignment.topic_partitions.into_iter();
            let assigned = assigned.map(|topic| (topic.topic_name.0.to_string(), topic.partitions));
            Member {
                id: member.member_id.to_string(),
                instance_id: member.instance_id.map(|id| id.to_string()),
                client_id: member.client_id.to_string(),
                host: member.client_host.to_string(),
                epoch: Some(member.member_epoch),
                assignment: Some(assigned.collect()),
            }
        });
        Group {
            kind: "consumer",
            state: group.group_state.to_string(),
            protocol_type: CONSUMER.to_owned(),
            protocol: group.assignor_name.to_string(),
            epochs: Some(Epochs {
                group: group.group_epoch,
                assignment: group.assignment_epoch,
            }),
            members: members.collect(),
        }
    }

    fn of_classic(group: classic::DescribedGroup) -> Group {
        let of_consumers = &*group.protocol_type == CONSUMER;
        let members = group.members.into_iter().map(|member| Member {
            id: member.member_id.to_string(),
            instance_id: member.group_instance_id.map(|id| id.to_string()),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            epoch: None,
            assignment: match of_consumers {
                true => assignment(member.member_assignment).ok(),
                false => None,
            },
        });
        Group {
            kind: "classic",
            state: group.group_state.to_string(),
            protocol_type: group.protocol_type.to_string(),
            protocol: group.protocol_data.to_string(),
            epochs: None,
            members: members.collect(),
        }
    }
}

/// Reads what a leader of a classic group gave a member: a version, then topics with their partitions; what follows is the
/// assignor's own. The bytes come from some client, so every count is held against the bytes there are. No bytes are no
/// partitions: the member has not been told yet.
fn assignment(mut bytes: Bytes) -> anyhow::Result<BTreeMap<String, Vec<i32>>> {
    let mut assigned: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    if bytes.is_empty() {
        return Ok(assigned);
    }
    let short = |_| anyhow!("the assignment ends early");
    let _version = bytes.try_get_i16().map_err(short)?;
    for _ in 0..bytes.try_get_i32().map_err(short)? {
        let len = usize::try_from(bytes.try_get_i16().map_err(short)?)?;
        if len > bytes.len() {
            return Err(anyhow!("the assignment ends early"));
        }
        let topic = String::from_utf8(bytes.split_to(len).to_vec())?;
        let partitions = assigned.entry(topic).or_default();
        for _ in 0..bytes.try_get_i32().map_err(short)? {
            partitions.push(bytes.try_get_i32().map_err(short)?);
        }
    }
    Ok(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 3, two topics, no user data.
    const TWO_TOPICS: &[u8] = &[
        0, 3, 0, 0, 0, 2, 0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 2, b'b', b'c', 0, 0,
        0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff,
    ];

    #[test]
    fn an_assignment_is_read_as_kafkas_consumers_write_it() {
        let read = assignment(Bytes::from_static(TWO_TOPICS)).unwrap();
        let expected = [("a".to_owned(), vec![0, 7]), ("bc".to_owned(), vec![1])];
        assert_eq!(read, BTreeMap::from(expected));
        assert_eq!(assignment(Bytes::new()).unwrap(), BTreeMap::new());
    }

    #[test]
    fn an_assignment_cut_anywhere_is_refused_and_so_are_counts_it_cannot_hold() {
        let user_data = 4;
        for cut in 1..TWO_TOPICS.len() - user_data {
            let bytes = Bytes::copy_from_slice(&TWO_TOPICS[..cut]);
            assert!(assignment(bytes).is_err(), "{cut}");
        }
        let many = [0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert!(assignment(Bytes::copy_from_slice(&many)).is_err());
    }
}
