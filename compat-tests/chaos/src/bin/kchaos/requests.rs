//! The requests, each as a function: arguments in, what matters of the answer out.

mod groups;
mod logs;
mod metadata;
mod topics;
mod txns;

use wire::StrBytes;

pub(crate) use self::groups::*;
pub(crate) use self::logs::*;
pub(crate) use self::metadata::*;
pub(crate) use self::topics::*;
pub(crate) use self::txns::*;
use crate::raw::Failure;

/// The coordinator of a group, and of a transactional id.
pub(crate) const GROUP: i8 = 0;

pub(crate) const TRANSACTION: i8 = 1;

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn missing(what: &str) -> Failure {
    Failure::NoAnswer(format!("the answer has no {what}"))
}
