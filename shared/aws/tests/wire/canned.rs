//! A server on loopback that returns canned responses in order, and records the requests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws::Aws;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_appmesh::config::Credentials;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::Value;

/// The time-out of one attempt in these tests.
const ATTEMPT: Duration = Duration::from_millis(500);

/// One request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ReceivedRequest {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// One canned response.
#[derive(Clone, Debug)]
pub(crate) struct CannedResponse {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl CannedResponse {
    #[expect(clippy::needless_pass_by_value, reason = "reads better where a body is made on the spot")]
    pub(crate) fn ok(body: impl ToString) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    /// A response in CloudWatch's protocol.
    pub(crate) fn cbor(status: u16, value: &Value) -> Self {
        let headers =
            vec![("smithy-protocol", "rpc-v2-cbor".to_owned()), ("content-type", "application/cbor".to_owned())];
        Self { status, headers, body: crate::cbor::encode(value) }
    }

    /// An error in the form of the AWS protocols.
    pub(crate) fn error(status: u16, kind: &str, members: Value) -> Self {
        let mut body = members;
        body["__type"] = Value::from(kind);
        let headers = vec![("x-amzn-errortype", kind.to_owned()), ("x-amzn-requestid", "req-7".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// A request without any response.
    pub(crate) const fn none() -> Self {
        Self { status: 0, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds one more header.
    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }
}

#[derive(Clone, Default)]
struct ServerState {
    responses: Arc<Mutex<VecDeque<CannedResponse>>>,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
}

/// The server; it ends with the test.
pub(crate) struct CannedServer {
    shared: ServerState,
    endpoint: String,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for CannedServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl CannedServer {
    pub(crate) async fn start(responses: impl IntoIterator<Item = CannedResponse>) -> Self {
        let shared =
            ServerState { responses: Arc::new(Mutex::new(responses.into_iter().collect())), ..ServerState::default() };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(respond).with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, endpoint, serving }
    }

    /// Adds a path to the endpoint.
    pub(crate) fn below(mut self, path: &str) -> Self {
        self.endpoint.push_str(path);
        self
    }

    pub(crate) fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Creates adapters that call this server.
    pub(crate) async fn aws(&self) -> Aws {
        self.aws_as(Credentials::new("AKID", "secret", None, None, "test")).await
    }

    /// Creates adapters that call this server with these credentials.
    pub(crate) async fn aws_as(&self, credentials: impl ProvideCredentials + 'static) -> Aws {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .endpoint_url(&self.endpoint)
            .region(Region::new("eu-west-1"))
            .credentials_provider(credentials)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws::retry_config())
            .timeout_config(timeouts)
            .load()
            .await;
        Aws::with_config(config)
    }
}

async fn respond(
    State(shared): State<ServerState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    shared.requests.lock().unwrap().push(ReceivedRequest { method, uri, headers, body });
    let respond = shared.responses.lock().unwrap().pop_front();
    let respond = respond.unwrap_or_else(|| CannedResponse::error(400, "NothingLeftToAnswer", serde_json::json!({})));
    if respond.status == 0 {
        return std::future::pending().await;
    }
    let headers = respond
        .headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    (StatusCode::from_u16(respond.status).unwrap(), headers.collect(), respond.body)
}
