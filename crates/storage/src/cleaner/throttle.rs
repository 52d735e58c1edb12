//! Holds the cleaner's threads to a rate of bytes together (`log.cleaner.io.max.bytes.per.second`), read and written ones
//! counted alike.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Bytes may run ahead of their time by this much, so that not every read is followed by a pause.
const AHEAD: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// When all that was done so far would have been done at the rate.
    paid_until: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Counts `bytes`; how long to pause now.
    pub(crate) fn charge(&self, bytes: u64, bytes_per_second: f64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a duration")]
        let seconds = bytes as f64 / bytes_per_second.max(1.0);
        // Nearly nothing at Kafka's default rate, and no time for what a clock cannot say.
        let Ok(cost) = Duration::try_from_secs_f64(seconds) else {
            return Duration::from_secs(1);
        };
        if cost.is_zero() {
            return cost;
        }
        let now = now();
        let mut paid_until = self.paid_until.lock();
        let from = paid_until.map_or(now, |until| until.max(now));
        let until = from.checked_add(cost).unwrap_or(from);
        *paid_until = Some(until);
        until.saturating_duration_since(now).saturating_sub(AHEAD)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a rate is measured in real time, whatever the wall clock says"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_add_up_to_what_the_rate_asks_for() {
        let throttle = Throttle::default();
        assert_eq!(throttle.charge(100, 1000.0), Duration::ZERO);
        let pause = throttle.charge(1000, 1000.0);
        assert!(pause > Duration::from_millis(800), "{pause:?}");
        assert!(throttle.charge(1000, 1000.0) > Duration::from_millis(1800));
    }

    #[test]
    fn the_default_rate_never_pauses() {
        let throttle = Throttle::default();
        assert_eq!(throttle.charge(u64::MAX, f64::MAX), Duration::ZERO);
    }
}
