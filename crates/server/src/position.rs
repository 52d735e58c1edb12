//! A place in each partition of a topic, said in the words of rpk and kcat: where `consume` begins, where `group seek` puts a
//! group, up to where `topic trim` cuts.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::anyhow;
use jiff::{SignedDuration, Timestamp};

use crate::client::{Client, Topic};

/// What [`Position`] can be, for the help of an option that takes one.
pub(crate) const POSITIONS: &str = "TIME is milliseconds since 1970, a date and time such as 2026-01-31T12:00:00Z, or a \
    span back from now such as -1h.";

/// The place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
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

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Position, String> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        let parsed = match text {
            "start" | "beginning" | "earliest" => Some(Position::Start),
            "end" | "latest" => Some(Position::End),
            "json" | "table" => {
                return Err(format!(
                    "a position is wanted here, as in rpk and kcat; the format is --output {text}"
                ));
            }
            _ => match text.split_at_checked(1) {
                Some(("+", count)) => number(count).map(Position::AfterStart),
                Some(("-", count)) => number(count).map(Position::BeforeEnd),
                Some(("@", time)) => {
                    return number(time)
                        .map_or_else(|| time_of(time), |millis| Ok(Position::Time(millis)));
                }
                _ => number(text).map(Position::Offset),
            },
        };
        parsed.ok_or_else(|| {
            "there are start, end, 47, +2 (after the start), -3 (before the end) and @TIME"
                .to_owned()
        })
    }
}

/// A place in one partition, and what the partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The first offset there is.
    pub(crate) start: i64,
    /// The offset the next record will have.
    pub(crate) end: i64,
    /// What was asked for. Only an offset said as a number may be outside of `start..=end`.
    wanted: i64,
}

impl Position {
    /// The place in every partition of the topic, each of which must have a leader.
    pub(crate) async fn find(
        self,
        client: &mut Client,
        topic: &Topic,
    ) -> anyhow::Result<BTreeMap<i32, Found>> {
        let ranges = client.offset_ranges(topic).await?;
        let time = match self {
            Position::Time(millis) => Some(millis),
            Position::Ago(millis) => {
                let now = Timestamp::now().as_millisecond();
                Some(now.saturating_sub(millis).max(0))
            }
            _ => None,
        };
        let by_time = match time {
            Some(millis) => {
                let indexes = topic.partitions.iter().map(|partition| partition.index);
                let timestamps = indexes.map(|index| (index, millis)).collect();
                client.list_offsets(topic, &timestamps).await?
            }
            None => BTreeMap::new(),
        };
        let found = ranges.into_iter().map(|(index, (start, end))| {
            // No record of that time or later: what is still to come is.
            let by_time = by_time.get(&index).filter(|offset| **offset >= 0);
            let wanted = self.wanted(start, end, by_time.copied().unwrap_or(end));
            (index, Found { start, end, wanted })
        });
        Ok(found.collect())
    }

    fn wanted(self, start: i64, end: i64, by_time: i64) -> i64 {
        match self {
            Position::Start => start,
            Position::End => end,
            Position::Offset(offset) => offset,
            Position::AfterStart(count) => start.saturating_add(count).min(end),
            Position::BeforeEnd(count) => end.saturating_sub(count).max(start),
            Position::Time(_) | Position::Ago(_) => by_time,
        }
    }
}

impl Found {
    /// The offset of a place said as a number, in a partition that holds `start` to `end`.
    pub(crate) fn at(wanted: i64, (start, end): (i64, i64)) -> Found {
        Found { start, end, wanted }
    }

    /// The offset. Fails where the partition does not reach.
    pub(crate) fn exact(self) -> anyhow::Result<i64> {
        let Found { start, end, wanted } = self;
        match (start..=end).contains(&wanted) {
            true => Ok(wanted),
            false => Err(anyhow!(
                "offset {wanted} is out of range: it holds {start} to {end}"
            )),
        }
    }

    /// The offset, or the nearest one the partition has.
    pub(crate) fn nearest(self) -> i64 {
        self.wanted.clamp(self.start, self.end.max(self.start))
    }
}

/// `-1h`, `-2d 12h`, `2026-01-31T12:00:00Z`, `2026-01-31` (midnight UTC).
fn time_of(text: &str) -> Result<Position, String> {
    if let Some(ago) = text.strip_prefix('-') {
        if let Ok(span) = ago.parse::<SignedDuration>() {
            return Ok(Position::Ago(
                i64::try_from(span.as_millis()).unwrap_or(i64::MAX),
            ));
        }
    } else if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(Position::Time(time.as_millisecond()));
    } else if let Ok(time) = format!("{text}T00:00:00Z").parse::<Timestamp>() {
        return Ok(Position::Time(time.as_millisecond()));
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
            ("start", Position::Start),
            ("beginning", Position::Start),
            ("end", Position::End),
            ("47", Position::Offset(47)),
            ("+2", Position::AfterStart(2)),
            ("-3", Position::BeforeEnd(3)),
            ("@1700000000000", Position::Time(1_700_000_000_000)),
            ("@2023-11-14T22:13:20Z", Position::Time(1_700_000_000_000)),
            (
                "@2023-11-14T23:13:20+01:00",
                Position::Time(1_700_000_000_000),
            ),
            ("@2023-11-14", Position::Time(1_699_920_000_000)),
            ("@-1h30m", Position::Ago(5_400_000)),
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
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_inside_what_the_partition_holds() {
        let found = |at: Position| Found::at(at.wanted(10, 20, 13), (10, 20)).exact();
        assert_eq!(found(Position::Start).unwrap(), 10);
        assert_eq!(found(Position::End).unwrap(), 20);
        assert_eq!(found(Position::Offset(20)).unwrap(), 20);
        assert_eq!(found(Position::AfterStart(2)).unwrap(), 12);
        assert_eq!(found(Position::AfterStart(99)).unwrap(), 20);
        assert_eq!(found(Position::BeforeEnd(3)).unwrap(), 17);
        assert_eq!(found(Position::BeforeEnd(99)).unwrap(), 10);
        assert_eq!(found(Position::Time(5)).unwrap(), 13);
        for (outside, nearest) in [(9, 10), (21, 20)] {
            let found = Found::at(outside, (10, 20));
            assert_eq!(
                found.exact().unwrap_err().to_string(),
                format!("offset {outside} is out of range: it holds 10 to 20")
            );
            assert_eq!(found.nearest(), nearest);
        }
    }
}
