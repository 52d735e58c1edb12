//! Listeners: where the broker listens, and what address clients are told (Kafka's `SocketServerConfigs` and `EndPoint`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::layers::Layers;
use super::value::ConfigError;

/// One address the broker listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in upper case.
    pub name: String,
    /// What is spoken on it.
    pub protocol: SecurityProtocol,
    /// The host to bind; empty for every interface.
    pub host: String,
    /// The port to bind; 0 for any.
    pub port: u16,
    /// What clients of this listener are told to connect to.
    pub advertised: Advertised,
}

/// What is spoken on a listener. Only what this release implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encryption nor authentication.
    Plaintext,
}

impl SecurityProtocol {
    /// Whether a client has to say who it is before it is served.
    pub fn authenticates(self) -> bool {
        match self {
            Self::Plaintext => false,
        }
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plaintext => f.write_str("PLAINTEXT"),
        }
    }
}

/// The address clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertised {
    /// The one `advertised.listeners` names.
    Address {
        /// Name or number of the host.
        host: String,
        /// 0 means the port that was bound.
        port: u16,
    },
    /// Not configured: the listener's own host, with the port that was bound.
    Own,
    /// Not configured, and bound to every interface: the local address of the client's own connection.
    Connection,
}

impl Listener {
    /// The host and port to tell a client whose connection has this local address.
    pub fn advertised_to(&self, local: SocketAddr) -> (String, i32) {
        let bound = i32::from(local.port());
        match &self.advertised {
            Advertised::Address { host, port: 0 } => (host.clone(), bound),
            Advertised::Address { host, port } => (host.clone(), i32::from(*port)),
            Advertised::Own => (self.host.clone(), bound),
            Advertised::Connection => (unmapped(local.ip()).to_string(), bound),
        }
    }

    /// Whether it listens on every interface.
    pub fn is_wildcard(&self) -> bool {
        self.host.is_empty()
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_unspecified())
    }
}

/// A client that came by IPv4 to a dual-stack socket is told its IPv4 address.
fn unmapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        write!(f, "{}://{host}:{}", self.name, self.port)
    }
}

/// The host and port of one listener, advertised listener or admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndPoint {
    /// What stands before `://`, in upper case.
    pub name: String,
    /// Without the brackets of an IPv6 address; may be empty.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl EndPoint {
    /// Parses `NAME://host:port`, with an IPv6 host in brackets.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let invalid =
            || ConfigError::Conflict(format!("Unable to parse {text} to a broker endpoint"));
        let (name, address) = text.trim().split_once("://").ok_or_else(invalid)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let usual = |c: char| c.is_ascii_alphanumeric() || "-%._:".contains(c);
        if name.is_empty()
            || !host.chars().all(usual)
            || (bracketed.is_none() && host.contains(':'))
        {
            return Err(invalid());
        }
        let port = port.parse().map_err(|_| invalid())?;
        Ok(Self {
            name: name.trim().to_uppercase(),
            host: host.to_owned(),
            port,
        })
    }
}

/// The listeners to open, and the name of the one that other brokers use.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) open: Vec<Listener>,
    pub(super) inter_broker: String,
    pub(super) warnings: Vec<String>,
}

pub(super) fn read(layers: &Layers) -> Result<Listeners, ConfigError> {
    let listeners = end_points(layers, "listeners")?;
    let advertised = end_points(layers, "advertised.listeners")?;
    let controllers: BTreeSet<String> = layers
        .value("controller.listener.names")
        .list()
        .iter()
        .map(|name| name.to_uppercase())
        .collect();
    let protocols = protocol_map(layers, &controllers)?;
    distinct(&listeners, "listeners")?;
    check_advertised(&advertised, &listeners, &controllers)?;
    let mut warnings = Vec::new();
    let mut open = Vec::new();
    for end_point in listeners {
        if controllers.contains(&end_point.name) {
            warnings.push(format!(
                "listener {} belongs to a KRaft controller and is not opened",
                end_point.name
            ));
            continue;
        }
        open.push(listener(end_point, &advertised, &protocols)?);
    }
    if open.is_empty() {
        return Err(conflict(
            "listeners must contain at least one listener for clients".to_owned(),
        ));
    }
    let inter_broker = inter_broker(layers, &open)?;
    Ok(Listeners {
        open,
        inter_broker,
        warnings,
    })
}

