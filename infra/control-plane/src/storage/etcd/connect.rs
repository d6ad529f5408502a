//! Connections to members of an etcd cluster, with or without TLS.

use std::error::Error;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::tls;

/// The time-out of a connection: TCP, and the handshake of TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// TLS to an etcd cluster. The files are read for each connection, so a renewal needs no restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EtcdTls {
    /// The CA certificates of the members. `None` trusts the system's.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key, for clusters that verify clients.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A stream to a member.
trait MemberStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<IO: AsyncRead + AsyncWrite + Send + Unpin> MemberStream for IO {}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<Box<dyn MemberStream>>>> + Send>>;

impl EtcdTls {
    fn connector(&self) -> io::Result<TlsConnector> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match &self.ca {
            None => builder.with_native_roots()?,
            Some(ca) => builder.with_root_certificates(tls::roots(ca).map_err(io::Error::other)?),
        };
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = tls::certificates(certificate).map_err(io::Error::other)?;
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| invalid(key, &error))?;
                builder.with_client_auth_cert(chain, private).map_err(|error| invalid(certificate, &error))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Reads the files once, so that a start reports a missing or invalid file.
    pub(super) fn check(&self) -> io::Result<()> {
        self.connector().map(|_| ())
    }
}

fn invalid(path: &Path, error: &(dyn Error + 'static)) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("failed to use {}: {error}", path.display()))
}

/// A channel to the member at `HOST:PORT`, which connects when it is used.
pub(super) fn channel(address: &str, tls: Option<&EtcdTls>) -> Result<Channel, Box<dyn Error + Send + Sync>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(3));
    let Some(tls) = tls else { return Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy()) };
    let name = Uri::try_from(format!("https://{address}"))?;
    let host = name.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let server = ServerName::try_from(host)?;
    let (address, tls) = (address.to_owned(), tls.clone());
    let connector = service_fn(move |_: Uri| -> Connecting {
        let (address, tls, server) = (address.clone(), tls.clone(), server.clone());
        Box::pin(async move {
            let connect = async {
                let stream = TcpStream::connect(&address).await?;
                stream.set_nodelay(true)?;
                let stream = tls.connector()?.connect(server, stream).await?;
                Ok(TokioIo::new(Box::new(stream) as Box<dyn MemberStream>))
            };
            timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        })
    });
    Ok(endpoint.origin(name).connect_with_connector_lazy(connector))
}
