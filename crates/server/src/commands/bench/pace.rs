//! Whose turn it is: hands out records to those who write them, at a rate or as fast as they can, until there are enough.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use tokio::time::Instant;

/// When it ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// After so many records.
    Records(u64),
    /// After so long.
    Time(Duration),
}

/// The order in which records are due, shared by all that write them.
pub(super) struct Pace {
    pub(super) began: Instant,
    goal: Goal,
    rate: Option<NonZeroU32>,
    /// The first record that nobody has taken.
    next: AtomicU64,
    bar: ProgressBar,
}

/// Records that somebody has to write: `first..first + count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) first: u64,
    pub(super) count: u64,
}

/// The longest latency told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(3600);

/// Latencies in microseconds, exact to three digits, in memory that does not grow.
pub(super) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, micros(LONGEST), 3)?)
}

/// As histograms count.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Pace {
    /// Begins now.
    pub(super) fn begin(goal: Goal, rate: Option<NonZeroU32>, bar: ProgressBar) -> Pace {
        Pace {
            began: Instant::now(),
            goal,
            rate,
            next: AtomicU64::new(0),
            bar,
        }
    }

    /// Waits until there is something to write and takes at most `most` of it; `None` when it is over.
    pub(super) async fn turn(&self, most: u64) -> Option<Turn> {
        loop {
            let elapsed = self.began.elapsed();
            let first = self.next.load(Ordering::Relaxed);
            let due = self.due(elapsed).min(self.last(elapsed));
            if first >= self.last(elapsed) {
                return None;
            }
            if first >= due {
                tokio::time::sleep_until(self.began + self.due_at(first)).await;
                continue;
            }
            let count = (due - first).min(most);
            let taken = self.next.compare_exchange(
                first,
                first + count,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if taken.is_ok() {
                return Some(Turn { first, count });
            }
        }
    }

    /// When a record is due, after the beginning; without a rate, always.
    pub(super) fn due_at(&self, record: u64) -> Duration {
        match self.rate {
            Some(rate) => Duration::from_secs_f64(record as f64 / f64::from(rate.get())),
            None => Duration::ZERO,
        }
    }

    /// Since when the records of a turn have been waiting: each since it was due, or all since now.
    pub(super) fn waiting_since(&self, record: u64, now: Duration) -> Duration {
        match self.rate {
            Some(_) => self.due_at(record),
            None => now,
        }
    }

    /// Tells the bar.
    pub(super) fn done(&self, records: u64) {
        match self.goal {
            Goal::Records(_) => self.bar.inc(records),
            Goal::Time(_) => self.bar.set_position(micros(self.began.elapsed()) / 1000),
        }
    }

    /// How many records are due by now.
    fn due(&self, elapsed: Duration) -> u64 {
        match self.rate {
            // The first is due at once.
            Some(rate) => (elapsed.as_secs_f64() * f64::from(rate.get())) as u64 + 1,
            None => u64::MAX,
        }
    }

    /// One past the last record there will be. With a rate, what was due in time is written, however late it has become.
    fn last(&self, elapsed: Duration) -> u64 {
        match (self.goal, self.rate) {
            (Goal::Records(records), _) => records,
            (Goal::Time(length), Some(rate)) => {
                (length.as_secs_f64() * f64::from(rate.get())).ceil() as u64
            }
            (Goal::Time(length), None) if elapsed < length => u64::MAX,
            (Goal::Time(_), None) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(goal: Goal, rate: Option<u32>) -> Pace {
        Pace::begin(goal, rate.and_then(NonZeroU32::new), ProgressBar::hidden())
    }

    /// Runs on tokio's own clock, stopped: only sleeping moves it.
    fn on_a_stopped_clock<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(work)
    }

    #[test]
    fn a_number_of_records_is_handed_out_once_and_then_it_is_over() {
        on_a_stopped_clock(async {
            let pace = pace(Goal::Records(5), None);
            assert_eq!(pace.turn(3).await, Some(Turn { first: 0, count: 3 }));
            assert_eq!(pace.turn(3).await, Some(Turn { first: 3, count: 2 }));
            assert_eq!(pace.turn(3).await, None);
        });
    }

    #[test]
    fn at_a_rate_records_have_their_turns_and_wait_since_then() {
        let pace = pace(Goal::Time(Duration::from_secs(2)), Some(10));
        assert_eq!(pace.due(Duration::ZERO), 1);
        assert_eq!(pace.due(Duration::from_millis(950)), 10);
        assert_eq!(
            pace.last(Duration::from_secs(9)),
            20,
            "also what has become late"
        );
        assert_eq!(pace.due_at(15), Duration::from_millis(1500));
        let late = Duration::from_secs(9);
        assert_eq!(pace.waiting_since(15, late), Duration::from_millis(1500));
    }

    #[test]
    fn without_a_rate_time_ends_it_and_nobody_waits_before_being_sent() {
        let pace = pace(Goal::Time(Duration::from_secs(2)), None);
        assert_eq!(pace.last(Duration::from_secs(1)), u64::MAX);
        assert_eq!(pace.last(Duration::from_secs(2)), 0);
        let now = Duration::from_secs(1);
        assert_eq!(pace.waiting_since(15, now), now);
    }
}