fn conflict(text: String) -> ConfigError {
    ConfigError::Conflict(text)
}

fn end_points(layers: &Layers, key: &str) -> Result<Vec<EndPoint>, ConfigError> {
    layers
        .value(key)
        .list()
        .iter()
        .map(|text| {
            EndPoint::parse(text).map_err(|error| {
                ConfigError::invalid(
                    key,
                    text,
                    format!(
                        "{error}. Expected NAME://host:port, for example PLAINTEXT://127.0.0.1:9092"
                    ),
                )
            })
        })
        .collect()
}

fn distinct(listeners: &[EndPoint], key: &str) -> Result<(), ConfigError> {
    let text = || {
        listeners
            .iter()
            .map(|one| format!("{}://{}:{}", one.name, one.host, one.port))
            .collect::<Vec<_>>()
            .join(",")
    };
    let names: BTreeSet<_> = listeners.iter().map(|one| &one.name).collect();
    if names.len() < listeners.len() {
        return Err(conflict(format!(
            "Each listener must have a different name, {key}: {}",
            text()
        )));
    }
    // One port may serve two hosts; the kernel refuses what really collides, but this message comes earlier.
    let fixed: Vec<_> = listeners
        .iter()
        .filter(|one| one.port != 0)
        .map(|one| (&one.host, one.port))
        .collect();
    if fixed.iter().collect::<BTreeSet<_>>().len() < fixed.len() {
        return Err(conflict(format!(
            "Each listener must have a different port, {key}: {}",
            text()
        )));
    }
    Ok(())
}

fn protocol_map(
    layers: &Layers,
    controllers: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    const KEY: &str = "listener.security.protocol.map";
    let value = layers.value(KEY);
    let mut map = BTreeMap::new();
    for pair in value
        .str()
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let Some((name, protocol)) = pair.rsplit_once(':') else {
            return Err(ConfigError::invalid(
                KEY,
                value.str(),
                "expected NAME:PROTOCOL,…",
            ));
        };
        let protocol = protocol.trim().to_uppercase();
        if !["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(&protocol.as_str()) {
            return Err(ConfigError::invalid(
                KEY,
                value.str(),
                format!("no such security protocol: {protocol}"),
            ));
        }
        map.insert(name.trim().to_uppercase(), protocol);
    }
    if !layers.is_set(KEY) {
        // Kafka's rule: without a map of one's own a controller listener speaks PLAINTEXT.
        for name in controllers {
            map.entry(name.clone())
                .or_insert_with(|| "PLAINTEXT".to_owned());
        }
    }
    Ok(map)
}

fn check_advertised(
    advertised: &[EndPoint],
    listeners: &[EndPoint],
    controllers: &BTreeSet<String>,
) -> Result<(), ConfigError> {
    let names: BTreeSet<_> = advertised.iter().map(|one| &one.name).collect();
    if names.len() < advertised.len() {
        return Err(conflict(
            "Each listener must have a different name, advertised.listeners".to_owned(),
        ));
    }
    for one in advertised {
        if one
            .host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_unspecified())
        {
            return Err(conflict(format!(
                "advertised.listeners cannot use the nonroutable meta-address {}. Use a routable IP address, or leave \
                 advertised.listeners out: clients are then told the address by which they reached the broker.",
                one.host
            )));
        }
        if one.host.is_empty() {
            return Err(conflict(format!(
                "advertised.listeners must name a host for {}. Leave it out to tell clients the address by which they \
                 reached the broker.",
                one.name
            )));
        }
        if !listeners.iter().any(|listener| listener.name == one.name)
            && !controllers.contains(&one.name)
        {
            let known: Vec<_> = listeners.iter().map(|one| one.name.as_str()).collect();
            return Err(conflict(format!(
                "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. \
                 Found {}. The valid options based on the current configuration are {}",
                one.name,
                known.join(",")
            )));
        }
    }
    Ok(())
}

