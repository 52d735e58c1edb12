//! Looks at the framing of RocksDB's own log files (`MANIFEST-*`, `*.log`) before RocksDB does.
//!
//! RocksDB 11.8 reads a record whose type byte was damaged into one of the recyclable types again and again without end:
//! `log::Reader::ReadPhysicalRecord` answers `kBadRecord` without consuming anything. A database opened here never
//! recycles its log files, so such a type is damage, and is found before `DB::open` is asked.

use std::path::Path;

use crate::error::EngineError;

const BLOCK: usize = 32 << 10;
/// Checksum, length and type.
const HEADER: usize = 7;

/// Fails when `RocksDB` would not come back from reading a log file in `db`, and when a file cannot be read. Everything
/// else that may be wrong with the files is for `RocksDB` to find. Blocks; the files are as large as what was written since
/// the last orderly close.
///
/// # Errors
/// The error's detail begins with `Corruption`, as RocksDB's own does.
pub fn check_rocksdb_logs(db: &Path) -> Result<(), EngineError> {
    let failed = |path: &Path, error| EngineError::io(path, "read", error);
    let entries = match std::fs::read_dir(db) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(db, error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| failed(db, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("MANIFEST-") && !name.ends_with(".log") {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|error| failed(&path, error))?;
        if let Some(at) = endless_record(&bytes) {
            return Err(EngineError {
                path,
                action: "check RocksDB's log",
                detail: format!("Corruption: the record at {at} has an impossible type").into(),
                no_space: false,
                transient: false,
            });
        }
    }
    Ok(())
}

/// Position of the first record that RocksDB would read for ever. Walks as its reader does: what is no whole record with
/// the right checksum ends the block.
fn endless_record(file: &[u8]) -> Option<usize> {
    for (number, block) in file.chunks(BLOCK).enumerate() {
        let mut at = 0;
        while let Some(header) = block.get(at..).and_then(<[u8]>::first_chunk::<HEADER>) {
            if is_recyclable(header[6]) {
                return Some(number * BLOCK + at);
            }
            let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
            let stored = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
            match block.get(at + HEADER - 1..at + HEADER + length) {
                Some(checked) if mask(crc32c::crc32c(checked)) == stored => at += HEADER + length,
                _ => break,
            }
        }
    }
    None
}

/// The types of `db/log_format.h` that only a recycled log file has.
fn is_recyclable(record_type: u8) -> bool {
    matches!(record_type, 5..=8 | 11 | 131)
}

/// How RocksDB stores a checksum (`util/crc32c.h`).
fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database with a few records in both kinds of file, closed; and its log files.
    fn logs() -> (tempfile::TempDir, Vec<std::path::PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        let db = rocksdb::DB::open(&options, dir.path()).unwrap();
        for n in 0..3_u8 {
            db.put([n], [n; 100]).unwrap();
        }
        drop(db);
        let paths = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let logs: Vec<_> = paths
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                name.starts_with("MANIFEST-") || name.ends_with(".log")
            })
            .filter(|path| path.metadata().unwrap().len() > 0)
            .collect();
        assert_eq!(logs.len(), 2);
        (dir, logs)
    }

    #[test]
    fn sound_files_pass_and_so_does_damage_that_rocksdb_reports() {
        let (dir, logs) = logs();
        check_rocksdb_logs(dir.path()).unwrap();
        for log in logs {
            let mut bytes = std::fs::read(&log).unwrap();
            bytes[20] ^= 1;
            std::fs::write(&log, bytes).unwrap();
        }
        check_rocksdb_logs(dir.path()).unwrap();
        check_rocksdb_logs(&dir.path().join("absent")).unwrap();
    }

    #[test]
    fn a_record_that_rocksdb_would_read_for_ever_is_found() {
        for damaged_type in [5, 8, 11, 131] {
            let (dir, logs) = logs();
            for log in logs {
                let sound = std::fs::read(&log).unwrap();
                let second = HEADER + usize::from(u16::from_le_bytes([sound[4], sound[5]]));
                let mut damaged = sound.clone();
                damaged[second + 6] = damaged_type;
                std::fs::write(&log, &damaged).unwrap();
                let error = check_rocksdb_logs(dir.path()).unwrap_err();
                assert!(error.detail.starts_with("Corruption"), "{error}");
                std::fs::write(&log, &sound).unwrap();
            }
        }
    }
}
