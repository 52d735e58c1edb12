//! What the clients in Rust share: the records, the checks, and what no client sends.
// Not every client needs all of it, and the rule about clocks is the broker's, whose clock is injected; this is another program.
#![allow(clippy::disallowed_methods, dead_code)]

use std::env;
use std::error::Error;
use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) const COUNT: usize = 300;
pub(crate) const PARTITIONS: usize = 3;
pub(crate) const EACH: i64 = (COUNT / PARTITIONS) as i64;
/// The record that carries the latest timestamp; it is neither the last of its partition nor of the topic.
pub(crate) const LATEST: usize = 150;
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;
pub(crate) type Fields = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(String, Option<Vec<u8>>)>,
);

pub(crate) fn bootstrap() -> String {
    env::var("BOOTSTRAP").unwrap_or_else(|_| "127.0.0.1:9092".to_owned())
}

pub(crate) fn expected_offsets(range: Range<usize>) -> Vec<i64> {
    range.map(|i| (i / PARTITIONS) as i64).collect()
}

/// Key, value and headers of record `i`.
pub(crate) fn fields(i: usize) -> Fields {
    let key = match i % 10 {
        0 => None,
        1 => Some(Vec::new()),
        _ => Some(format!("key-é-{i}").into_bytes()),
    };
    let value = match i % 10 {
        7 => None,
        5 => Some(Vec::new()),
        _ => Some((0..i * 37 % 1500).map(|j| (i * 7 + j) as u8).collect()),
    };
    let header = |key: &str, value: Option<&[u8]>| (key.to_owned(), value.map(<[u8]>::to_vec));
    let headers = match i % 4 {
        1 => vec![header("n", Some(i.to_string().as_bytes()))],
        2 => vec![header("twice", Some(b"1")), header("twice", Some(b"2"))],
        3 => vec![
            header("bin", Some(&[0, 0xff, 0x80])),
            header("empty", Some(&[])),
            header("null", None),
        ],
        _ => Vec::new(),
    };
    (key, value, headers)
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

pub(crate) fn exchange(socket: &mut TcpStream, request: &[u8]) -> std::io::Result<Vec<u8>> {
    socket.write_all(&[&(request.len() as u32).to_be_bytes(), request].concat())?;
    let mut prefix = [0; 4];
    socket.read_exact(&mut prefix)?;
    let mut answer = vec![0; u32::from_be_bytes(prefix) as usize];
    socket.read_exact(&mut answer)?;
    Ok(answer)
}

pub(crate) fn require(holds: bool, message: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(message().into()) }
}

pub(crate) fn equal<T: PartialEq + Debug>(what: &str, expected: T, actual: T) -> Outcome {
    let holds = expected == actual;
    require(holds, || {
        format!("{what}: expected {expected:?}, got {actual:?}")
    })
}

/// Metadata may trail the controller's answer; the change itself must come.
pub(crate) fn until<T: PartialEq + Debug>(
    what: &str,
    expected: &T,
    actual: impl Fn() -> T,
) -> Outcome {
    until_within(DEADLINE, what, expected, actual)
}

pub(crate) fn until_within<T: PartialEq + Debug>(
    limit: Duration,
    what: &str,
    expected: &T,
    actual: impl Fn() -> T,
) -> Outcome {
    let end = Instant::now() + limit;
    loop {
        let last = actual();
        if last == *expected || Instant::now() > end {
            return equal(what, expected, &last);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

// What no client sends

pub(crate) fn connect() -> Outcome<TcpStream> {
    let socket = TcpStream::connect(bootstrap().split(',').next().unwrap_or_default())?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(socket)
}

/// ApiVersions v99: error 35 in the body of v0, and the connection stays usable.
pub(crate) fn unsupported_version() -> Outcome {
    let mut socket = connect()?;
    let v99 = [0, 18, 0, 99, 0, 0, 0, 7, 0, 1, b'x', 0, 2, b'x', 2, b'1', 0];
    let answer = exchange(&mut socket, &v99)?;
    require(answer.len() >= 10, || {
        format!("ApiVersions v99: an answer of {} bytes", answer.len())
    })?;
    equal(
        "correlation id and error of ApiVersions v99",
        &[0, 0, 0, 7, 0, 35][..],
        &answer[..6],
    )?;
    let keys = answer[6..10]
        .iter()
        .fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    require(keys > 0, || "ApiVersions v99: no API keys".to_owned())?;
    equal("length of the v0 body", 10 + 6 * keys, answer.len())?;
    let answer = exchange(&mut socket, &[0, 18, 0, 0, 0, 0, 0, 8, 0, 1, b'x'])?;
    equal(
        "correlation id and error of ApiVersions v0",
        Some(&[0, 0, 0, 8, 0, 0][..]),
        answer.get(..6),
    )
}

pub(crate) fn unknown_api() -> Outcome {
    match exchange(&mut connect()?, &[0x27, 0x0f, 0, 0, 0, 0, 0, 7, 0, 1, b'x']) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ) =>
        {
            Ok(())
        }
        other => Err(format!("API key 9999: expected a closed connection, got {other:?}").into()),
    }
}
