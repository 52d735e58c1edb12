//! How a command ended, as the exit code and as one line on stderr.

use std::fmt;
use std::io;
use std::process::ExitCode;

use anyhow::anyhow;
use wire::ResponseError;

use crate::output;

/// How a command ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything asked for was done: exit code 0.
    Done,
    /// Some of it was done; the rest was reported: exit code 3.
    Partial,
    /// The answer itself says that something is wrong: exit code 1.
    Failed,
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const PARTIAL: u8 = 3;

/// A mistake in how the command was called that clap cannot see: exit code 2.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A broker's refusal: what was asked, of whom, what came back, and what can be done.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What was asked, such as `create topic orders`.
    pub(crate) asked: String,
    /// Who answered, as `host:port`.
    pub(crate) by: String,
    /// Kafka's error code, not 0.
    pub(crate) code: i16,
    /// The broker's own words, if it had any.
    pub(crate) message: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            asked,
            by,
            code,
            message,
        } = self;
        write!(
            f,
            "cannot {asked}: {by} answered {} ({code})",
            code_name(*code)
        )?;
        if let Some(message) = message.as_deref().filter(|message| !message.is_empty()) {
            write!(f, ": {}", message.trim_end_matches('.'))?;
        }
        match hint(*code) {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// Kafka's name of an error code, as its documentation spells it.
pub(crate) fn code_name(code: i16) -> String {
    match ResponseError::try_from_code(code) {
        None => "NONE".to_owned(),
        Some(ResponseError::Unknown(_)) => "an error unknown to this program".to_owned(),
        Some(error) => screaming(&format!("{error:?}")),
    }
}

fn screaming(camel: &str) -> String {
    let mut name = String::with_capacity(camel.len() + 8);
    for (index, letter) in camel.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// What the user can do about it, where that is known.
fn hint(code: i16) -> Option<&'static str> {
    Some(match ResponseError::try_from_code(code)? {
        ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId => {
            "`tidewater topic list` shows what there is"
        }
        ResponseError::TopicAlreadyExists => {
            "`tidewater topic alter` changes it, `--if-not-exists` lets it be"
        }
        ResponseError::MessageTooLarge => "the topic's `max.message.bytes` is the limit",
        ResponseError::RecordListTooLarge => "the topic's `segment.bytes` is the limit",
        ResponseError::KafkaStorageError => {
            "the broker's disk is full or failing: its log says which, and it heals without a restart once there is space"
        }
        ResponseError::InvalidReplicationFactor => {
            "`tidewater cluster info` shows how many brokers there are"
        }
        ResponseError::LeaderNotAvailable => {
            "the broker that has the data is not up; `tidewater topic describe` shows which"
        }
        ResponseError::TopicDeletionDisabled => "the broker's `delete.topic.enable` is false",
        ResponseError::InvalidTimestamp => {
            "the topic's `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` are the limits"
        }
        ResponseError::NotEnoughReplicas | ResponseError::NotEnoughReplicasAfterAppend => {
            "fewer replicas are in sync than the topic's `min.insync.replicas`"
        }
        ResponseError::UnsupportedVersion => "the broker is too old, or too new, for this request",
        _ => return None,
    })
}

/// Counts what was done of several things asked for, and reports what was not.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    done: usize,
    errors: Vec<anyhow::Error>,
}

impl Tally {
    /// Something was done.
    pub(crate) fn done(&mut self) {
        self.done += 1;
    }

    /// Something was not.
    pub(crate) fn failed(&mut self, error: impl Into<anyhow::Error>) {
        self.errors.push(error.into());
    }

    /// All done, some done, or the error. With several errors, all but the last are reported here.
    pub(crate) fn outcome(mut self) -> anyhow::Result<Outcome> {
        let Some(last) = self.errors.pop() else {
            return Ok(Outcome::Done);
        };
        for error in &self.errors {
            output::error(error);
        }
        if self.done == 0 {
            return Err(last);
        }
        output::error(&last);
        Ok(Outcome::Partial)
    }
}

/// Reports the end of a command and gives the exit code.
pub(crate) fn finish(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::from(PARTIAL),
        Ok(Outcome::Failed) => ExitCode::from(FAILED),
        // Who reads our output has seen enough, as `head` has.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(if error.is::<UsageError>() {
                USAGE
            } else {
                FAILED
            })
        }
    }
}

/// Stdout was closed by its reader. Nothing but stdout is a pipe here: a broken socket is wrapped by the client.
#[derive(Debug)]
pub(crate) struct StdoutError(pub(crate) io::Error);

impl fmt::Display for StdoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write to stdout: {}", self.0)
    }
}

impl std::error::Error for StdoutError {}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<StdoutError>()
        .is_some_and(|error| error.0.kind() == io::ErrorKind::BrokenPipe)
}

/// A [`UsageError`] ready to be returned.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow!(UsageError(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_was_asked_of_whom_what_came_back_and_what_to_do() {
        let refusal = Refusal {
            asked: "create topic orders".to_owned(),
            by: "localhost:9092".to_owned(),
            code: 36,
            message: Some("Topic 'orders' already exists.".to_owned()),
        };
        assert_eq!(
            refusal.to_string(),
            "cannot create topic orders: localhost:9092 answered TOPIC_ALREADY_EXISTS (36): Topic 'orders' already exists; \
             `tidewater topic alter` changes it, `--if-not-exists` lets it be"
        );
    }

    #[test]
    fn error_names_are_spelt_as_kafka_spells_them() {
        for (code, name) in [
            (1, "OFFSET_OUT_OF_RANGE"),
            (6, "NOT_LEADER_OR_FOLLOWER"),
            (17, "INVALID_TOPIC_EXCEPTION"),
            (56, "KAFKA_STORAGE_ERROR"),
            (-1, "UNKNOWN_SERVER_ERROR"),
        ] {
            assert_eq!(code_name(code), name);
        }
    }

    #[test]
    fn some_done_is_partial_and_none_done_is_the_error() {
        let mut some = Tally::default();
        some.done();
        some.failed(anyhow!("no"));
        assert_eq!(some.outcome().unwrap(), Outcome::Partial);

        let mut none = Tally::default();
        none.failed(anyhow!("no"));
        assert_eq!(none.outcome().unwrap_err().to_string(), "no");

        assert_eq!(Tally::default().outcome().unwrap(), Outcome::Done);
    }
}
