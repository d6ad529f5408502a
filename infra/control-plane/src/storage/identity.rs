//! Whether a path still leads to the file that was opened there.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What a file is told apart by, for as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The file that was opened.
    Same,
    /// Nothing, in a folder that exists.
    Nothing,
    /// Another file.
    Other,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    pub(super) fn of_file(file: &File) -> io::Result<Self> {
        Ok(Self::of(&file.metadata()?))
    }

    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&fs::metadata(path)?))
    }

    /// What is at the path now. An error where the folder can't be read, or is gone.
    pub(super) fn look(self, path: &Path) -> io::Result<Found> {
        match fs::metadata(path) {
            Ok(metadata) if Self::of(&metadata) == self => Ok(Found::Same),
            Ok(_) => Ok(Found::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::metadata(path.parent().unwrap_or(path))?;
                Ok(Found::Nothing)
            }
            Err(error) => Err(error),
        }
    }
}
