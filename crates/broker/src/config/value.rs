//! Values as Kafka's `ConfigDef` types them: parsed from text, checked, and printed back as Kafka prints them.

use std::fmt;

/// The type of a key's value (`ConfigDef.Type`); its number on the wire is that of `ConfigEntry.ConfigType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text.
    String,
    /// A 32-bit number.
    Int,
    /// A 16-bit number.
    Short,
    /// A 64-bit number.
    Long,
    /// A floating-point number.
    Double,
    /// Comma-separated texts.
    List,
    /// The name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// The type's number in DescribeConfigs v3+.
    pub fn wire_type(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// Kafka's word for the type, as its messages and documentation use it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }

    fn integer_range(self) -> (i64, i64) {
        match self {
            Self::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Self::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

/// What a value must satisfy beyond its type. The messages are those of Kafka's validators.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// Every value of the type.
    Any,
    /// A number not below this.
    AtLeast(i64),
    /// A number within these bounds, both included.
    Between(i64, i64),
    /// A number within these bounds, or one number outside them.
    BetweenOr(i64, i64, i64),
    /// A fraction within these bounds.
    Fraction(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list of these texts.
    Each(&'static [&'static str]),
    /// A list whose elements are not empty.
    NoEmptyElement,
    /// A text that is not empty.
    NotEmpty,
    /// `*`, or a list of `partition:broker` pairs (KIP-73).
    ThrottledReplicas,
    /// Where share groups begin (`ShareGroupAutoOffsetResetStrategy`).
    ShareOffsetReset,
}

/// A parsed value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not set, and without a default.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A number of any of the three integer types; the type's range has been checked.
    Integer(i64),
    /// A fraction.
    Double(f64),
    /// A text, class name or password.
    Text(String),
    /// A list.
    List(Vec<String>),
}

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that its type or its check refuses; worded as Kafka's `ConfigException`.
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    Invalid {
        /// The key.
        name: String,
        /// The value, as Kafka would print it.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A list with an empty element (Kafka's `ValidList`).
    #[error("Configuration '{name}' values must not be empty.")]
    EmptyElement {
        /// The key.
        name: String,
    },
    /// Values that are right by themselves contradict each other or what this broker can do.
    #[error("{0}")]
    Conflict(String),
    /// A topic config that does not exist.
    #[error("Unknown topic config name: {0}")]
    UnknownTopicKey(String),
    /// A group config that does not exist.
    #[error("Unknown group config name: {0}")]
    UnknownGroupKey(String),
    /// A broker key that does not exist.
    #[error("unknown key {name} ({origin}){}", nearest_hint(.nearest.as_deref()))]
    UnknownKey {
        /// The key.
        name: String,
        /// Where it was found.
        origin: String,
        /// The known key that is spelt most like it.
        nearest: Option<String>,
    },
    /// A source that cannot be read.
    #[error("{origin}: {reason}")]
    Unreadable {
        /// The file or argument.
        origin: String,
        /// Why.
        reason: String,
    },
}

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

impl ConfigError {
    pub(super) fn invalid(name: &str, value: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self::Invalid {
            name: name.to_owned(),
            value: value.to_string(),
            reason: reason.into(),
        }
    }
}

/// A key's name, type, default and check: what both broker keys and topic keys have.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The key, as Kafka spells it.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its default as text; `None` is Kafka's `null`.
    pub default: Option<&'static str>,
    /// What its values must satisfy.
    pub check: Check,
}

