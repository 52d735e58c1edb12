//! What `consume` writes for a record: literal text and `%` verbs, in the letters of rpk and kcat.

use std::io::Write;

use wire::records::Headers;

use crate::commands::escape::escape;

/// A record as it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    /// Milliseconds; −1 for none.
    pub(super) timestamp: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Headers<'a>,
}

/// A format, understood once and applied to every record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Topic,
    Partition,
    Offset,
    LeaderEpoch,
    Key(Coding),
    Value(Coding),
    KeyLength,
    ValueLength,
    Headers,
    HeaderCount,
    Millis,
    IsoTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Raw,
    Hex,
    Base64,
}

impl Template {
    /// Reads a format. Fails on a verb, an option or an escape nobody knows.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            match letter {
                '\\' => literal.push(escape(&mut rest)?),
                '%' if rest.starts_with('%') => {
                    rest = &rest[1..];
                    literal.push(b'%');
                }
                '%' => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(verb(&mut rest)?);
                }
                _ => literal.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Template(pieces))
    }

    /// Appends the record to `out`. A null key or value leaves nothing.
    pub(super) fn write(&self, out: &mut Vec<u8>, record: &Shown<'_>) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Topic => out.extend_from_slice(record.topic.as_bytes()),
                Piece::Partition => put(out, record.partition),
                Piece::Offset => put(out, record.offset),
                Piece::LeaderEpoch => put(out, record.leader_epoch),
                Piece::Key(coding) => coding.put(out, record.key),
                Piece::Value(coding) => coding.put(out, record.value),
                Piece::KeyLength => put_length(out, record.key),
                Piece::ValueLength => put_length(out, record.value),
                Piece::Headers => put_headers(out, record.headers),
                Piece::HeaderCount => put(out, record.headers.len()),
                Piece::Millis => put(out, record.timestamp),
                Piece::IsoTime => put_iso(out, record.timestamp),
            }
        }
    }
}

/// The verb after a `%`, with its option in braces.
fn verb(rest: &mut &str) -> Result<Piece, String> {
    let letter = rest
        .chars()
        .next()
        .ok_or("a % stands at the end; write %% for a percent sign")?;
    *rest = &rest[letter.len_utf8()..];
    let option = match rest.strip_prefix('{') {
        None => None,
        Some(after) => {
            let (option, after) = after
                .split_once('}')
                .ok_or_else(|| format!("the brace after %{letter} is not closed"))?;
            *rest = after;
            Some(option)
        }
    };
    let coding = || match option {
        None => Ok(Coding::Raw),
        Some("hex") => Ok(Coding::Hex),
        Some("base64") => Ok(Coding::Base64),
        Some(other) => Err(format!(
            "%{letter} can be {{hex}} or {{base64}}, not {{{other}}}"
        )),
    };
    let piece = match letter {
        'k' => return Ok(Piece::Key(coding()?)),
        'v' | 's' => return Ok(Piece::Value(coding()?)),
        'd' | 'T' if option == Some("iso") => return Ok(Piece::IsoTime),
        'd' | 'T' => Piece::Millis,
        't' => Piece::Topic,
        'p' => Piece::Partition,
        'o' => Piece::Offset,
        'e' => Piece::LeaderEpoch,
        'K' => Piece::KeyLength,
        'V' | 'S' => Piece::ValueLength,
        'h' => Piece::Headers,
        'H' => Piece::HeaderCount,
        _ => {
            return Err(format!(
                "%{letter} means nothing; there are %t %p %o %e %k %v %K %V %h %H %d %%"
            ));
        }
    };
    match option {
        None => Ok(piece),
        Some(option) => Err(format!("%{letter} has no option {{{option}}}")),
    }
}

impl Coding {
    fn put(self, out: &mut Vec<u8>, bytes: Option<&[u8]>) {
        let bytes = bytes.unwrap_or_default();
        match self {
            Coding::Raw => out.extend_from_slice(bytes),
            Coding::Hex => bytes
                .iter()
                .for_each(|byte| put(out, format_args!("{byte:02x}"))),
            Coding::Base64 => out.extend_from_slice(crate::output::base64(bytes).as_bytes()),
        }
    }
}

fn put(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to memory does not fail.
    let _ = write!(out, "{value}");
}

/// −1 tells null from empty, as in kcat.
fn put_length(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => put(out, bytes.len()),
        None => put(out, -1),
    }
}

fn put_headers(out: &mut Vec<u8>, headers: Headers<'_>) {
    for (index, header) in headers.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(header.key);
        if let Some(value) = header.value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
}

fn put_iso(out: &mut Vec<u8>, millis: i64) {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) if millis >= 0 => put(out, format_args!("{time:.3}")),
        _ => put(out, "-"),
    }
}

#[cfg(test)]
mod tests {
    use wire::batch::{BatchBuilder, BatchOptions, records};

    use super::*;

    fn shown(format: &str) -> String {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        let headers = [
            ("trace", Some(&b"7"[..])),
            ("empty", Some(b"")),
            ("null", None),
        ];
        builder
            .append(1_700_000_000_123, Some(b"k"), Some(b"\x00v"), &headers)
            .unwrap();
        let batch = builder.build().unwrap();
        let records = records(&batch, 1 << 20).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        let shown = Shown {
            topic: "orders",
            partition: 3,
            offset: 42,
            leader_epoch: 5,
            timestamp: records.header().timestamp_of(&record),
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let mut out = Vec::new();
        Template::parse(format).unwrap().write(&mut out, &shown);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_verb_shows_its_part_of_the_record() {
        assert_eq!(
            shown("%t/%p@%o e%e %k\\t%d\\n"),
            "orders/3@42 e5 k\t1700000000123\n"
        );
        assert_eq!(shown("%K %V %H|%h"), "1 2 3|trace=7,empty=,null");
        assert_eq!(
            shown("%v{hex} %s{base64} %d{iso}"),
            "0076 AHY= 2023-11-14T22:13:20.123Z"
        );
        assert_eq!(shown("100%% \\x41\\\\ é"), "100% A\\ é");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for wrong in [
            "%q",
            "%",
            "%v{octal}",
            "%v{hex",
            "%o{hex}",
            "\\q",
            "\\",
            "\\x4",
            "\\xzz",
            "\\x+1",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
