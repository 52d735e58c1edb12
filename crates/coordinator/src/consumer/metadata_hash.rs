//! The hash of a group's subscribed topics (KIP-1101), by which a group notices that one of them has changed.
//!
//! It is Kafka's own (`Utils.computeTopicHash`, `computeGroupHash`: XXH3 with 64 bits and seed 0), so that a group which moves
//! between Kafka and Tidewater does not rebalance for it. Racks are left out: ours have none yet.

use uuid::Uuid;

/// Hash of one topic.
pub(super) fn topic_hash(id: Uuid, name: &str, partitions: i32) -> u64 {
    let mut bytes = vec![0];
    let (high, low) = id.as_u64_pair();
    bytes.extend_from_slice(&high.to_le_bytes());
    bytes.extend_from_slice(&low.to_le_bytes());
    let mut units: i32 = 0;
    for unit in name.encode_utf16() {
        bytes.extend_from_slice(&unit.to_le_bytes());
        units += 1;
    }
    bytes.extend_from_slice(&units.to_le_bytes());
    bytes.extend_from_slice(&partitions.to_le_bytes());
    for partition in 0..partitions {
        bytes.extend_from_slice(&partition.to_le_bytes());
    }
    xxh3_64(&bytes)
}

/// Hash of a group's topics from the hashes of each, in the order of the topics' names; 0 if there are none.
pub(super) fn group_hash(topic_hashes: impl IntoIterator<Item = u64>) -> i64 {
    let bytes: Vec<u8> = topic_hashes
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
    if bytes.is_empty() {
        return 0;
    }
    xxh3_64(&bytes).cast_signed()
}

const PRIME32_1: u64 = 0x9E37_79B1;
const PRIME32_2: u64 = 0x85EB_CA77;
const PRIME32_3: u64 = 0xC2B2_AE3D;
const PRIME64_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME64_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME64_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME64_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME64_5: u64 = 0x27D4_EB2F_1656_67C5;
const PRIME_MX1: u64 = 0x1656_6791_9E37_79F9;
const PRIME_MX2: u64 = 0x9FB2_1C65_1E98_DF25;

const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

/// XXH3 of 64 bits with seed 0 and the default secret.
fn xxh3_64(input: &[u8]) -> u64 {
    match input.len() {
        0..=16 => short(input),
        17..=128 => medium(input),
        129..=240 => long(input),
        _ => striped(input),
    }
}

fn at64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn at32(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u64::from(u32::from_le_bytes(word))
}

/// Both halves of a 128-bit product, folded into one.
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

fn avalanche(mut hash: u64) -> u64 {
    hash ^= hash >> 37;
    hash = hash.wrapping_mul(PRIME_MX1);
    hash ^ (hash >> 32)
}

fn avalanche_64(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIME64_2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIME64_3);
    hash ^ (hash >> 32)
}

fn mix16(input: &[u8], at: usize, secret: usize) -> u64 {
    fold(
        at64(input, at) ^ at64(&SECRET, secret),
        at64(input, at + 8) ^ at64(&SECRET, secret + 8),
    )
}

fn short(input: &[u8]) -> u64 {
    let len = input.len();
    match len {
        0 => avalanche_64(at64(&SECRET, 56) ^ at64(&SECRET, 64)),
        1..=3 => {
            let [first, middle, last] = [input[0], input[len / 2], input[len - 1]].map(u64::from);
            let combined = (first << 16) | (middle << 24) | last | ((len as u64) << 8);
            avalanche_64(combined ^ at32(&SECRET, 0) ^ at32(&SECRET, 4))
        }
        4..=8 => {
            let both = at32(input, len - 4).wrapping_add(at32(input, 0) << 32);
            let mut hash = both ^ at64(&SECRET, 8) ^ at64(&SECRET, 16);
            hash ^= hash.rotate_left(49) ^ hash.rotate_left(24);
            hash = hash.wrapping_mul(PRIME_MX2);
            hash ^= (hash >> 35).wrapping_add(len as u64);
            hash = hash.wrapping_mul(PRIME_MX2);
            hash ^ (hash >> 28)
        }
        _ => {
            let low = at64(input, 0) ^ at64(&SECRET, 24) ^ at64(&SECRET, 32);
            let high = at64(input, len - 8) ^ at64(&SECRET, 40) ^ at64(&SECRET, 48);
            avalanche(
                (len as u64)
                    .wrapping_add(low.swap_bytes())
                    .wrapping_add(high)
                    .wrapping_add(fold(low, high)),
            )
        }
    }
}

/// Pairs of 16 bytes, from both ends inwards.
fn medium(input: &[u8]) -> u64 {
    let len = input.len();
    let mut hash = (len as u64).wrapping_mul(PRIME64_1);
    for pair in 0..len.div_ceil(32) {
        hash = hash
            .wrapping_add(mix16(input, 16 * pair, 32 * pair))
            .wrapping_add(mix16(input, len - 16 * (pair + 1), 32 * pair + 16));
    }
    avalanche(hash)
}

