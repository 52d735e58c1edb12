//! The transactions that the cleaner meets while it works its way through a log (`CleanedTransactionMetadata` in Kafka):
//! which batches were aborted, and which markers have outlived the records of their transaction.

use foldhash::{HashMap, HashSet};
use wire::batch::{BatchHeader, ControlType};

use crate::transactions::AbortedTransaction;

#[derive(Debug, Default)]
pub(crate) struct CleanedTransactions {
    /// Not begun yet; the one that begins first is last.
    ahead: Vec<AbortedTransaction>,
    /// Begun, by producer, and whether any batch of it is left.
    aborting: HashMap<i64, (AbortedTransaction, bool)>,
    /// Producers with batches that no marker has ended yet, and no abort is known of.
    committing: HashSet<i64>,
    /// Aborted transactions that nothing is left of. They leave the index together with the segments that hold their
    /// markers, because a reader that is told of an abort waits for its marker.
    gone: Vec<AbortedTransaction>,
    /// Part of the log could not be read, so that no absence of records is certain any more.
    blind: bool,
}

impl CleanedTransactions {
    /// `aborted` is all that the range to clean overlaps.
    pub(crate) fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        aborted.sort_unstable_by_key(|known| std::cmp::Reverse(known.first_offset));
        Self {
            ahead: aborted,
            ..Self::default()
        }
    }

    /// From here on everything about transactions is kept.
    pub(crate) fn lose_sight(&mut self) {
        self.blind = true;
    }

    /// Takes note of a batch of records; whether it was aborted.
    pub(crate) fn on_data(&mut self, header: &BatchHeader) -> bool {
        self.begin_upto(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        match self.aborting.get_mut(&header.producer_id) {
            Some((_, observed)) => {
                *observed = true;
                true
            }
            None => {
                self.committing.insert(header.producer_id);
                false
            }
        }
    }

    /// Takes note of a control batch; whether nothing of its transaction is left.
    pub(crate) fn on_control(&mut self, header: &BatchHeader, bytes: &[u8]) -> bool {
        self.begin_upto(header.last_offset());
        if header.record_count == 0 {
            // It was emptied when it was no longer needed.
            return true;
        }
        let forsaken = match ControlType::of_batch(bytes) {
            Ok(ControlType::Abort) => match self.aborting.remove(&header.producer_id) {
                Some((_, true)) => false,
                Some((known, false)) => {
                    self.forget(known);
                    true
                }
                None => true,
            },
            Ok(ControlType::Commit) => !self.committing.remove(&header.producer_id),
            Ok(ControlType::Other(_)) | Err(_) => false,
        };
        forsaken && !self.blind
    }

    /// What has left the index since the last call.
    pub(crate) fn take_gone(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.gone)
    }

    fn begin_upto(&mut self, offset: i64) {
        while let Some(next) = self.ahead.pop_if(|next| next.first_offset <= offset) {
            let before = self.aborting.insert(next.producer_id, (next, false));
            if let Some((known, false)) = before {
                // Its marker would have come by; so there is none.
                self.forget(known);
            }
        }
    }

    fn forget(&mut self, known: AbortedTransaction) {
        if !self.blind {
            self.gone.push(known);
        }
    }
}
