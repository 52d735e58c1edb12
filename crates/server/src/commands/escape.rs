//! Backslashes in formats and delimiters.

/// A delimiter as it is typed: with escapes, without verbs.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '\\' => bytes.push(escape(&mut rest)?),
            _ => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(bytes)
}

/// The byte meant by what follows a backslash.
pub(crate) fn escape(rest: &mut &str) -> Result<u8, String> {
    let letter = rest
        .chars()
        .next()
        .ok_or("a backslash stands at the end; write \\\\ for one")?;
    *rest = &rest[letter.len_utf8()..];
    Ok(match letter {
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        '0' => 0,
        '\\' => b'\\',
        'x' => {
            let digits = rest
                .get(..2)
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            *rest = rest.get(2..).unwrap_or_default();
            byte.ok_or("two hexadecimal digits must follow \\x")?
        }
        _ => {
            return Err(format!(
                "\\{letter} means nothing; there are \\n \\r \\t \\0 \\\\ \\xNN"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes_that_are_hard_to_type() {
        assert_eq!(unescape("a\\tb\\x00é\\\\").unwrap(), "a\tb\0é\\".as_bytes());
        for wrong in ["\\", "\\q", "\\x1", "\\xé"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }
}
