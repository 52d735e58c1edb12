//! Accepting: limits on connections, and an accept loop that outlives a shortage of file descriptors.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span, info, warn};

use super::connection;
use crate::config::{Listener, NetworkOptions};
use crate::context::Context;
use crate::metrics::Present;

/// Pause after an accept that failed for want of descriptors or memory; existing connections go on meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are kept for a while only to be closed.
const HELD_MAX: usize = 1_000;

/// The label of connections that came too fast from one address.
const ADDRESS_RATE: &str = "address_rate";

/// Binds a listener. Port 0 is fine: ask the socket for the real one.
pub(crate) async fn bind(listener: &Listener, options: &NetworkOptions) -> io::Result<TcpListener> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host((bind_host(listener), listener.port)).await? {
        match bind_one(address, options) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// An empty host means every interface.
fn bind_host(listener: &Listener) -> &str {
    if listener.host.is_empty() {
        "::"
    } else {
        &listener.host
    }
}

fn bind_one(address: SocketAddr, options: &NetworkOptions) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit the sizes.
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
    }
    socket.bind(address)?;
    socket.listen(u32::try_from(options.backlog).unwrap_or(1))
}

/// How many connections there are, in all and by address.
#[derive(Debug, Default)]
pub(crate) struct ConnectionLimits {
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
    pub(crate) const NAMES: [&'static str; 3] = ["total", "address", ADDRESS_RATE];

    /// Takes a place under the limits as they are now: they may be altered while the broker runs.
    fn take(
        self: &Arc<Self>,
        address: IpAddr,
        options: &NetworkOptions,
    ) -> Result<Place, &'static str> {
        let mut counts = self.counts.lock();
        if counts.total >= options.connections_max {
            return Err("total");
        }
        let here = counts.by_address.get(&address).copied().unwrap_or(0);
        if here >= options.connections_max_of(address) {
            return Err("address");
        }
        let here = counts.by_address.entry(address).or_default();
        *here += 1;
        counts.total += 1;
        Ok(Place {
            limits: Arc::clone(self),
            address,
        })
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
    let held = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(throttle) = ctx.quotas.refuses_connection(peer.ip()) {
                    hold(&ctx, stream, throttle, &held, &connections);
                    continue;
                }
                let pause = pause(&ctx, &listener);
                welcome(&ctx, stream, peer, &listener, &limits, &connections);
                if !pause.is_zero() {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
            Err(error) if is_shortage(&error) => {
                warn!(%error, "a connection could not be accepted; trying again shortly");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // The peer was gone before we accepted it.
            Err(error) => info!(%error, "a connection ended before it was accepted"),
        }
    }
}

/// For how long accepting must pause after one more connection, so that neither this listener nor the broker takes more than it may.
/// The listener that brokers use has no part in the broker's limit, if there are others (`ConnectionQuotas.protectedListener`).
fn pause(ctx: &Context, listener: &Listener) -> Duration {
    let config = ctx.config();
    let network = &config.network;
    let is_protected = config.listeners.len() > 1 && listener.name == config.inter_broker_listener;
    let unlimited = i32::MAX.unsigned_abs();
    let is_limit = |rate: &u32| *rate < unlimited;
    let of_listener = network.listener_connection_rates_max.get(&listener.name);
    let of_broker = Some(network.connection_rate_max).filter(|_| !is_protected);
    let (of_listener, of_broker) = (
        of_listener.copied().filter(is_limit),
        of_broker.filter(is_limit),
    );
    if of_listener.is_none() && of_broker.is_none() {
        return Duration::ZERO;
    }
    ctx.quotas.accepted(&listener.name, of_listener, of_broker)
}

/// Keeps a connection that is one too many from its address for a while before closing it, so that its client does not come back at
/// once (KIP-612). Beyond so many, they are closed without that.
fn hold(
    ctx: &Context,
    stream: TcpStream,
    throttle: Duration,
    held: &Arc<AtomicUsize>,
    connections: &TaskTracker,
) {
    ctx.metrics
        .network
        .rejected
        .with_label_values(&[ADDRESS_RATE])
        .inc();
    if held.fetch_add(1, Ordering::Relaxed) >= HELD_MAX {
        held.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (held, stop) = (Arc::clone(held), ctx.stop.clone());
    connections.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(throttle) => {}
        }
        drop(stream);
        held.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Too many open files (here or in the system), no buffer, no memory.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOBUFS,
        rustix::io::Errno::NOMEM,
    ];
    shortages
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn welcome(
    ctx: &Arc<Context>,
    stream: TcpStream,
    peer: SocketAddr,
    listener: &Arc<Listener>,
    limits: &Arc<ConnectionLimits>,
    connections: &TaskTracker,
) {
    let place = match limits.take(peer.ip(), &ctx.config().network) {
        Ok(place) => place,
        Err(limit) => {
            ctx.metrics
                .network
                .rejected
                .with_label_values(&[limit])
                .inc();
            return;
        }
    };
    let id = limits.next_id.fetch_add(1, Ordering::Relaxed);
    let (ctx, listener) = (Arc::clone(ctx), Arc::clone(listener));
    ctx.metrics.network.accepted.inc();
    let open = &ctx.metrics.network.connections;
    let present = Present::at(&open.with_label_values(&[&listener.name]));
    let span = debug_span!("connection", id, %peer);
    connections.spawn(
        async move {
            let gone = Gone {
                ctx: Arc::clone(&ctx),
                _place: place,
                _present: present,
            };
            let ended = connection::serve(Arc::clone(&gone.ctx), stream, listener, id).await;
            gone.ctx
                .metrics
                .network
                .ended
                .with_label_values(&[ended.reason()])
                .inc();
        }
        .instrument(span),
    );
}

/// Counts a connection out, also when its task panics.
struct Gone {
    ctx: Arc<Context>,
    _place: Place,
    _present: Present,
}

impl Drop for Gone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a connection's task panicked; its client was disconnected");
            self.ctx
                .metrics
                .network
                .ended
                .with_label_values(&["panic"])
                .inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caps_hold_in_total_and_per_address_and_places_come_back() {
        let limits = Arc::new(ConnectionLimits::default());
        let options = NetworkOptions {
            connections_max: 3,
            connections_per_ip_max: 2,
            ..NetworkOptions::default()
        };
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = limits.take(a, &options).ok();
        let _second = limits.take(a, &options).ok();
        assert_eq!(limits.take(a, &options).err(), Some("address"));
        let _third = limits.take(b, &options).ok();
        assert_eq!(limits.take(b, &options).err(), Some("total"));
        drop(first);
        assert!(limits.take(a, &options).is_ok());
    }
}
