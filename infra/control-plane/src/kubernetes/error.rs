//! The error of a start of the reconciliation.

use std::io;
use std::net::SocketAddr;

use super::client::KubernetesClientError;
use crate::admission::PolicyFileError;
use crate::tls::TlsError;

/// The reconciliation cannot start.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The client of the Kubernetes API cannot be created.
    #[error(transparent)]
    Client(#[from] KubernetesClientError),
    /// An address cannot be bound.
    #[error("failed to listen on {addr}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// The I/O error.
        source: io::Error,
    },
    /// The certificate of the webhooks cannot be used.
    #[error("invalid TLS files of the webhooks")]
    Tls(#[from] TlsError),
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
}
