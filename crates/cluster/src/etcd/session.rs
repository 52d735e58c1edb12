//! Keeps a lease alive for as long as somebody holds its session.

use std::time::Duration;

use etcd_client::{Error, LeaseClient, LeaseKeepAliveStream, LeaseKeeper};
use tokio::time::Instant;

use crate::store::{Session, SessionId, SessionKeeper};

/// How long after a failure the lease is asked for again.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// What became of an attempt to renew the lease.
enum Renewal {
    Done,
    /// etcd does not know the lease any more.
    Gone,
    /// etcd does not answer, or not now.
    Failed,
}

/// A session over a lease that was granted at `asked` or later.
pub(super) fn keep(leases: LeaseClient, id: SessionId, ttl: Duration, asked: Instant) -> Session {
    let (session, keeper) = Session::kept(id, asked + ttl);
    let task = tokio::spawn(renew(leases, id, ttl, keeper));
    session.with_keeper(task.abort_handle())
}

/// Renews three times in a TTL, so that two failures in a row end nothing.
async fn renew(mut leases: LeaseClient, id: SessionId, ttl: Duration, keeper: SessionKeeper) {
    let interval = ttl / 3;
    let mut stream = None;
    loop {
        let asked = Instant::now();
        let renewal = tokio::time::timeout(interval, ask(&mut leases, id, &mut stream)).await;
        match renewal.unwrap_or(Renewal::Failed) {
            Renewal::Done => {
                // From the asking on: etcd counts from later.
                keeper.renewed(asked + ttl);
                tokio::time::sleep_until(asked + interval).await;
            }
            Renewal::Gone => return keeper.lost(),
            Renewal::Failed => {
                // A stream in doubt is not used again; etcd may be back with the lease at any time, also after the TTL.
                stream = None;
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

async fn ask(
    leases: &mut LeaseClient,
    id: SessionId,
    stream: &mut Option<(LeaseKeeper, LeaseKeepAliveStream)>,
) -> Renewal {
    let Some((keeper, answers)) = stream else {
        // Opening asks once, too.
        return match leases.keep_alive(id.0).await {
            Ok(opened) => {
                *stream = Some(opened);
                Renewal::Done
            }
            Err(Error::LeaseKeepAliveError(_)) => Renewal::Gone,
            Err(error) => {
                tracing::debug!(%error, "etcd does not renew the session now");
                Renewal::Failed
            }
        };
    };
    if keeper.keep_alive().await.is_err() {
        return Renewal::Failed;
    }
    match answers.message().await {
        Ok(Some(answer)) if answer.ttl() > 0 => Renewal::Done,
        Ok(Some(_)) => Renewal::Gone,
        Ok(None) | Err(_) => Renewal::Failed,
    }
}
