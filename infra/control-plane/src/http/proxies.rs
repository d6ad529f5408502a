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
    if let Some(refused) = incomplete(&api) {
        return refused;
    }
    answer::json_response(StatusCode::OK, api.proxies.proxies().await.to_string())
}

/// The answer while other replicas serve proxies that this one does not know: a list without them would be read as the
/// list of all proxies.
fn incomplete(api: &Api) -> Option<Response<Body>> {
    api.store.has_other_replicas().then(|| {
        let message = "other replicas use the store, and this one knows only its own proxies";
        answer::json_response(StatusCode::SERVICE_UNAVAILABLE, json!({"message": message}).to_string())
    })
}

/// `GET /proxies/<mesh>/<virtualNode|virtualGateway>/<name>`.
pub(super) async fn one(State(api): State<Arc<Api>>, uri: Uri) -> Response<Body> {
    if let Some(refused) = incomplete(&api) {
        return refused;
    }
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
