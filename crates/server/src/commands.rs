//! The commands, one file each. They say what they do on the command line and do it; [`run`] chooses.

pub(crate) mod broker;
pub(crate) mod cluster;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod consume;
mod escape;
pub(crate) mod group;
pub(crate) mod log;
pub(crate) mod produce;
pub(crate) mod topic;

use anyhow::Context as _;

use crate::args::{Cli, Command};
use crate::outcome::Outcome;

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Outcome> {
    match cli.command.unwrap_or(Command::Broker(cli.broker)) {
        Command::Broker(args) => broker::run(args),
        Command::Topic(args) => client(topic::run(args)),
        Command::Produce(args) => client(produce::run(args)),
        Command::Consume(args) => client(consume::run(args)),
        Command::Group(args) => client(group::run(args)),
        Command::Cluster(args) => client(cluster::run(args)),
        Command::Config(args) => client(config::run(args)),
        Command::Log(args) => log::run(&args),
        Command::Completion(args) => completion::run(args),
    }
}

/// A client waits for one thing after the other, so one thread is enough.
fn client(work: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start the client")?;
    let outcome = runtime.block_on(work);
    // A look-up of a name or a read of stdin that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    outcome
}
