//! A server with correct responses except for one detail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Misbehaviour;
use crate::cbor;
use crate::faults::Fault;

/// The offset of the service's clock, which is ahead.
const CLOCK_OFFSET: SignedDuration = SignedDuration::from_hours(1);

/// The maximum difference between the time of a signature and the service's clock.
const ALLOWED_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The server; dropping it ends it.
#[derive(Debug)]
pub(super) struct ResponseChanger {
    endpoint: String,
    hits: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct ChangerState {
    target: String,
    misbehaviour: Misbehaviour,
    hits: Arc<AtomicUsize>,
    client: reqwest::Client,
}

impl ResponseChanger {
    /// Starts a server in front of this endpoint.
    pub(super) async fn open(endpoint: &str, misbehaviour: Misbehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let hits = Arc::<AtomicUsize>::default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let state = ChangerState { target: endpoint.to_owned(), misbehaviour, hits: Arc::clone(&hits), client };
        let app = Router::new().fallback(answer).with_state(state);
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { endpoint: own, hits, serving }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The number of requests.
    pub(super) fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }
}

impl Drop for ResponseChanger {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    State(state): State<ChangerState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let number = state.hits.fetch_add(1, Ordering::Relaxed);
    let theirs = Timestamp::now() + CLOCK_OFFSET;
    if state.misbehaviour == Misbehaviour::ClockSkew
        && signed_at(&headers).is_none_or(|at| theirs.duration_since(at).abs() > ALLOWED_SKEW)
        && let Some(mut refused) = Fault::ExpiredSignature.answer(&uri, &headers, &body)
    {
        refused.headers_mut().insert("date", http_date(theirs).parse().unwrap());
        return refused;
    }
    let mut onward = state.client.request(method, format!("{}{uri}", state.target)).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str())) {
        onward = onward.header(name, value);
    }
    let Ok(answer) = onward.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    let mut body = answer.bytes().await.unwrap();
    headers.remove("transfer-encoding");
    headers.remove("content-length");
    match state.misbehaviour {
        Misbehaviour::WrongContentType => drop(headers.insert("content-type", "text/html".parse().unwrap())),
        Misbehaviour::ClockSkew => drop(headers.insert("date", http_date(theirs).parse().unwrap())),
        Misbehaviour::EndlessPages if status.is_success() => body = changed(&body, |value| page(value, number)),
        Misbehaviour::RepeatedToken if status.is_success() => body = changed(&body, |value| page(value, 0)),
        Misbehaviour::Duplicates if status.is_success() => body = changed(&body, double),
        _ => {}
    }
    (status, headers, body).into_response()
}

/// The time at which a request was signed.
fn signed_at(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get("x-amz-date")?.to_str().ok()?;
    jiff::fmt::strtime::parse("%Y%m%dT%H%M%S%z", text.replace('Z', "+0000")).ok()?.to_timestamp().ok()
}

fn http_date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Changes the document in a body, in JSON or CBOR; any other body is returned unchanged.
fn changed(body: &Bytes, change: impl Fn(&mut Value)) -> Bytes {
    let is_cbor = body.first().is_some_and(|first| matches!(first >> 5, 5));
    let mut value = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value,
        Err(_) if is_cbor => cbor::decode(body),
        Err(_) => return body.clone(),
    };
    change(&mut value);
    if is_cbor { cbor::encode(&value).into() } else { value.to_string().into() }
}

/// Adds the token of another page, under every member name of such tokens.
fn page(value: &mut Value, number: usize) {
    if let Some(members) = value.as_object_mut() {
        for name in ["nextToken", "NextToken"] {
            members.insert(name.to_owned(), Value::from(format!("page-{number}")));
        }
    }
}

/// Doubles every list at the top level.
fn double(value: &mut Value) {
    for member in value.as_object_mut().into_iter().flat_map(|members| members.values_mut()) {
        if let Some(items) = member.as_array_mut() {
            items.extend(items.clone());
        }
    }
}
