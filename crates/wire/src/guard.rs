//! The walk over a message's bytes before the decoder sees them.
//!
//! The decoder (`kafka-protocol`) reserves memory for as many elements as a length field announces, so four
//! bytes can end the process. [`check`] follows our own description of each request through the bytes and
//! lets nothing pass whose lengths the bytes do not cover or whose decoded form would be out of proportion:
//!
//! * every length is compared with the bytes left, an array's with `count x smallest element`;
//! * null only where the version allows it; strings are UTF-8 and at most 32,767 bytes; unsigned varints end
//!   within five bytes and fit 32 bits; a known tagged field has the size it states, an unknown one is skipped;
//! * the decoder may allocate at most [`budget`] bytes besides the frame: each array element is charged the
//!   size of the struct it becomes, each structure with unknown tagged fields the map that holds them.
//!
//! [`check_response`] does the same for answers. Neither allocates or looks into record batches.

mod plan;
mod requests;
mod responses;
mod shape;
#[cfg(test)]
mod tests;
mod walk;

use std::ops::RangeInclusive;

use plan::{Plans, REQUEST_PLANS, RESPONSE_PLANS, Step};

pub use crate::error::Malformed;

/// Passes a request body (the frame after its header) that decoding cannot turn against us.
///
/// Fails with the first thing that is wrong, including an API key or version without a row in the tables and
/// bytes after the end of the request. Runs in time proportional to the body; does not block or allocate.
pub fn check(api_key: i16, version: i16, body: &[u8]) -> Result<(), Malformed> {
    decoded_len(api_key, version, body).map(drop)
}

/// Where the request at the beginning of `bytes` ends, if it is one that [`check`] would pass; what follows it is not
/// looked at. Kafka ignores what follows a request, and librdkafka 2.12 to 2.16 send such bytes with Metadata.
pub fn message_len(api_key: i16, version: i16, bytes: &[u8]) -> Result<usize, Malformed> {
    let steps = REQUEST_PLANS.steps(api_key, version);
    let steps = steps.ok_or(Malformed::UnknownRequest { api_key, version })?;
    let walked = walk::walk(steps, bytes, budget(bytes.len()))?;
    Ok(bytes.len() - walked.left.len())
}

/// [`check`], and how many bytes decoding this body allocates at most beyond the body itself. At most
/// [`budget`] of its length; record batches and strings stay in the body and cost nothing.
pub fn decoded_len(api_key: i16, version: i16, body: &[u8]) -> Result<usize, Malformed> {
    walk_all(&REQUEST_PLANS, (api_key, version), body, budget(body.len()))
}

/// How many bytes decoding a request of `body_len` bytes may allocate beyond the body itself: four times its
/// length and 1 MiB. The largest honest ratio is about 4 (a topic id of 18 bytes becomes a struct of 72);
/// the constant keeps short requests with many short names away from the limit.
pub const fn budget(body_len: usize) -> usize {
    body_len.saturating_mul(4).saturating_add(1 << 20)
}

/// [`check`] for the body of an answer to this request.
pub fn check_response(api_key: i16, version: i16, body: &[u8]) -> Result<(), Malformed> {
    decoded_response_len(api_key, version, body).map(drop)
}

/// [`decoded_len`] for the body of an answer to this request; at most [`response_budget`] of its length.
pub fn decoded_response_len(api_key: i16, version: i16, body: &[u8]) -> Result<usize, Malformed> {
    walk_all(
        &RESPONSE_PLANS,
        (api_key, version),
        body,
        response_budget(body.len()),
    )
}

/// Calls `each` with every field that is an error code in the body of an answer that was encoded here, 0 included. Fails like
/// [`check_response`], and then may have called for some. Takes time in proportion to the body, and allocates nothing.
pub fn error_codes(
    api_key: i16,
    version: i16,
    body: &[u8],
    each: &mut dyn FnMut(i16),
) -> Result<(), Malformed> {
    let steps = RESPONSE_PLANS.steps(api_key, version);
    let steps = steps.ok_or(Malformed::UnknownRequest { api_key, version })?;
    walk::walk_codes(steps, body, usize::MAX, each).map(drop)
}

/// [`budget`] for an answer: sixteen times its length and 1 MiB. Answers nest small structures deeper than
/// requests do (a partition in Metadata holds three lists), and they come from a broker we chose to ask.
pub const fn response_budget(body_len: usize) -> usize {
    body_len.saturating_mul(16).saturating_add(1 << 20)
}

/// The versions of this request that [`check`] and [`crate::codec::decode`] accept, or None for a key they
/// do not know. What a broker advertises is its own matter and lies within this range.
pub fn versions(api_key: i16) -> Option<RangeInclusive<i16>> {
    REQUEST_PLANS
        .shape(api_key)
        .map(|shape| shape.versions.first..=shape.versions.last)
}

/// Whether this request uses compact lengths and tagged fields (KIP-482), and with it header version 2;
/// None when the key or version has no row.
pub fn is_flexible(api_key: i16, version: i16) -> Option<bool> {
    let shape = REQUEST_PLANS.shape(api_key)?;
    shape
        .versions
        .contains(version)
        .then_some(version >= shape.flexible_from)
}

/// Steps over a tagged section none of whose fields is wanted and returns what follows it.
pub(crate) fn skip_tagged_fields(bytes: &[u8]) -> Result<&[u8], Malformed> {
    walk::walk(&[Step::Tags(Box::default())], bytes, usize::MAX).map(|walked| walked.left)
}

fn walk_all(
    plans: &Plans,
    (api_key, version): (i16, i16),
    body: &[u8],
    budget: usize,
) -> Result<usize, Malformed> {
    let steps = plans.steps(api_key, version);
    let steps = steps.ok_or(Malformed::UnknownRequest { api_key, version })?;
    let walked = walk::walk(steps, body, budget)?;
    match walked.left {
        [] => Ok(walked.charged),
        left => Err(Malformed::TrailingBytes { count: left.len() }),
    }
}
