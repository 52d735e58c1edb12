//! The process's live log filter: what it is now, and how it changes. The admin endpoint and the broker loggers of Kafka's
//! protocol (resource type 8, KIP-412) both speak of this one.
//!
//! A filter is a list of directives, as `tracing_subscriber::EnvFilter` reads them: `info,tidewater_storage=debug`.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;

use crate::config::alter::{Alteration, Operation};

/// The logger that stands for all that have no level of their own.
const ROOT: &str = "root";
/// The targets of what the program logs.
const LOGGERS: [&str; 5] = [
    "tidewater",
    "tidewater_broker",
    "tidewater_cluster",
    "tidewater_coordinator",
    "tidewater_storage",
];
/// Kafka's levels beside the filter's. Nothing here is worse than an error, so FATAL logs nothing.
const LEVELS: [(&str, &str); 6] = [
    ("DEBUG", "debug"),
    ("ERROR", "error"),
    ("FATAL", "off"),
    ("INFO", "info"),
    ("TRACE", "trace"),
    ("WARN", "warn"),
];

/// Makes a filter effective, or says what is wrong with it.
type Apply = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The log filter of a process. The embedder of the broker owns the subscriber, so it makes this and lends it.
pub struct LogFilter {
    current: Mutex<String>,
    apply: Apply,
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.current()).finish()
    }
}

/// Why log levels are not changed (`RuntimeLoggerManager`, whose words these are).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoggerError {
    #[error("Logger {0} does not exist!")]
    Unknown(String),
    #[error(
        "Cannot set the log level of {logger} to {level} as it is not a supported log level. Valid log levels are {}",
        LEVELS.map(|(name, _)| name).join(", ")
    )]
    Level { logger: String, level: String },
    #[error("Removing the log level of the root logger is not allowed")]
    Root,
    #[error("{0} operation is not allowed for the BROKER_LOGGER resource")]
    Operation(&'static str),
    #[error("the log filter could not be changed: {0}")]
    Filter(String),
}

impl LogFilter {
    /// A filter that is `current` now and changed by `apply`, which must not block for long.
    pub fn new(
        current: impl Into<String>,
        apply: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            current: Mutex::new(current.into()),
            apply: Box::new(apply),
        }
    }

    /// The filter in force.
    pub fn current(&self) -> String {
        self.current.lock().clone()
    }

    /// Puts another filter in force. Fails, with the reason, if it cannot be read; then nothing changes.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        let mut current = self.current.lock();
        (self.apply)(filter)?;
        filter.clone_into(&mut current);
        Ok(())
    }

    /// Every logger with its level, by Kafka's name of it.
    pub(crate) fn levels(&self) -> BTreeMap<String, &'static str> {
        let directives = Directives::parse(&self.current.lock());
        let loggers = directives.loggers();
        loggers
            .into_iter()
            .map(|logger| {
                let level = directives.level(&logger);
                (logger, level)
            })
            .collect()
    }

    /// Changes levels of loggers: all of them or none. `validate_only` looks whether it could.
    pub(crate) fn alter(
        &self,
        alterations: &[Alteration],
        validate_only: bool,
    ) -> Result<(), LoggerError> {
        let mut current = self.current.lock();
        let mut directives = Directives::parse(&current);
        let loggers = directives.loggers();
        for alteration in alterations {
            let logger = &alteration.name;
            if matches!(
                alteration.operation,
                Operation::Append | Operation::Subtract
            ) {
                return Err(LoggerError::Operation(alteration.operation.name()));
            }
            if !loggers.contains(logger) {
                return Err(LoggerError::Unknown(logger.clone()));
            }
            directives.alter(alteration)?;
        }
        if validate_only {
            return Ok(());
        }
        let filter = directives.to_string();
        (self.apply)(&filter).map_err(LoggerError::Filter)?;
        *current = filter;
        Ok(())
    }
}

/// A filter taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directives(Vec<Directive>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Directive {
    /// `info`
    Root(&'static str),
    /// `tidewater_storage=debug`
    Target(String, &'static str),
    /// About spans and their fields: kept as it is.
    Other(String),
}

impl Directives {
    fn parse(filter: &str) -> Self {
        let parts = split(filter).into_iter().map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        Self(parts.map(Directive::parse).collect())
    }

    fn loggers(&self) -> Vec<String> {
        let own = self.0.iter().filter_map(|directive| match directive {
            Directive::Target(target, _) => Some(target.as_str()),
            _ => None,
        });
        let mut all: Vec<String> = LOGGERS
            .into_iter()
            .chain([ROOT])
            .chain(own)
            .map(str::to_owned)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The level of the longest target that the logger's name begins with.
    fn level(&self, logger: &str) -> &'static str {
        let closest = self.0.iter().filter_map(|directive| match directive {
            Directive::Root(level) => Some((0, *level)),
            Directive::Target(target, level) if logger != ROOT && logger.starts_with(target) => {
                Some((target.len(), *level))
            }
            _ => None,
        });
        let level = closest.max_by_key(|(length, _)| *length);
        kafka_level(level.map_or("off", |(_, level)| level))
    }

    fn alter(&mut self, alteration: &Alteration) -> Result<(), LoggerError> {
        let logger = &alteration.name;
        let level = match alteration.operation {
            Operation::Set => {
                let level = alteration.value.clone().unwrap_or_default();
                let known = LEVELS.iter().find(|(name, _)| *name == level);
                let Some((_, level)) = known else {
                    let logger = logger.clone();
                    return Err(LoggerError::Level { logger, level });
                };
                Some(*level)
            }
            _ if logger == ROOT => return Err(LoggerError::Root),
            _ => None,
        };
        self.0.retain(|directive| match directive {
            Directive::Root(_) => logger != ROOT,
            Directive::Target(target, _) => target != logger,
            Directive::Other(_) => true,
        });
        match level {
            Some(level) if logger == ROOT => self.0.insert(0, Directive::Root(level)),
            Some(level) => self.0.push(Directive::Target(logger.clone(), level)),
            None => {}
        }
        Ok(())
    }
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, directive) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match directive {
                Directive::Root(level) => f.write_str(level)?,
                Directive::Target(target, level) => write!(f, "{target}={level}")?,
                Directive::Other(text) => f.write_str(text)?,
            }
        }
        Ok(())
    }
}

