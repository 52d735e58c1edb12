//! One address: does its name mean something, does something listen, and does that speak Kafka's protocol?

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::host_and_port;
use crate::client::Link;

/// Somebody who speaks Kafka's protocol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    /// Where the name led.
    pub(super) address: SocketAddr,
}

impl Reached {
    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

/// Why an address is of no use to a client.
#[derive(Debug)]
pub(super) enum Broken {
    /// It is not `host:port`.
    Address,
    /// The name means nothing here.
    Unresolvable(String),
    /// The machine is there and nothing listens on the port.
    Refused,
    /// No way there.
    Unreachable(String),
    /// No answer at all.
    Silent,
    /// A listener for TLS.
    Tls,
    /// A web server.
    Http,
    /// It closed the connection when it was greeted.
    Closed,
    /// It answers otherwise than a broker.
    NotKafka(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("is no address of the form host:port"),
            Self::Unresolvable(error) => write!(f, "the name cannot be resolved here ({error})"),
            Self::Refused => f.write_str("the connection is refused: nothing listens on that port"),
            Self::Unreachable(error) => write!(f, "cannot be reached ({error})"),
            Self::Silent => f.write_str("does not answer in time"),
            Self::Tls => f.write_str("speaks TLS where plain text was sent"),
            Self::Http => f.write_str("is a web server and no Kafka listener"),
            Self::Closed => {
                f.write_str("closes the connection when it is greeted as a Kafka broker")
            }
            Self::NotKafka(error) => write!(f, "does not answer as a Kafka broker does ({error})"),
        }
    }
}

/// Resolves, connects and greets, each at most for `patience`.
pub(super) async fn reach(server: &str, patience: Duration) -> Result<Reached, Broken> {
    let (host, port) = host_and_port(server).ok_or(Broken::Address)?;
    let found = timeout(patience, lookup_host((host, port))).await;
    let found = found.map_err(|_| Broken::Unresolvable("no answer in time".to_owned()))?;
    let addresses: Vec<SocketAddr> = found
        .map_err(|error| Broken::Unresolvable(error.to_string()))?
        .collect();
    let mut broken = Broken::Unresolvable("it has no address".to_owned());
    for address in addresses {
        match connect(address, patience).await {
            Ok(stream) => {
                drop(stream);
                return greet(address, patience).await;
            }
            Err(error) => broken = error,
        }
    }
    Err(broken)
}

async fn connect(address: SocketAddr, patience: Duration) -> Result<TcpStream, Broken> {
    match timeout(patience, TcpStream::connect(address)).await {
        Err(_) => Err(Broken::Silent),
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(Broken::Refused),
        Ok(Err(error)) => Err(Broken::Unreachable(error.to_string())),
    }
}

/// Asks for ApiVersions as every client does first. Where that fails, the first bytes of a second answer say what it is.
async fn greet(address: SocketAddr, patience: Duration) -> Result<Reached, Broken> {
    match Link::dial(&address.to_string(), patience).await {
        Ok(_) => Ok(Reached { address }),
        Err(error) => Err(match first_bytes(address, patience).await {
            Ok(bytes) => Broken::of_bytes(&bytes, &error),
            Err(broken) => broken,
        }),
    }
}

/// ApiVersions v0, correlation id 1, no client id: the shortest greeting there is.
const GREETING: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

async fn first_bytes(address: SocketAddr, patience: Duration) -> Result<Vec<u8>, Broken> {
    let mut stream = connect(address, patience).await?;
    let mut bytes = vec![0; 8];
    let answer = async {
        stream.write_all(&GREETING).await?;
        stream.read(&mut bytes).await
    };
    match timeout(patience, answer).await {
        Err(_) => Err(Broken::Silent),
        Ok(Err(_)) => Err(Broken::Closed),
        Ok(Ok(read)) => {
            bytes.truncate(read);
            Ok(bytes)
        }
    }
}

impl Broken {
    /// What it is that answers a Kafka request so.
    fn of_bytes(bytes: &[u8], error: &anyhow::Error) -> Broken {
        match bytes {
            [] => Broken::Closed,
            // A TLS record: an alert or a handshake, of any version (RFC 8446 §5.1).
            [0x15 | 0x16, 3, ..] => Broken::Tls,
            [b'H', b'T', b'T', b'P', ..] | [b'<', ..] => Broken::Http,
            _ => Broken::NotKafka(format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_answers() {
        let error = anyhow::anyhow!("no");
        let of = |bytes: &[u8]| Broken::of_bytes(bytes, &error);
        assert!(matches!(of(&[0x15, 3, 3, 0, 2, 2, 80]), Broken::Tls));
        assert!(matches!(of(b"HTTP/1.1"), Broken::Http));
        assert!(matches!(of(&[]), Broken::Closed));
        assert!(matches!(of(b"SSH-2.0-"), Broken::NotKafka(_)));
    }
}
