//! TLS towards Envoys and callers of the API: a certificate that can be replaced, and clients that show theirs.

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

/// A certificate and its key, in PEM files that are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Which certificates of clients are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientTrust {
    /// Those that vouch for clients.
    pub(crate) ca: PathBuf,
    /// Those that are revoked. With it, a certificate whose issuer has no list there is refused.
    pub(crate) crl: Option<PathBuf>,
}

impl ClientTrust {
    fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(self.ca.as_path()), self.crl.as_deref()].into_iter().flatten()
    }
}

/// What speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    Ads,
    Api,
}

impl Speaker {
    const fn name(self) -> &'static str {
        match self {
            Self::Ads => "the ADS server",
            Self::Api => "the API",
        }
    }

    /// What is spoken over TLS. gRPC clients insist on being told; SDKs take what there is.
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Ads => vec![b"h2".to_vec()],
            Self::Api => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// The certificates in force. The files are looked at again at each connection, since whoever renews a certificate
/// writes a file and tells nobody.
#[derive(Debug)]
pub(crate) struct Tls {
    speaker: Speaker,
    files: TlsFiles,
    clients: Option<ClientTrust>,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    seen: Vec<Stamp>,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// What a file is told apart by from what it was: its inode, its time of change and its length. `None` is no file.
type Stamp = Option<(u64, i64, i64, u64)>;

impl Tls {
    /// Clients have to show a certificate that is trusted, where that is given.
    pub(crate) fn open(speaker: Speaker, files: TlsFiles, clients: Option<ClientTrust>) -> Result<Self, TlsError> {
        let seen = stamps(&files, clients.as_ref());
        let acceptor = read(speaker, &files, clients.as_ref())?;
        Ok(Self { speaker, files, clients, current: Mutex::new(Current { acceptor, seen }) })
    }

    /// Shakes hands, and gives the names in the client's certificate, where one is asked for.
    pub(crate) async fn accept<IO>(&self, stream: IO) -> io::Result<(TlsStream<IO>, Option<Vec<String>>)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor().accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = certificate.map(|certificate| names(certificate));
        Ok((stream, names))
    }

    /// The acceptor for a new connection. Files that can't be used, as between the writing of a certificate and that of
    /// its key, leave the last good ones in force.
    fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = stamps(&self.files, self.clients.as_ref());
        if seen != current.seen {
            let speaker = self.speaker.name();
            match read(self.speaker, &self.files, self.clients.as_ref()) {
                Ok(acceptor) => {
                    tracing::info!(speaker, certificate = %self.files.certificate.display(), "certificate read anew");
                    current.acceptor = acceptor;
                }
                Err(error) => tracing::warn!(speaker, %error, "the former certificate stays in force"),
            }
            current.seen = seen;
        }
        current.acceptor.clone()
    }
}

fn stamps(files: &TlsFiles, clients: Option<&ClientTrust>) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
    };
    let own = [files.certificate.as_path(), files.key.as_path()].into_iter();
    own.chain(clients.into_iter().flat_map(ClientTrust::files)).map(stamp).collect()
}

fn read(speaker: Speaker, files: &TlsFiles, clients: Option<&ClientTrust>) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(&files.certificate)?;
    check_mode(&files.key);
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| unreadable(&files.key, source))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ClientTrust { ca, crl }) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(ca)? {
                roots.add(root)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match crl {
                None => verifier,
                Some(path) => verifier.with_crls(revoked(path)?).only_check_end_entity_revocation(),
            };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = speaker.protocols();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let read = CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let lists = read.map_err(|source| unreadable(path, source))?;
    if lists.is_empty() { Err(TlsError::NoList { path: path.to_owned() }) } else { Ok(lists) }
}

/// Says so when users other than its owner can read a key. It is served all the same: Kubernetes mounts secrets so.
fn check_mode(key: &Path) {
    let mode = fs::metadata(key).map_or(0, |file| file.mode() & 0o777);
    if mode & 0o077 != 0 {
        tracing::warn!(
            key = %key.display(),
            mode = format!("{mode:03o}"),
            "TLS key can be read by others than its owner: chmod 600"
        );
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|source| unreadable(path, source))?;
    if certificates.is_empty() { Err(TlsError::Empty { path: path.to_owned() }) } else { Ok(certificates) }
}

fn unreadable(path: &Path, source: pem::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), source }
}

/// What a certificate says its holder is: its URI and DNS names; its common name only if it has neither, since a name
/// that an issuer put beside the proper ones was not meant to count.
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

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("read {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file has no certificate in it.
    #[error("{path} has no certificate in it", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file has no list of revoked certificates in it.
    #[error("{path} has no certificate revocation list in it", path = path.display())]
    NoList {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key don't go together, or are of a kind that isn't served.
    #[error("certificate and key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// Nobody could be checked against what the file of client CAs holds.
    #[error("the client CA can't be used: {0}")]
    ClientCa(#[from] VerifierBuilderError),
}
