//! What the handlers of groups share: a group's coordinator is found and handed a request in stage 1, and waited for in
//! stage 2.

use std::net::IpAddr;

use coordinator::{Event, GroupError, GroupShard, Reply, Ticket, TopicView};
use storage::VerificationGuard;
use wire::StrBytes;

use crate::context::Context;
use crate::groups::{Asked, Pending};

/// A request that has its place in line with the group's coordinator.
pub(super) struct Submitted<T> {
    pending: Result<Pending, GroupError>,
    answer: fn(Reply) -> Option<Result<T, GroupError>>,
}

impl<T> Submitted<T> {
    /// What the coordinator made of it.
    pub(super) async fn wait(self) -> Result<T, GroupError> {
        let reply = self.pending?.wait().await?;
        // A coordinator answers an event in kind.
        (self.answer)(reply).unwrap_or(Err(GroupError::Internal))
    }
}

/// Hands the event to the group's coordinator; `answer` takes the reply of its kind apart.
pub(super) async fn submit<T>(
    ctx: &Context,
    group_id: &str,
    event: impl FnOnce(Ticket) -> Event + Send + 'static,
    answer: fn(Reply) -> Option<Result<T, GroupError>>,
) -> Submitted<T> {
    submit_verified(ctx, group_id, event, None, answer).await
}

/// As [`submit`], in a transaction.
pub(super) async fn submit_verified<T>(
    ctx: &Context,
    group_id: &str,
    event: impl FnOnce(Ticket) -> Event + Send + 'static,
    guard: Option<VerificationGuard>,
    answer: fn(Reply) -> Option<Result<T, GroupError>>,
) -> Submitted<T> {
    let coordinator = ctx.groups.coordinator(&ctx.topics.table(), group_id);
    let pending = match coordinator {
        Ok(coordinator) => Ok(coordinator.submit(event, guard).await),
        Err(error) => Err(error),
    };
    Submitted { pending, answer }
}

/// A question that has its place in line with the group's coordinator.
pub(super) struct Asking<T>(Result<Asked<T>, GroupError>);

impl<T> Asking<T> {
    /// What the coordinator says.
    pub(super) async fn wait(self) -> Result<T, GroupError> {
        self.0?.wait().await
    }
}

/// Asks the group's coordinator, after everything that was handed to it before.
pub(super) async fn ask<T: Send + 'static>(
    ctx: &Context,
    group_id: &str,
    question: impl FnOnce(&mut GroupShard, &dyn TopicView) -> T + Send + 'static,
) -> Asking<T> {
    let coordinator = ctx.groups.coordinator(&ctx.topics.table(), group_id);
    Asking(match coordinator {
        Ok(coordinator) => Ok(coordinator.ask(question).await),
        Err(error) => Err(error),
    })
}

/// A copy that outlives the request.
pub(super) fn owned(text: &StrBytes) -> String {
    text.to_string()
}

/// As [`owned`], of what may be null.
pub(super) fn owned_or_none(text: &Option<StrBytes>) -> Option<String> {
    text.as_ref().map(owned)
}

/// For a response.
pub(super) fn text(text: String) -> StrBytes {
    StrBytes::from_string(text)
}

/// An address as `InetAddress.toString` prints one without a name; DescribeGroups shows members' hosts like this.
pub(super) fn java_host(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}"),
        IpAddr::V6(ip) => {
            let groups: Vec<String> = ip.segments().iter().map(|it| format!("{it:x}")).collect();
            format!("/{}", groups.join(":"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_printed_as_java_prints_them() {
        for (ip, host) in [
            ("127.0.0.1", "/127.0.0.1"),
            ("::ffff:10.0.0.1", "/10.0.0.1"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("2001:db8::5:0", "/2001:db8:0:0:0:0:5:0"),
        ] {
            assert_eq!(java_host(ip.parse().unwrap()), host);
        }
    }
}
