//! The published keys of a cluster: from a file that is reloaded, or from a URL that is fetched at intervals and when a token
//! names an unknown key.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, HeaderValue};
use axum::http::{Request, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use zeroize::Zeroizing;

use super::ClusterKeySource;
use super::key_set::{ClusterKeys, ClusterKeysError};
use crate::reloaded::{self, ReloadedFile};
use crate::tls;

/// The age from which fetched keys are fetched again: a key that the cluster removed is accepted for so long.
const REFRESH: Duration = Duration::from_mins(10);

/// The age from which fetched keys are refused. A cluster that does not answer for longer issues no tokens either.
const TOO_OLD: Duration = Duration::from_hours(1);

/// The shortest time between two fetches, for all tokens together.
const PAUSE: Duration = Duration::from_secs(10);

/// The time-out of a fetch. Requests with an unknown key wait for it.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The longest document, in bytes. A key has about 400.
const MAX_DOCUMENT: usize = 256 * 1024;

/// The keys of a cluster.
#[derive(Debug)]
pub(super) enum KeySource {
    /// In a file.
    File(ReloadedFile<Arc<ClusterKeys>>),
    /// At a URL.
    Url(Box<FetchedKeys>),
}

/// The keys at a URL.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// The file with the token that this server sends. Kubelet replaces its content, so it is read for each fetch.
    token: Option<PathBuf>,
    fetched: RwLock<Option<(Instant, Arc<ClusterKeys>)>>,
    /// The last attempt. One request at a time fetches; the others wait for it.
    attempted: Mutex<Option<Instant>>,
}

impl KeySource {
    pub(super) fn open(source: &ClusterKeySource) -> Result<Self, ClusterKeysError> {
        Ok(match source {
            ClusterKeySource::File(path) => Self::File(ReloadedFile::open(path, "keys of cluster", load)?),
            ClusterKeySource::Url { url, ca, token } => {
                Self::Url(Box::new(FetchedKeys::open(url, ca.as_deref(), token.clone())?))
            }
        })
    }

    /// The current keys, if there are any.
    pub(super) fn current(&self) -> Option<Arc<ClusterKeys>> {
        match self {
            Self::File(file) => file.current(),
            Self::Url(fetched) => fetched.younger_than(TOO_OLD),
        }
    }

    /// Fetches the keys if they are old, or if they lack the key with this id.
    pub(super) async fn prepare(&self, id: Option<&str>) {
        match self {
            Self::File(_) => {}
            Self::Url(fetched) => fetched.prepare(id).await,
        }
    }
}

impl FetchedKeys {
    fn open(url: &str, ca: Option<&Path>, token: Option<PathBuf>) -> Result<Self, ClusterKeysError> {
        let invalid = || ClusterKeysError::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let host = uri.host().unwrap_or_default();
        let is_local = ["127.0.0.1", "[::1]", "localhost"].contains(&host);
        // These keys prove identities, so no other machine may replace them on their way.
        match uri.scheme_str() {
            Some("https") if !host.is_empty() => {}
            Some("http") if is_local => {}
            Some(_) | None => return Err(invalid()),
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(tls::TlsError::from)?;
        let config = match ca {
            Some(path) => builder.with_root_certificates(tls::roots(path)?),
            None => builder.with_native_roots().map_err(ClusterKeysError::Roots)?,
        };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth()).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new()).build(connector.build());
        Ok(Self { uri, client, token, fetched: RwLock::default(), attempted: Mutex::default() })
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<ClusterKeys>> {
        let fetched = self.fetched.read().unwrap_or_else(PoisonError::into_inner);
        fetched.as_ref().filter(|(at, _)| at.elapsed() < age).map(|(_, keys)| Arc::clone(keys))
    }

    fn is_ready(&self, id: Option<&str>) -> bool {
        self.younger_than(REFRESH).is_some_and(|keys| id.is_none_or(|id| keys.find(id).is_some()))
    }

    async fn prepare(&self, id: Option<&str>) {
        if self.is_ready(id) {
            return;
        }
        let mut attempted = self.attempted.lock().await;
        // Another request may have fetched them meanwhile.
        if self.is_ready(id) || attempted.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        *attempted = Some(Instant::now());
        match timeout(TIMEOUT, self.fetch()).await.unwrap_or_else(|_| Err("no response in time".to_owned())) {
            Ok(keys) => {
                *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::new(keys)));
            }
            Err(reason) => tracing::warn!(host = self.uri.host(), reason, "failed to fetch keys of cluster"),
        }
    }

    async fn fetch(&self) -> Result<ClusterKeys, String> {
        let mut request = Request::get(self.uri.clone());
        if let Some(path) = &self.token {
            let token = std::fs::read_to_string(path).map(Zeroizing::new);
            let token = token.map_err(|error| format!("failed to read {}: {error}", path.display()))?;
            let bearer = Zeroizing::new(format!("Bearer {}", token.trim()));
            let mut bearer = HeaderValue::from_str(&bearer).map_err(|error| error.to_string())?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| chain(&error))?;
        if !response.status().is_success() {
            return Err(format!("the response has status {}", response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_DOCUMENT).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        let keys = ClusterKeys::parse(&body).map_err(|error| error.to_string())?;
        keys.ok_or_else(|| "it has no RSA or P-256 key with a key id".to_owned())
    }
}

fn load(path: &Path) -> Result<(Metadata, Arc<ClusterKeys>), ClusterKeysError> {
    let read = reloaded::read(path).map_err(|source| ClusterKeysError::Read { path: path.to_owned(), source });
    let (metadata, text) = read?;
    let keys = ClusterKeys::parse(text.as_bytes());
    let keys = keys.map_err(|source| ClusterKeysError::Format { path: path.to_owned(), source })?;
    let keys = keys.ok_or_else(|| ClusterKeysError::Empty { path: path.to_owned() })?;
    Ok((metadata, Arc::new(keys)))
}

fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |&source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

#[cfg(test)]
mod tests;
