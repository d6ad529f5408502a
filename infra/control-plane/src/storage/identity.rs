//! Detection of files that were removed or replaced at their path.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Identifies a file while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// The file at a path, compared with an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathContent {
    /// The open file.
    Same,
    /// No file, in a folder that exists.
    Missing,
    /// Another file.
    Other,
}

impl Identity {
    pub(super) fn from_metadata(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    pub(super) fn from_file(file: &File) -> io::Result<Self> {
        Ok(Self::from_metadata(&file.metadata()?))
    }

    pub(super) fn from_path(path: &Path) -> io::Result<Self> {
        Ok(Self::from_metadata(&fs::metadata(path)?))
    }

    /// Compares the file at a path with this one. Fails if the folder cannot be read or does not exist.
    pub(super) fn compare(self, path: &Path) -> io::Result<PathContent> {
        match fs::metadata(path) {
            Ok(metadata) if Self::from_metadata(&metadata) == self => Ok(PathContent::Same),
            Ok(_) => Ok(PathContent::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::metadata(path.parent().unwrap_or(path))?;
                Ok(PathContent::Missing)
            }
            Err(error) => Err(error),
        }
    }
}
