//! The errors of snapshots.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::storage::{CommitError, LogError, OpenError, SharedOpenError};

/// A snapshot cannot be taken or restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The operating system refuses an operation.
    #[error("failed to {doing} {}", path.display())]
    System {
        /// The operation.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A record cannot be encoded.
    #[error("failed to encode the snapshot")]
    Encode(#[source] Box<dyn Error + Send + Sync>),
    /// The content is not that of a complete snapshot.
    #[error("failed to read {origin}: it is not a complete snapshot ({what})")]
    Damaged {
        /// The file or the process.
        origin: String,
        /// The reason.
        what: String,
    },
    /// The store does not exist.
    #[error("failed to open {store}: it has no store of a control plane")]
    Missing {
        /// The store.
        store: String,
    },
    /// The store has content.
    #[error("failed to restore {store}: it is not empty. Restore into a new table, prefix or folder")]
    NotEmpty {
        /// The store.
        store: String,
    },
    /// A replica would stop after an upgrade.
    #[error("failed to upgrade {store}: these replicas are running: {replicas}. Update them first")]
    OldReplicas {
        /// The store.
        store: String,
        /// The replicas, with their releases.
        replicas: String,
    },
    /// The store differs from the snapshot after it was restored.
    #[error("failed to verify {store}: {what}. Do not use it")]
    NotVerified {
        /// The store.
        store: String,
        /// The difference.
        what: String,
    },
    /// The process that uses the folder does not answer.
    #[error(
        "failed to take a snapshot of {}: another process uses it and does not answer at {}. Stop it, or use a release with snapshots",
        folder.display(),
        socket.display()
    )]
    NoAnswer {
        /// The folder.
        folder: PathBuf,
        /// The socket of the process.
        socket: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// The shared store cannot be used.
    #[error(transparent)]
    Shared(#[from] SharedOpenError),
    /// The log of the shared store cannot be read or written.
    #[error("failed to use the log of {store}")]
    Log {
        /// The store.
        store: String,
        /// The error of the log.
        source: LogError,
    },
    /// The folder cannot be written.
    #[error("failed to restore {}", folder.display())]
    Commit {
        /// The folder.
        folder: PathBuf,
        /// The error of the storage.
        source: CommitError,
    },
}

impl SnapshotError {
    pub(super) fn encode(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Encode(error.into())
    }

    pub(super) fn system(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, path: path.to_owned(), source }
    }

    pub(super) fn log(store: &str) -> impl FnOnce(LogError) -> Self {
        move |source| Self::Log { store: store.to_owned(), source }
    }
}
