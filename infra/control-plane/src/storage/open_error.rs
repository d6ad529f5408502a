//! The reasons why a shared store cannot be used.

use mesh::name::AccountId;

use super::log::LogError;
use super::packed::FORMAT;

/// The shared store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SharedOpenError {
    /// The table does not exist.
    #[error("failed to open {store}: it does not exist. Create it with the text keys pk (hash) and sk (range)")]
    Missing {
        /// The store.
        store: String,
    },
    /// A request failed, or its answer cannot be read.
    #[error("failed to open {store}")]
    Failed {
        /// The store.
        store: String,
        /// The error of the request.
        #[source]
        source: LogError,
    },
    /// The release of etcd may lose acknowledged writes.
    #[error(
        "failed to open {store}: it is etcd {found}, which may lose acknowledged writes when a member is killed (etcd issue 13766). Use 3.5.6 or later"
    )]
    OldRelease {
        /// The store.
        store: String,
        /// The release of etcd.
        found: String,
    },
    /// Two regions would accept writes at the same sequence.
    #[error(
        "failed to open {store}: it is a global table, in which two regions accept the same write. Use a table of one region"
    )]
    Global {
        /// The store.
        store: String,
    },
    /// The table would delete entries.
    #[error("failed to open {store}: it has a time to live, which may delete acknowledged writes. Disable it")]
    TimeToLive {
        /// The store.
        store: String,
    },
    /// The table has other content.
    #[error("failed to open {store}: it is not a store of a control plane ({what}). Use another table")]
    Foreign {
        /// The store.
        store: String,
        /// The reason.
        what: String,
    },
    /// A newer release wrote the store, or one that is more than one format older.
    #[error(
        "failed to open {store}: it has format {format}, and this release reads {FORMAT}. Start a release that reads it"
    )]
    OtherFormat {
        /// The store.
        store: String,
        /// The format of the store.
        format: u64,
    },
    /// The ARNs of the stored resources differ from the ARNs that would be served.
    #[error(
        "failed to open {store}: it belongs to account {account} in {region}. Pass --account {account} --region {region}, or use another table"
    )]
    OtherRealm {
        /// The store.
        store: String,
        /// The account of the store.
        account: AccountId,
        /// The region of the store.
        region: String,
    },
    /// The content was written to another table.
    #[error(
        "failed to open {store}: its content was written to {written}, and it is {found}. A copy must not be used beside its original"
    )]
    OtherTable {
        /// The store.
        store: String,
        /// The ARN of the table that the store was begun in.
        written: String,
        /// The ARN of this table.
        found: String,
    },
}

impl SharedOpenError {
    pub(super) const fn new(store: String, source: LogError) -> Self {
        Self::Failed { store, source }
    }
}
