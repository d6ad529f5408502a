//! Handshakes with real servers on loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;

use mesh::certificates::Fingerprint;
use ports::PortErrorKind;
use ports::certificates::{HandshakeProbe as _, SystemProbe};
use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey as Presented;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// Presents a certificate, whether the key is its or not.
#[derive(Debug)]
struct Shows(Arc<Presented>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<Presented>> {
        Some(Arc::clone(&self.0))
    }
}

fn issue() -> CertifiedKey<KeyPair> {
    let signing_key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["pay.shop.local".to_owned()]).unwrap().self_signed(&signing_key).unwrap();
    CertifiedKey { cert, signing_key }
}

fn fingerprint(one: &CertifiedKey<KeyPair>) -> Fingerprint {
    Fingerprint::from_der(one.cert.der())
}

fn config(
    shows: &CertifiedKey<KeyPair>,
    key: &KeyPair,
    requires_client: bool,
    version: &'static SupportedProtocolVersion,
) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let presented = Presented::new(vec![CertificateDer::from(shows.cert.der().to_vec())], key);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    let builder = if requires_client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(issue().cert.der().to_vec())).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    builder.with_cert_resolver(Arc::new(Shows(Arc::new(presented))))
}

/// A server, until it is dropped.
struct Server {
    at: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    async fn start(config: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let acceptor = config.map(|config| TlsAcceptor::from(Arc::new(config)));
        let serving = tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                match &acceptor {
                    Some(acceptor) => drop(acceptor.accept(stream).await),
                    None => drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await),
                }
            }
        });
        Self { at, serving }
    }

    async fn leaves(&self) -> Result<Vec<Fingerprint>, PortErrorKind> {
        let address = self.at.to_string().try_into().unwrap();
        SystemProbe.leaves(&address).await.map_err(|error| error.kind)
    }
}

#[tokio::test]
async fn the_leaf_is_seen_whether_the_server_wants_one_of_its_client_or_not() {
    for version in [&TLS12, &TLS13] {
        for requires_client in [false, true] {
            let own = issue();
            let server = Server::start(Some(config(&own, &own.signing_key, requires_client, version))).await;
            assert_eq!(
                server.leaves().await,
                Ok(vec![fingerprint(&own)]),
                "{version:?}, requires_client: {requires_client}"
            );
        }
    }
}

#[tokio::test]
async fn whoever_has_not_the_key_shows_nothing() {
    for version in [&TLS12, &TLS13] {
        let (own, other) = (issue(), issue());
        let server = Server::start(Some(config(&own, &other.signing_key, false, version))).await;
        assert_eq!(server.leaves().await, Err(PortErrorKind::Unavailable), "{version:?}");
    }
}

#[tokio::test]
async fn plain_text_server_and_closed_port_are_errors() {
    let plain = Server::start(None).await;
    assert_eq!(plain.leaves().await, Err(PortErrorKind::Unavailable));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let error = SystemProbe.leaves(&at.to_string().try_into().unwrap()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(&at.to_string()), "{error}");
}