fn listener(
    end_point: EndPoint,
    advertised: &[EndPoint],
    protocols: &BTreeMap<String, String>,
) -> Result<Listener, ConfigError> {
    let EndPoint { name, host, port } = end_point;
    let protocol = match protocols.get(&name).map(String::as_str) {
        Some("PLAINTEXT") => SecurityProtocol::Plaintext,
        Some(other) => {
            return Err(conflict(format!(
                "listener {name}: the security protocol {other} is not supported by this release, only PLAINTEXT is"
            )));
        }
        None => {
            return Err(conflict(format!(
                "No security protocol defined for listener {name}. Name it in listener.security.protocol.map, for \
                 example {name}:PLAINTEXT"
            )));
        }
    };
    let mut listener = Listener {
        name,
        protocol,
        host,
        port,
        advertised: Advertised::Own,
    };
    listener.advertised = match advertised.iter().find(|one| one.name == listener.name) {
        Some(one) => Advertised::Address {
            host: one.host.clone(),
            port: one.port,
        },
        None if listener.is_wildcard() => Advertised::Connection,
        None => Advertised::Own,
    };
    Ok(listener)
}

/// The key of a listener's own limit on new connections, after `listener.name.{name}.` (KIP-612).
const CONNECTION_RATE: &str = "max.connection.creation.rate";

/// Whether this name is a listener's own value of a key that has an effect.
pub(super) fn is_honoured(name: &str) -> bool {
    name.strip_prefix("listener.name.")
        .and_then(|of_listener| of_listener.split_once('.'))
        .is_some_and(|(_, key)| key == CONNECTION_RATE)
}

/// Connections a second that single listeners accept.
pub(super) fn connection_rates(
    layers: &Layers,
    listeners: &[Arc<Listener>],
) -> Result<BTreeMap<String, u32>, ConfigError> {
    let mut rates = BTreeMap::new();
    for listener in listeners {
        let key = format!(
            "listener.name.{}.{CONNECTION_RATE}",
            listener.name.to_lowercase()
        );
        let Some(text) = layers.text(&key) else {
            continue;
        };
        // A listener does not get by on none: Kafka refuses 0 here and takes it for the broker.
        let rate = text
            .trim()
            .parse()
            .ok()
            .filter(|rate| (1..=i32::MAX as u32).contains(rate));
        let rate = rate.ok_or_else(|| {
            ConfigError::invalid(&key, text, "expected a whole number of at least 1")
        })?;
        rates.insert(listener.name.clone(), rate);
    }
    Ok(rates)
}

fn inter_broker(layers: &Layers, open: &[Listener]) -> Result<String, ConfigError> {
    let named = layers
        .value("inter.broker.listener.name")
        .str()
        .to_uppercase();
    if !named.is_empty() {
        if layers.is_set("security.inter.broker.protocol") {
            return Err(conflict(
                "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.".to_owned(),
            ));
        }
        let known = open.iter().any(|listener| listener.name == named);
        return known.then_some(named.clone()).ok_or_else(|| {
            conflict(format!(
                "inter.broker.listener.name must be a listener name defined in listeners: {named}"
            ))
        });
    }
    let protocol = layers.value("security.inter.broker.protocol");
    let of_protocol = open
        .iter()
        .find(|listener| listener.protocol.to_string() == protocol.str());
    of_protocol
        .map(|listener| listener.name.clone())
        .ok_or_else(|| {
            conflict(format!(
                "no listener has the protocol {} of security.inter.broker.protocol",
                protocol.str()
            ))
        })
}
