//! Patterns that clients send, for names of topics and transactional ids.

use regex::{Regex, RegexBuilder};

/// Bytes that a compiled pattern may take; the engine's time is linear in the name whatever the pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Compiles a pattern that has to match a whole name. Kafka takes the syntax of RE2/J, of which `regex` is a near relative.
pub(crate) fn of_whole_name(pattern: &str) -> Result<Regex, regex::Error> {
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
    };
    // First alone, since `a)|(b` would be well-formed between the anchors.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}
