//! Reports on the proxies: an addition to the App Mesh API.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use mesh::name::ResourcePath;
use serde_json::json;

use super::answer;
use super::api::Api;
use crate::percent;

/// `GET /proxies`.
pub(super) async fn all(State(api): State<Arc<Api>>) -> Response<Body> {
    answer::json_response(StatusCode::OK, api.proxies.proxies().await.to_string())
}

/// `GET /proxies/<mesh>/<virtualNode|virtualGateway>/<name>`.
pub(super) async fn one(State(api): State<Arc<Api>>, uri: Uri) -> Response<Body> {
    let found = match resource(uri.path()) {
        Some(path) => api.proxies.proxy(&path).await,
        None => None,
    };
    let (status, body) = found.map_or_else(
        || {
            let message = format!(
                "{} does not name an existing virtual node or virtual gateway; use GET /proxies/<mesh>/virtualNode/<name>",
                uri.path()
            );
            (StatusCode::NOT_FOUND, json!({"message": message}))
        },
        |report| (StatusCode::OK, report),
    );
    answer::json_response(status, body.to_string())
}

fn resource(path: &str) -> Option<ResourcePath> {
    let resource = percent::decode(path.strip_prefix("/proxies/")?)?;
    ResourcePath::parse(&format!("mesh/{resource}")).ok()
}