fn long(input: &[u8]) -> u64 {
    let len = input.len();
    let mut hash = (len as u64).wrapping_mul(PRIME64_1);
    for block in 0..8 {
        hash = hash.wrapping_add(mix16(input, 16 * block, 16 * block));
    }
    hash = avalanche(hash);
    for block in 8..len / 16 {
        hash = hash.wrapping_add(mix16(input, 16 * block, 16 * (block - 8) + 3));
    }
    avalanche(hash.wrapping_add(mix16(input, len - 16, 136 - 17)))
}

const STRIPE: usize = 64;
const STRIPES_PER_BLOCK: usize = (SECRET.len() - STRIPE) / 8;

type Lanes = [u64; 8];

fn accumulate(lanes: &mut Lanes, stripe: &[u8], secret: usize) {
    for lane in 0..8 {
        let value = at64(stripe, 8 * lane);
        let keyed = value ^ at64(&SECRET, secret + 8 * lane);
        lanes[lane ^ 1] = lanes[lane ^ 1].wrapping_add(value);
        lanes[lane] = lanes[lane].wrapping_add((keyed & 0xffff_ffff).wrapping_mul(keyed >> 32));
    }
}

fn striped(input: &[u8]) -> u64 {
    let len = input.len();
    let mut lanes: Lanes = [
        PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1,
    ];
    // The last stripe overlaps the one before it, and is treated by itself below.
    for (number, stripe) in input[..len - 1].chunks_exact(STRIPE).enumerate() {
        accumulate(&mut lanes, stripe, 8 * (number % STRIPES_PER_BLOCK));
        if number % STRIPES_PER_BLOCK == STRIPES_PER_BLOCK - 1 {
            for (lane, value) in lanes.iter_mut().enumerate() {
                let key = at64(&SECRET, SECRET.len() - STRIPE + 8 * lane);
                *value = (*value ^ (*value >> 47) ^ key).wrapping_mul(PRIME32_1);
            }
        }
    }
    accumulate(
        &mut lanes,
        &input[len - STRIPE..],
        SECRET.len() - STRIPE - 7,
    );
    let mut hash = (len as u64).wrapping_mul(PRIME64_1);
    for pair in 0..4 {
        hash = hash.wrapping_add(fold(
            lanes[2 * pair] ^ at64(&SECRET, 11 + 16 * pair),
            lanes[2 * pair + 1] ^ at64(&SECRET, 19 + 16 * pair),
        ));
    }
    avalanche(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are hash4j's, the library that Kafka uses.
    #[test]
    fn every_length_class_hashes_as_the_reference_does() {
        let input: Vec<u8> = (0..3000usize).map(|at| (at * 31 + 7) as u8).collect();
        for (len, hash) in [
            (0, 3_244_421_341_483_603_138_i64),
            (1, 5502495245947142431),
            (2, -6349423698422726873),
            (3, 1582743943441612892),
            (4, -2549016526957988167),
            (5, -5579736752565435579),
            (8, -2394039629164210130),
            (9, -3754995788605292611),
            (15, 6079324691992009783),
            (16, 9099606716676871632),
            (17, 2345212530088924167),
            (32, 278953543771952198),
            (33, 1844846513307983686),
            (64, -2508381663727503547),
            (65, -381843323958800864),
            (96, -3295001992457868926),
            (97, 6981672134384256435),
            (127, -6262838694800290624),
            (128, -492175581222641016),
            (129, -506823097681485574),
            (160, -3960614606909185566),
            (239, -3843338885400213691),
            (240, -3690920546649497853),
            (241, 809349449570470400),
            (255, -8533440102264939110),
            (256, -1403514104434996620),
            (257, 1364326762217215065),
            (511, 1147450020860125067),
            (512, -1170120971253711958),
            (513, -1496964965234801531),
            (1023, -1093476622474739461),
            (1024, 2575082683865311686),
            (1025, -4566685497618039422),
            (1088, -6815162950983329211),
            (2048, 1870957339171033971),
            (3000, 7977200675703330694),
        ] {
            assert_eq!(xxh3_64(&input[..len]).cast_signed(), hash, "length {len}");
        }
    }

    #[test]
    fn topics_and_groups_hash_as_in_kafka() {
        let id = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        for (partitions, hash) in [
            (1, -1_861_693_403_107_838_294_i64),
            (3, 303452246309181620),
            (20, -7955719549265824043),
            (50, -676046354518846361),
            (100, -274224056528320589),
        ] {
            let found = topic_hash(id, &format!("topic-{partitions}"), partitions);
            assert_eq!(found.cast_signed(), hash);
        }
        for (topics, hash) in [
            (0, 0_i64),
            (1, -4072596861322023719),
            (2, 6474677130954818427),
            (3, -2656516011607974605),
            (16, 4261207424869488331),
            (31, -4437108917179678886),
            (1000, 6449488534488550770),
        ] {
            let hashes = (0..topics).map(|topic: u64| topic.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            assert_eq!(group_hash(hashes), hash, "{topics} topics");
        }
    }

    #[test]
    fn another_partition_another_hash() {
        let id = Uuid::from_u128(1);
        assert_ne!(topic_hash(id, "a", 1), topic_hash(id, "a", 2));
        assert_ne!(
            topic_hash(id, "a", 1),
            topic_hash(Uuid::from_u128(2), "a", 1)
        );
    }
}
