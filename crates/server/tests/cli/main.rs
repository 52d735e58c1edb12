//! The program as a user meets it: a real broker, real commands, and what they print and exit with.
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod bench;
mod configs;
mod doctor;
mod fields;
mod formats;
mod groups;
mod lifecycle;
mod log_dump;
mod member;
mod quotas;
mod records;
mod support;
mod topics;
mod usage;
