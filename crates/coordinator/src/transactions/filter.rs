//! Which transactional ids ListTransactions asks for.

use regex::Regex;

use super::state::TransactionState;
use super::value::TransactionValue;

/// A pattern of transactional ids that is no regular expression, or too large a one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a valid regular expression: {reason}")]
pub struct UnreadablePattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What ListTransactions (key 66) asks for; `Default` asks for all.
#[derive(Debug, Clone, Default)]
pub struct TransactionFilter {
    states: Vec<TransactionState>,
    producer_ids: Vec<i64>,
    unknown_states: Vec<String>,
    min_duration_ms: Option<i64>,
    id_pattern: Option<Regex>,
}

impl TransactionFilter {
    /// Only these states, by their names. With nothing but unknown names nothing is found, as in Kafka.
    #[must_use]
    pub fn with_states(mut self, names: impl IntoIterator<Item = String>) -> Self {
        for name in names {
            match TransactionState::by_name(&name) {
                Some(state) => self.states.push(state),
                None => self.unknown_states.push(name),
            }
        }
        self
    }

    /// Only these producer ids; none for all.
    #[must_use]
    pub fn with_producer_ids(mut self, producer_ids: Vec<i64>) -> Self {
        self.producer_ids = producer_ids;
        self
    }

    /// Only what has gone on for longer than this (KIP-994); below 0 for all.
    #[must_use]
    pub fn with_min_duration_ms(mut self, min_duration_ms: i64) -> Self {
        self.min_duration_ms = (min_duration_ms >= 0).then_some(min_duration_ms);
        self
    }

    /// Only ids that the pattern matches as a whole (KIP-1152); the empty pattern for all.
    ///
    /// # Errors
    /// [`UnreadablePattern`].
    pub fn with_id_pattern(mut self, pattern: &str) -> Result<Self, UnreadablePattern> {
        if pattern.is_empty() {
            return Ok(self);
        }
        self.id_pattern =
            Some(
                crate::pattern::of_whole_name(pattern).map_err(|error| UnreadablePattern {
                    pattern: pattern.to_owned(),
                    reason: error.to_string(),
                })?,
            );
        Ok(self)
    }

    /// The names asked for that are no states.
    #[must_use]
    pub fn unknown_states(&self) -> &[String] {
        &self.unknown_states
    }

    pub(super) fn matches(&self, now_ms: i64, id: &str, value: &TransactionValue) -> bool {
        let any_state = self.states.is_empty() && self.unknown_states.is_empty();
        // Without a transaction the start is −1, and the duration that of the whole epoch, as in Kafka.
        let duration_ms = now_ms.saturating_sub(value.started_ms);
        (any_state || self.states.contains(&value.state))
            && (self.producer_ids.is_empty() || self.producer_ids.contains(&value.producer_id))
            && self
                .min_duration_ms
                .is_none_or(|min_ms| duration_ms > min_ms)
            && self
                .id_pattern
                .as_ref()
                .is_none_or(|regex| regex.is_match(id))
    }
}
