//! Reports on the proxies: an addition to the App Mesh API.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use mesh::name::ResourcePath;
use serde_json::{Value, json};

use super::answer;
use super::api::Api;
use super::needed::proxy_of_uri;
use crate::auth::Caller;
use crate::headers::EVIDENCE;
use crate::rights::VisibleResources;
use crate::storage::LogError;
use crate::xds::ProxiesReport;

/// Whether the state of an answer is that of the log's head at the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct IsHead(pub(super) bool);

/// `GET /proxies`.
pub(super) async fn all(
    State(api): State<Arc<Api>>,
    Extension(IsHead(is_head)): Extension<IsHead>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response<Body> {
    let visible = match api.rights.visible(&caller) {
        Ok(visible) => visible,
        Err(error) => return answer::refused(error),
    };
    match api.proxies.proxies(is_head).await {
        Ok(mut report) => {
            filter(&mut report.body, &visible);
            reported(&headers, report)
        }
        Err(error) => unreadable(&error),
    }
}

/// Removes the proxies that the caller may not read. The report then has the member `filtered`, because other proxies may exist.
fn filter(report: &mut Value, visible: &VisibleResources) {
    let Some(members) = report.as_object_mut().filter(|_| !visible.includes_every_proxy()) else { return };
    let is_visible = |entry: &Value| {
        // An entry without a resource is about all proxies of a replica, and names none.
        let Some(resource) = entry.get("resource").and_then(Value::as_str) else { return true };
        ResourcePath::parse(resource).is_ok_and(|path| visible.includes(&path))
    };
    for list in ["proxies", "unknown"] {
        if let Some(entries) = members.get_mut(list).and_then(Value::as_array_mut) {
            entries.retain(is_visible);
        }
    }
    members.insert("filtered".to_owned(), true.into());
}

/// `GET /proxies/<mesh>/<virtualNode|virtualGateway>/<name>`.
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Extension(IsHead(is_head)): Extension<IsHead>,
    headers: HeaderMap,
    uri: Uri,
) -> Response<Body> {
    let found = match proxy_of_uri(uri.path()) {
        Some(path) => api.proxies.proxy(&path, is_head).await,
        None => Ok(None),
    };
    match found {
        Ok(Some(report)) => reported(&headers, report),
        Ok(None) => {
            let message = format!(
                "{} does not name an existing virtual node or virtual gateway; use GET /proxies/<mesh>/virtualNode/<name>",
                uri.path()
            );
            answer::json_response(StatusCode::NOT_FOUND, json!({"message": message}).to_string())
        }
        Err(error) => unreadable(&error),
    }
}

/// A client that does not know `unknown` would read an incomplete list as the list of all proxies.
fn reported(headers: &HeaderMap, report: ProxiesReport) -> Response<Body> {
    let understands_unknown = headers.get(EVIDENCE).is_some_and(|version| version == "2");
    let status = if report.complete || understands_unknown { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = report.body;
    if let (StatusCode::SERVICE_UNAVAILABLE, Some(members)) = (status, body.as_object_mut()) {
        members.remove("proxies");
        members.remove("streams");
        let message = format!("the state of some proxies is unknown; send `{EVIDENCE}: 2` for the known ones");
        members.insert("message".to_owned(), message.into());
    }
    answer::json_response(status, body.to_string())
}

fn unreadable(error: &LogError) -> Response<Body> {
    let message = format!("failed to read the reports of the other replicas: {error}");
    answer::json_response(StatusCode::SERVICE_UNAVAILABLE, json!({"message": message}).to_string())
}
