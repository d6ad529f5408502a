//! A control plane that authenticates its callers, and clients with valid or false identities.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_sdk_appmesh::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_appmesh::config::{ConfigBag, Credentials, Intercept, Region, RuntimeComponents};
use aws_sdk_appmesh::error::BoxError;
use aws_smithy_async::time::TimeSource;
use aws_smithy_types::body::SdkBody;
use control_plane::state::Region as OwnRegion;
use control_plane::{ApiAuth, IdentitySettings, Quotas, Server, Settings, Store};
use meshwarden_tests::stack::{ACCOUNT, REGION};
use tokio::sync::oneshot;

/// The server, which ends with the test.
pub(crate) struct GuardedControlPlane {
    pub(crate) endpoint: String,
    _running: oneshot::Sender<()>,
    files: Vec<KeyFile>,
}

impl GuardedControlPlane {
    pub(crate) async fn start(api_auth: ApiAuth) -> Self {
        Self::with_settings(api_auth, Store::new(Quotas::default()), None, None).await
    }

    /// A server with the resources of this store.
    pub(crate) async fn with_store(api_auth: ApiAuth, store: Store) -> Self {
        Self::with_settings(api_auth, store, None, None).await
    }

    /// A server with a file of rights.
    pub(crate) async fn with_rights(api_auth: ApiAuth, rights: Option<&KeyFile>) -> Self {
        Self::with_settings(api_auth, Store::new(Quotas::default()), rights, None).await
    }

    /// A server with a file of rights that issues node tokens.
    pub(crate) async fn with_identity(
        api_auth: ApiAuth,
        rights: Option<&KeyFile>,
        identity: Option<IdentitySettings>,
    ) -> Self {
        Self::with_settings(api_auth, Store::new(Quotas::default()), rights, identity).await
    }

    /// A server with the resources of this store, a file of rights, and node tokens.
    pub(crate) async fn with_settings(
        api_auth: ApiAuth,
        store: Store,
        rights: Option<&KeyFile>,
        identity: Option<IdentitySettings>,
    ) -> Self {
        let settings = Settings::new(ACCOUNT.parse().unwrap(), OwnRegion::parse(REGION).unwrap());
        let rights = rights.map(|file| file.path().to_owned());
        let server = Server::bind_with_store(Settings { api_auth, rights, identity, ..settings }, store).await.unwrap();
        let endpoint = server.endpoint();
        let (running, ended) = oneshot::channel::<()>();
        tokio::spawn(server.serve(async move { drop(ended.await) }));
        Self { endpoint, _running: running, files: Vec::new() }
    }

    /// Deletes a file with the server.
    pub(crate) fn keep(&mut self, file: KeyFile) {
        self.files.push(file);
    }

    /// The SDK configuration of a client with these credentials.
    pub(crate) fn client(&self, key: &str, secret: &str) -> aws_sdk_appmesh::config::Builder {
        aws_sdk_appmesh::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(&self.endpoint)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(key, secret, None, None, "tests"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
    }

    pub(crate) async fn status(&self, path: &str) -> u16 {
        reqwest::get(format!("{}{path}", self.endpoint)).await.unwrap().status().as_u16()
    }
}

/// A temporary file of the test, which dropping it deletes.
pub(crate) struct KeyFile(PathBuf);

impl KeyFile {
    pub(crate) fn keys(test: &str, content: &str) -> Self {
        let scratch = Self(std::env::temp_dir().join(format!("meshwarden-access-{test}-{}", std::process::id())));
        scratch.write(content);
        scratch
    }

    pub(crate) fn write(&self, content: &str) {
        fs::write(&self.0, content).unwrap();
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// A clock that is wrong by this many seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockOffset(pub(crate) i64);

impl TimeSource for ClockOffset {
    fn now(&self) -> SystemTime {
        let off = Duration::from_secs(self.0.unsigned_abs());
        if self.0 < 0 { SystemTime::now() - off } else { SystemTime::now() + off }
    }
}

/// A change that an attacker between client and server makes to a signed request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RequestChange {
    Body(&'static str),
    Header(&'static str, &'static str),
    Without(&'static str),
    Query(&'static str),
}

/// A request as it went over the wire.
#[derive(Debug, Clone)]
pub(crate) struct RecordedRequest {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl RecordedRequest {
    /// Sends the request again, unchanged.
    pub(crate) async fn again(&self) -> u16 {
        self.send().await.status().as_u16()
    }

    pub(crate) async fn send(&self) -> reqwest::Response {
        let method = self.method.parse().unwrap();
        let mut request = reqwest::Client::new().request(method, &self.uri).body(self.body.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }
}

/// An attacker between client and server, who records requests and changes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interceptor {
    change: Option<RequestChange>,
    recorded: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl Interceptor {
    pub(crate) fn with(change: RequestChange) -> Self {
        Self { change: Some(change), ..Self::default() }
    }

    pub(crate) fn recorded(&self) -> Vec<RecordedRequest> {
        self.recorded.lock().unwrap().clone()
    }
}

impl Intercept for Interceptor {
    fn name(&self) -> &'static str {
        "Interceptor"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        match self.change {
            None => {}
            Some(RequestChange::Body(body)) => {
                *request.body_mut() = SdkBody::from(body);
                request.headers_mut().insert("content-length", body.len().to_string());
            }
            Some(RequestChange::Header(name, value)) => {
                request.headers_mut().insert(name, value);
            }
            Some(RequestChange::Without(name)) => {
                request.headers_mut().remove(name);
            }
            Some(RequestChange::Query(query)) => {
                let uri = format!("{}?{query}", request.uri());
                request.set_uri(uri)?;
            }
        }
        let headers = request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.recorded.lock().unwrap().push(RecordedRequest {
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            headers: headers.collect(),
            body: request.body().bytes().unwrap().to_vec(),
        });
        Ok(())
    }
}
