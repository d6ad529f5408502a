//! Conversion of an answer into an HTTP response.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use rules::pack::Finding;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::document::{list_member, reference, tags, whole};
use crate::error::{ApiError, ErrorType};
use crate::headers::{AGE, ERROR_TYPE, FINDINGS, OUTCOME, REQUEST_ID, VERSION, WRITTEN_BY};
use crate::metrics::CONTENT_TYPE;
use crate::state::{Answer, Realm};
use crate::store::Store;
use crate::xds::AdsState;

/// The body of a successful response. The version of its resource and the caller that wrote it are for the headers, if it
/// is about one.
#[derive(Debug)]
pub(super) struct AnswerBody {
    text: String,
    version: Option<u64>,
    written_by: Option<Arc<str>>,
    findings: Option<String>,
    age: Option<Duration>,
}

/// How many findings the header names. Some clients refuse longer headers.
const MAX_FINDINGS: usize = 10;

impl AnswerBody {
    /// Adds the findings that the write created.
    pub(super) fn with_findings(self, created: &[Finding]) -> Self {
        let ids: Vec<String> = created.iter().take(MAX_FINDINGS).map(|finding| finding.id().to_string()).collect();
        let findings = (!ids.is_empty()).then(|| format!("{}; {}", created.len(), ids.join(", ")));
        Self { findings, ..self }
    }

    /// Adds the age of the state that the answer was read from, if it may not be the current one.
    pub(super) fn with_age(self, age: Option<Duration>) -> Self {
        Self { age, ..self }
    }
}

/// Writes an answer as JSON. A single resource has no wrapper, as in the API model; lists have one.
///
/// A single resource contains its tags if `with_tags` is set.
pub(super) fn render(answer: &Answer, realm: &Realm, with_tags: bool) -> AnswerBody {
    let mut written_by = None;
    let (value, version) = match answer {
        Answer::Resource(resource) => {
            let mut value = whole(resource, realm);
            if with_tags && let Some(members) = value.as_object_mut() {
                members.insert("tags".to_owned(), tags(resource.tags.iter()));
            }
            written_by.clone_from(&resource.written_by);
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
    AnswerBody { text: value.to_string(), version, written_by, findings: None, age: None }
}

/// The response for a result.
pub(super) fn respond(outcome: Result<AnswerBody, ApiError>, id: &Uuid) -> Response<HttpBody> {
    let write_outcome = outcome.as_ref().err().and_then(ApiError::write_outcome);
    let retry_after = outcome.as_ref().err().and_then(ApiError::retry_after);
    let (status, text, version, written_by, error, findings, age) = match outcome {
        Ok(body) => (StatusCode::OK, body.text, body.version, body.written_by, None, body.findings, body.age),
        Err(error) => {
            let kind = error.error_type();
            let status = StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let text = json!({"message": error.to_string()}).to_string();
            (status, text, error.current_version(), None, Some(kind), None, None)
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
    if let Some(caller) = written_by.and_then(|caller| HeaderValue::try_from(&*caller).ok()) {
        headers.insert(WRITTEN_BY, caller);
    }
    if let Some(findings) = findings.and_then(|findings| HeaderValue::try_from(findings).ok()) {
        headers.insert(FINDINGS, findings);
    }
    set_age(headers, age);
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(outcome) = write_outcome {
        headers.insert(OUTCOME, HeaderValue::from_static(outcome));
    }
    if let Some(error) = error {
        headers.insert(ERROR_TYPE, HeaderValue::from_static(ErrorType::name(error)));
    }
    response
}

/// The response of a refusal.
pub(super) fn refused(error: ApiError) -> Response<HttpBody> {
    respond(Err(error), &Uuid::new_v4())
}

/// Sets the header with the age of the answer. Rounded up, so that an old answer never has age 0.
pub(super) fn set_age(headers: &mut HeaderMap, age: Option<Duration>) {
    if let Some(age) = age {
        headers.insert(AGE, HeaderValue::from(age.as_secs().saturating_add(1)));
    }
}

/// The response of a passing health check.
pub(super) fn healthy() -> Response<HttpBody> {
    json_response(StatusCode::OK, json!({"status": "ok"}).to_string())
}

/// The response of the readiness check: `problem` means that requests should not be sent here.
///
/// A note is a problem that an operator should fix although requests succeed.
pub(super) fn ready(problem: Option<&str>, note: Option<&str>) -> Response<HttpBody> {
    let Some(problem) = problem else {
        return note.map_or_else(healthy, |note| {
            json_response(StatusCode::OK, json!({"status": "ok", "note": note}).to_string())
        });
    };
    json_response(StatusCode::SERVICE_UNAVAILABLE, json!({"status": problem}).to_string())
}

/// The metrics in the format of Prometheus.
pub(super) fn metrics(store: &Store, proxies: &AdsState) -> Response<HttpBody> {
    store.metrics().certificates(&proxies.certificate_counts());
    store.metrics().instances(&proxies.instance_counts().unwrap_or_default());
    let Ok(text) = store.inspect(|state| store.metrics().text(state)) else {
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
