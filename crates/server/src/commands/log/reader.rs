//! The batches of one segment file, one after the other, with no more memory than the largest takes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use anyhow::{Context as _, bail};
use wire::batch::{BatchHeader, HEADER_LEN};

const BUFFER_BYTES: usize = 1 << 20;

/// Reads a file from its beginning. What it had at the start counts; what a broker adds later does not.
#[derive(Debug)]
pub(super) struct SegmentReader {
    input: BufReader<File>,
    /// Where the next batch begins.
    pub(super) position: u64,
    /// The file's length.
    pub(super) size: u64,
}

impl SegmentReader {
    pub(super) fn new(file: File, size: u64) -> SegmentReader {
        SegmentReader {
            input: BufReader::with_capacity(BUFFER_BYTES, file),
            position: 0,
            size,
        }
    }

    /// The next whole batch, header and records; `None` at the end of the file, or where only the zeros of preallocated
    /// space follow. Fails where no batch can be made out, and there is then no way to find the next one.
    pub(super) fn next_batch(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let left = self.size.saturating_sub(self.position);
        if left == 0 {
            return Ok(None);
        }
        let mut batch = Vec::new();
        self.read(HEADER_LEN as u64, &mut batch)?;
        if batch.iter().all(|byte| *byte == 0) && self.only_zeros_follow()? {
            return Ok(None);
        }
        let header = BatchHeader::parse_prefix(&batch)
            .with_context(|| format!("no batch; {left} bytes are left"))?;
        let length = header.total_len() as u64;
        if length > left {
            bail!("the batch takes {length} bytes, and {left} are left");
        }
        self.read(length - HEADER_LEN as u64, &mut batch)?;
        if batch.len() as u64 != length {
            bail!("the file became shorter while it was read");
        }
        self.position += length;
        Ok(Some(batch))
    }

    /// Appends at most `bytes` bytes; the vector grows with what there is.
    fn read(&mut self, bytes: u64, to: &mut Vec<u8>) -> anyhow::Result<()> {
        self.input.by_ref().take(bytes).read_to_end(to)?;
        Ok(())
    }

    fn only_zeros_follow(&mut self) -> anyhow::Result<bool> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(true);
            }
            if buffer.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            let read = buffer.len();
            self.input.consume(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use wire::batch::{BatchBuilder, BatchOptions};

    use super::*;

    fn batch(value: &[u8]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(0, None, Some(value), &[]).unwrap();
        builder.build().unwrap().into()
    }

    fn read_all(bytes: &[u8]) -> (usize, Option<String>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let again = {
            use std::io::Seek;
            file.rewind().unwrap();
            file
        };
        let mut reader = SegmentReader::new(again, bytes.len() as u64);
        let mut batches = 0;
        loop {
            match reader.next_batch() {
                Ok(Some(_)) => batches += 1,
                Ok(None) => return (batches, None),
                Err(error) => return (batches, Some(format!("{error:#}"))),
            }
        }
    }

    #[test]
    fn batches_are_read_to_the_end_or_to_the_zeros_after_it() {
        let mut file = [batch(b"a"), batch(&[b'b'; 100_000])].concat();
        assert_eq!(read_all(&file), (2, None));
        file.extend([0; 5000]);
        assert_eq!(read_all(&file), (2, None));
        assert_eq!(read_all(&[]), (0, None));
    }

    #[test]
    fn what_is_no_batch_is_said_with_how_much_is_lost() {
        let mut torn = [batch(b"a"), batch(b"b")].concat();
        torn.pop();
        let second = batch(b"b").len();
        assert_eq!(
            read_all(&torn),
            (
                1,
                Some(format!(
                    "the batch takes {second} bytes, and {} are left",
                    second - 1
                ))
            )
        );

        let mut zeros_then_more = batch(b"a");
        zeros_then_more.extend([0; 100]);
        zeros_then_more.push(1);
        let (batches, error) = read_all(&zeros_then_more);
        assert_eq!(batches, 1);
        assert!(error.unwrap().starts_with("no batch; 101 bytes are left: "));
    }
}
