//! The role of a process at a shared store, and the reasons why its store cannot start.

use std::io;
use std::time::Duration;

use uuid::Uuid;

use crate::storage::LogError;

/// The log of a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogStartError {
    /// The worker's thread or runtime cannot be started.
    #[error("failed to start the storage thread")]
    Thread(#[source] io::Error),
    /// The log cannot be read.
    #[error("failed to read the log of the store within {} seconds", .0.as_secs())]
    Unreadable(Duration),
    /// The log cannot be applied.
    #[error("failed to apply the log of the store: {0}")]
    Invalid(String),
    /// The registry of replicas cannot be used.
    #[error("failed to use the registry of replicas")]
    Registry(#[source] LogError),
    /// Another replica is running.
    #[error(
        "the replica {id} is using this store; pass --role replica to every replica, and see its limits in the README"
    )]
    AnotherReplica {
        /// The other replica.
        id: Uuid,
    },
}

/// Whether a process may share its store with others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReplicaRole {
    /// No other process may use the store, so that this one knows every proxy.
    #[default]
    Single,
    /// Other replicas may use the store. While they do, this one does not report on proxies, since it knows only its own.
    Replica,
}
