//! `docs/cli.md`, made from the command line itself.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};

use crate::args::Cli;

const HEAD: &str = "\
# Command line

<!-- Generated from crates/server/src; `make docs` writes it again. -->

`tidewater` is the broker and the commands to work with one. The commands speak to any Kafka cluster.

* Answers go to stdout; notes, errors, progress and the broker's log to stderr. Colours and progress show on a terminal
  only, and colours not where `NO_COLOR` is set.
* `-o json` gives one document whose fields stay as they are; `consume --output json` and `log dump -o json` give one
  document a line. In them, a key or value that is not UTF-8 is `{\"base64\": \"…\"}`.
* Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 some of what was asked for is done and the rest reported.
* An error says what was asked, of whom, and what came back, in Kafka's words.

| who is used to | takes |
|---|---|
| `kafka-server-start.sh server.properties` | `tidewater broker --config server.properties` |
| `kafka-topics.sh --create --topic t --partitions 3` | `tidewater topic create t -p 3` |
| `kafka-topics.sh --list`, `--describe`, `--alter`, `--delete` | `tidewater topic list`, `describe`, `alter`, `delete` |
| `kafka-configs.sh --describe --entity-type topics --entity-name t` | `tidewater config describe topic t` |
| `kafka-configs.sh --alter … --add-config a=b --delete-config c` | `tidewater config alter topic t -c a=b --reset c` |
| `kafka-console-producer.sh --topic t` | `tidewater produce t` |
| `kafka-console-consumer.sh --topic t --from-beginning` | `tidewater consume t` |
| `kafka-get-offsets.sh --topic t` | `tidewater topic describe t` |
| `kafka-dump-log.sh --files F --print-data-log` | `tidewater log dump F --records` |
| `kcat -C -t t -o -10 -e`, `rpk topic consume t -o -10` | `tidewater consume t -o -10 -e` |
";

/// The whole page.
fn markdown() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = HEAD.to_owned();
    section(&mut page, &root, 0);
    page
}

fn section(page: &mut String, command: &Command, depth: usize) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let about = command
        .get_long_about()
        .or(command.get_about())
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut usage = command.clone();
    let usage = usage
        .render_usage()
        .to_string()
        .replace("Usage: ", "")
        .replace("\n       ", "\n");
    let _ = writeln!(page, "\n## `{name}`\n\n{about}\n\n```text\n{usage}\n```");
    // What a command takes from the one above it is described there.
    let own =
        |arg: &&Arg| !(arg.is_hide_set() || is_of_clap(arg) || arg.is_global_set() && depth > 1);
    let arguments: Vec<String> = command.get_arguments().filter(own).map(row).collect();
    // Those of the program alone are those of `tidewater broker`.
    if !arguments.is_empty() && depth > 0 {
        let _ = writeln!(page, "\n| | |\n|---|---|\n{}", arguments.join("\n"));
    }
    for inner in command
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help")
    {
        section(page, inner, depth + 1);
    }
}

fn is_of_clap(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

fn row(arg: &Arg) -> String {
    let mut names: Vec<String> = arg
        .get_short()
        .map(|short| format!("`-{short}`"))
        .into_iter()
        .collect();
    let value = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values());
    let value = value
        .map(|names| format!(" {}", names.join(" ")))
        .unwrap_or_default();
    match arg.get_long() {
        Some(long) => names.push(format!("`--{long}{value}`")),
        None => names.push(format!("`{}`", value.trim())),
    }
    names.extend(
        arg.get_visible_aliases()
            .into_iter()
            .flatten()
            .map(|alias| format!("`--{alias}`")),
    );
    let help = arg
        .get_long_help()
        .or(arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut text = help
        .replace("\n\n", ". ")
        .replace('\n', " ")
        .replace('|', "\\|");
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !possible.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, ": {}", possible.join(", "));
    }
    let default: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if !default.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, ". Default: `{}`", default.join(","));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(text, ". Environment: `{}`", variable.to_string_lossy());
    }
    format!("| {} | {text} |", names.join(", "))
}

#[test]
fn generated_docs_of_the_command_line_are_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let page = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        kept, page,
        "docs/cli.md is out of date; `make docs` writes it again"
    );
}
