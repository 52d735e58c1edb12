//! Free space of one log directory: watched by the maintenance thread, and again before a fast writer could use up
//! what the last look found.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use crate::error::EngineError;
use crate::options::DiskLimits;

/// How full a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskPressure {
    /// Above both limits.
    Normal,
    /// Below the soft limit: producers are slowed down.
    Soft,
    /// Below the hard limit: appends are refused.
    Hard,
}

/// Space of a file system in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) total: u64,
    pub(crate) free: u64,
}

impl Space {
    pub(crate) fn of(path: &Path) -> Result<Self, EngineError> {
        let stat = rustix::fs::statvfs(path)
            .map_err(|error| EngineError::io(path, "look at free space", error))?;
        let unit = stat.f_frsize;
        Ok(Self {
            total: stat.f_blocks.saturating_mul(unit),
            free: stat.f_bavail.saturating_mul(unit),
        })
    }
}

#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    limits: DiskLimits,
    total: AtomicU64,
    free: AtomicU64,
    pressure: AtomicU8,
    /// Bytes that may be written before the writer has to look again.
    allowance: AtomicI64,
}

impl Disk {
    pub(crate) fn new(path: &Path, limits: DiskLimits) -> Result<Self, EngineError> {
        let disk = Self {
            path: path.to_path_buf(),
            limits,
            total: AtomicU64::new(0),
            free: AtomicU64::new(0),
            pressure: AtomicU8::new(0),
            allowance: AtomicI64::new(0),
        };
        disk.look()?;
        Ok(disk)
    }

    /// Asks the file system. Microseconds.
    pub(crate) fn look(&self) -> Result<DiskPressure, EngineError> {
        Ok(self.take(Space::of(&self.path)?))
    }

    fn take(&self, space: Space) -> DiskPressure {
        let (soft, hard) = thresholds(&self.limits, space.total);
        let pressure = match space.free {
            free if free < hard => DiskPressure::Hard,
            free if free < soft => DiskPressure::Soft,
            _ => DiskPressure::Normal,
        };
        self.total.store(space.total, Ordering::Relaxed);
        self.free.store(space.free, Ordering::Relaxed);
        self.pressure.store(pressure as u8, Ordering::Relaxed);
        let allowance = (space.free.saturating_sub(hard) / 4).max(1 << 20);
        self.allowance.store(
            i64::try_from(allowance).unwrap_or(i64::MAX),
            Ordering::Relaxed,
        );
        pressure
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    pub(crate) fn pressure(&self) -> DiskPressure {
        match self.pressure.load(Ordering::Relaxed) {
            0 => DiskPressure::Normal,
            1 => DiskPressure::Soft,
            _ => DiskPressure::Hard,
        }
    }

    /// Whether the writer may write `bytes` more. While the disk is full every call looks again, so that it heals as
    /// soon as space is back.
    pub(crate) fn admits(&self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let left = self
            .allowance
            .fetch_sub(bytes, Ordering::Relaxed)
            .saturating_sub(bytes);
        if left > 0 && self.pressure() != DiskPressure::Hard {
            return true;
        }
        self.look()
            .map_or(true, |pressure| pressure != DiskPressure::Hard)
    }

    /// A write failed for want of space, whatever the figures said.
    pub(crate) fn refuse(&self) {
        self.pressure
            .store(DiskPressure::Hard as u8, Ordering::Relaxed);
    }

    /// How long a producer should wait: nothing at the soft limit, the greatest throttle at the hard one.
    pub(crate) fn throttle_ms(&self) -> i32 {
        if self.pressure() == DiskPressure::Normal {
            return 0;
        }
        let (soft, hard) = thresholds(&self.limits, self.total());
        let (span, missing) = (
            soft.saturating_sub(hard).max(1),
            soft.saturating_sub(self.free()),
        );
        let scaled = u128::from(missing.min(span))
            * u128::try_from(self.limits.max_throttle_ms).unwrap_or(0);
        i32::try_from(scaled / u128::from(span))
            .unwrap_or(self.limits.max_throttle_ms)
            .max(1)
    }
}

/// The soft and hard limit for a disk of this size, in bytes.
fn thresholds(limits: &DiskLimits, total: u64) -> (u64, u64) {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a size"
    )]
    let share = |percent: f64| (total as f64 * percent.clamp(0.0, 100.0) / 100.0) as u64;
    let soft = limits.soft_free_bytes.min(share(limits.soft_free_percent));
    let hard = limits.hard_free_bytes.min(share(limits.hard_free_percent));
    (soft.max(hard), hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(free: u64) -> Disk {
        let limits = DiskLimits {
            soft_free_bytes: u64::MAX,
            soft_free_percent: 20.0,
            hard_free_bytes: u64::MAX,
            hard_free_percent: 10.0,
            check_interval_ms: 1,
            max_throttle_ms: 1000,
        };
        let disk = Disk::new(&std::env::temp_dir(), limits).unwrap();
        disk.take(Space {
            total: 100 << 20,
            free,
        });
        disk
    }

    #[test]
    fn the_throttle_grows_from_the_soft_to_the_hard_limit() {
        assert_eq!(
            (disk(30 << 20).pressure(), disk(30 << 20).throttle_ms()),
            (DiskPressure::Normal, 0)
        );
        assert_eq!(
            (disk(15 << 20).pressure(), disk(15 << 20).throttle_ms()),
            (DiskPressure::Soft, 500)
        );
        assert_eq!(
            (disk(5 << 20).pressure(), disk(5 << 20).throttle_ms()),
            (DiskPressure::Hard, 1000)
        );
    }

    #[test]
    fn a_refusal_lasts_until_the_next_look() {
        let limits = DiskLimits {
            hard_free_bytes: 0,
            soft_free_bytes: 0,
            ..DiskLimits::default()
        };
        let disk = Disk::new(&std::env::temp_dir(), limits).unwrap();
        disk.refuse();
        assert_eq!(disk.pressure(), DiskPressure::Hard);
        assert!(disk.admits(1));
        assert_eq!(disk.pressure(), DiskPressure::Normal);
    }
}
