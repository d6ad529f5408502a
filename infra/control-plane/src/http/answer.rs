//! From an answer to a response.

use axum::body::Body as HttpBody;
use axum::http::{HeaderValue, Response, StatusCode, header};
use mesh::pack::Finding;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::document::{list_member, reference, tags, whole};
use crate::error::{ApiError, ErrorType};
use crate::headers::{ERROR_TYPE, FINDINGS, REQUEST_ID, VERSION};
use crate::metrics::CONTENT_TYPE;
use crate::state::{Answer, Realm};
use crate::store::Store;
use crate::xds::Shared;

/// The body of a success, and the version that goes into its header when it is about one resource.
#[derive(Debug)]
pub(super) struct Body {
    text: String,
    version: Option<u64>,
    findings: Option<String>,
}

/// How many findings a header names. More would make it longer than some clients take.
const NAMED: usize = 10;

impl Body {
    /// With what the write made worse.
    pub(super) fn with_findings(self, created: &[Finding]) -> Self {
        let ids: Vec<String> = created.iter().take(NAMED).map(|finding| finding.id().to_string()).collect();
        let findings = (!ids.is_empty()).then(|| format!("{}; {}", created.len(), ids.join(", ")));
        Self { findings, ..self }
    }
}

/// Writes an answer as JSON. A single resource stands bare, as the API model has it; only lists have a wrapper.
///
/// A single resource has its tags with it where they were asked for.
pub(super) fn render(answer: &Answer, realm: &Realm, with_tags: bool) -> Body {
    let (value, version) = match answer {
        Answer::Resource(resource) => {
            let mut value = whole(resource, realm);
            if with_tags && let Some(members) = value.as_object_mut() {
                members.insert("tags".to_owned(), tags(resource.tags.iter()));
            }
            (value, Some(resource.version))
        }
        Answer::Resources { kind, resources, next } => {
            let items: Value = resources.iter().map(|resource| reference(resource, realm)).collect();
            (page(list_member(*kind), items, next.as_deref()), None)
        }
        Answer::Tags { tags: listed, next } => {
            let items = tags(listed.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            (page("tags", items, next.as_deref()), None)
        }
        Answer::Nothing => (json!({}), None),
    };
    Body { text: value.to_string(), version, findings: None }
}

/// The response for an outcome.
pub(super) fn respond(outcome: Result<Body, ApiError>, id: &Uuid) -> Response<HttpBody> {
    let (status, text, version, error, findings) = match outcome {
        Ok(body) => (StatusCode::OK, body.text, body.version, None, body.findings),
        Err(error) => {
            let kind = error.error_type();
            let status = StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let text = json!({"message": error.to_string()}).to_string();
            (status, text, error.current_version(), Some(kind), None)
        }
    };
    let mut response = json_response(status, text);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(version) = version {
        headers.insert(VERSION, HeaderValue::from(version));
    }
    if let Some(findings) = findings.and_then(|findings| HeaderValue::try_from(findings).ok()) {
        headers.insert(FINDINGS, findings);
    }
    if let Some(error) = error {
        headers.insert(ERROR_TYPE, HeaderValue::from_static(ErrorType::name(error)));
    }
    response
}

/// The response of a health check that passes: the server answers.
pub(super) fn well() -> Response<HttpBody> {
    json_response(StatusCode::OK, json!({"status": "ok"}).to_string())
}

/// The response to whether requests should be sent here.
///
/// A note is what somebody should mend although requests are answered well.
pub(super) fn ready(trouble: Option<&str>, note: Option<&str>) -> Response<HttpBody> {
    let Some(trouble) = trouble else {
        return note.map_or_else(well, |note| {
            json_response(StatusCode::OK, json!({"status": "ok", "note": note}).to_string())
        });
    };
    json_response(StatusCode::SERVICE_UNAVAILABLE, json!({"status": trouble}).to_string())
}

/// The metrics, for Prometheus.
pub(super) fn metrics(store: &Store, proxies: &Shared) -> Response<HttpBody> {
    store.metrics().certificates(&proxies.certificate_counts());
    store.metrics().instances(&proxies.instance_counts().unwrap_or_default());
    let Ok(text) = store.look(|state| store.metrics().text(state)) else {
        return json_response(StatusCode::INTERNAL_SERVER_ERROR, json!({"status": "not encoded"}).to_string());
    };
    let mut response = Response::new(HttpBody::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

pub(super) fn json_response(status: StatusCode, text: String) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn page(member: &str, items: Value, next: Option<&str>) -> Value {
    let mut page = Map::new();
    page.insert(member.to_owned(), items);
    if let Some(next) = next {
        page.insert("nextToken".to_owned(), next.into());
    }
    Value::Object(page)
}
