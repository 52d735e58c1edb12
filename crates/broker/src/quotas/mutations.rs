//! The quota of partitions created and deleted, for the time of one request (KIP-599; `ControllerMutationQuotaManager`).

use super::limits::Applying;
use super::{Caller, MUTATION, Quotas, noted};

/// What one request may still create and delete.
pub(crate) struct Mutations<'a> {
    quotas: &'a Quotas,
    /// `None`: as much as it likes.
    applying: Option<Applying<'a>>,
    is_strict: bool,
    /// For how long the client must wait, and when that was found.
    throttled: Option<(u64, u64)>,
}

/// The quota is used up: nothing may be created or deleted now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The throttling quota has been exceeded.")]
pub(crate) struct QuotaExceeded;

impl Quotas {
    /// What the broker does of itself, which nobody's quota covers.
    pub(crate) fn own_mutations(&self) -> Mutations<'_> {
        Mutations {
            quotas: self,
            applying: None,
            is_strict: false,
            throttled: None,
        }
    }

    /// The mutations of a request of `caller`. A strict quota refuses them once it is used up; versions of requests whose clients
    /// do not know that error are let through, and pay afterwards.
    pub(crate) fn mutations<'a>(&'a self, caller: Caller<'a>, is_strict: bool) -> Mutations<'a> {
        let applying = self
            .is_limited(MUTATION)
            .then(|| self.current.load().limits.mutation.of(caller))
            .flatten();
        Mutations {
            quotas: self,
            applying,
            is_strict,
            throttled: None,
        }
    }
}

impl Mutations<'_> {
    /// Whether anything could be refused or delayed.
    pub(crate) fn is_limited(&self) -> bool {
        self.applying.is_some()
    }

    /// Takes the permits for `partitions` partitions.
    pub(crate) fn record(&mut self, partitions: usize) -> Result<(), QuotaExceeded> {
        let Some(Applying { limit, shared_by }) = self.applying else {
            return Ok(());
        };
        if partitions == 0 {
            return Ok(());
        }
        let now_ms = self.quotas.now_ms();
        let windows = self.quotas.mutation_windows;
        let mut sensors = self.quotas.mutation.lock();
        let bucket = sensors.of(shared_by, now_ms);
        if self.is_strict {
            let throttle_ms = bucket.throttle_ms(windows, limit, now_ms);
            if throttle_ms > 0 {
                self.throttled = Some((throttle_ms, now_ms));
                return Err(QuotaExceeded);
            }
            bucket.take(windows, limit, partitions as f64, now_ms);
            return Ok(());
        }
        bucket.take(windows, limit, partitions as f64, now_ms);
        let throttle_ms = bucket.throttle_ms(windows, limit, now_ms);
        if throttle_ms > 0 {
            self.throttled = Some((throttle_ms, now_ms));
        }
        Ok(())
    }

    /// Milliseconds for which the client must be silent, less those that have passed since that was found.
    pub(crate) fn throttle_ms(&self) -> i32 {
        let Some((throttle_ms, found_ms)) = self.throttled else {
            return 0;
        };
        let passed_ms = self.quotas.now_ms().saturating_sub(found_ms);
        noted(
            &self.quotas.metrics.mutation,
            throttle_ms.saturating_sub(passed_ms),
        )
    }
}
