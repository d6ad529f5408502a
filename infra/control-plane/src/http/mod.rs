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
use crate::store::Freshness;
pub(crate) use api::Api;
use operations::handle;

/// The router of all endpoints. The API operations are not routes, because the router would match decoded paths.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/healthz", get(async || answer::healthy()))
        .route("/readyz", get(readiness))
        .route("/readyz/xds", get(async |State(api): State<Arc<Api>>| answer::ready(xds_problem(&api), None)))
        .route("/metrics", get(metrics))
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

/// The router of the listener for operations: the metrics and health checks, without authentication.
pub(crate) fn operations(api: Arc<Api>) -> Router {
    Router::new()
        .route("/healthz", get(async || answer::healthy()))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(api)
}

async fn readiness(State(api): State<Arc<Api>>) -> Response {
    answer::ready(problem(&api), api.admission.as_ref().and_then(Admission::problem))
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    answer::metrics(&api.store, &api.proxies)
}

/// Answers from the current state, or says how old the answer may be. The API operations do the same by themselves.
async fn current(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/proxies") && !request.uri().path().starts_with("/findings") {
        return next.run(request).await;
    }
    match api.store.catch_up().await {
        Ok(age) => {
            request.extensions_mut().insert(proxies::IsHead(age.is_none()));
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
    match api.store.freshness() {
        Freshness::Current => {}
        Freshness::Stale | Freshness::Expired => {
            return Some(
                "the current state cannot be read from the store, or this replica cannot report to the others",
            );
        }
    }
    api.guard.problem().or_else(|| api.rights.problem())
}

/// The reason why no proxies should connect here, if there is one. A replica that cannot read its store still serves them
/// for some time: an outage of the store must not remove every replica from DNS.
fn xds_problem(api: &Api) -> Option<&'static str> {
    match api.store.freshness() {
        Freshness::Current | Freshness::Stale => None,
        Freshness::Expired => Some("the current state could not be read from the store for too long"),
    }
}
