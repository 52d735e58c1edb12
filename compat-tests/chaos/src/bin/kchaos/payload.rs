//! What records hold: a value, and bytes that follow from it, so that damage shows.

use kcheck::history::Value;

/// The bytes of a record that holds `value`, about as many as in an event of a business.
pub(crate) fn bytes(value: Value) -> Vec<u8> {
    let name = format!("{value};");
    let len = name.len() + 40 + value.sequence as usize % 100;
    name.bytes().cycle().take(len).collect()
}

/// The value in a record; [`Value::DAMAGED`] if it is not just what [`bytes`] makes.
pub(crate) fn value(payload: Option<&[u8]>) -> Value {
    let parsed = payload.and_then(|payload| {
        let end = payload.iter().position(|byte| *byte == b';')?;
        let value: Value = std::str::from_utf8(&payload[..end]).ok()?.parse().ok()?;
        (bytes(value) == payload).then_some(value)
    });
    parsed.unwrap_or(Value::DAMAGED)
}
