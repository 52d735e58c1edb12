//! The commands, one file each. They say what they do on the command line and do it; [`run`] chooses.

pub(crate) mod bench;
pub(crate) mod broker;
pub(crate) mod cluster;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod doctor;
mod escape;
pub(crate) mod group;
pub(crate) mod log;
pub(crate) mod produce;
pub(crate) mod quota;
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
        Command::Quota(args) => client(quota::run(args)),
        Command::Log(args) => log::run(&args),
        Command::Bench(args) => clients(bench::run(args)),
        Command::Doctor(args) => client(doctor::run(args)),
        Command::Completion(args) => completion::run(args),
    }
}

/// A client waits for one thing after the other, so one thread is enough.
fn client(work: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    on(tokio::runtime::Builder::new_current_thread(), work)
}

/// A benchmark is many clients, and must not wait for itself.
fn clients(work: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    on(tokio::runtime::Builder::new_multi_thread(), work)
}

fn on(
    mut runtime: tokio::runtime::Builder,
    work: impl Future<Output = anyhow::Result<Outcome>>,
) -> anyhow::Result<Outcome> {
    let runtime = runtime
        .enable_all()
        .build()
        .context("cannot start the client")?;
    let outcome = runtime.block_on(work);
    // A look-up of a name or a read of stdin that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    outcome
}
