//! Who may call is asked here, before anything else looks at a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Api, answer, body, target};
use crate::auth::{Caller, Denial, Guard};
use crate::error::ApiError;

/// How long a body may take whose sender is not known yet. The largest takes a second on a slow line.
const BODY: Duration = Duration::from_secs(10);

/// Lets those through who may call. Health is everybody's to know.
pub(super) async fn admitted(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    match admit(&api.guard, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => {
            let (id, kind) = (Uuid::new_v4(), error.error_type());
            tracing::info!(%id, %method, path, error = kind.name(), reason = %error, "refused");
            api.store.metrics().answered(target::operation(&method, &path), Some(kind), began.elapsed());
            answer::respond(Err(error), &id)
        }
    }
}

async fn admit(guard: &Guard, request: Request) -> Result<Request, ApiError> {
    let (mut parts, mut body) = request.into_parts();
    let claim = guard.claim(&parts, Timestamp::now())?;
    let mut caller = Caller::Anybody;
    if claim.is_open() {
        let read = tokio::time::timeout(BODY, body::read(body)).await.map_err(|_| Denial::Slow)??;
        caller = claim.settle(&parts, &read, Timestamp::now()).await?;
        body = Body::from(read);
    }
    drop(claim);
    parts.extensions.insert(caller);
    Ok(Request::from_parts(parts, body))
}
