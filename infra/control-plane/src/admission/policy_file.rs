//! The file of the policy that writes are judged by.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mesh::policy::{Policy, PolicyError};

/// A policy, read again when its file changes.
#[derive(Debug)]
pub(super) struct PolicyFile {
    /// None for the built-in policy.
    path: Option<PathBuf>,
    read: Mutex<Reading>,
}

#[derive(Debug)]
struct Reading {
    mark: Option<Mark>,
    policy: Arc<Policy>,
    broken: bool,
}

/// What changes when a file does: inode, size, and the time of the last change with its nanoseconds.
type Mark = (u64, u64, i64, i64);

/// Why a policy can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// The file can't be read.
    #[error("read the policy in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no policy.
    #[error("the policy in {path} can't be used")]
    Content {
        /// The file.
        path: PathBuf,
        /// Where, and how to mend it.
        source: PolicyError,
    },
    /// The built-in policy is no policy.
    #[error("the built-in policy can't be used")]
    BuiltIn(#[source] PolicyError),
}

impl PolicyFile {
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self, PolicyFileError> {
        let (mark, policy) = match &path {
            Some(path) => load(path).map(|(mark, policy)| (Some(mark), policy))?,
            None => (None, Policy::built_in().map_err(PolicyFileError::BuiltIn)?),
        };
        Ok(Self { path, read: Mutex::new(Reading { mark, policy: Arc::new(policy), broken: false }) })
    }

    /// The policy as it is now, or as it last was when it could be used: that somebody mistypes a waiver neither stops
    /// every write nor lets every write pass.
    pub(super) fn current(&self) -> Arc<Policy> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            let mark = std::fs::metadata(path).ok().map(|metadata| mark(&metadata));
            if mark != read.mark {
                match load(path) {
                    Ok((mark, policy)) => {
                        tracing::info!(path = %path.display(), "policy read anew");
                        *read = Reading { mark: Some(mark), policy: Arc::new(policy), broken: false };
                    }
                    Err(error) => {
                        let source = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::error!(%error, source, "the last good policy holds until the file is mended");
                        (read.mark, read.broken) = (mark, true);
                    }
                }
            }
        }
        Arc::clone(&read.policy)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).broken
    }
}

fn load(path: &Path) -> Result<(Mark, Policy), PolicyFileError> {
    let failed = |source| PolicyFileError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let content = |source| PolicyFileError::Content { path: path.to_owned(), source };
    Ok((mark(&metadata), Policy::read(&text).map_err(content)?))
}

fn mark(metadata: &Metadata) -> Mark {
    (metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec())
}
