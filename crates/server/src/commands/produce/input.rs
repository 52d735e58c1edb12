//! Records out of a stream of bytes: split at a delimiter, and each at its key delimiter.

use std::io::{self, BufRead, BufReader, Read};
use std::thread;

use tokio::sync::mpsc;

/// How the input is cut up.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    /// Ends a record; not part of it. Not empty.
    pub(super) delimiter: Vec<u8>,
}

/// Records that were read together, and how far that was into the input.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) records: Vec<Vec<u8>>,
    /// Bytes of input, delimiters included.
    pub(super) bytes: u64,
}

/// So much is handed over at once, at most a record more.
const CHUNK_BYTES: usize = 256 * 1024;
const CHUNKS_WAITING: usize = 4;
const BUFFER_BYTES: usize = 256 * 1024;

/// The size of what is to be read, where it is a file.
pub(super) fn size_of_stdin() -> Option<u64> {
    let stat = rustix::fs::fstat(io::stdin()).ok()?;
    let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    u64::try_from(stat.st_size).ok().filter(|_| is_file)
}

/// Reads on a thread of its own, since stdin blocks. Whatever is there is handed over at once, so that what somebody types or
/// `tail -f` prints goes out line by line.
pub(super) fn read(
    input: impl Read + Send + 'static,
    cut: Cut,
) -> mpsc::Receiver<io::Result<Chunk>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let spawned = thread::Builder::new()
        .name("tidewater-input".to_owned())
        .spawn({
            let sender = sender.clone();
            move || {
                let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
                loop {
                    let chunk = next_chunk(&mut input, &cut);
                    let ended = !matches!(&chunk, Ok(chunk) if chunk.bytes > 0);
                    // An empty chunk is the end of the input, and needs no telling.
                    let tell = chunk.is_err() || !ended;
                    if (tell && sender.blocking_send(chunk).is_err()) || ended {
                        return;
                    }
                }
            }
        });
    if let Err(error) = spawned {
        // The queue is empty, so there is room.
        let _ = sender.try_send(Err(error));
    }
    receiver
}

fn next_chunk(input: &mut impl BufReadExt, cut: &Cut) -> io::Result<Chunk> {
    let mut chunk = Chunk::default();
    let mut taken = 0;
    while taken < CHUNK_BYTES {
        let mut record = Vec::new();
        let read = read_record(input, &cut.delimiter, &mut record)?;
        if read == 0 {
            break;
        }
        taken += read;
        chunk.records.push(record);
        if input.nothing_buffered() {
            break;
        }
    }
    chunk.bytes = taken as u64;
    Ok(chunk)
}

/// Reads up to and including the delimiter, which is left out of the record; 0 at the end of the input.
fn read_record(
    input: &mut impl BufRead,
    delimiter: &[u8],
    record: &mut Vec<u8>,
) -> io::Result<usize> {
    let last = delimiter.last().copied().unwrap_or(b'\n');
    loop {
        let read = input.read_until(last, record)?;
        if record.ends_with(delimiter) {
            let read = record.len();
            record.truncate(read - delimiter.len());
            return Ok(read);
        }
        if read == 0 {
            return Ok(record.len());
        }
    }
}

/// A reader that can tell whether the next read would have to wait.
trait BufReadExt: BufRead {
    fn nothing_buffered(&self) -> bool;
}

impl<R: Read> BufReadExt for BufReader<R> {
    fn nothing_buffered(&self) -> bool {
        self.buffer().is_empty()
    }
}

/// Splits a record at the first key delimiter; without one there is no key.
pub(super) fn split_key<'a>(record: &'a [u8], delimiter: &[u8]) -> (Option<&'a [u8]>, &'a [u8]) {
    let at = record
        .windows(delimiter.len().max(1))
        .position(|window| window == delimiter);
    match at {
        Some(at) => (Some(&record[..at]), &record[at + delimiter.len()..]),
        None => (None, record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(input: &'static [u8], delimiter: &str) -> Vec<String> {
        let mut receiver = read(
            input,
            Cut {
                delimiter: delimiter.as_bytes().to_vec(),
            },
        );
        let mut records = Vec::new();
        while let Some(chunk) = receiver.blocking_recv() {
            records.extend(
                chunk
                    .unwrap()
                    .records
                    .into_iter()
                    .map(|record| String::from_utf8(record).unwrap()),
            );
        }
        records
    }

    #[test]
    fn every_line_is_a_record_and_the_last_needs_no_end() {
        assert_eq!(records(b"a\nb\n", "\n"), ["a", "b"]);
        assert_eq!(records(b"a\n\nb", "\n"), ["a", "", "b"]);
        assert_eq!(records(b"", "\n"), [""; 0]);
        assert_eq!(records(b"\n", "\n"), [""]);
    }

    #[test]
    fn a_delimiter_may_be_several_bytes_and_end_like_the_text_around_it() {
        assert_eq!(records(b"a--b-c-", "--"), ["a", "b-c-"]);
        assert_eq!(records(b"a|\nb\n|\nc", "|\n"), ["a", "b\n", "c"]);
    }

    #[test]
    fn no_byte_is_lost_over_many_chunks() {
        let line: &'static str = "0123456789abcdef\n".repeat(100_000).leak();
        assert_eq!(records(line.as_bytes(), "\n").len(), 100_000);
    }

    #[test]
    fn a_key_ends_at_the_first_delimiter() {
        assert_eq!(split_key(b"k:v:w", b":"), (Some(&b"k"[..]), &b"v:w"[..]));
        assert_eq!(split_key(b":v", b":"), (Some(&b""[..]), &b"v"[..]));
        assert_eq!(split_key(b"v", b":"), (None, &b"v"[..]));
        assert_eq!(split_key(b"k=>v", b"=>"), (Some(&b"k"[..]), &b"v"[..]));
    }
}
