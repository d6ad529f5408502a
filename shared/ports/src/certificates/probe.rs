use async_trait::async_trait;
use mesh::certificates::Fingerprint;
use mesh::host_port::HostPort;

use crate::PortError;

/// Reads the certificates that servers present, by a TLS handshake, as evidence where no other source exists.
#[async_trait]
pub trait HandshakeProbe: Send + Sync + std::fmt::Debug {
    /// The leaf of each server behind an address, with a proof that the server has the key. A host name represents all
    /// addresses that it resolves to; if one of them does not answer, that is an error. The issuer of a leaf
    /// is not verified.
    async fn leaves(&self, address: &HostPort) -> Result<Vec<Fingerprint>, PortError>;
}
