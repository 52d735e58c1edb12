//! Where `consume` begins in each partition: what `-o` can say, in the words of rpk and kcat.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

/// The place to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartAt {
    /// The first record there is.
    Start,
    /// What comes next.
    End,
    /// This offset.
    Offset(i64),
    /// So many offsets after the first.
    AfterStart(i64),
    /// So many offsets before the end.
    BeforeEnd(i64),
    /// The first record of this time or later, in milliseconds.
    Time(i64),
    /// The first record so many milliseconds ago or later.
    Ago(i64),
}

impl FromStr for StartAt {
    type Err = String;

    fn from_str(text: &str) -> Result<StartAt, String> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        let parsed = match text {
            "start" | "beginning" | "earliest" => Some(StartAt::Start),
            "end" | "latest" => Some(StartAt::End),
            "json" | "table" => {
                return Err(format!(
                    "-o is the offset here, as in rpk and kcat; write --output {text}"
                ));
            }
            _ => match text.split_at_checked(1) {
                Some(("+", count)) => number(count).map(StartAt::AfterStart),
                Some(("-", count)) => number(count).map(StartAt::BeforeEnd),
                Some(("@", time)) => {
                    return number(time)
                        .map_or_else(|| time_of(time), |millis| Ok(StartAt::Time(millis)));
                }
                _ => number(text).map(StartAt::Offset),
            },
        };
        parsed.ok_or_else(|| {
            "there are start, end, 47, +2 (after the start), -3 (before the end) and @TIME"
                .to_owned()
        })
    }
}

/// `-1h`, `-2d 12h`, `2026-01-31T12:00:00Z`, `2026-01-31` (midnight UTC).
fn time_of(text: &str) -> Result<StartAt, String> {
    if let Some(ago) = text.strip_prefix('-') {
        if let Ok(span) = ago.parse::<SignedDuration>() {
            return Ok(StartAt::Ago(
                i64::try_from(span.as_millis()).unwrap_or(i64::MAX),
            ));
        }
    } else if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(StartAt::Time(time.as_millisecond()));
    } else if let Ok(time) = format!("{text}T00:00:00Z").parse::<Timestamp>() {
        return Ok(StartAt::Time(time.as_millisecond()));
    }
    Err(
        "a time is @1700000000000 (milliseconds), @2026-01-31, @2026-01-31T12:00:00Z or @-1h30m"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_said_as_rpk_and_kcat_say_them() {
        for (text, meant) in [
            ("start", StartAt::Start),
            ("beginning", StartAt::Start),
            ("end", StartAt::End),
            ("47", StartAt::Offset(47)),
            ("+2", StartAt::AfterStart(2)),
            ("-3", StartAt::BeforeEnd(3)),
            ("@1700000000000", StartAt::Time(1_700_000_000_000)),
            ("@2023-11-14T22:13:20Z", StartAt::Time(1_700_000_000_000)),
            (
                "@2023-11-14T23:13:20+01:00",
                StartAt::Time(1_700_000_000_000),
            ),
            ("@2023-11-14", StartAt::Time(1_699_920_000_000)),
            ("@-1h30m", StartAt::Ago(5_400_000)),
        ] {
            assert_eq!(text.parse(), Ok(meant), "{text}");
        }
    }

    #[test]
    fn what_is_no_offset_is_refused() {
        for wrong in [
            "json",
            "",
            "begin",
            "+",
            "-",
            "@",
            "--3",
            "+-3",
            "1.5",
            "@yesterday",
            "99999999999999999999",
        ] {
            assert!(wrong.parse::<StartAt>().is_err(), "{wrong}");
        }
    }
}
