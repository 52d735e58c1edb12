//! Which offset is the last of each key in the dirty part of a log: an open-addressed table of fixed size (as Kafka's
//! `SkimpyOffsetMap`), 24 bytes a slot.
//!
//! A key is known by 128 bits of a keyed hash alone. The key of the hash is drawn for every table, so nobody can prepare
//! two record keys that are taken for one another, as is possible with an unkeyed MD5; by chance it happens to one of 10^18
//! keys with a probability below 10^-2.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

use uuid::Uuid;

/// Bytes a slot takes: two halves of the hash, and the offset plus one; zero is a free slot.
pub(crate) const SLOT_BYTES: usize = 24;

pub(crate) struct OffsetMap {
    slots: Vec<[u64; 3]>,
    used: usize,
    limit: usize,
    halves: [DefaultHasher; 2],
}

impl OffsetMap {
    /// A table within `budget_bytes`, filled up to `load_factor` at most, and no larger than `records` need. It has room
    /// for one key at least.
    pub(crate) fn new(budget_bytes: u64, load_factor: f64, records: u64) -> Self {
        let load_factor = load_factor.clamp(0.1, 0.95);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a size"
        )]
        let (slots, limit) = {
            let needed = (records as f64 / load_factor) as u64;
            let slots = (budget_bytes / SLOT_BYTES as u64).min(needed.saturating_add(2));
            (slots, (slots as f64 * load_factor) as usize)
        };
        let slots = usize::try_from(slots).unwrap_or(usize::MAX / SLOT_BYTES);
        let mut second = RandomState::new().build_hasher();
        second.write(Uuid::new_v4().as_bytes());
        Self {
            slots: vec![[0; 3]; slots.max(2)],
            used: 0,
            limit: limit.max(1),
            halves: [RandomState::new().build_hasher(), second],
        }
    }

    /// Notes that `key` stands at `offset`, which is not below any noted before. `false`, and nothing noted, when the key
    /// is new and the table full.
    pub(crate) fn put(&mut self, key: &[u8], offset: i64) -> bool {
        let hash = self.hash(key);
        let at = self.find(hash);
        if self.slots[at][2] == 0 {
            if self.used >= self.limit {
                return false;
            }
            self.used += 1;
        }
        self.slots[at] = [hash[0], hash[1], offset.unsigned_abs().saturating_add(1)];
        true
    }

    /// The last offset noted for `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<i64> {
        let slot = self.slots[self.find(self.hash(key))];
        slot[2].checked_sub(1).map(u64::cast_signed)
    }

    /// How full the table is, from 0 to 1.
    pub(crate) fn utilization(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let share = self.used as f64 / self.slots.len() as f64;
        share
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.halves.each_ref().map(|half| {
            let mut hasher = half.clone();
            hasher.write(key);
            hasher.finish()
        })
    }

    /// The slot of the hash, or the free one where it belongs. There always is a free one: the load factor is below one.
    fn find(&self, hash: [u64; 2]) -> usize {
        let scaled = (u128::from(hash[0]) * self.slots.len() as u128) >> 64;
        let mut at = usize::try_from(scaled).expect("a product's upper half is below the factor");
        loop {
            let slot = &self.slots[at];
            if slot[2] == 0 || slot[..2] == hash {
                return at;
            }
            at = (at + 1) % self.slots.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_a_key_is_found_and_no_other_keys() {
        let mut map = OffsetMap::new(1 << 20, 0.9, 10_000);
        for round in 0..3 {
            for key in 0..5_000u32 {
                assert!(map.put(&key.to_be_bytes(), round * 5_000 + i64::from(key)));
            }
        }
        for key in 0..5_000u32 {
            assert_eq!(map.get(&key.to_be_bytes()), Some(10_000 + i64::from(key)));
        }
        for key in 5_000..10_000u32 {
            assert_eq!(map.get(&key.to_be_bytes()), None);
        }
        assert!((0.4..0.5).contains(&map.utilization()));
    }

    #[test]
    fn a_full_table_takes_known_keys_only() {
        let mut map = OffsetMap::new(10 * SLOT_BYTES as u64, 0.9, 1_000_000);
        let taken = (0..100u32).take_while(|key| map.put(&key.to_be_bytes(), i64::from(*key)));
        assert_eq!(taken.count(), 9);
        assert!(map.put(&3u32.to_be_bytes(), 500));
        assert_eq!(map.get(&3u32.to_be_bytes()), Some(500));
        assert_eq!(map.get(&9u32.to_be_bytes()), None);
    }

    #[test]
    fn a_table_is_no_larger_than_its_records_need_and_has_room_for_one() {
        assert!(OffsetMap::new(1 << 30, 0.9, 100).slots.len() < 120);
        assert!(OffsetMap::new(0, 0.9, 100).put(b"key", 7));
    }
}
