//! How fast something happens, and for how long it must stop to be as fast as it may: Kafka's `Rate`, `QuotaUtils` and
//! `TokenBucket`. Time is an argument, in milliseconds of any clock that does not go back.

use std::collections::VecDeque;

/// Over which time a rate is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Windows {
    /// How many windows count, the current one included.
    pub(crate) count: u32,
    /// Milliseconds of one.
    pub(crate) size_ms: u64,
}

impl Windows {
    /// Milliseconds of all windows.
    fn span_ms(self) -> u64 {
        u64::from(self.count).saturating_mul(self.size_ms)
    }

    /// The most that `limit` a second lets through at once when nothing went before: what is more is throttled for certain
    /// (`ClientQuotaManager.getMaxValueInQuotaWindow`).
    pub(crate) fn most_at_once(self, limit: f64) -> f64 {
        let complete = u64::from(self.count.saturating_sub(1)).saturating_mul(self.size_ms);
        limit * complete as f64 / 1_000.0
    }
}

/// What happened in one window.
#[derive(Debug, Clone, Copy)]
struct Sample {
    began_ms: u64,
    last_ms: u64,
    sum: f64,
}

/// Events a second, over the last windows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    /// The oldest first.
    samples: VecDeque<Sample>,
}

impl Rate {
    /// Counts `value`, which may be negative to take back what was counted.
    pub(crate) fn record(&mut self, windows: Windows, value: f64, now_ms: u64) {
        self.forget_old(windows, now_ms);
        match self.samples.back_mut() {
            Some(sample) if now_ms.saturating_sub(sample.began_ms) < windows.size_ms => {
                sample.sum += value;
                sample.last_ms = now_ms;
            }
            _ => self.samples.push_back(Sample {
                began_ms: now_ms,
                last_ms: now_ms,
                sum: value,
            }),
        }
        // One more than the windows: the oldest may have begun before the time that counts.
        if self.samples.len() > windows.count as usize + 1 {
            self.samples.pop_front();
        }
    }

    /// Whether nothing counts at `now_ms`.
    pub(crate) fn is_zero(&mut self, windows: Windows, now_ms: u64) -> bool {
        self.forget_old(windows, now_ms);
        self.samples.iter().map(|sample| sample.sum).sum::<f64>() <= 0.0
    }

    /// For how many milliseconds nothing may happen, so that the rate comes down to `limit` a second: 0 while it is not above.
    /// With O observed over W and T allowed, O × W ÷ (W + X) = T gives the X.
    pub(crate) fn throttle_ms(&mut self, windows: Windows, limit: f64, now_ms: u64) -> u64 {
        self.forget_old(windows, now_ms);
        let window_ms = self.window_ms(windows, now_ms) as f64;
        let sum: f64 = self.samples.iter().map(|sample| sample.sum).sum();
        let observed = sum / (window_ms / 1_000.0);
        if observed <= limit {
            return 0;
        }
        rounded((observed - limit) / limit * window_ms)
    }

    /// The time over which the rate is taken: at least all windows but the current one, so that a client that has only begun
    /// is not taken for a fast one.
    fn window_ms(&self, windows: Windows, now_ms: u64) -> u64 {
        let began_ms = self
            .samples
            .front()
            .map_or(now_ms, |oldest| oldest.began_ms);
        let elapsed_ms = now_ms.saturating_sub(began_ms);
        let complete = elapsed_ms / windows.size_ms;
        let missing = u64::from(windows.count.saturating_sub(1)).saturating_sub(complete);
        elapsed_ms
            .saturating_add(missing.saturating_mul(windows.size_ms))
            .max(1)
    }

    fn forget_old(&mut self, windows: Windows, now_ms: u64) {
        let span_ms = windows.span_ms();
        while let Some(oldest) = self.samples.front() {
            if now_ms.saturating_sub(oldest.last_ms) < span_ms {
                break;
            }
            self.samples.pop_front();
        }
    }
}

/// Permits that come back evenly, up to what all windows together allow; a debt is waited for (KIP-599).
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenBucket {
    /// The permits left and when they were counted; a new bucket is full.
    level: Option<(f64, u64)>,
}

impl TokenBucket {
    /// The permits left at `now_ms` with `limit` of them coming back a second; less than 0 for a debt.
    pub(crate) fn tokens(&mut self, windows: Windows, limit: f64, now_ms: u64) -> f64 {
        let burst = limit * windows.span_ms() as f64 / 1_000.0;
        let tokens = self.level.map_or(burst, |(tokens, at_ms)| {
            let elapsed_ms = now_ms.saturating_sub(at_ms) as f64;
            burst.min(tokens + limit * elapsed_ms / 1_000.0)
        });
        self.level = Some((tokens, now_ms));
        tokens
    }

    /// Takes permits, also those that are not there.
    pub(crate) fn take(&mut self, windows: Windows, limit: f64, permits: f64, now_ms: u64) {
        let tokens = self.tokens(windows, limit, now_ms) - permits;
        self.level = Some((tokens, now_ms));
    }

    /// The milliseconds until a debt is paid; 0 without one.
    pub(crate) fn throttle_ms(&mut self, windows: Windows, limit: f64, now_ms: u64) -> u64 {
        let tokens = self.tokens(windows, limit, now_ms);
        if tokens < 0.0 {
            rounded(-tokens / limit * 1_000.0)
        } else {
            0
        }
    }
}

