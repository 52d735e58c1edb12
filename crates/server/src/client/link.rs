//! One connection to one broker.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpStream;
use wire::client::{Connection, Limits};
use wire::{Request, StrBytes};

use super::Isolation;
use crate::outcome::Refusal;

const CLIENT_ID: &str = "tidewater-cli";

/// One connection to one broker.
pub(crate) struct Link {
    pub(super) connection: Connection<TcpStream>,
    /// `host:port`, as it was dialled.
    pub(crate) address: String,
    pub(super) broken: bool,
    pub(super) isolation: Isolation,
}

impl Link {
    /// Connects and asks which versions are spoken; both within `timeout` each.
    pub(crate) async fn dial(address: &str, timeout: Duration) -> anyhow::Result<Link> {
        let cannot = || format!("cannot reach {address}");
        let dialled = tokio::time::timeout(timeout, TcpStream::connect(address)).await;
        let stream = dialled
            .map_err(|_| anyhow!("no connection within {timeout:?}"))
            .and_then(|stream| Ok(stream?));
        let stream = stream.with_context(cannot)?;
        stream.set_nodelay(true).with_context(cannot)?;
        let limits = Limits {
            timeout,
            ..Limits::default()
        };
        let mut connection = Connection::new(stream, CLIENT_ID).with_limits(limits);
        let negotiated = connection.negotiate().await;
        negotiated.with_context(|| format!("{address} does not answer as a Kafka broker does"))?;
        Ok(Link {
            connection,
            address: address.to_owned(),
            broken: false,
            isolation: Isolation::default(),
        })
    }

    /// The best version of `R` that both sides speak.
    pub(crate) fn version<R: Request>(&self) -> anyhow::Result<i16> {
        let name = api_name::<R>();
        self.connection.version_for::<R>().ok_or_else(|| {
            anyhow!(
                "{} does not speak {name}, or no version we do",
                self.address
            )
        })
    }

    /// Sends a request in a version from [`Link::version`] and waits for its answer.
    pub(crate) async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> anyhow::Result<R::Response> {
        let answer = self.connection.call(request, version).await;
        self.broken = answer.is_err();
        answer.with_context(|| format!("asking {} ({})", self.address, api_name::<R>()))
    }

    /// Nothing if `code` is 0, and otherwise the refusal of what was `asked`.
    pub(crate) fn accept(
        &self,
        asked: &str,
        code: i16,
        message: Option<StrBytes>,
    ) -> Result<(), Refusal> {
        if code == 0 {
            return Ok(());
        }
        let message = message.map(|message| message.to_string());
        Err(Refusal {
            asked: asked.to_owned(),
            by: self.address.clone(),
            code,
            message,
        })
    }
}

/// `Metadata` of `wire::…::MetadataRequest`.
fn api_name<R>() -> &'static str {
    let path = std::any::type_name::<R>();
    let name = path.rsplit("::").next().unwrap_or(path);
    name.strip_suffix("Request").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use wire::messages::metadata_request::MetadataRequest;

    use super::*;

    #[test]
    fn an_error_names_the_api_as_kafka_does() {
        assert_eq!(api_name::<MetadataRequest>(), "Metadata");
    }
}
