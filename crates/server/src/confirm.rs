//! Before something is destroyed: somebody types what will be gone, or the command line says `--yes`.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context as _, anyhow};
use clap::Args;

use crate::outcome::usage;

/// The options of a command that destroys.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DestroyArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl DestroyArgs {
    /// Returns if it may be done: nothing will be, or it was said beforehand, or somebody at the terminal types `expected`.
    /// `what` ends the sentence "This deletes …". Where nobody can be asked it fails as wrong usage.
    pub(crate) fn agreed(self, what: &str, expected: &str) -> anyhow::Result<()> {
        if self.yes || self.dry_run {
            return Ok(());
        }
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Err(usage(format!(
                "this deletes {what}, and that needs --yes where nobody can be asked"
            )));
        }
        let mut stderr = io::stderr().lock();
        write!(stderr, "This deletes {what}.\nType {expected} to go on: ").context("cannot ask")?;
        let mut answer = String::new();
        stdin
            .lock()
            .read_line(&mut answer)
            .context("cannot read the answer")?;
        match answer.trim() == expected {
            true => Ok(()),
            false => Err(anyhow!("nothing was deleted")),
        }
    }
}

/// Several things of a kind as a question names them, and what has to be typed: the only one's name, or how many there are.
pub(crate) fn several(noun: &str, names: &[String]) -> (String, String) {
    match names {
        [name] => (format!("{noun} {name}"), name.clone()),
        _ => (
            format!("{} {noun}s ({})", names.len(), names.join(", ")),
            names.len().to_string(),
        ),
    }
}
