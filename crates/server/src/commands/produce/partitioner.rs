//! Which partition a record goes to: by its key as Kafka's Java client does, and without a key in turns.

/// Chooses partitions of one topic.
#[derive(Debug)]
pub(super) struct Partitioner {
    partitions: i32,
    /// Where records without a key go until the batch there is full.
    current: i32,
}

impl Partitioner {
    /// For a topic of so many partitions; `start` decides where records without a key begin.
    pub(super) fn new(partitions: i32, start: u32) -> Partitioner {
        let partitions = partitions.max(1);
        Partitioner {
            partitions,
            current: modulo(start, partitions),
        }
    }

    /// The partition for a record with this key.
    pub(super) fn choose(&self, key: Option<&[u8]>) -> i32 {
        match key {
            // The sign bit is dropped, not negated (Java's `Utils.toPositive`).
            Some(key) => modulo(murmur2(key) & 0x7fff_ffff, self.partitions),
            None => self.current,
        }
    }

    /// The batch of this partition is on its way: records without a key go to the next one.
    pub(super) fn batch_sent(&mut self, partition: i32) {
        if partition == self.current {
            self.current = (self.current + 1) % self.partitions;
        }
    }
}

fn modulo(number: u32, partitions: i32) -> i32 {
    i32::try_from(i64::from(number) % i64::from(partitions)).unwrap_or(0)
}

/// MurmurHash2 with the seed of Kafka's Java client (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ bytes.len() as u32;
    let words = bytes.chunks_exact(4);
    let tail = words.remainder();
    for word in words {
        let word = word
            .iter()
            .rev()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            .wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ word >> 24).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let rest = tail
            .iter()
            .rev()
            .fold(0_u32, |rest, byte| rest << 8 | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_they_do_in_kafkas_java_client() {
        // The values of Kafka's own UtilsTest.testMurmur2.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_key_stays_in_its_partition_and_keyless_records_take_turns_batch_by_batch() {
        let mut partitioner = Partitioner::new(3, 5);
        let of_key = partitioner.choose(Some(b"k"));
        assert_eq!(partitioner.choose(None), 2);
        assert_eq!(partitioner.choose(None), 2);
        partitioner.batch_sent(1);
        assert_eq!(partitioner.choose(None), 2);
        partitioner.batch_sent(2);
        assert_eq!(partitioner.choose(None), 0);
        assert_eq!(partitioner.choose(Some(b"k")), of_key);
    }
}
