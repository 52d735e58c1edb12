//! The admin port of our own brokers: readiness, disks, and the clock.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::findings::Findings;
use super::{DoctorArgs, host_and_port, topics};
use crate::args::ConnectArgs;
use crate::client::servers;

/// Where it is unless `admin.listeners` says otherwise.
const PORT: u16 = 9644;
/// Nothing that is asked for here is longer.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Asks the admin port that was named, or the usual one on each bootstrap server; nothing there is no mistake then.
pub(super) async fn examine(args: &DoctorArgs, connect: &ConnectArgs, findings: &mut Findings) {
    let named = args.admin.as_deref().map(|url| {
        let url = url.strip_prefix("http://").unwrap_or(url);
        url.trim_end_matches('/').to_owned()
    });
    let addresses: Vec<String> = match &named {
        Some(address) => vec![address.clone()],
        None => usual(&connect.bootstrap_server),
    };
    for address in addresses {
        match get(&address, "/health/ready?verbose", connect.timeout).await {
            Ok(answer) => health(&address, &answer, connect.timeout, findings).await,
            Err(error) if named.is_some() => findings.wrong(
                "admin",
                &address,
                format!("{error:#}"),
                "check the broker's `admin.listeners`; it is bound to 127.0.0.1 unless that says otherwise",
            ),
            Err(_) => {}
        }
    }
}

fn usual(bootstrap: &[String]) -> Vec<String> {
    let mut addresses: Vec<String> = servers(bootstrap)
        .iter()
        .filter_map(|server| {
            let (host, _) = host_and_port(server)?;
            Some(if host.contains(':') {
                format!("[{host}]:{PORT}")
            } else {
                format!("{host}:{PORT}")
            })
        })
        .collect();
    addresses.dedup();
    addresses
}

/// What `/health/ready?verbose` says.
#[derive(Debug, Deserialize)]
struct Ready {
    ready: bool,
    reasons: Vec<String>,
}

async fn health(address: &str, answer: &Answer, patience: Duration, findings: &mut Findings) {
    // Some other web server has that port.
    let Ok(ready) = serde_json::from_str::<Ready>(&answer.body) else {
        return;
    };
    if ready.ready {
        findings.well("admin", address, "the broker says that it is ready");
    } else {
        findings.wrong(
            "admin",
            address,
            format!("the broker is not ready: {}", ready.reasons.join("; ")),
            "a full or failing disk is named above: free or replace it, the broker heals without a restart",
        );
    }
    if let Some(ahead_ms) = answer.ahead_ms {
        topics::clock(ahead_ms, &format!("of {address}"), findings);
    }
    if let Ok(metrics) = get(address, "/metrics", patience).await {
        for (name, value) in alerts(&metrics.body) {
            findings.warn(
                "admin",
                address,
                format!("{name} is {value}"),
                "look at the disks: their free space, and the broker's log for what failed",
            );
        }
    }
}

/// Gauges of the disks that are not 0, and should be.
fn alerts(metrics: &str) -> Vec<(&str, &str)> {
    const GAUGES: [&str; 1] = ["tidewater_storage_offline_dirs"];
    let samples = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    let alerts = samples.filter(|(series, value)| {
        let name = series.split('{').next().unwrap_or(series);
        GAUGES.contains(&name) && value.parse().is_ok_and(|value: f64| value > 0.0)
    });
    alerts.collect()
}

/// An answer over HTTP.
struct Answer {
    body: String,
    /// How far the other clock is ahead of ours, in milliseconds; `None` if it does not say.
    ahead_ms: Option<i64>,
}

/// A GET of HTTP/1.0, which needs no more than this: one request, and the answer ends with the connection.
async fn get(address: &str, path: &str, patience: Duration) -> anyhow::Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(patience, exchange).await;
    let answer = String::from_utf8(answer.context("no answer in time")??)?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("that is no answer of a web server");
    };
    let date = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then_some(value.trim())
    });
    let date = date.and_then(|date| rfc2822::parse(date).ok());
    Ok(Answer {
        body: body.to_owned(),
        ahead_ms: date.map(|date| ahead_ms(date.timestamp(), Timestamp::now())),
    })
}

/// A date of HTTP has whole seconds: it may be anywhere in that second.
fn ahead_ms(theirs: Timestamp, ours: Timestamp) -> i64 {
    let (from, to) = (theirs.as_millisecond(), theirs.as_millisecond() + 999);
    let ours = ours.as_millisecond();
    match ours {
        _ if ours < from => from - ours,
        _ if ours > to => to - ours,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gauges_that_are_raised_are_told_of() {
        let metrics =
            "# HELP tidewater_storage_offline_dirs x\nother 7\ntidewater_storage_offline_dirs ";
        assert_eq!(alerts(&format!("{metrics}0\n")), []);
        assert_eq!(
            alerts(&format!("{metrics}1\n")),
            [("tidewater_storage_offline_dirs", "1")]
        );
    }

    #[test]
    fn the_usual_port_is_asked_once_on_each_host() {
        let named = [
            "a:9092".to_owned(),
            "a:9093".to_owned(),
            "[::1]:9092".to_owned(),
        ];
        assert_eq!(usual(&named), ["a:9644", "[::1]:9644"]);
    }

    #[test]
    fn clocks_are_compared_to_the_second() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        assert_eq!(ahead_ms(at(10_000), at(10_400)), 0);
        assert_eq!(ahead_ms(at(20_000), at(10_400)), 9_600);
        assert_eq!(ahead_ms(at(10_000), at(20_000)), -9_001);
    }
}
