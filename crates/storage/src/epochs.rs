//! Which leader epoch wrote which offsets (KIP-101; Kafka's `LeaderEpochFileCache`).

/// Where an epoch's records end, as `OffsetForLeaderEpoch` answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The greatest epoch at or below the one asked for, -1 when the log knows nothing of it.
    pub epoch: i32,
    /// Offset after its last record, -1 when unknown.
    pub end_offset: i64,
}

impl EpochEnd {
    const UNKNOWN: EpochEnd = EpochEnd {
        epoch: -1,
        end_offset: -1,
    };
}

/// Epochs with the offset each began at; both rise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs(Vec<(i32, i64)>);

impl Epochs {
    pub(crate) fn from_list(mut list: Vec<(i32, i64)>) -> Self {
        list.sort_unstable();
        let mut epochs = Self::default();
        for (epoch, start) in list {
            epochs.assign(epoch, start);
        }
        epochs
    }

    pub(crate) fn list(&self) -> &[(i32, i64)] {
        &self.0
    }

    pub(crate) fn latest(&self) -> Option<i32> {
        self.0.last().map(|(epoch, _)| *epoch)
    }

    /// Notes that `epoch` begins at `start`; an epoch that is not newer changes nothing. Epochs that began at or after
    /// `start` wrote nothing and go.
    pub(crate) fn assign(&mut self, epoch: i32, start: i64) -> bool {
        if epoch < 0 || self.latest().is_some_and(|latest| epoch <= latest) {
            return false;
        }
        self.truncate_from_end(start);
        self.0.push((epoch, start));
        true
    }

    /// The epoch that wrote `offset`.
    pub(crate) fn epoch_of(&self, offset: i64) -> Option<i32> {
        let at = self.0.partition_point(|(_, start)| *start <= offset);
        at.checked_sub(1).map(|at| self.0[at].0)
    }

    /// Kafka's `LeaderEpochFileCache.endOffsetFor`.
    pub(crate) fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> EpochEnd {
        if epoch < 0 {
            return EpochEnd::UNKNOWN;
        }
        if self.latest() == Some(epoch) {
            return EpochEnd {
                epoch,
                end_offset: log_end_offset,
            };
        }
        let above = self.0.partition_point(|(known, _)| *known <= epoch);
        match (
            above.checked_sub(1).map(|at| self.0[at].0),
            self.0.get(above),
        ) {
            (_, None) => EpochEnd::UNKNOWN,
            (None, Some((_, start))) => EpochEnd {
                epoch,
                end_offset: *start,
            },
            (Some(floor), Some((_, start))) => EpochEnd {
                epoch: floor,
                end_offset: *start,
            },
        }
    }

    /// Forgets epochs that began at or after `end_offset`; whether any did.
    pub(crate) fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let keep = self.0.partition_point(|(_, start)| *start < end_offset);
        let cut = keep < self.0.len();
        self.0.truncate(keep);
        cut
    }

    /// Forgets epochs that ended at or before `start_offset`; the one that holds it now begins there.
    pub(crate) fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let Some(holding) = self
            .0
            .partition_point(|(_, start)| *start <= start_offset)
            .checked_sub(1)
        else {
            return false;
        };
        let changed = holding > 0 || self.0[holding].1 < start_offset;
        self.0.drain(..holding);
        self.0[0].1 = start_offset;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> Epochs {
        Epochs::from_list(vec![(2, 10), (5, 20), (7, 30)])
    }

    #[test]
    fn ends_are_the_starts_of_the_next_epoch() {
        let of = |epoch| {
            let end = epochs().end_offset_for(epoch, 40);
            (end.epoch, end.end_offset)
        };
        assert_eq!(of(7), (7, 40));
        assert_eq!(of(5), (5, 30));
        assert_eq!(of(6), (5, 30));
        assert_eq!(of(2), (2, 20));
        assert_eq!(of(1), (1, 10));
        assert_eq!(of(8), (-1, -1));
        assert_eq!(of(-1), (-1, -1));
        assert_eq!(Epochs::default().end_offset_for(0, 0), EpochEnd::UNKNOWN);
    }

    #[test]
    fn epochs_never_fall_and_empty_ones_are_replaced() {
        let mut epochs = epochs();
        assert!(!epochs.assign(7, 50));
        assert!(!epochs.assign(3, 50));
        assert!(epochs.assign(9, 30));
        assert_eq!(epochs.list(), [(2, 10), (5, 20), (9, 30)]);
        assert_eq!(
            (epochs.epoch_of(9), epochs.epoch_of(29), epochs.epoch_of(30)),
            (None, Some(5), Some(9))
        );
    }

    #[test]
    fn both_ends_can_be_cut() {
        let mut cut = epochs();
        assert!(cut.truncate_from_end(30));
        assert_eq!(cut.latest(), Some(5));
        assert!(cut.truncate_from_start(25));
        assert_eq!(cut.list(), [(5, 25)]);
        assert!(!cut.truncate_from_start(25));
    }
}