impl Spec {
    /// Parses and checks a text, with Kafka's rules: surrounding blanks do not count.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let value = self.typed(text.trim_matches(|c: char| c <= ' '))?;
        self.check(&value)?;
        Ok(value)
    }

    /// The default's value.
    pub fn default_value(&self) -> Value {
        // A test parses every default, so a failure cannot reach a user.
        self.default
            .map_or(Value::Null, |text| self.typed(text).unwrap_or(Value::Null))
    }

    fn typed(&self, text: &str) -> Result<Value, ConfigError> {
        let invalid = |reason: String| ConfigError::invalid(self.name, text, reason);
        match self.kind {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            Kind::Boolean => Err(invalid(
                "Expected value to be either true or false".to_owned(),
            )),
            Kind::Int | Kind::Short | Kind::Long => {
                let (min, max) = self.kind.integer_range();
                match text.parse::<i64>() {
                    Ok(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
                    _ => Err(invalid(format!(
                        "Not a number of type {}",
                        self.kind.name()
                    ))),
                }
            }
            Kind::Double => match text.parse::<f64>() {
                Ok(number) if !number.is_nan() => Ok(Value::Double(number)),
                _ => Err(invalid(format!(
                    "Not a number of type {}",
                    self.kind.name()
                ))),
            },
            Kind::List => Ok(Value::List(split_list(text))),
            Kind::String | Kind::Class | Kind::Password => Ok(Value::Text(text.to_owned())),
        }
    }

    fn check(&self, value: &Value) -> Result<(), ConfigError> {
        let verdict = match (self.check, value) {
            (Check::Any, _) | (_, Value::Null) => Ok(()),
            (Check::AtLeast(min), Value::Integer(number)) => in_range(*number, min, i64::MAX),
            (Check::Between(min, max), Value::Integer(number)) => in_range(*number, min, max),
            (Check::BetweenOr(min, max, other), Value::Integer(number)) => {
                let fits = (min..=max).contains(number) || *number == other;
                fits.then_some(()).ok_or_else(|| {
                    format!("Value must be between {min} and {max} or equal to {other}")
                })
            }
            (Check::Fraction(min, max), Value::Double(number)) => in_fraction(*number, min, max),
            (Check::OneOf(allowed), Value::Text(text)) => one_of(text, allowed),
            (Check::OneOfAnyCase(allowed), Value::Text(text)) => {
                let known = allowed.iter().any(|one| one.eq_ignore_ascii_case(text));
                known.then_some(()).ok_or_else(|| {
                    format!(
                        "String must be one of (case insensitive): {}",
                        allowed.join(", ")
                    )
                })
            }
            (Check::Each(allowed), Value::List(list)) => {
                return self.check_elements(list, Some(allowed));
            }
            (Check::NoEmptyElement, Value::List(list)) => return self.check_elements(list, None),
            (Check::NotEmpty, Value::Text(text)) if text.is_empty() => {
                Err("String must be non-empty".to_owned())
            }
            (Check::ThrottledReplicas, Value::List(list)) => throttled_replicas(self.name, list),
            (Check::ShareOffsetReset, Value::Text(text)) => share_offset_reset(self.name, text),
            _ => Ok(()),
        };
        verdict.map_err(|reason| ConfigError::invalid(self.name, value, reason))
    }

    fn check_elements(
        &self,
        list: &[String],
        allowed: Option<&'static [&'static str]>,
    ) -> Result<(), ConfigError> {
        if list.iter().any(String::is_empty) {
            return Err(ConfigError::EmptyElement {
                name: self.name.to_owned(),
            });
        }
        let Some(allowed) = allowed else {
            return Ok(());
        };
        list.iter().try_for_each(|element| {
            one_of(element, allowed)
                .map_err(|reason| ConfigError::invalid(self.name, element, reason))
        })
    }
}

fn in_range(number: i64, min: i64, max: i64) -> Result<(), String> {
    if number < min {
        return Err(format!("Value must be at least {min}"));
    }
    if number > max {
        return Err(format!("Value must be no more than {max}"));
    }
    Ok(())
}

fn in_fraction(number: f64, min: f64, max: f64) -> Result<(), String> {
    if number < min {
        return Err(format!("Value must be at least {min}"));
    }
    if number > max {
        return Err(format!("Value must be no more than {max}"));
    }
    Ok(())
}

fn one_of(text: &str, allowed: &[&str]) -> Result<(), String> {
    allowed
        .contains(&text)
        .then_some(())
        .ok_or_else(|| format!("String must be one of: {}", allowed.join(", ")))
}

fn throttled_replicas(name: &str, list: &[String]) -> Result<(), String> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pair = |text: &String| {
        text.split_once(':')
            .is_some_and(|(left, right)| number(left) && number(right))
    };
    if list.iter().all(pair) || list == ["*"] {
        return Ok(());
    }
    Err(format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    ))
}

fn share_offset_reset(name: &str, text: &str) -> Result<(), String> {
    let known = match text.strip_prefix("by_duration:") {
        Some(duration) => is_iso_duration(duration),
        None => matches!(text, "earliest" | "latest"),
    };
    known.then_some(()).ok_or_else(|| {
        format!(
            "Invalid value `{text}` for configuration {name}. The value must be either 'earliest', 'latest' or of the \
             format 'by_duration:<PnDTnHnMn.nS>'."
        )
    })
}

/// `PnDTnHnMn.nS`: something of it, in this order, and nothing negative.
fn is_iso_duration(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let Some(rest) = text.strip_prefix('P') else {
        return false;
    };
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) => (days, Some(time)),
        None => (rest, None),
    };
    let days_fit = days.is_empty() || days.strip_suffix('D').is_some_and(is_number);
    let time_fits = time.is_none_or(|time| !time.is_empty() && is_iso_time(time));
    days_fit && time_fits && !rest.is_empty()
}

