//! Failures of the disk, on order: the outcomes that a healthy one does not show to a test.

use super::EmbeddedStore;
use crate::store::StoreError;

/// What goes wrong next.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// What happens to the next writes, the last one here first.
    pub(crate) writes: Vec<WriteFault>,
    /// How many of the next attempts to open the database again fail.
    pub(crate) opens: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteFault {
    /// None: it succeeds.
    Spared,
    /// Nothing was written.
    Refused,
    /// All was written, and the answer was lost.
    Written,
}

impl Faults {
    pub(super) fn around_write(
        &mut self,
        write: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self.writes.pop() {
            None | Some(WriteFault::Spared) => write(),
            Some(WriteFault::Refused) => Err(failure()),
            Some(WriteFault::Written) => write().and(Err(failure())),
        }
    }

    pub(super) fn on_open(&mut self) -> Result<(), StoreError> {
        if self.opens == 0 {
            return Ok(());
        }
        self.opens -= 1;
        Err(failure())
    }
}

pub(crate) fn failure() -> StoreError {
    StoreError::Unavailable {
        reason: "No space left on device, on order".into(),
    }
}

impl EmbeddedStore {
    /// Makes the next writes and openings fail.
    pub(crate) fn inject(&self, faults: Faults) {
        self.core.state.lock().faults = faults;
    }
}
