//! What a person or a script sees: tables and JSON on stdout; errors, notes and progress on stderr.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use uuid::Uuid;

use crate::outcome::StdoutError;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// More columns for people.
    Wide,
    /// One JSON document; from commands that stream, one document a line.
    Json,
    /// The same document as YAML.
    Yaml,
}

impl Format {
    /// Whether people read it, so that a note may stand for an empty answer.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Format::Table | Format::Wide)
    }
}

/// Writes an answer to stdout: as the document itself, or as the text that people are shown instead.
pub(crate) fn answer(
    format: Format,
    document: &impl Serialize,
    text: impl FnOnce(Detail) -> String,
) -> anyhow::Result<()> {
    match format {
        Format::Table => stdout(text(Detail::Usual).as_bytes()),
        Format::Wide => stdout(text(Detail::Wide).as_bytes()),
        Format::Json => json(document),
        Format::Yaml => stdout(serde_saphyr::to_string(document)?.as_bytes()),
    }
}

/// How much people are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What is asked for most.
    Usual,
    /// Every column.
    Wide,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Always there.
    Always(&'static str),
    /// Only in the wide table.
    Wide(&'static str),
}

/// What [`answer`] shows of rows: headings in upper case, and only the columns of this detail.
pub(crate) fn columns<const N: usize>(
    detail: Detail,
    columns: [Column; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let shown = columns.map(|column| detail == Detail::Wide || matches!(column, Column::Always(_)));
    let pick = |cells: [String; N]| {
        let cells = cells.into_iter().zip(shown);
        cells.filter_map(|(cell, shown)| shown.then_some(cell))
    };
    let headings = columns.map(|(Column::Always(name) | Column::Wide(name))| name.to_owned());
    sheet(pick(headings), rows.into_iter().map(pick))
}

/// Writes one JSON document to stdout.
pub(crate) fn json(document: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    stdout(text.as_bytes())
}

/// Rows under upper-case headings.
pub(crate) fn table_text<const N: usize>(
    headings: [&'static str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    columns(Detail::Usual, headings.map(Column::Always), rows)
}

fn sheet<R: Iterator<Item = String>>(headings: R, rows: impl Iterator<Item = R>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(headings)
        .add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names and values one under the other, the values in one column.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = facts.iter().map(|(name, value)| {
        let line = format!("{name:width$}  {value}");
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

/// The value, or a dash for none.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The text, or a dash for "".
pub(crate) fn dash_if_empty(text: &str) -> String {
    or_dash((!text.is_empty()).then_some(text))
}

/// Numbers with commas between them.
pub(crate) fn commas(numbers: impl IntoIterator<Item = i32>) -> String {
    let numbers: Vec<String> = numbers
        .into_iter()
        .map(|number| number.to_string())
        .collect();
    numbers.join(",")
}

/// Writes bytes to stdout at once.
pub(crate) fn stdout(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| StdoutError(error).into())
}

/// Tells the user something that is not part of the answer. A closed stderr loses it.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells the user of an error and its causes.
pub(crate) fn error(error: &anyhow::Error) {
    let label = if colours() {
        "\x1b[1;31merror:\x1b[0m"
    } else {
        "error:"
    };
    note(format_args!("{label} {}", chain(error)));
}

/// The error and its causes in one line. Many an error already says its cause, and nobody wants to read that twice.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Whether stderr may be coloured: a terminal, and nobody said no (<https://no-color.org>).
pub(crate) fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Work that a bar may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Bytes of stdin into a topic.
    Produce,
    /// Records of a topic to stdout.
    Consume,
    /// Bytes of a file to stdout, as text.
    Dump,
    /// Records of a benchmark, or its milliseconds.
    Bench(Unit),
}

/// What a benchmark counts on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// It ends after so many records.
    Records,
    /// It ends after so many milliseconds.
    Millis,
}

impl Work {
    /// Whether the terminal is needed for something else.
    fn disturbed(self) -> bool {
        match self {
            Work::Produce => io::stdin().is_terminal(),
            Work::Consume | Work::Dump => io::stdout().is_terminal(),
            Work::Bench(_) => false,
        }
    }
}

/// A bar on stderr for work of `total` bytes or records, or of unknown length. Hidden unless stderr is a terminal and
/// nothing else goes on there.
pub(crate) fn progress(work: Work, total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() || work.disturbed() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
    let template = match (work, total) {
        (Work::Bench(Unit::Millis), _) => "{bar:30} {elapsed} of the time, {eta} left",
        (Work::Consume | Work::Bench(_), Some(_)) => {
            "{bar:30} {human_pos} of {human_len} records, {rate}/s, {eta} left"
        }
        (Work::Consume | Work::Bench(_), None) => "{spinner} {human_pos} records, {rate}/s",
        (_, Some(_)) => "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        (_, None) => "{spinner} {bytes}, {bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(
            style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
            }),
        );
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// `1 record`, `2 records`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", HumanCount(number))
}

/// Bytes as JSON can have them: a string if they are UTF-8, and otherwise `{"base64": "…"}`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Text<'a> {
    /// What most keys and values are.
    Utf8(&'a str),
    /// What the others are.
    Bytes {
        /// Standard base64.
        base64: String,
    },
}

impl<'a> Text<'a> {
    /// The bytes, readable if they can be.
    pub(crate) fn of(bytes: &'a [u8]) -> Text<'a> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text::Utf8(text),
            Err(_) => Text::Bytes {
                base64: base64(bytes),
            },
        }
    }
}

/// A topic id as Kafka writes it: base64url without padding.
pub(crate) fn topic_id(id: Uuid) -> String {
    base64_with(id.as_bytes(), b'-', b'_')
        .trim_end_matches('=')
        .to_owned()
}

/// Standard base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    base64_with(bytes, b'+', b'/')
}

fn base64_with(bytes: &[u8], sixty_two: u8, sixty_three: u8) -> String {
    let digit = |six_bits: u32| match six_bits as u8 & 63 {
        value @ 0..26 => b'A' + value,
        value @ 26..52 => b'a' + value - 26,
        value @ 52..62 => b'0' + value - 52,
        62 => sixty_two,
        _ => sixty_three,
    };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for position in 0..4 {
            let written = position <= group.len();
            text.push(if written {
                char::from(digit(bits >> (18 - 6 * position)))
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn a_topic_id_is_written_as_kafka_writes_it() {
        assert_eq!(topic_id(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(
            topic_id(Uuid::from_u128(u128::MAX)),
            "_____________________w"
        );
    }

    #[test]
    fn tables_have_headings_and_no_trailing_blanks() {
        let rows = [
            ["orders".to_owned(), "12".to_owned()],
            ["a".to_owned(), String::new()],
        ];
        assert_eq!(
            table_text(["NAME", "PARTITIONS"], rows),
            "NAME    PARTITIONS\norders  12\na\n"
        );
    }

    #[test]
    fn json_keeps_text_readable_and_other_bytes_exact() {
        let json = |bytes| serde_json::to_string(&Text::of(bytes)).unwrap();
        assert_eq!(json("grüße".as_bytes()), "\"grüße\"");
        assert_eq!(json(&[0xff, 0]), "{\"base64\":\"/wA=\"}");
    }

    #[test]
    fn a_cause_that_the_error_has_said_is_not_said_again() {
        let error = anyhow::anyhow!("refused").context("listener A: refused");
        assert_eq!(
            chain(&error.context("the broker does not start")),
            "the broker does not start: listener A: refused"
        );
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1, "record"), "1 record");
        assert_eq!(count(12_345, "record"), "12,345 records");
    }
}
