//! Reports on the certificates that are kept for proxies, and a way to hurry them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::json;

use super::{Api, answer};

/// `GET /certificates`.
pub(super) async fn all(State(api): State<Arc<Api>>) -> Response<Body> {
    answer::json_response(StatusCode::OK, api.proxies.certificates().to_string())
}

/// `POST /certificates/refresh`: asks for all of them anew, now. What comes of it is pushed and reported as ever.
pub(super) async fn refresh(State(api): State<Arc<Api>>) -> Response<Body> {
    let asked = api.proxies.refresh_certificates();
    answer::json_response(StatusCode::ACCEPTED, json!({"refreshing": asked}).to_string())
}
