//! STS on loopback, which checks presigned requests as AWS does, and an eavesdropper before the control plane.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings, sign};
use aws_sigv4::sign::v4;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::plane::RecordedRequest;

/// The identities: key, secret, session token, and the ARN that AWS returns for them.
pub(crate) const IDENTITIES: [(&str, &str, &str, &str); 4] = [
    ("ASIAROLE", "role's", "to+ken/of=role", "arn:aws:sts::123456789012:assumed-role/meshwarden-failover/lambda-1"),
    ("ASIAOTHER", "other's", "token", "arn:aws:sts::123456789012:assumed-role/billing/lambda-2"),
    ("ASIAFOREIGN", "foreign", "token", "arn:aws:sts::210987654321:assumed-role/meshwarden-failover/lambda-1"),
    ("AKIAUSER", "user's", "token", "arn:aws:iam::123456789012:user/meshwarden-failover"),
];

/// The behaviour of the STS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StsBehaviour {
    Honest,
    Redirecting(String),
    Down,
}

#[derive(Debug, Clone)]
struct StsState {
    behaviour: StsBehaviour,
    calls: Arc<Mutex<usize>>,
}

/// An STS server, which ends with the test.
#[derive(Debug)]
pub(crate) struct Sts {
    pub(crate) endpoint: String,
    calls: Arc<Mutex<usize>>,
    serving: JoinHandle<()>,
}

impl Sts {
    pub(crate) async fn start(behaviour: StsBehaviour) -> Self {
        let calls = Arc::<Mutex<usize>>::default();
        let state = StsState { behaviour, calls: Arc::clone(&calls) };
        let (endpoint, serving) = serve(Router::new().fallback(answer).with_state(state)).await;
        Self { endpoint, calls, serving }
    }

    /// The number of requests to the server.
    pub(crate) fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }
}

impl Drop for Sts {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(router: Router) -> (String, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (endpoint, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

async fn answer(State(state): State<StsState>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    *state.calls.lock().unwrap() += 1;
    match state.behaviour {
        StsBehaviour::Redirecting(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [("location", format!("{to}{uri}"))]).into_response()
        }
        StsBehaviour::Down => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        StsBehaviour::Honest => match signer(&method, &uri, &headers) {
            Some(arn) => {
                let result = json!({"Account": "123456789012", "Arn": arn, "UserId": "AROA:x"});
                let response = json!({"GetCallerIdentityResult": result, "ResponseMetadata": {"RequestId": "r"}});
                axum::Json(json!({"GetCallerIdentityResponse": response})).into_response()
            }
            None => {
                (StatusCode::FORBIDDEN, axum::Json(json!({"Error": {"Code": "SignatureDoesNotMatch"}}))).into_response()
            }
        },
    }
}

/// The ARN of the identity that presigned the request; the signature is recomputed from its secret.
fn signer(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let url = reqwest::Url::parse(&format!("http://{}{uri}", headers.get("host")?.to_str().ok()?)).ok()?;
    let value = |name: &str| url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
    let credential = value("X-Amz-Credential")?;
    let [key, _, region, "sts", "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..] else { return None };
    let (_, secret, token, arn) = IDENTITIES.into_iter().find(|(known, ..)| *known == key)?;
    (value("X-Amz-Security-Token")? == token).then_some(())?;
    let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", value("X-Amz-Date")?).ok()?;
    let at = SystemTime::from(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    let life = Duration::from_secs(value("X-Amz-Expires")?.parse().ok()?);
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(life);
    let identity = Credentials::new(key, secret, Some(token.to_owned()), None, "sts").into();
    let params = v4::SigningParams::builder().identity(&identity).region(region).name("sts").time(at);
    let params = params.settings(settings).build().ok()?;
    let bare = format!("{}?Action={}&Version={}", url.as_str().split('?').next()?, value("Action")?, value("Version")?);
    let signed = value("X-Amz-SignedHeaders")?;
    let signed: Option<Vec<(&str, &str)>> =
        signed.split(';').map(|name| Some((name, headers.get(name)?.to_str().ok()?))).collect();
    let request = SignableRequest::new(method.as_str(), bare, signed?.into_iter(), SignableBody::Bytes(b"")).ok()?;
    let (_, signature) = sign(request, &SigningParams::V4(params)).ok()?.into_parts();
    (value("X-Amz-Signature")? == signature).then_some(arn)
}

/// An eavesdropper that forwards every request and records it.
#[derive(Debug)]
pub(crate) struct RecordingRelay {
    pub(crate) endpoint: String,
    state: RelayState,
    serving: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct RelayState {
    to: String,
    recorded: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl RecordingRelay {
    pub(crate) async fn to(endpoint: &str) -> Self {
        let state = RelayState { to: endpoint.to_owned(), recorded: Arc::default() };
        let (endpoint, serving) = serve(Router::new().fallback(relay).with_state(state.clone())).await;
        Self { endpoint, state, serving }
    }

    pub(crate) fn last(&self) -> RecordedRequest {
        self.state.recorded.lock().unwrap().last().unwrap().clone()
    }
}

impl Drop for RecordingRelay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn relay(State(state): State<RelayState>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let sent = RecordedRequest {
        method: method.to_string(),
        uri: format!("{}{uri}", state.to),
        headers: headers.collect(),
        body: body.to_vec(),
    };
    state.recorded.lock().unwrap().push(sent.clone());
    let answer = sent.send().await;
    let (status, kind) = (answer.status(), answer.headers().get("x-amzn-errortype").cloned());
    let mut response = (status, answer.bytes().await.unwrap()).into_response();
    response.headers_mut().extend(kind.map(|kind| (axum::http::HeaderName::from_static("x-amzn-errortype"), kind)));
    response
}
