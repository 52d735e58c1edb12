//! A checker of histories: what clients did and were told, held to what Kafka promises.
//!
//! The promise: every rule takes O(N log N) of the operations, raises nothing on a history that a correct broker can make
//! — whatever timed out, was killed or was never answered — and says for each anomaly which operations show it. It knows no
//! socket and no broker: [`history`] is all it reads.
//!
//! Offsets say in which order a log was written, so nothing has to be searched for: that values have one place each, that
//! places follow the time at which writes were acknowledged and that readers see all of them in that order is what
//! linearizability of a log means.

pub mod facts;
pub mod history;
pub mod load;
pub mod names;
pub mod report;
pub mod rules;

pub use load::{History, Loader};
pub use report::Report;

/// Holds a history to every rule. With `as_acks_all`, to what acks=all promises, however it was written.
///
/// Fails if a value was written twice.
pub fn check(history: &History, as_acks_all: bool) -> Result<Report, facts::WrittenTwice> {
    let facts = facts::Facts::of(history, as_acks_all)?;
    let mut report = Report::default();
    for rule in rules::RULES {
        (rule.check)(&facts, &mut report.of(rule.number));
    }
    Ok(report)
}