impl Directive {
    fn parse(text: &str) -> Self {
        if text.contains(['[', '{']) {
            return Self::Other(text.to_owned());
        }
        match text.split_once('=') {
            Some((target, level)) => match filter_level(level) {
                Some(level) => Self::Target(target.trim().to_owned(), level),
                None => Self::Other(text.to_owned()),
            },
            None => match filter_level(text) {
                Some(level) => Self::Root(level),
                // A target by itself: everything of it.
                None => Self::Target(text.to_owned(), "trace"),
            },
        }
    }
}

/// The parts between commas, those inside brackets not counted.
fn split(filter: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    filter
        .split(|c| {
            match c {
                '[' | '{' => depth += 1,
                ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ',' && depth == 0
        })
        .collect()
}

/// A level in any case, or its number.
fn filter_level(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let numbered = ["off", "error", "warn", "info", "debug", "trace"];
    if let Ok(number) = text.parse::<usize>() {
        return numbered.get(number).copied();
    }
    numbered
        .into_iter()
        .find(|level| level.eq_ignore_ascii_case(text))
}

fn kafka_level(level: &str) -> &'static str {
    let known = LEVELS.iter().find(|(_, ours)| *ours == level);
    known.map_or("FATAL", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(current: &str) -> LogFilter {
        LogFilter::new(current, |_| Ok(()))
    }

    fn alteration(name: &str, operation: Operation, value: &str) -> Alteration {
        Alteration {
            name: name.to_owned(),
            operation,
            value: Some(value.to_owned()),
        }
    }

    #[test]
    fn a_logger_has_the_level_of_the_closest_directive() {
        let filter = filter(
            "warn,tidewater_storage=DEBUG,tidewater_broker::net=5,hyper,[span{a=1,b}]=trace",
        );
        let levels = filter.levels();
        assert_eq!(levels[ROOT], "WARN");
        assert_eq!(levels["tidewater_storage"], "DEBUG");
        assert_eq!(levels["tidewater_broker"], "WARN");
        assert_eq!(levels["tidewater_broker::net"], "TRACE");
        assert_eq!(levels["hyper"], "TRACE");
        assert_eq!(levels.len(), 8, "{levels:?}");
    }

    #[test]
    fn what_no_directive_speaks_of_is_not_logged() {
        assert_eq!(filter("tidewater_storage=info").levels()[ROOT], "FATAL");
    }

    #[test]
    fn levels_are_set_and_deleted_and_the_rest_of_the_filter_stays() {
        let filter = filter("info,[span{a=1,b}]=trace");
        let wishes = [
            alteration(ROOT, Operation::Set, "WARN"),
            alteration("tidewater_storage", Operation::Set, "DEBUG"),
        ];
        assert_eq!(filter.alter(&wishes, true), Ok(()));
        assert_eq!(filter.current(), "info,[span{a=1,b}]=trace");
        assert_eq!(filter.alter(&wishes, false), Ok(()));
        assert_eq!(
            filter.current(),
            "warn,[span{a=1,b}]=trace,tidewater_storage=debug"
        );
        let delete = [alteration("tidewater_storage", Operation::Delete, "")];
        assert_eq!(filter.alter(&delete, false), Ok(()));
        assert_eq!(filter.current(), "warn,[span{a=1,b}]=trace");
    }

    #[test]
    fn what_kafka_refuses_is_refused_and_nothing_changes() {
        let filter = filter("info");
        for (wish, words) in [
            (
                alteration("nope", Operation::Set, "INFO"),
                "Logger nope does not exist!",
            ),
            (
                alteration(ROOT, Operation::Set, "info"),
                "Cannot set the log level of root to info as it is not a supported log level. Valid log levels are DEBUG, \
                 ERROR, FATAL, INFO, TRACE, WARN",
            ),
            (
                alteration(ROOT, Operation::Delete, ""),
                "Removing the log level of the root logger is not allowed",
            ),
            (
                alteration(ROOT, Operation::Append, "INFO"),
                "APPEND operation is not allowed for the BROKER_LOGGER resource",
            ),
        ] {
            let first = alteration("tidewater", Operation::Set, "TRACE");
            let error = filter.alter(&[first, wish], false).expect_err(words);
            assert_eq!(error.to_string(), words);
            assert_eq!(filter.current(), "info");
        }
    }
}
