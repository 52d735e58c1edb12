//! The command line: what there is to ask for, and the options that several commands share.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::commands::bench::BenchArgs;
use crate::commands::broker::BrokerArgs;
use crate::commands::cluster::ClusterArgs;
use crate::commands::completion::CompletionArgs;
use crate::commands::config::ConfigArgs;
use crate::commands::consume::ConsumeArgs;
use crate::commands::doctor::DoctorArgs;
use crate::commands::group::GroupArgs;
use crate::commands::log::LogArgs;
use crate::commands::produce::ProduceArgs;
use crate::commands::quota::QuotaArgs;
use crate::commands::topic::TopicArgs;
use crate::output::Format;

/// A Kafka-compatible broker in one binary, and the commands to work with it.
///
/// Without a command it starts a broker: `tidewater` is `tidewater broker`.
/// Answers go to stdout, notes and errors to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done in part.
#[derive(Debug, Parser)]
#[command(name = "tidewater", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Broker(BrokerArgs),
    Topic(TopicArgs),
    Produce(ProduceArgs),
    Consume(ConsumeArgs),
    Group(GroupArgs),
    Cluster(ClusterArgs),
    Config(ConfigArgs),
    Quota(QuotaArgs),
    Log(LogArgs),
    Bench(BenchArgs),
    Doctor(DoctorArgs),
    Completion(CompletionArgs),
}

/// Where the cluster is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectArgs {
    /// Brokers to ask first; any of the cluster will do
    #[arg(
        short,
        long,
        env = "KAFKA_BOOTSTRAP_SERVERS",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "localhost:9092",
        global = true
    )]
    pub(crate) bootstrap_server: Vec<String>,

    /// How long to wait for a connection, for an answer, or for a leader: 500ms, 30s, 2m
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s", global = true)]
    pub(crate) timeout: Duration,
}

/// How the answer is written.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", global = true)]
    pub(crate) output: Format,
}

/// `30s`, `500ms`, `1m 30s`; a number alone is refused, since nobody knows its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "write it as 500ms, 30s or 2m".to_owned())?;
    let duration = Duration::try_from(signed).map_err(|_| "it must not be negative".to_owned())?;
    if duration.is_zero() {
        Err("it must be longer than nothing".to_owned())
    } else {
        Ok(duration)
    }
}

/// `KEY=VALUE`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_the_broker_with_its_own_options() {
        let cli = Cli::try_parse_from(["tidewater", "--dev", "--set", "node.id=3"]).unwrap();
        assert!(cli.command.is_none());
        assert!(cli.broker.dev);
        assert!(Cli::try_parse_from(["tidewater", "--dev", "topic", "list"]).is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in ["30", "-1s", "0s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_may_be_empty_or_contain_an_equals_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(key_value("a="), Ok(("a".to_owned(), String::new())));
        assert!(key_value("=b").is_err());
        assert!(key_value("a").is_err());
    }
}
