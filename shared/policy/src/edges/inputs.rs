//! The inputs of both ends of an edge to the TLS handshake.

use serde::Serialize;

use mesh::certificates::{Anchor, CertificateSource};
use mesh::spec::TlsMode;

/// The inputs of both ends to the handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HandshakeInputs {
    /// The client's call mode; `None` without a listener.
    pub call: Option<Call>,
    /// Whether the client's policy enforces TLS; `None` if no policy applies to the port.
    pub enforced: Option<bool>,
    /// The listener's TLS mode; `None` if it is not configured.
    pub mode: Option<TlsMode>,
    /// The certificate that the listener presents.
    pub server: Option<CertificateSource>,
    /// The client's trust anchors.
    pub server_trust: Vec<Anchor>,
    /// The names of which the server must have one; empty if any name is accepted.
    pub server_names: Vec<String>,
    /// Whether the listener requests a client certificate.
    pub asks_client: bool,
    /// The certificate that the client presents on request.
    pub client: Option<CertificateSource>,
    /// The listener's trust anchor.
    pub client_trust: Option<Anchor>,
    /// The names of which the client must have one; empty if any name is accepted.
    pub client_names: Vec<String>,
}

impl HandshakeInputs {
    /// The inputs of an edge without a listener.
    pub(super) const fn none() -> Self {
        Self {
            call: None,
            enforced: None,
            mode: None,
            server: None,
            server_trust: Vec::new(),
            server_names: Vec::new(),
            asks_client: false,
            client: None,
            client_trust: None,
            client_names: Vec::new(),
        }
    }
}

/// A client's call mode; see [`mesh::tls::ClientCall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// Without TLS.
    Plaintext,
    /// With TLS, as a policy configures it.
    ByPolicy,
    /// With TLS, trusting the issuer of the server's certificate.
    AgainstIssuer,
    /// With TLS, trusting any server.
    Unseen,
}
