//! Addresses of the hosts that connection quotas name: Kafka takes names as well as addresses for them.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Name servers that say nothing for this long do not know the hosts they were asked for.
pub(crate) const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// The address, or the first address of the host; `None` when there is none or nobody says so in time. Asks name servers only
/// about what is no address.
pub(crate) async fn address_of(host: &str, deadline: Instant) -> Option<IpAddr> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let found = tokio::time::timeout_at(deadline, tokio::net::lookup_host((host, 0))).await;
    let first = found.ok()?.ok()?.next()?;
    Some(first.ip().to_canonical())
}