/// To the nearest whole millisecond; what is beyond the type is its largest.
fn rounded(ms: f64) -> u64 {
    (ms + 0.5).floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Kafka's defaults.
    const WINDOWS: Windows = Windows {
        count: 11,
        size_ms: 1_000,
    };

    #[test]
    fn a_client_that_begins_may_send_what_ten_windows_allow() {
        let mut rate = Rate::default();
        rate.record(WINDOWS, 10_000.0, 0);
        assert_eq!(rate.throttle_ms(WINDOWS, 1_000.0, 0), 0);
        rate.record(WINDOWS, 500.0, 0);
        // 10,500 in 10 s are 50 a second too many, which is half a second's worth of the limit.
        assert_eq!(rate.throttle_ms(WINDOWS, 1_000.0, 0), 500);
        assert_eq!(WINDOWS.most_at_once(1_000.0), 10_000.0);
    }

    /// `ClientQuotaManagerTest.testQuotaViolation` of Kafka: the same events, the same throttle time.
    #[test]
    fn the_throttle_time_is_kafkas() {
        let mut rate = Rate::default();
        let limit = 500.0;
        for second in 0..10 {
            rate.record(WINDOWS, 400.0, second * 1_000);
            assert_eq!(rate.throttle_ms(WINDOWS, limit, second * 1_000), 0);
        }
        // 2,300 on top make 6,300 in 10.5 s: 600 a second, 100 ÷ 500 of 10.5 s.
        rate.record(WINDOWS, 2_300.0, 10_500);
        assert_eq!(rate.throttle_ms(WINDOWS, limit, 10_500), 2_100);
        // Delays may go on until the burst has left the windows.
        for second in 1..=10 {
            rate.record(WINDOWS, 400.0, 12_600 + second * 1_000);
        }
        assert_eq!(rate.throttle_ms(WINDOWS, limit, 22_600), 0);
    }

    #[test]
    fn windows_that_have_passed_do_not_count() {
        let mut rate = Rate::default();
        rate.record(WINDOWS, 1e9, 0);
        assert!(!rate.is_zero(WINDOWS, 10_999));
        assert!(rate.is_zero(WINDOWS, 11_000));
        assert_eq!(rate.throttle_ms(WINDOWS, 1.0, 11_000), 0);
    }

    #[test]
    fn what_is_taken_back_does_not_count() {
        let mut rate = Rate::default();
        rate.record(WINDOWS, 9_000.0, 0);
        rate.record(WINDOWS, 5_000.0, 10);
        rate.record(WINDOWS, -5_000.0, 10);
        assert_eq!(rate.throttle_ms(WINDOWS, 1_000.0, 10), 0);
    }

    #[test]
    fn a_limit_of_nothing_waits_for_ever_and_overflows_nothing() {
        let mut rate = Rate::default();
        rate.record(WINDOWS, 1.0, 0);
        assert_eq!(rate.throttle_ms(WINDOWS, 0.0, 0), u64::MAX);
    }

    #[test]
    fn permits_come_back_evenly_and_a_debt_is_waited_for() {
        let mut bucket = TokenBucket::default();
        assert_eq!(bucket.tokens(WINDOWS, 2.0, 5), 22.0);
        bucket.take(WINDOWS, 2.0, 30.0, 5);
        assert_eq!(bucket.throttle_ms(WINDOWS, 2.0, 5), 4_000);
        assert_eq!(bucket.throttle_ms(WINDOWS, 2.0, 2_005), 2_000);
        assert_eq!(bucket.tokens(WINDOWS, 2.0, 4_005), 0.0);
        assert_eq!(bucket.tokens(WINDOWS, 2.0, 1_000_000), 22.0);
    }

    proptest! {
        #[test]
        fn a_client_that_keeps_a_tenth_below_its_limit_is_never_throttled(
            gaps in prop::collection::vec(1_u32..1_000, 1..300),
            limit in 100_u32..1_000_000,
        ) {
            let limit = f64::from(limit);
            let (mut rate, mut now_ms) = (Rate::default(), 0);
            for gap_ms in gaps {
                now_ms += u64::from(gap_ms);
                rate.record(WINDOWS, 0.9 * limit * f64::from(gap_ms) / 1_000.0, now_ms);
                prop_assert_eq!(rate.throttle_ms(WINDOWS, limit, now_ms), 0);
                prop_assert!(rate.samples.len() <= 12);
            }
        }

        #[test]
        fn nobody_waits_for_longer_than_all_that_counts_would_take_at_the_limit(
            sizes in prop::collection::vec((0_u32..100_000, 0_u64..3_000), 1..100),
            limit in 1_u32..10_000,
        ) {
            let (mut rate, mut now_ms) = (Rate::default(), 0);
            for (size, pause_ms) in sizes {
                now_ms += pause_ms;
                rate.record(WINDOWS, f64::from(size), now_ms);
                let sum: f64 = rate.samples.iter().map(|sample| sample.sum).sum();
                let throttle_ms = rate.throttle_ms(WINDOWS, f64::from(limit), now_ms) as f64;
                prop_assert!(throttle_ms <= sum / f64::from(limit) * 1_000.0 + 1.0);
            }
        }
    }
}
