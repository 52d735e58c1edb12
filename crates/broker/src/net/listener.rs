//! Accepting: limits on connections, and an accept loop that outlives a shortage of file descriptors.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span, info, warn};

use super::connection;
use crate::config::Listener;
use crate::context::Context;

/// Pending connections the kernel may hold for us.
const BACKLOG: u32 = 1024;
/// Pause after an accept that failed for want of descriptors or memory; existing connections go on meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds a listener. Port 0 is fine: ask the socket for the real one.
pub(crate) async fn bind(listener: &Listener) -> io::Result<TcpListener> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host((bind_host(listener), listener.port)).await? {
        match bind_one(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// An empty host means every interface.
fn bind_host(listener: &Listener) -> &str {
    if listener.host.is_empty() { "::" } else { &listener.host }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How many connections there are, in all and by address.
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    total_max: usize,
    per_address_max: usize,
    /// `max.connections.per.ip.overrides`.
    overrides: BTreeMap<IpAddr, usize>,
    counts: Mutex<Counts>,
    next_id: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place under the limits; dropping it frees the place.
struct Place {
    limits: Arc<ConnectionLimits>,
    address: IpAddr,
}

impl ConnectionLimits {
    /// The limits' names, as labels.
    pub(crate) const NAMES: [&'static str; 2] = ["total", "address"];

    /// `max.connections`, `max.connections.per.ip` and the exceptions to it.
    pub(crate) fn new(total_max: usize, per_address_max: usize, overrides: BTreeMap<IpAddr, usize>) -> Self {
        Self { total_max, per_address_max, overrides, counts: Mutex::default(), next_id: AtomicU64::new(1) }
    }

    fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, &'static str> {
        let mut counts = self.counts.lock();
        if counts.total >= self.total_max {
            return Err("total");
        }
        let here_max = self.overrides.get(&address).copied().unwrap_or(self.per_address_max);
        let here = counts.by_address.entry(address).or_default();
        if *here >= here_max {
            return Err("address");
        }
        *here += 1;
        counts.total += 1;
        Ok(Place { limits: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.limits.counts.lock();
        counts.total = counts.total.saturating_sub(1);
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// Accepts until `stop`; every connection is a task of `connections`.
pub(crate) async fn accept(
    ctx: Arc<Context>,
    socket: TcpListener,
    listener: Arc<Listener>,
    limits: Arc<ConnectionLimits>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => welcome(&ctx, stream, peer, &listener, &limits, &connections),
            Err(error) if is_shortage(&error) => {
                warn!(%error, "a connection could not be accepted; trying again shortly");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // The peer was gone before we accepted it.
            Err(error) => info!(%error, "a connection ended before it was accepted"),
        }
    }
}

/// Too many open files (here or in the system), no buffer, no memory.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOBUFS, rustix::io::Errno::NOMEM];
    shortages.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn welcome(
    ctx: &Arc<Context>,
    stream: TcpStream,
    peer: SocketAddr,
    listener: &Arc<Listener>,
    limits: &Arc<ConnectionLimits>,
    connections: &TaskTracker,
) {
    let place = match limits.take(peer.ip()) {
        Ok(place) => place,
        Err(limit) => {
            ctx.metrics.network.rejected.with_label_values(&[limit]).inc();
            return;
        }
    };
    let id = limits.next_id.fetch_add(1, Ordering::Relaxed);
    let (ctx, listener) = (Arc::clone(ctx), Arc::clone(listener));
    ctx.metrics.network.accepted.inc();
    ctx.metrics.network.connections.inc();
    let span = debug_span!("connection", id, %peer);
    connections.spawn(
        async move {
            let gone = Gone { ctx: Arc::clone(&ctx), _place: place };
            let ended = connection::serve(Arc::clone(&gone.ctx), stream, listener, id).await;
            gone.ctx.metrics.network.ended.with_label_values(&[ended.reason()]).inc();
        }
        .instrument(span),
    );
}

/// Counts a connection out, also when its task panics.
struct Gone {
    ctx: Arc<Context>,
    _place: Place,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.ctx.metrics.network.connections.dec();
        if std::thread::panicking() {
            tracing::error!("a connection's task panicked; its client was disconnected");
            self.ctx.metrics.network.ended.with_label_values(&["panic"]).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caps_hold_in_total_and_per_address_and_places_come_back() {
        let limits = Arc::new(ConnectionLimits::new(3, 2, BTreeMap::new()));
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = limits.take(a).ok();
        let _second = limits.take(a).ok();
        assert_eq!(limits.take(a).err(), Some("address"));
        let _third = limits.take(b).ok();
        assert_eq!(limits.take(b).err(), Some("total"));
        drop(first);
        assert!(limits.take(a).is_ok());
    }
}
