//! Requests that came while the transaction before was being completed, and wait for that.
//!
//! Kafka sends them away with CONCURRENT_TRANSACTIONS, to ask again after 20 ms or 100 ms. The completion takes about one; with
//! the wait here the next transaction begins as soon as it can.

use std::collections::BTreeMap;

use foldhash::HashMap;
use tokio::time::Instant;

use super::Waiting;

/// Requests that may wait in one coordinator; others are sent away as Kafka does it.
const PARKED_MAX: usize = 1024;

/// In the order in which their patience ends, and found by transactional id.
#[derive(Default)]
pub(super) struct Parked {
    waiting: BTreeMap<Place, Waiting>,
    by_id: HashMap<String, Vec<Place>>,
    next: u64,
}

/// The end of the patience, and a number of its own, in the order of arrival.
type Place = (Instant, u64);

impl Parked {
    /// Keeps the request, or gives it back if it may not wait any longer or too many do.
    pub(super) fn park(&mut self, now: Instant, waiting: Waiting) -> Result<(), Waiting> {
        if waiting.patience <= now || self.waiting.len() >= PARKED_MAX {
            return Err(waiting);
        }
        let place = (waiting.patience, self.next);
        self.next += 1;
        let id = waiting.request.transactional_id().to_owned();
        self.by_id.entry(id).or_default().push(place);
        self.waiting.insert(place, waiting);
        Ok(())
    }

    /// The requests for this transactional id, in the order in which they came.
    pub(super) fn take(&mut self, transactional_id: &str) -> Vec<Waiting> {
        let places = self.by_id.remove(transactional_id).unwrap_or_default();
        let waiting = places.iter().filter_map(|place| self.waiting.remove(place));
        waiting.collect()
    }

    /// The requests whose patience is at its end.
    pub(super) fn take_impatient(&mut self, now: Instant) -> Vec<Waiting> {
        let mut impatient = Vec::new();
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            let (place, waiting) = first.remove_entry();
            self.forget(place, waiting.request.transactional_id());
            impatient.push(waiting);
        }
        impatient
    }

    fn forget(&mut self, place: Place, transactional_id: &str) {
        let Some(places) = self.by_id.get_mut(transactional_id) else {
            return;
        };
        places.retain(|one| *one != place);
        if places.is_empty() {
            self.by_id.remove(transactional_id);
        }
    }

    /// When to look for impatient ones.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((end, _), _)| *end)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coordinator::transactions::{EndTransaction, TransactionVersion};
    use tokio::sync::oneshot;

    use super::super::Request;
    use super::*;
    use crate::clock;

    fn waiting(id: &str, producer_id: i64, patience: Instant) -> Waiting {
        let request = Request::End(EndTransaction {
            transactional_id: id.to_owned(),
            producer_id,
            epoch: 0,
            committed: true,
            version: TransactionVersion::V2,
        });
        Waiting {
            request,
            answer: oneshot::channel().0,
            patience,
        }
    }

    fn producers(all: Vec<Waiting>) -> Vec<i64> {
        let producers = all.into_iter().map(|one| match one.request {
            Request::End(end) => end.producer_id,
            Request::Init(_) | Request::Add(_) => -1,
        });
        producers.collect()
    }

    #[tokio::test]
    async fn requests_wait_for_their_own_transactional_id_in_the_order_in_which_they_came() {
        let now = clock::monotonic();
        let later = now + Duration::from_millis(100);
        let mut parked = Parked::default();
        for (id, producer_id) in [("a", 1), ("b", 2), ("a", 3)] {
            assert!(parked.park(now, waiting(id, producer_id, later)).is_ok());
        }
        assert_eq!(producers(parked.take("a")), [1, 3]);
        assert!(parked.take("a").is_empty());
        assert_eq!(producers(parked.take_impatient(later)), [2]);
        assert_eq!(parked.next_end(), None);
    }

    #[tokio::test]
    async fn whoever_has_waited_long_enough_is_let_go_and_does_not_wait_again() {
        let now = clock::monotonic();
        let (soon, later) = (now + Duration::from_millis(1), now + Duration::from_secs(1));
        let mut parked = Parked::default();
        // One that came back later may be less patient.
        assert!(parked.park(now, waiting("a", 1, later)).is_ok());
        assert!(parked.park(now, waiting("a", 2, soon)).is_ok());
        assert_eq!(parked.next_end(), Some(soon));
        let mut impatient = parked.take_impatient(soon);
        let again = impatient.pop().expect("one");
        assert!(parked.park(soon, again).is_err());
        assert_eq!(producers(parked.take("a")), [1]);
    }

    #[tokio::test]
    async fn no_more_wait_than_there_is_room_for() {
        let now = clock::monotonic();
        let later = now + Duration::from_secs(1);
        let mut parked = Parked::default();
        for at in 0..PARKED_MAX {
            assert!(parked.park(now, waiting("a", at as i64, later)).is_ok());
        }
        assert!(parked.park(now, waiting("b", 0, later)).is_err());
    }
}
