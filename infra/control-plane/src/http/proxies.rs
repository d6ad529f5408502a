//! Reports on the proxies: an addition to the App Mesh API.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use mesh::name::ResourcePath;
use serde_json::json;

use super::answer;
use super::api::Api;
use crate::headers::EVIDENCE;
use crate::percent;
use crate::storage::LogError;
use crate::xds::ProxiesReport;

/// Whether the state of an answer is that of the log's head at the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct IsHead(pub(super) bool);

/// `GET /proxies`.
pub(super) async fn all(
    State(api): State<Arc<Api>>,
    Extension(IsHead(is_head)): Extension<IsHead>,
    headers: HeaderMap,
) -> Response<Body> {
    match api.proxies.proxies(is_head).await {
        Ok(report) => reported(&headers, report),
        Err(error) => unreadable(&error),
    }
}

/// `GET /proxies/<mesh>/<virtualNode|virtualGateway>/<name>`.
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Extension(IsHead(is_head)): Extension<IsHead>,
    headers: HeaderMap,
    uri: Uri,
) -> Response<Body> {
    let found = match resource(uri.path()) {
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

fn resource(path: &str) -> Option<ResourcePath> {
    let resource = percent::decode(path.strip_prefix("/proxies/")?)?;
    ResourcePath::parse(&format!("mesh/{resource}")).ok()
}
