//! Ids as Kafka writes them: 16 bytes as 22 characters of URL-safe base64 without padding (Kafka `Uuid.java`).

use uuid::Uuid;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LEN: usize = 22;

/// The 22 characters that stand for `id`.
#[must_use]
pub fn id_text(id: Uuid) -> String {
    let value = id.as_u128();
    // 21 characters carry six bits each; the last one carries the two that are left, in its high bits.
    (0..TEXT_LEN)
        .map(|index| {
            let shift = 122_i32 - 6 * index as i32;
            let six_bits = if shift >= 0 {
                value >> shift
            } else {
                value << -shift
            };
            char::from(ALPHABET[(six_bits & 0x3f) as usize])
        })
        .collect()
}

/// The id that `text` stands for. `None` unless it is exactly what [`id_text`] writes, so that no id has two spellings.
#[must_use]
pub fn parse_id(text: &str) -> Option<Uuid> {
    if text.len() != TEXT_LEN {
        return None;
    }
    let mut value: u128 = 0;
    for (index, character) in text.bytes().enumerate() {
        let six_bits = u128::from(digit(character)?);
        let last = index + 1 == TEXT_LEN;
        match last {
            false => value = (value << 6) | six_bits,
            true if six_bits & 0x0f == 0 => value = (value << 2) | (six_bits >> 4),
            true => return None,
        }
    }
    Some(Uuid::from_u128(value))
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// Where new ids and placement seeds come from. The broker passes the door in, so that a simulated cluster can repeat itself.
pub type Entropy = Box<dyn FnMut() -> u128 + Send>;

/// Entropy from the operating system.
#[must_use]
pub fn system_entropy() -> Entropy {
    // A version 4 UUID fixes 6 of its 128 bits; a second one fills them, so that every bit is random.
    Box::new(|| Uuid::new_v4().as_u128() ^ Uuid::new_v4().as_u128().rotate_left(64))
}

/// A new version 4 UUID that Kafka would also give: none of its reserved ones, and none whose text starts with `-`,
/// which command lines would take for an option (Kafka `Uuid.randomUuid`).
pub fn new_id(entropy: &mut Entropy) -> Uuid {
    loop {
        let id = uuid::Builder::from_random_bytes(entropy().to_be_bytes()).into_uuid();
        if !is_reserved(id) && !id_text(id).starts_with('-') {
            return id;
        }
    }
}

/// Whether Kafka keeps `id` for itself: the first hundred, of which 0 means "none" and 1 is the metadata topic.
#[must_use]
pub fn is_reserved(id: Uuid) -> bool {
    id.as_u128() < 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_is_what_kafka_prints() {
        assert_eq!(id_text(Uuid::nil()), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(id_text(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(
            id_text(Uuid::from_u128(u128::MAX)),
            "_____________________w"
        );
    }

    #[test]
    fn a_second_spelling_of_an_id_is_refused() {
        assert_eq!(
            parse_id("AAAAAAAAAAAAAAAAAAAAAB"),
            None,
            "bits beyond the 128th"
        );
        assert_eq!(parse_id("AAAAAAAAAAAAAAAAAAAAAA=="), None, "padding");
        assert_eq!(
            parse_id("AAAAAAAAAAAAAAAAAAAA+A"),
            None,
            "the other alphabet"
        );
    }

    #[test]
    fn a_new_id_skips_what_kafka_would_skip() {
        // 0xf8… prints as "-…" (62 = '-'), so the first draw is refused and the second taken.
        let mut draws = [0xf8_u128 << 120, 7].into_iter();
        let mut entropy: Entropy = Box::new(move || draws.next().expect("two draws suffice"));
        let id = new_id(&mut entropy);
        assert_eq!(id.get_version_num(), 4);
        assert_eq!(id.as_u128() & 0xff, 7);
    }

    proptest! {
        #[test]
        fn parsing_undoes_writing(value: u128) {
            let id = Uuid::from_u128(value);
            let text = id_text(id);
            prop_assert_eq!(text.len(), 22);
            prop_assert_eq!(parse_id(&text), Some(id));
        }

        #[test]
        fn what_parses_is_written_the_same(text in "[A-Za-z0-9_-]{22}") {
            if let Some(id) = parse_id(&text) {
                prop_assert_eq!(id_text(id), text);
            }
        }

        #[test]
        fn any_text_is_safe_to_parse(text in ".{0,30}") {
            let _ = parse_id(&text);
        }
    }
}
