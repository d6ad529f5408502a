//! The policy file that writes are judged against.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use policy::{Policy, PolicyError};

/// A policy that is reloaded when its file changes.
#[derive(Debug)]
pub(super) struct PolicyFile {
    /// `None` for the built-in policy.
    path: Option<PathBuf>,
    read: Mutex<LoadedPolicy>,
}

#[derive(Debug)]
struct LoadedPolicy {
    mark: Option<PolicyFileMark>,
    policy: Arc<Policy>,
    broken: bool,
}

/// Identifies a version of the file: inode, size, and the time of the last change with its nanoseconds.
type PolicyFileMark = (u64, u64, i64, i64);

/// A policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// The file cannot be read.
    #[error("failed to read the policy file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The content is not a valid policy.
    #[error("invalid policy file {path}")]
    Content {
        /// The file.
        path: PathBuf,
        /// The position in the file and its correction.
        source: PolicyError,
    },
    /// The built-in policy is not a valid policy.
    #[error("invalid built-in policy")]
    BuiltIn(#[source] PolicyError),
}

impl PolicyFile {
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self, PolicyFileError> {
        let (mark, policy) = match &path {
            Some(path) => load(path).map(|(mark, policy)| (Some(mark), policy))?,
            None => (None, Policy::built_in().map_err(PolicyFileError::BuiltIn)?),
        };
        Ok(Self { path, read: Mutex::new(LoadedPolicy { mark, policy: Arc::new(policy), broken: false }) })
    }

    /// The current policy, or the last valid version of it. A typing error in a waiver neither blocks every write nor
    /// admits every write.
    pub(super) fn current(&self) -> Arc<Policy> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            let mark = std::fs::metadata(path).ok().map(|metadata| mark(&metadata));
            if mark != read.mark {
                match load(path) {
                    Ok((mark, policy)) => {
                        tracing::info!(path = %path.display(), "policy file reloaded");
                        *read = LoadedPolicy { mark: Some(mark), policy: Arc::new(policy), broken: false };
                    }
                    Err(error) => {
                        let source = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::error!(%error, source, "failed to reload policy file; last valid version stays in use");
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

fn load(path: &Path) -> Result<(PolicyFileMark, Policy), PolicyFileError> {
    let failed = |source| PolicyFileError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let content = |source| PolicyFileError::Content { path: path.to_owned(), source };
    Ok((mark(&metadata), Policy::read(&text).map_err(content)?))
}

fn mark(metadata: &Metadata) -> PolicyFileMark {
    (metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec())
}
