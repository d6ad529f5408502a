//! Reports on the certificates of proxies, and a request to refresh them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::json;

use super::answer;
use super::api::Api;

/// `GET /certificates`.
pub(super) async fn all(State(api): State<Arc<Api>>) -> Response<Body> {
    answer::json_response(StatusCode::OK, api.proxies.certificates().to_string())
}

/// `POST /certificates/refresh`: requests all of them again, now. Results are pushed and reported as always.
pub(super) async fn refresh(State(api): State<Arc<Api>>) -> Response<Body> {
    let refreshing = api.proxies.refresh_certificates();
    answer::json_response(StatusCode::ACCEPTED, json!({"refreshing": refreshing}).to_string())
}
