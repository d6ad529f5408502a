//! What can go wrong with a storage: each error says what, where, and how to mend it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use mesh::name::AccountId;

use super::seal::FORMAT;

/// Why a data folder is not used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("use {}: another process uses it, and each control plane needs a folder of its own", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The system refuses an operation.
    #[error("{doing} {}", path.display())]
    System {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The store can't be made or opened for writing.
    #[error("{doing} {}", file.display())]
    Store {
        /// What was tried.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: CommitError,
    },
    /// Something else has the name of the store.
    #[error(
        "open {}: it is no store of a control plane ({what}); move it away, or give another folder",
        file.display()
    )]
    Foreign {
        /// The file.
        file: PathBuf,
        /// How that is seen.
        what: String,
    },
    /// It was written by a later version.
    #[error(
        "open {}: it has format {format:?}, and this version knows {FORMAT}; start the version that wrote it",
        file.display()
    )]
    OtherFormat {
        /// The file.
        file: PathBuf,
        /// The format as the file has it.
        format: String,
    },
    /// Its resources have other ARNs than those that would be served.
    #[error(
        "open {}: it is of account {account} in {region}; start with --account {account} --region {region}, or give another folder",
        file.display()
    )]
    OtherRealm {
        /// The file.
        file: PathBuf,
        /// The account in it.
        account: AccountId,
        /// The region in it.
        region: String,
    },
    /// The content is not what was written.
    #[error(
        "open {}: it is damaged ({what}); nothing of it is served, and it is left as it is; put a copy of the folder back, or give an empty one",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// How that is seen.
        what: String,
    },
    /// Writes that were answered are missing.
    #[error(
        "open {}: it ends at commit {found}, and commit {acknowledged} was acknowledged; put a copy of the folder back, \
         or remove {} to go on without what is missing",
        file.display(),
        note.display()
    )]
    Behind {
        /// The store.
        file: PathBuf,
        /// The note of what was acknowledged.
        note: PathBuf,
        /// The last commit in the store.
        found: u64,
        /// The last commit acknowledged.
        acknowledged: u64,
    },
    /// What was acknowledged can't be told.
    #[error(
        "read {}: it is damaged ({what}), so whether {} is complete can't be told; put a copy of the folder back, or \
         remove the note to take the store as it is",
        note.display(),
        file.display()
    )]
    Note {
        /// The note of what was acknowledged.
        note: PathBuf,
        /// The store.
        file: PathBuf,
        /// How that is seen.
        what: String,
    },
    /// The folder has no store, and there was one.
    #[error(
        "open {}: it has no store, and {} says that there was one; put the folder back or mount its volume, or remove that file to start empty",
        folder.display(),
        marker.display()
    )]
    Removed {
        /// The folder.
        folder: PathBuf,
        /// What says that there was a store.
        marker: PathBuf,
    },
    /// The store is gone, and what was in it was acknowledged.
    #[error(
        "open {}: it is gone, and {} says that there was one; put it back, or remove the note to start empty",
        file.display(),
        note.display()
    )]
    Gone {
        /// The store.
        file: PathBuf,
        /// The note of what was acknowledged.
        note: PathBuf,
    },
}

/// Why records are not kept.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct CommitError {
    doing: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl CommitError {
    /// A failure of what was being done, told as what follows "failed to".
    pub fn new(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { doing, source: source.into() }
    }
}
