//! The program `tidewater`: argv, environment, signals, log output, exit codes, and the operator's commands.
//!
//! The promise: what was asked for goes to stdout and nothing else does; notes, errors, progress and the broker's log go to
//! stderr; the exit code says how it went ([`outcome::Outcome`]). The commands know a cluster only through the Kafka wire, as
//! any client does, so they work with every broker; only `broker` knows ours.

mod args;
mod client;
mod commands;
mod confirm;
#[cfg(test)]
mod docs;
mod logging;
mod outcome;
mod output;
mod position;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;

// Frames of many sizes come and go on several threads; the system's allocator keeps half as much memory again
// (docs/decisions/0006-allocator.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    outcome::finish(commands::run(cli))
}
