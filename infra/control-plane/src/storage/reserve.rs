//! Disk space that is released when the disk is full, so that the store can be rewritten and deletions stored.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The reserve in addition to the size of the store, in bytes.
const SPARE: u64 = 1024 * 1024;

/// The zeros that one write appends.
static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];

/// A file that reserves disk space.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    is_there: bool,
}

impl Reserve {
    /// Reserves the space of another copy of the store. Without it, nothing can be stored on a full disk.
    pub(super) fn new(path: PathBuf, store: &Path) -> Self {
        let mut reserve = Self { path, is_there: false };
        reserve.refill(store);
        reserve
    }

    pub(super) const fn is_there(&self) -> bool {
        self.is_there
    }

    /// Releases the space.
    pub(super) fn release(&mut self) {
        // If the file cannot be removed it still uses the space, and the next write fails like the last one.
        let _ = fs::remove_file(&self.path);
        self.is_there = false;
    }

    /// Reserves the space again, if there is enough.
    pub(super) fn refill(&mut self, store: &Path) {
        if self.is_there {
            return;
        }
        let filled = fs::metadata(store).and_then(|store| fill(&self.path, store.len() + SPARE));
        self.is_there = filled.is_ok();
        if !self.is_there {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn fill(path: &Path, length: u64) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|file| file.len() >= length) {
        return Ok(());
    }
    let mut file = File::create(path)?;
    let mut left = length;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE.len());
        file.write_all(PIECE.get(..piece).unwrap_or(&PIECE))?;
        left -= u64::try_from(piece).unwrap_or(left);
    }
    Ok(())
}
