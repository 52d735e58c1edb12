//! A sorted map that shares its unchanged parts with the map it was copied from.
//!
//! The image is replaced on every revision while older ones are still being read. Copying a map of a hundred thousand topics
//! for one new topic would make creating topics quadratic; here a change copies one chunk and the list of chunks.

use std::borrow::Borrow;
use std::sync::Arc;

/// Most entries of a chunk: small enough to copy for one change, large enough to keep the list of chunks short.
const CHUNK_MAX: usize = 128;

type Chunk<K, V> = Arc<Vec<(K, V)>>;
type Entries<'a, K, V> = Vec<&'a (K, V)>;

#[derive(Debug)]
pub(crate) struct ChunkedMap<K, V> {
    /// In key order; no chunk is empty.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Clone for ChunkedMap<K, V> {
    fn clone(&self) -> Self {
        Self {
            chunks: Arc::clone(&self.chunks),
            len: self.len,
        }
    }
}

impl<K, V> Default for ChunkedMap<K, V> {
    fn default() -> Self {
        Self {
            chunks: Arc::default(),
            len: 0,
        }
    }
}

impl<K: Ord + Clone, V: Clone> ChunkedMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let index = place(chunk, key).ok()?;
        Some(&chunk[index].1)
    }

    /// The entries in key order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The entries from `key` on, in key order.
    pub(crate) fn iter_from<Q: Ord + ?Sized>(&self, key: &Q) -> impl Iterator<Item = &(K, V)>
    where
        K: Borrow<Q>,
    {
        let first = self.chunk_of(key).min(self.chunks.len());
        let skipped = self
            .chunks
            .get(first)
            .map_or(0, |chunk| place(chunk, key).unwrap_or_else(|index| index));
        self.chunks[first..]
            .iter()
            .flat_map(|chunk| chunk.iter())
            .skip(skipped)
    }

    /// Sets `key` and gives back what it held.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let chunk_index = self.chunk_of(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(chunk_index) else {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        match place(chunk, &key) {
            Ok(index) => return Some(std::mem::replace(&mut chunk[index].1, value)),
            Err(index) => chunk.insert(index, (key, value)),
        }
        self.len += 1;
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            chunks.insert(chunk_index + 1, Arc::new(upper));
        }
        None
    }

    /// Removes `key` and gives back what it held.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let chunk_index = self.chunk_of(key);
        let index = place(self.chunks.get(chunk_index)?, key).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[chunk_index]);
        let (_, value) = chunk.remove(index);
        self.len -= 1;
        if chunk.is_empty() {
            chunks.remove(chunk_index);
        } else {
            merge_small(chunks, chunk_index);
            merge_small(chunks, chunk_index.saturating_sub(1));
        }
        Some(value)
    }

    /// The entries of `self` and of `older` that lie outside the chunks both have: all that may differ, and little else.
    pub(crate) fn unshared<'a>(
        &'a self,
        older: &'a Self,
    ) -> (Entries<'a, K, V>, Entries<'a, K, V>) {
        let address = |chunk: &Chunk<K, V>| Arc::as_ptr(chunk) as usize;
        let only = |these: &'a Self, others: &Self| {
            let shared: std::collections::HashSet<usize> =
                others.chunks.iter().map(address).collect();
            these
                .chunks
                .iter()
                .filter(|&chunk| !shared.contains(&address(chunk)))
                .flat_map(|chunk| chunk.iter())
                .collect()
        };
        if Arc::ptr_eq(&self.chunks, &older.chunks) {
            return (Vec::new(), Vec::new());
        }
        (only(self, older), only(older, self))
    }

    /// The only chunk that can hold `key`; one past the end only when there is no chunk.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.chunks
            .partition_point(|chunk| chunk[0].0.borrow() <= key)
            .saturating_sub(1)
    }
}

fn place<K: Borrow<Q>, Q: Ord + ?Sized, V>(chunk: &[(K, V)], key: &Q) -> Result<usize, usize> {
    chunk.binary_search_by(|(held, _)| held.borrow().cmp(key))
}

/// Joins a chunk with its right neighbour if both have become small, so that deletions do not leave a long list of small ones.
fn merge_small<K: Clone, V: Clone>(chunks: &mut Vec<Chunk<K, V>>, index: usize) {
    let (Some(chunk), Some(next)) = (chunks.get(index), chunks.get(index + 1)) else {
        return;
    };
    if chunk.len() + next.len() <= CHUNK_MAX / 2 {
        let next = chunks.remove(index + 1);
        Arc::make_mut(&mut chunks[index]).extend(next.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_answers_like_a_btreemap_and_leaves_copies_alone(
            steps in prop::collection::vec((any::<bool>(), 0_u16..600, any::<u8>()), 0..1500),
        ) {
            let mut model = BTreeMap::new();
            let mut map = ChunkedMap::default();
            let mut copies = Vec::new();
            for (step, (add, key, value)) in steps.into_iter().enumerate() {
                match add {
                    true => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    false => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                }
                prop_assert_eq!(map.len(), model.len());
                if step % 200 == 0 {
                    copies.push((map.clone(), model.clone()));
                }
            }
            copies.push((map, model));
            for (map, model) in &copies {
                prop_assert!(map.iter().map(|(key, value)| (key, value)).eq(model.iter()));
                for key in [0, 1, 299, 300, 599, 600] {
                    prop_assert_eq!(map.get(&key), model.get(&key));
                    prop_assert!(map.iter_from(&key).map(|(key, value)| (key, value)).eq(model.range(key..)));
                }
            }
        }

        #[test]
        fn what_is_shared_is_equal(first in prop::collection::btree_map(0_u16..2000, any::<u8>(), 0..800),
                                   changes in prop::collection::vec((0_u16..2000, any::<u8>()), 0..5)) {
            let mut older = ChunkedMap::default();
            for (key, value) in first {
                older.insert(key, value);
            }
            let mut newer = older.clone();
            for &(key, value) in &changes {
                newer.insert(key, value);
            }
            let (new_only, old_only) = newer.unshared(&older);
            let differing = newer.iter().filter(|(key, value)| older.get(key) != Some(value));
            for entry in differing {
                prop_assert!(new_only.contains(&entry));
            }
            prop_assert!(new_only.len() <= changes.len() * (CHUNK_MAX + 1));
            prop_assert!(old_only.len() <= changes.len() * (CHUNK_MAX + 1));
        }
    }

    #[test]
    fn sorted_insertion_and_deletion_keep_the_chunks_few() {
        let mut map = ChunkedMap::default();
        for key in 0..10_000 {
            map.insert(key, ());
        }
        assert!(
            map.chunks.len() <= 10_000 / (CHUNK_MAX / 2) + 1,
            "{}",
            map.chunks.len()
        );
        for key in (0..10_000).filter(|key| key % 100 != 0) {
            map.remove(&key);
        }
        assert_eq!(map.len(), 100);
        assert!(map.chunks.len() <= 10, "{}", map.chunks.len());
    }
}
