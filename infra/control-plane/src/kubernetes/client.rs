//! A client of the Kubernetes API for the few requests of this program.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::InvalidUri;
use axum::http::{Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The timeout of a request and its response, except the events of a watch.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The longest response, in bytes: a page of 500 objects of the largest size that etcd stores.
const MAX_RESPONSE: usize = 768 * 1024 * 1024;

/// The folder with the token and the CA certificates in a pod.
const IN_CLUSTER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The Kubernetes API server, and the credentials for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesServer {
    /// The URL, such as `https://10.0.0.1:443`. `http` only with a loopback address, as `kubectl proxy` serves it.
    pub url: String,
    /// The file with the token of a service account, read for each request. `None` sends none.
    pub token_file: Option<PathBuf>,
    /// The CA certificates of the server in PEM. `None` trusts the roots of the machine.
    pub ca_file: Option<PathBuf>,
}

impl KubernetesServer {
    /// The server of the cluster that this process runs in; `None` outside a pod.
    #[must_use]
    pub fn in_cluster(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let file = |name: &str| Some(PathBuf::from(IN_CLUSTER).join(name));
        Some(Self { url: format!("https://{host}:{port}"), token_file: file("token"), ca_file: file("ca.crt") })
    }
}

/// The client cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesClientError {
    /// The URL is not valid.
    #[error("invalid URL of the Kubernetes API `{url}`: expected https://HOST:PORT")]
    Url {
        /// The given URL.
        url: String,
        /// The error of the parser.
        source: InvalidUri,
    },
    /// The URL has no TLS, and its host is not a loopback address.
    #[error("invalid URL of the Kubernetes API `{url}`: expected https, or http with a loopback address")]
    Plaintext {
        /// The given URL.
        url: String,
    },
    /// The CA certificates cannot be used.
    #[error("failed to read the CA certificates of the Kubernetes API")]
    Roots(#[source] io::Error),
}

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeError {
    /// The server answered with an error.
    #[error("status {code} {reason}: {message}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// The reason, such as `Conflict`.
        reason: String,
        /// The message.
        message: String,
    },
    /// The token cannot be read.
    #[error("failed to read the token of the service account")]
    Token(#[source] io::Error),
    /// The request or the response failed.
    #[error("no response: {0}")]
    Transport(String),
    /// The response is not JSON of the expected form.
    #[error("invalid response: {0}")]
    Format(String),
}

impl KubeError {
    /// Whether the server answered with this status.
    pub(crate) fn is(&self, status: u16) -> bool {
        matches!(self, Self::Status { code, .. } if *code == status)
    }
}

/// A client of the Kubernetes API, over HTTP/1.1.
pub(crate) struct KubeClient {
    base: String,
    token_file: Option<PathBuf>,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl fmt::Debug for KubeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeClient").field("base", &self.base).finish_non_exhaustive()
    }
}

impl KubeClient {
    /// Reads the CA certificates.
    pub(crate) fn new(server: &KubernetesServer) -> Result<Self, KubernetesClientError> {
        let url = server.url.trim_end_matches('/').to_owned();
        let parsed: Uri =
            url.parse().map_err(|source| KubernetesClientError::Url { url: server.url.clone(), source })?;
        let host = parsed.host().unwrap_or_default();
        let is_loopback = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        match parsed.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback => {}
            _ => return Err(KubernetesClientError::Plaintext { url: server.url.clone() }),
        }
        let builder = HttpsConnectorBuilder::new();
        let connector = match &server.ca_file {
            Some(file) => builder.with_tls_config(trusting(file).map_err(KubernetesClientError::Roots)?),
            None if parsed.scheme_str() == Some("http") => {
                builder.with_tls_config(with_roots(RootCertStore::empty()).map_err(KubernetesClientError::Roots)?)
            }
            None => builder
                .with_provider_and_native_roots(ring::default_provider())
                .map_err(KubernetesClientError::Roots)?,
        };
        let connector = connector.https_or_http().enable_http1().build();
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base: url, token_file: server.token_file.clone(), http })
    }

    /// Reads an object or a list.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, KubeError> {
        self.exchange(Method::GET, path, None).await
    }

    /// Changes an object by a merge patch.
    pub(crate) async fn merge(&self, path: &str, change: &Value) -> Result<Value, KubeError> {
        self.exchange(Method::PATCH, path, Some(("application/merge-patch+json", change))).await
    }

    /// Creates an object.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, KubeError> {
        self.exchange(Method::POST, path, Some(("application/json", object))).await
    }

    /// Replaces an object.
    pub(crate) async fn replace(&self, path: &str, object: &Value) -> Result<Value, KubeError> {
        self.exchange(Method::PUT, path, Some(("application/json", object))).await
    }

    /// Starts a watch, and returns the stream of its events.
    pub(crate) async fn watch(&self, path: &str) -> Result<Incoming, KubeError> {
        let started = tokio::time::timeout(TIMEOUT, self.send(Method::GET, path, None));
        let (status, body) = started.await.map_err(|_| late())??;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(tokio::time::timeout(TIMEOUT, read_error(status, body)).await.unwrap_or_else(|_| late()))
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> Result<Value, KubeError> {
        let exchange = async {
            let (status, body) = self.send(method, path, body).await?;
            if !status.is_success() {
                return Err(read_error(status, body).await);
            }
            let body = Limited::new(body, MAX_RESPONSE).collect().await;
            let body = body.map_err(|error| KubeError::Transport(error.to_string()))?.to_bytes();
            serde_json::from_slice(&body).map_err(|error| KubeError::Format(error.to_string()))
        };
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| late())?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<(StatusCode, Incoming), KubeError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        request = request.header(header::ACCEPT, "application/json").header(header::USER_AGENT, "meshwarden");
        if let Some(file) = &self.token_file {
            // The kubelet replaces the file before the token expires.
            let token = std::fs::read_to_string(file).map_err(KubeError::Token)?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        let body = match body {
            Some((content_type, value)) => {
                request = request.header(header::CONTENT_TYPE, content_type);
                Bytes::from(value.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|error| KubeError::Transport(error.to_string()))?;
        let response = self.http.request(request).await.map_err(|error| KubeError::Transport(chain(&error)))?;
        Ok((response.status(), response.into_body()))
    }
}

fn late() -> KubeError {
    KubeError::Transport("no response in time".to_owned())
}

/// The error in a response, which is a `Status` object if the server itself answered.
async fn read_error(status: StatusCode, body: Incoming) -> KubeError {
    let body = Limited::new(body, 64 * 1024).collect().await.map(http_body_util::Collected::to_bytes);
    let object: Value = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or(Value::Null);
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    KubeError::Status { code: status.as_u16(), reason: text("reason"), message: text("message") }
}

/// The display text of an error and of all its sources.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |&source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// A TLS configuration that trusts the certificates of a file.
pub(super) fn trusting(file: &std::path::Path) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    for certificate in certificates.map_err(io::Error::other)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other(format!("{} contains no certificate", file.display())));
    }
    with_roots(roots)
}

fn with_roots(roots: RootCertStore) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
