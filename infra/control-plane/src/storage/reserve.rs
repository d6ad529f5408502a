//! Room on the disk that is given up when the disk is full, so that the store can be written again and deletions still
//! be stored.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What is reserved beside the room for another copy of the store.
const SPARE: u64 = 1024 * 1024;

/// What is written at a time.
static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];

/// A file that takes up room.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    is_there: bool,
}

impl Reserve {
    /// Takes up the room for another copy of a store. Without it, nothing can be stored on a disk that is full.
    pub(super) fn take(path: PathBuf, store: &Path) -> Self {
        let mut reserve = Self { path, is_there: false };
        reserve.retake(store);
        reserve
    }

    pub(super) const fn is_there(&self) -> bool {
        self.is_there
    }

    /// Gives the room up.
    pub(super) fn release(&mut self) {
        // One that can't be removed takes up the room still, and the next write fails as this one did.
        let _ = fs::remove_file(&self.path);
        self.is_there = false;
    }

    /// Takes the room up again, if there is that much.
    pub(super) fn retake(&mut self, store: &Path) {
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
