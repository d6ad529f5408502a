//! The errors of the storage, each with the file and the remedy.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use mesh::name::AccountId;

use super::seal::FORMAT;

/// The data folder cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the folder.
    #[error("failed to lock {}: another process uses it. Each control plane needs a separate folder", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system refuses an operation.
    #[error("failed to {doing} {}", path.display())]
    System {
        /// The operation.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
    /// The store cannot be created or opened for writing.
    #[error("failed to {doing} {}", file.display())]
    Store {
        /// The operation.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// The error of the database.
        #[source]
        source: CommitError,
    },
    /// The store's file is not a store.
    #[error(
        "failed to open {}: it is not a store of a control plane ({what}). Move it away, or use another folder",
        file.display()
    )]
    Foreign {
        /// The file.
        file: PathBuf,
        /// The reason.
        what: String,
    },
    /// A newer version wrote the store.
    #[error(
        "failed to open {}: it has format {format:?}, and this version reads {FORMAT}. Start the version that wrote it",
        file.display()
    )]
    OtherFormat {
        /// The file.
        file: PathBuf,
        /// The format in the file.
        format: String,
    },
    /// The ARNs of the stored resources differ from the ARNs that would be served.
    #[error(
        "failed to open {}: it belongs to account {account} in {region}. Pass --account {account} --region {region}, or use another folder",
        file.display()
    )]
    OtherRealm {
        /// The file.
        file: PathBuf,
        /// The account of the store.
        account: AccountId,
        /// The region of the store.
        region: String,
    },
    /// The content of the store differs from the written content.
    #[error(
        "failed to open {}: it is damaged ({what}) and was left unchanged. Restore the folder from a backup, or use an empty one",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The reason.
        what: String,
    },
    /// Acknowledged writes are missing from the store.
    #[error(
        "failed to open {}: it ends at commit {found}, but commit {acknowledged} was acknowledged. Restore the folder from \
         a backup, or remove {} to continue without the missing commits",
        file.display(),
        note.display()
    )]
    Behind {
        /// The store.
        file: PathBuf,
        /// The acknowledgement file.
        note: PathBuf,
        /// The last commit in the store.
        found: u64,
        /// The last acknowledged commit.
        acknowledged: u64,
    },
    /// The acknowledgement file is damaged.
    #[error(
        "failed to read {}: it is damaged ({what}), so it is unknown whether {} is complete. Restore the folder from a \
         backup, or remove the damaged file to use the store without this check",
        note.display(),
        file.display()
    )]
    Note {
        /// The acknowledgement file.
        note: PathBuf,
        /// The store.
        file: PathBuf,
        /// The reason.
        what: String,
    },
    /// The folder has no store, though it had one.
    #[error(
        "failed to open {}: it has no store, but {} shows that it had one. Restore the folder or mount its volume, or remove that file to start empty",
        folder.display(),
        marker.display()
    )]
    Removed {
        /// The folder.
        folder: PathBuf,
        /// The marker file, which shows that there was a store.
        marker: PathBuf,
    },
    /// The store is missing, though it had acknowledged writes.
    #[error(
        "failed to open {}: it is missing, but {} shows that it existed. Restore it, or remove that file to start empty",
        file.display(),
        note.display()
    )]
    StoreMissing {
        /// The store.
        file: PathBuf,
        /// The acknowledgement file.
        note: PathBuf,
    },
}

/// Records were not stored.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing}")]
pub struct CommitError {
    doing: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl CommitError {
    /// A failed operation, described by the words that follow "failed to".
    pub fn new(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { doing, source: source.into() }
    }
}