fn is_iso_time(mut text: &str) -> bool {
    for unit in ['H', 'M'] {
        if let Some((number, rest)) = text.split_once(unit) {
            if !is_number(number) {
                return false;
            }
            text = rest;
        }
    }
    let seconds = |number: &str| match number.split_once('.') {
        Some((whole, part)) => {
            is_number(whole) && part.len() <= 9 && (part.is_empty() || is_number(part))
        }
        None => is_number(number),
    };
    text.is_empty() || text.strip_suffix('S').is_some_and(seconds)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A list's elements without the blanks around them; an empty text is an empty list.
fn split_list(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',')
        .map(|element| element.trim().to_owned())
        .collect()
}

/// As Java prints the value inside a message.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::List(list) => write!(f, "[{}]", list.join(", ")),
            other => f.write_str(&other.text().unwrap_or_default()),
        }
    }
}

impl Value {
    /// As DescribeConfigs prints it; `None` for null.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Boolean(value) => Some(value.to_string()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Double(number) => Some(java_double(*number)),
            Self::Text(text) => Some(text.clone()),
            Self::List(list) => Some(list.join(",")),
        }
    }

    /// Whether the key has no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    // The accessors below are used by rows of the tables, on the type the same row declares; a test runs every row.

    pub(super) fn boolean(&self) -> bool {
        matches!(self, Self::Boolean(true))
    }

    /// 0 for null.
    pub(super) fn integer(&self) -> i64 {
        if let Self::Integer(number) = self {
            *number
        } else {
            0
        }
    }

    pub(super) fn int(&self) -> i32 {
        let number = self.integer();
        i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
    }

    pub(super) fn short(&self) -> i16 {
        let number = self.int();
        i16::try_from(number).unwrap_or(if number < 0 { i16::MIN } else { i16::MAX })
    }

    /// A number of bytes or of things; what is negative counts as none.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.integer().max(0)).unwrap_or(usize::MAX)
    }

    pub(super) fn bytes_u64(&self) -> u64 {
        self.integer().max(0).unsigned_abs()
    }

    pub(super) fn bytes_u32(&self) -> u32 {
        u32::try_from(self.integer().max(0)).unwrap_or(u32::MAX)
    }

    pub(super) fn millis(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.bytes_u64())
    }

    pub(super) fn double(&self) -> f64 {
        if let Self::Double(number) = self {
            *number
        } else {
            0.0
        }
    }

    pub(super) fn str(&self) -> &str {
        if let Self::Text(text) = self {
            text
        } else {
            ""
        }
    }

    pub(super) fn list(&self) -> &[String] {
        if let Self::List(list) = self {
            list
        } else {
            &[]
        }
    }

    /// The text unless it is null or empty.
    pub(super) fn some_text(&self) -> Option<String> {
        (!self.str().is_empty()).then(|| self.str().to_owned())
    }
}

/// `Double.toString`: always a point, and an exponent outside 10^-3 .. 10^7.
fn java_double(number: f64) -> String {
    let size = number.abs();
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_printed_as_java_prints_them() {
        for (number, text) in [
            (0.5, "0.5"),
            (1.0, "1.0"),
            (0.0, "0.0"),
            (f64::MAX, "1.7976931348623157E308"),
            (1e7, "1.0E7"),
            (1e-4, "1.0E-4"),
            (123_456.0, "123456.0"),
        ] {
            assert_eq!(java_double(number), text);
        }
    }

    #[test]
    fn a_share_group_begins_at_an_end_or_some_time_ago() {
        for good in [
            "earliest",
            "latest",
            "by_duration:PT1H",
            "by_duration:p1dt2h3m4.5s",
            "by_duration:P2D",
            "by_duration:PT0S",
        ] {
            assert_eq!(share_offset_reset("k", good), Ok(()), "{good}");
        }
        for bad in [
            "none",
            "by_duration:",
            "by_duration:P",
            "by_duration:PT",
            "by_duration:-PT1H",
            "by_duration:PT-1H",
            "by_duration:PT1M1H",
            "by_duration:1H",
            "by_duration:PT1",
            "by_duration:P1DT",
        ] {
            assert!(share_offset_reset("k", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_keeps_its_empty_elements_for_the_check_to_refuse() {
        assert_eq!(split_list(""), Vec::<String>::new());
        assert_eq!(split_list("a , b"), ["a", "b"]);
        assert_eq!(split_list("a,"), ["a", ""]);
    }
}
