//! Which names a topic may have (Kafka `Topic.java`, statement M9).

/// Longest name of a topic, in characters.
const NAME_LEN_MAX: usize = 249;

/// The topics that the broker itself writes (Kafka `Topic.INTERNAL_TOPICS`).
const INTERNAL: [&str; 3] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
];

/// Why a name is not a topic's. The texts are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    /// No name at all.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// A name that a file system gives another meaning.
    #[error("Topic name is invalid: '{name}' is not allowed")]
    Dots {
        /// `.` or `..`
        name: String,
    },
    /// More than 249 characters.
    #[error(
        "Topic name is invalid: the length of '{name}' is longer than the max allowed length 249"
    )]
    TooLong {
        /// The name.
        name: String,
    },
    /// Another character than `[a-zA-Z0-9._-]`.
    #[error(
        "Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )]
    IllegalCharacter {
        /// The name.
        name: String,
    },
}

/// Checks a name for a topic that is to be created or asked for.
///
/// # Errors
/// When Kafka would refuse it too.
pub fn check_topic_name(name: &str) -> Result<(), InvalidTopicName> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let owned = || name.to_owned();
    match name {
        "" => Err(InvalidTopicName::Empty),
        "." | ".." => Err(InvalidTopicName::Dots { name: owned() }),
        // Kafka counts UTF-16 units here; for any name that is otherwise legal that is its bytes.
        _ if name.encode_utf16().count() > NAME_LEN_MAX => {
            Err(InvalidTopicName::TooLong { name: owned() })
        }
        _ if !name.bytes().all(is_legal) => {
            Err(InvalidTopicName::IllegalCharacter { name: owned() })
        }
        _ => Ok(()),
    }
}

/// Whether the broker itself writes the topic of this name, and clients may not.
#[must_use]
pub fn is_internal_topic(name: &str) -> bool {
    INTERNAL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_kafka_judges_them() {
        for legal in ["a", "_", "-", "...", "a.b_c-D9", &"x".repeat(249)] {
            assert_eq!(check_topic_name(legal), Ok(()), "{legal}");
        }
        assert_eq!(check_topic_name(""), Err(InvalidTopicName::Empty));
        assert_eq!(
            check_topic_name(".."),
            Err(InvalidTopicName::Dots { name: "..".into() })
        );
        assert!(matches!(
            check_topic_name(&"x".repeat(250)),
            Err(InvalidTopicName::TooLong { .. })
        ));
        for illegal in ["a b", "a/b", "a:b", "ä", "a\0", "a,b"] {
            assert!(
                matches!(
                    check_topic_name(illegal),
                    Err(InvalidTopicName::IllegalCharacter { .. })
                ),
                "{illegal}"
            );
        }
    }
}
