//! `docs/cli.md`, made from the command line itself.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory, Parser};

use crate::args::Cli;

const HEAD: &str = "\
# Command line

<!-- Generated from crates/server/src; `make docs` writes it again. -->

`tidewater` is the broker and the commands to work with one. The commands speak to any Kafka cluster.

* Answers go to stdout; notes, errors, progress and the broker's log to stderr. Colours and progress show on a terminal
  only, and colours not where `NO_COLOR` is set.
* `-o table` is for people, `-o wide` has more columns. `-o json` gives one document whose fields stay as they are
  ([below](#fields)), `-o yaml` the same document; `consume --output json` and `log dump -o json` give one document a line.
  In those, a key or value that is not UTF-8 is `{\"base64\": \"…\"}`.
* Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 some of what was asked for is done and the rest reported.
* An error says what was asked, of whom, and what came back, in Kafka's words.
* What destroys (`topic delete`, `topic trim`, `group delete`, `group offset-delete`, `quota delete`) asks on a terminal, where
  the name of what will be gone has to be typed. `--yes` does not ask; where nobody can be asked and there is no `--yes` it
  ends with exit code 2. `--dry-run` says what would be done and does nothing.
* An offset is said the same way everywhere: `start`, `end`, `47`, `+2` (after the start), `-3` (before the end), `@TIME`.

## Coming from Kafka's scripts

| who is used to | takes |
|---|---|
| `kafka-server-start.sh server.properties` | `tidewater broker --config server.properties` |
| `kafka-storage.sh format` | nothing: a log directory needs no formatting |
| `kafka-topics.sh --create --topic t --partitions 3 --replication-factor 2 --config a=b` | `tidewater topic create t -p 3 -r 2 -c a=b` |
| `kafka-topics.sh --create --if-not-exists` | `tidewater topic create t --if-not-exists` |
| `kafka-topics.sh --list` | `tidewater topic list`, with `-i` for internal ones |
| `kafka-topics.sh --describe --topic t` | `tidewater topic describe t` |
| `kafka-topics.sh --describe --unavailable-partitions`, `--under-replicated-partitions` | `tidewater doctor` |
| `kafka-topics.sh --alter --topic t --partitions 6` | `tidewater topic alter t -p 6` |
| `kafka-topics.sh --delete --topic t` | `tidewater topic delete t` |
| `kafka-configs.sh --describe --entity-type topics --entity-name t` | `tidewater config describe topic t --changed` |
| `kafka-configs.sh --describe --all --entity-type topics --entity-name t` | `tidewater config describe topic t` |
| `kafka-configs.sh --alter … --add-config a=b --delete-config c` | `tidewater config alter topic t -c a=b --reset c` |
| `kafka-configs.sh --entity-type brokers --entity-name 1`, `--entity-default` | `tidewater config describe broker 1`, `config describe broker default` |
| `kafka-configs.sh --entity-type broker-loggers --entity-name 1` | `tidewater config describe broker-logger 1`, `config alter broker-logger 1 -c LOGGER=DEBUG` |
| `kafka-configs.sh --entity-type groups --entity-name g` | `tidewater config describe group g`, `config alter group g -c consumer.session.timeout.ms=50000` |
| `kafka-configs.sh --entity-type client-metrics`, `kafka-client-metrics.sh` | `tidewater config list client-metrics`, `config describe client-metrics m`, `config alter client-metrics m -c interval.ms=10000` |
| `kafka-configs.sh --describe --entity-type users`, `clients`, `ips` | `tidewater quota list`, `quota describe --user u --client-id c` |
| `kafka-configs.sh --alter --add-config producer_byte_rate=1024 --entity-type users --entity-name u` | `tidewater quota set --user u -c producer_byte_rate=1024` |
| `kafka-configs.sh --alter --add-config … --entity-type users --entity-default` | `tidewater quota set --default user -c producer_byte_rate=1024` |
| `kafka-configs.sh --alter --delete-config producer_byte_rate --entity-type clients --entity-name c` | `tidewater quota delete --client-id c producer_byte_rate` |
| `kafka-console-producer.sh --topic t` | `tidewater produce t` |
| `kafka-console-producer.sh --property parse.key=true --property key.separator=:` | `tidewater produce t -K :` |
| `kafka-console-consumer.sh --topic t --from-beginning` | `tidewater consume t` |
| `kafka-console-consumer.sh --topic t --partition 0 --offset 47 --max-messages 5` | `tidewater consume t -p 0 -o 47 -n 5` |
| `kafka-console-consumer.sh --property print.key=true --property print.timestamp=true` | `tidewater consume t -f '%d\\t%k\\t%v\\n'` |
| `kafka-console-consumer.sh --isolation-level read_committed` | `tidewater consume t --read-committed` |
| `kafka-consumer-groups.sh --list`, `--list --state`, `--list --type consumer` | `tidewater group list`, `group list -s stable -t consumer` |
| `kafka-groups.sh --list` | `tidewater group list` |
| `kafka-consumer-groups.sh --describe --group g`, `--members`, `--state`, `--offsets` | `tidewater group describe g`, with `-o wide` for more |
| `kafka-consumer-groups.sh --describe --all-groups --state` | `tidewater group describe --all --summary` |
| `kafka-consumer-groups.sh --reset-offsets --group g --to-earliest --all-topics --execute` | `tidewater group seek g --to start` |
| `kafka-consumer-groups.sh --reset-offsets … --dry-run` | `tidewater group seek g --to start --dry-run` |
| `kafka-consumer-groups.sh --reset-offsets … --to-latest`, `--to-offset 47` | `tidewater group seek g --to end`, `--to 47` |
| `kafka-consumer-groups.sh --reset-offsets … --to-datetime 2026-01-31T12:00:00.000`, `--by-duration PT1H` | `tidewater group seek g --to @2026-01-31T12:00:00Z`, `--to @-1h` |
| `kafka-consumer-groups.sh --reset-offsets … --shift-by -5 --topic t:0,1` | `tidewater group seek g --shift-by -5 -t t:0,1` |
| `kafka-consumer-groups.sh --reset-offsets … --export`, `--from-file F` | `tidewater group describe g --commits > F`, `group seek g --to-file F` |
| `kafka-consumer-groups.sh --delete --group g` | `tidewater group delete g` |
| `kafka-consumer-groups.sh --delete-offsets --group g --topic t` | `tidewater group offset-delete g -t t` |
| `kafka-get-offsets.sh --topic t`, `--time -2`, `--time 1700000000000` | `tidewater topic offsets t`, `--at start`, `--at @1700000000000` |
| `kafka-delete-records.sh --offset-json-file F` | `tidewater topic trim t -p 0 --to 47` |
| `kafka-log-dirs.sh --describe --topic-list t` | `tidewater cluster log-dirs -t t` |
| `kafka-dump-log.sh --files F --print-data-log` | `tidewater log dump F --records` |
| `kafka-cluster.sh cluster-id`, `kafka-broker-api-versions.sh` | `tidewater cluster info`, `tidewater doctor` |
| `kafka-producer-perf-test.sh --topic t --num-records 1000000 --record-size 100 --throughput -1` | `tidewater bench produce -t t -n 1000000 -s 100` |
| `kafka-producer-perf-test.sh … --throughput 5000` | `tidewater bench produce -t t -n 1000000 -s 100 --rate 5000` |
| `kafka-consumer-perf-test.sh --topic t --messages 1000000` | `tidewater bench consume -t t -n 1000000` |
| `kafka-e2e-latency.sh` | `tidewater bench e2e` |
| `kcat -C -t t -o -10 -e`, `rpk topic consume t -o -10` | `tidewater consume t -o -10 -e` |
| `kcat -L`, `rpk cluster info` | `tidewater cluster info`, `tidewater topic list` |
| `rpk group seek g --to start`, `rpk topic trim-prefix t -o 47` | `tidewater group seek g --to start`, `tidewater topic trim t --to 47` |

## Fields

What `-o json` and `-o yaml` say. These fields stay, others may be added; what is not known is `null`. `[]` marks a list, and
`{}` a map whose keys are names.

| command | fields |
|---|---|
";

/// The fields of the documents, a command a line; held to what the commands say by `tests/cli/fields.rs`.
const FIELDS: &str = include_str!("docs/fields.txt");

/// The whole page.
fn markdown() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = HEAD.to_owned();
    let commands = FIELDS.lines().filter_map(|line| line.split_once(": "));
    for (command, fields) in commands {
        let fields: Vec<String> = fields
            .split(' ')
            .map(|field| format!("`{field}`"))
            .collect();
        let _ = writeln!(page, "| `{command}` | {} |", fields.join(" "));
    }
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

#[test]
fn every_command_on_the_page_is_one() {
    let spans = HEAD.split('`').skip(1).step_by(2);
    let commands = spans.filter(|span| span.starts_with("tidewater "));
    let mut count = 0;
    for command in commands {
        let shell = command.split(" > ").next().unwrap();
        let words = shell.split(' ').map(|word| word.trim_matches('\''));
        let parsed = Cli::try_parse_from(words);
        assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
        count += 1;
    }
    assert!(count > 40, "{count}");
}
