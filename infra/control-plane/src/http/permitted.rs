//! The rights of callers at the endpoints outside the App Mesh API. Requests to any other URI go to the operations of the API,
//! which check the rights after parsing: no endpoint is reachable that is not listed here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::answer;
use super::api::Api;
use super::caller::caller;
use super::needed::{Endpoint, endpoint};
use super::operations::handle;
use crate::error::ApiError;

/// Passes requests on that the rights of the caller allow.
pub(super) async fn permitted(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if matches!(parts.uri.path(), "/healthz" | "/readyz" | "/readyz/xds") {
        return next.run(Request::from_parts(parts, body)).await;
    }
    match endpoint(&parts.method, parts.uri.path()) {
        None => handle(State(api), Request::from_parts(parts, body)).await,
        Some(endpoint) => match permit(&api, &parts, endpoint) {
            Ok(()) => next.run(Request::from_parts(parts, body)).await,
            Err(error) => answer::refused(error),
        },
    }
}

fn permit(api: &Api, parts: &Parts, endpoint: Endpoint) -> Result<(), ApiError> {
    let caller = caller(parts);
    match endpoint {
        Endpoint::Known(operation, access) => api.rights.permit(&caller, operation, &access)?,
        Endpoint::ByBody | Endpoint::Nameless => {}
    }
    if parts.method.is_safe() { Ok(()) } else { api.rights.pass_write(&caller, Instant::now()) }
}
