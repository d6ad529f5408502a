//! TLS for Envoys and API callers: a replaceable server certificate, and verification of client certificates.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate and its key, in PEM files that are reloaded when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The trust in client certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientTrust {
    /// The CA certificates of clients.
    pub(crate) ca: PathBuf,
    /// The revocation lists. With it, a certificate is refused if its issuer has no list in the file.
    pub(crate) crl: Option<PathBuf>,
}

impl ClientTrust {
    fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(self.ca.as_path()), self.crl.as_deref()].into_iter().flatten()
    }
}

/// The servers that use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsEndpoint {
    Ads,
    Api,
    /// The admission webhooks for Kubernetes.
    Webhook,
}

impl TlsEndpoint {
    const fn name(self) -> &'static str {
        match self {
            Self::Ads => "the ADS server",
            Self::Api => "the API",
            Self::Webhook => "the webhooks",
        }
    }

    /// The ALPN protocols. gRPC clients require HTTP/2; SDKs use either.
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Ads => vec![b"h2".to_vec()],
            Self::Api | Self::Webhook => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// The current certificates. The files are checked at each connection, since a renewal only writes the files.
#[derive(Debug)]
pub(crate) struct Tls {
    endpoint: TlsEndpoint,
    files: TlsFiles,
    clients: Option<ClientTrust>,
    current: Mutex<LoadedTls>,
}

struct LoadedTls {
    acceptor: TlsAcceptor,
    seen: Vec<TlsFileVersion>,
}

impl std::fmt::Debug for LoadedTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedTls").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// Identifies a version of a file: inode, time of the last change, and length. `None`: no file.
type TlsFileVersion = Option<(u64, i64, i64, u64)>;

impl Tls {
    /// Reads the files. With `clients`, every client has to present a trusted certificate.
    pub(crate) fn open(endpoint: TlsEndpoint, files: TlsFiles, clients: Option<ClientTrust>) -> Result<Self, TlsError> {
        let seen = file_versions(&files, clients.as_ref());
        let acceptor = read(endpoint, &files, clients.as_ref())?;
        Ok(Self { endpoint, files, clients, current: Mutex::new(LoadedTls { acceptor, seen }) })
    }

    /// Does the TLS handshake, and returns the names in the client's certificate if one is required.
    pub(crate) async fn accept<IO>(&self, stream: IO) -> io::Result<(TlsStream<IO>, Option<Vec<String>>)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor().accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = certificate.map(|certificate| names(certificate));
        Ok((stream, names))
    }

    /// The acceptor for a new connection. Invalid files leave the last valid ones in use, for example between the
    /// writing of a certificate and that of its key.
    fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = file_versions(&self.files, self.clients.as_ref());
        if seen != current.seen {
            let server = self.endpoint.name();
            match read(self.endpoint, &self.files, self.clients.as_ref()) {
                Ok(acceptor) => {
                    tracing::info!(server, certificate = %self.files.certificate.display(), "TLS certificate reloaded");
                    current.acceptor = acceptor;
                }
                Err(error) => {
                    tracing::warn!(server, %error, "failed to reload TLS certificate; the previous one stays in use");
                }
            }
            current.seen = seen;
        }
        current.acceptor.clone()
    }
}

fn file_versions(files: &TlsFiles, clients: Option<&ClientTrust>) -> Vec<TlsFileVersion> {
    let version = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
    };
    let own = [files.certificate.as_path(), files.key.as_path()].into_iter();
    own.chain(clients.into_iter().flat_map(ClientTrust::files)).map(version).collect()
}

fn read(endpoint: TlsEndpoint, files: &TlsFiles, clients: Option<&ClientTrust>) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(&files.certificate)?;
    check_mode(&files.key);
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| unreadable(&files.key, source))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ClientTrust { ca, crl }) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider);
            let verifier = match crl {
                None => verifier,
                Some(path) => verifier.with_crls(revoked(path)?).only_check_end_entity_revocation(),
            };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = endpoint.protocols();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let read = CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let lists = read.map_err(|source| unreadable(path, source))?;
    if lists.is_empty() { Err(TlsError::NoList { path: path.to_owned() }) } else { Ok(lists) }
}

/// Warns if users other than the owner can read a key. The key is used all the same: Kubernetes mounts secrets
/// this way.
fn check_mode(key: &Path) {
    let mode = fs::metadata(key).map_or(0, |file| file.mode() & 0o777);
    if mode & 0o077 != 0 {
        tracing::warn!(
            key = %key.display(),
            mode = format!("{mode:03o}"),
            "TLS key is readable by users other than its owner"
        );
    }
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|source| unreadable(path, source))?;
    if certificates.is_empty() { Err(TlsError::Empty { path: path.to_owned() }) } else { Ok(certificates) }
}

/// The certificates of a file as trusted roots.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(path)? {
        roots.add(root)?;
    }
    Ok(roots)
}

fn unreadable(path: &Path, source: pem::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), source }
}

/// The names of a certificate's holder: its URI and DNS names. The common name counts only without these, since an
/// issuer that adds proper names does not intend it as an identity.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(name) | GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    if !names.is_empty() {
        return names;
    }
    certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("failed to read {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the PEM reader.
        source: pem::Error,
    },
    /// A file contains no certificate.
    #[error("{path} contains no certificate", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file contains no certificate revocation list.
    #[error("{path} contains no certificate revocation list", path = path.display())]
    NoList {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not match, or are of an unsupported kind.
    #[error("invalid certificate or key: {0}")]
    Unusable(#[from] rustls::Error),
    /// The client CA cannot verify any certificate.
    #[error("invalid client CA: {0}")]
    ClientCa(#[from] VerifierBuilderError),
}
