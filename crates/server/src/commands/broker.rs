//! `tidewater broker`: runs a broker until it is told to stop.

use std::path::PathBuf;

use clap::Args;

use crate::outcome::Outcome;

/// Run a broker
#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// Read settings from a file, such as Kafka's server.properties
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set a setting; before the file and the environment
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Try it out: data in a temporary folder that is removed at the end, topics are created when they are asked for
    #[arg(long)]
    pub(crate) dev: bool,
    /// Start with settings nobody knows
    #[arg(long)]
    pub(crate) allow_unknown: bool,
}

pub(crate) fn run(_args: BrokerArgs) -> anyhow::Result<Outcome> {
    anyhow::bail!("not wired yet")
}
