use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mesh::certificates::Fingerprint;
use mesh::host_port::HostPort;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::HandshakeProbe;
use crate::{PortError, PortErrorKind};

/// The timeout for one server. A listener is in the same network.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads certificates with rustls. No data is sent over the connection, and no trust follows from it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemProbe;

#[async_trait]
impl HandshakeProbe for SystemProbe {
    async fn leaves(&self, address: &HostPort) -> Result<Vec<Fingerprint>, PortError> {
        let failed = |kind, why: String| PortError::new(format!("probe {address}"), kind, why);
        let unavailable = |error: std::io::Error| failed(PortErrorKind::Unavailable, error.to_string());
        let name = ServerName::try_from(address.host().to_owned())
            .map_err(|error| failed(PortErrorKind::Other, error.to_string()))?;
        let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((address.host(), address.port()))).await;
        let found = found.map_err(|_| failed(PortErrorKind::TimedOut, "its name is not resolved".to_owned()))?;
        let mut leaves = Vec::new();
        for server in found.map_err(unavailable)? {
            let late = || failed(PortErrorKind::TimedOut, format!("{server} does not answer"));
            let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(server)).await.map_err(|_| late())?;
            let seen = Arc::new(Witness::default());
            let config = config(&seen).map_err(|error| failed(PortErrorKind::Other, error.to_string()))?;
            let handshake = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream.map_err(unavailable)?);
            let ended = tokio::time::timeout(PATIENCE, handshake).await;
            // A server that requires a client certificate rejects the handshake after it has presented its own
            // certificate.
            match (seen.proven(), ended) {
                (Some(leaf), _) => leaves.push(leaf),
                (None, Ok(Err(error))) => return Err(unavailable(error)),
                (None, Ok(Ok(_)) | Err(_)) => return Err(late()),
            }
        }
        Ok(leaves)
    }
}

fn config(seen: &Arc<Witness>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = Verifier { seen: Arc::clone(seen), algorithms: algorithms(&provider) };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

fn algorithms(provider: &CryptoProvider) -> WebPkiSupportedAlgorithms {
    provider.signature_verification_algorithms
}

/// The result of a handshake.
#[derive(Debug, Default)]
struct Witness(Mutex<Option<(Fingerprint, bool)>>);

impl Witness {
    fn shown(&self, leaf: Fingerprint) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((leaf, false));
    }

    fn signed(&self) {
        if let Some((_, proven)) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            *proven = true;
        }
    }

    /// The leaf, if the server has proven possession of its key.
    fn proven(&self) -> Option<Fingerprint> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().filter(|(_, proven)| *proven).map(|(leaf, _)| leaf.clone())
    }
}

/// Accepts every certificate, and only checks that the server has its key.
#[derive(Debug)]
struct Verifier {
    seen: Arc<Witness>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.seen.shown(Fingerprint::from_der(leaf));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let valid = crypto::verify_tls12_signature(message, leaf, signature, &self.algorithms)?;
        self.seen.signed();
        Ok(valid)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let valid = crypto::verify_tls13_signature(message, leaf, signature, &self.algorithms)?;
        self.seen.signed();
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
