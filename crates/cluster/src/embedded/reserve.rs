//! Disk space kept for the moment when there is none: opening RocksDB and writing to it need a little, and without it a full
//! disk could neither be started on nor be freed by deleting topics.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use crate::store::StoreError;

/// Covers opening (manifest, options, and the write buffer as a table) and the log of a good many transactions.
const RESERVE_BYTES: u64 = 4 * 1024 * 1024;
/// The reserve is taken only from a disk that has several times as much.
const FREE_BYTES_MIN: u64 = 4 * RESERVE_BYTES;
const FILE_NAME: &str = "reserve";

pub(super) struct Reserve {
    file: PathBuf,
    held: bool,
}

impl Reserve {
    /// The reserve in the store's directory, as its last process left it.
    pub(super) fn find(directory: &Path) -> Self {
        let file = directory.join(FILE_NAME);
        let held = fs::metadata(&file).is_ok_and(|found| found.len() == RESERVE_BYTES);
        Self { file, held }
    }

    /// Gives the space back to the file system if `failure` says that there is none. `false` when nothing was given: also for every
    /// other failure, because the directory may be another process's.
    pub(super) fn gave_way_to(&mut self, failure: &StoreError) -> bool {
        if !self.held || !says_full(failure) {
            return false;
        }
        self.held = false;
        let released = fs::remove_file(&self.file).is_ok();
        if released {
            tracing::warn!("the disk is full: the reserve of space for metadata was given up");
        }
        released
    }

    /// Takes the space, if it is not held and the disk has plenty. The store works without it, so a refusal is only logged.
    pub(super) fn hold(&mut self) {
        if self.held || !self.has_room() {
            return;
        }
        match allocate(&self.file) {
            Ok(()) => self.held = true,
            Err(error) => {
                tracing::warn!(%error, "no disk space could be reserved for metadata");
                // Half a reserve is none; if it cannot be removed either, the next start finds the wrong length.
                let _ = fs::remove_file(&self.file);
            }
        }
    }

    fn has_room(&self) -> bool {
        let Some(directory) = self.file.parent() else {
            return false;
        };
        rustix::fs::statvfs(directory)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= FREE_BYTES_MIN)
    }
}

/// RocksDB's error comes as text only, in the words of the C library.
fn says_full(failure: &StoreError) -> bool {
    let StoreError::Unavailable { reason } = failure else {
        return false;
    };
    reason.contains("No space left on device") || reason.contains("Disk quota exceeded")
}

fn allocate(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
        // A file system that cannot set blocks aside gets them written.
        Err(rustix::io::Errno::OPNOTSUPP) => io::copy(
            &mut io::Read::take(io::repeat(0), RESERVE_BYTES),
            &mut &file,
        )
        .map(drop),
        allocated => allocated.map_err(io::Error::from),
    }
}
