use async_trait::async_trait;
use mesh::certificates::Fingerprint;
use mesh::policy::HostPort;

use crate::PortError;

/// Looks at what servers present, by a TLS handshake: evidence where nobody else can tell.
#[async_trait]
pub trait HandshakeProbe: Send + Sync + std::fmt::Debug {
    /// The leaf of each server behind an address, and the proof that it has the key. A host name stands for all that it
    /// resolves to; where one of them doesn't answer, that is an error. Who issued a leaf plays no part.
    async fn leaves(&self, address: &HostPort) -> Result<Vec<Fingerprint>, PortError>;
}
