//! `tidewater completion`: what a shell needs to complete our commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::outcome::Outcome;
use crate::output;

/// Print a completion script for a shell
///
/// For example: `tidewater completion bash > /etc/bash_completion.d/tidewater`
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: CompletionArgs) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidewater", &mut script);
    output::stdout(&script)?;
    Ok(Outcome::Done)
}
