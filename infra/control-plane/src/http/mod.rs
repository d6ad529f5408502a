//! The API over HTTP: a thin layer that turns a request into a read or a write of the state, and the answer into
//! JSON.

mod answer;
mod api;
mod body;
mod caller;
mod certificates;
mod findings;
mod guarded;
mod needed;
mod operations;
mod permitted;
mod proxies;
mod query;
mod request;
mod target;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use uuid::Uuid;

use crate::admission::Admission;
pub(crate) use api::Api;
use operations::handle;

/// The router of all endpoints. The API operations are not routes, because the router would match decoded paths.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/healthz", get(async || answer::healthy()))
        .route(
            "/readyz",
            get(async |State(api): State<Arc<Api>>| {
                answer::ready(problem(&api), api.admission.as_ref().and_then(Admission::problem))
            }),
        )
        .route("/metrics", get(async |State(api): State<Arc<Api>>| answer::metrics(&api.store, &api.proxies)))
        .route("/certificates", get(certificates::all))
        .route("/certificates/refresh", post(certificates::refresh))
        .route("/findings/{mesh}", get(findings::of_mesh))
        .route("/tokens", post(tokens::issue))
        .route("/tokens/revoke", post(tokens::revoke))
        .route("/proxies", get(proxies::all))
        .route("/proxies/{*resource}", get(proxies::one))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), current))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), permitted::permitted))
        .method_not_allowed_fallback(handle)
        .fallback(handle)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guarded::admitted))
        .with_state(api)
}

/// Answers from the current state, or says how old the answer may be. The API operations do the same by themselves.
async fn current(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/proxies") && !request.uri().path().starts_with("/findings") {
        return next.run(request).await;
    }
    match api.store.catch_up().await {
        Ok(age) => {
            let mut response = next.run(request).await;
            answer::set_age(response.headers_mut(), age);
            response
        }
        Err(error) => answer::respond(Err(error), &Uuid::new_v4()),
    }
}

/// The reason why no requests should be sent here, if there is one.
fn problem(api: &Api) -> Option<&'static str> {
    if api.store.problem().is_some() {
        return Some("the log of the store cannot be applied; the server's log has the reason");
    }
    if !api.store.is_writable() {
        return Some("the storage is not writable");
    }
    if api.store.is_stale() {
        return Some("the current state cannot be read from the store");
    }
    api.guard.problem().or_else(|| api.rights.problem())
}
