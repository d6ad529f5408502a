//! Reports on the proxies: an addition to the App Mesh API.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{Response, StatusCode, Uri};
use mesh::name::ResourcePath;
use serde_json::{Value, json};

use super::answer;
use super::api::Api;
use super::needed::proxy_of_uri;
use crate::auth::Caller;
use crate::rights::VisibleResources;

/// `GET /proxies`.
pub(super) async fn all(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Response<Body> {
    if let Some(refused) = incomplete(&api) {
        return refused;
    }
    let visible = match api.rights.visible(&caller) {
        Ok(visible) => visible,
        Err(error) => return answer::refused(error),
    };
    let mut report = api.proxies.proxies().await;
    filter(&mut report, &visible);
    answer::json_response(StatusCode::OK, report.to_string())
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
    let found = match proxy_of_uri(uri.path()) {
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
