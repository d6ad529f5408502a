//! The caller of a request.

use axum::http::request::Parts;

use crate::auth::Caller;

/// The caller of a request that has passed the authentication, which inserts it.
pub(super) fn caller(parts: &Parts) -> Caller {
    parts.extensions.get::<Caller>().cloned().unwrap_or(Caller::Local)
}
