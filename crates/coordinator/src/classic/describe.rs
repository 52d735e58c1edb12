//! The group as DescribeGroups and ListGroups show it.

use bytes::Bytes;

use super::{ClassicGroup, State};
use crate::event::{ClassicDescription, DescribedMember};

impl ClassicGroup {
    pub(crate) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    /// Protocol and metadata are shown of a stable group only: before, they are not what the members work with.
    pub(crate) fn describe(&self) -> ClassicDescription {
        let stable = self.state == State::Stable;
        let protocol = self.protocol.as_deref().filter(|_| stable);
        ClassicDescription {
            state: self.state.name(),
            protocol_type: self.protocol_type().to_owned(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: self
                .members
                .values()
                .map(|member| DescribedMember {
                    member_id: member.id.clone(),
                    group_instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    metadata: if stable {
                        member.metadata(protocol)
                    } else {
                        Bytes::new()
                    },
                    assignment: member.assignment.clone(),
                })
                .collect(),
        }
    }
}
