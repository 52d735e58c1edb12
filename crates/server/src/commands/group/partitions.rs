//! Which partitions a command about groups means: `orders`, `orders:0,3`, or lines of a file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

use crate::client::TopicPartition;
use crate::outcome::usage;

/// A topic, or some of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) topic: String,
    /// All, if none are named.
    pub(super) partitions: Vec<i32>,
}

impl Choice {
    /// Whether the partition is meant.
    pub(super) fn has(&self, (topic, partition): &TopicPartition) -> bool {
        self.topic == *topic && (self.partitions.is_empty() || self.partitions.contains(partition))
    }
}

/// `TOPIC` or `TOPIC:PARTITION,…`; a topic's name has no colon.
pub(super) fn choice(text: &str) -> Result<Choice, String> {
    let (topic, partitions) = match text.split_once(':') {
        Some((topic, partitions)) => {
            let numbers = partitions.split(',').map(partition);
            (topic, numbers.collect::<Option<Vec<i32>>>())
        }
        None => (text, Some(Vec::new())),
    };
    match partitions {
        Some(partitions) if !topic.is_empty() => Ok(Choice {
            topic: topic.to_owned(),
            partitions,
        }),
        _ => Err("write it as TOPIC or TOPIC:PARTITION,…, such as orders:0,3".to_owned()),
    }
}

fn partition(text: &str) -> Option<i32> {
    text.trim().parse().ok().filter(|number| *number >= 0)
}

/// Reads offsets from a file: a topic, a partition and an offset a line, with blanks or commas between them, as rpk and
/// `kafka-consumer-groups.sh --export` write them. Fails as wrong usage on the first line that is something else.
pub(super) fn offsets_of(path: &Path) -> anyhow::Result<BTreeMap<TopicPartition, i64>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|line| {
        usage(format!(
            "{}, line {line}: a line is TOPIC PARTITION OFFSET",
            path.display()
        ))
    })
}

/// The offsets, or the number of the line that is none.
fn parse(text: &str) -> Result<BTreeMap<TopicPartition, i64>, usize> {
    let mut offsets = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = line.split(|letter: char| letter == ',' || letter.is_whitespace());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        match words[..] {
            [] => {}
            [comment, ..] if comment.starts_with('#') => {}
            [topic, index, offset] => {
                let index = partition(index).ok_or(number)?;
                let offset = offset.parse().ok().filter(|offset| *offset >= 0_i64);
                let topic = topic.trim_matches('"').to_owned();
                offsets.insert((topic, index), offset.ok_or(number)?);
            }
            _ => return Err(number),
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_or_some_of_its_partitions_can_be_named() {
        let orders = |partitions: &[i32]| Choice {
            topic: "orders".to_owned(),
            partitions: partitions.to_vec(),
        };
        assert_eq!(choice("orders"), Ok(orders(&[])));
        assert_eq!(choice("orders:0,3"), Ok(orders(&[0, 3])));
        for wrong in ["", ":1", "orders:", "orders:-1", "orders:one"] {
            assert!(choice(wrong).is_err(), "{wrong}");
        }
        let named = ("orders".to_owned(), 3);
        assert!(orders(&[]).has(&named) && orders(&[3]).has(&named) && !orders(&[0]).has(&named));
    }

    #[test]
    fn offsets_are_read_as_rpk_and_kafka_write_them() {
        let read = parse("# saved\norders 0 12\n\norders,1,7\n\"a,b\",2\n");
        assert_eq!(read, Err(5));
        let read = parse("# saved\norders 0 12\n\n\"orders\",1,7\r\n").unwrap();
        let expected = [
            (("orders".to_owned(), 0), 12),
            (("orders".to_owned(), 1), 7),
        ];
        assert_eq!(read, BTreeMap::from(expected));
        assert_eq!(parse("orders 0 -5"), Err(1));
    }
}
