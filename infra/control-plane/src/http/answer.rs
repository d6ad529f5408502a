//! From an answer to a response.

use axum::body::Body as HttpBody;
use axum::http::{HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use mesh::name::{ResourceKind, ResourcePath};
use mesh::pack::Finding;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{ERROR_TYPE, FINDINGS, REQUEST_ID, VERSION, name_member};
use crate::error::{ApiError, ErrorType};
use crate::metrics::CONTENT_TYPE;
use crate::state::{Answer, Realm, Resource, Status};
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

/// A resource as describe, create, update and delete show it.
pub(crate) fn whole(resource: &Resource, realm: &Realm) -> Value {
    let mut metadata = Map::new();
    metadata.insert("arn".to_owned(), realm.arn(&resource.path).into());
    metadata.insert("createdAt".to_owned(), epoch(resource.created_at));
    metadata.insert("lastUpdatedAt".to_owned(), epoch(resource.last_updated_at));
    metadata.insert("meshOwner".to_owned(), realm.account().as_str().into());
    metadata.insert("resourceOwner".to_owned(), realm.account().as_str().into());
    metadata.insert("uid".to_owned(), resource.uid.to_string().into());
    metadata.insert("version".to_owned(), resource.version.into());
    let mut whole = names(&resource.path);
    whole.insert("metadata".to_owned(), Value::Object(metadata));
    whole.insert("spec".to_owned(), resource.spec.value().clone());
    whole.insert("status".to_owned(), json!({"status": status(resource.status)}));
    Value::Object(whole)
}

/// A resource as lists show it.
fn reference(resource: &Resource, realm: &Realm) -> Value {
    let mut reference = names(&resource.path);
    reference.insert("arn".to_owned(), realm.arn(&resource.path).into());
    reference.insert("createdAt".to_owned(), epoch(resource.created_at));
    reference.insert("lastUpdatedAt".to_owned(), epoch(resource.last_updated_at));
    reference.insert("meshOwner".to_owned(), realm.account().as_str().into());
    reference.insert("resourceOwner".to_owned(), realm.account().as_str().into());
    reference.insert("version".to_owned(), resource.version.into());
    Value::Object(reference)
}

fn tags<'t>(tags: impl Iterator<Item = (&'t str, &'t str)>) -> Value {
    tags.map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// The names of a resource and of what it is in, each in its member.
pub(crate) fn names(path: &ResourcePath) -> Map<String, Value> {
    let mut names = Map::new();
    names.insert(name_member(ResourceKind::Mesh), path.mesh().as_str().into());
    match path {
        ResourcePath::Route(id) => {
            names.insert(name_member(ResourceKind::VirtualRouter), id.router.as_str().into());
        }
        ResourcePath::GatewayRoute(_, gateway, _) => {
            names.insert(name_member(ResourceKind::VirtualGateway), gateway.as_str().into());
        }
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualGateway(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualService(..) => {}
    }
    names.insert(name_member(path.kind()), path.name().into());
    names
}

const fn list_member(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Mesh => "meshes",
        ResourceKind::VirtualNode => "virtualNodes",
        ResourceKind::VirtualGateway => "virtualGateways",
        ResourceKind::VirtualRouter => "virtualRouters",
        ResourceKind::Route => "routes",
        ResourceKind::VirtualService => "virtualServices",
        ResourceKind::GatewayRoute => "gatewayRoutes",
    }
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "ACTIVE",
        Status::Deleted => "DELETED",
    }
}

/// Seconds since the epoch, with the milliseconds as a fraction.
fn epoch(time: Timestamp) -> Value {
    time.as_duration().as_secs_f64().into()
}
