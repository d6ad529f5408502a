//! The 38 operations of the API: parsed, checked against the rights of the caller, executed, and answered.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use jiff::{Timestamp, Unit};
use uuid::Uuid;

use super::api::Api;
use super::caller::caller;
use super::request::{self, Call};
use super::{answer, body, needed, target};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::events::RequestContext;
use crate::headers::INCLUDE;
use crate::listen::ApiPeer;
use crate::log::Truncated;
use crate::state::{Stamp, Write, WriteSignature};
use crate::store::WriteAttempts;

/// Answers a request for an operation, and any request that no other endpoint answers.
pub(super) async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response<Body> {
    let id = Uuid::new_v4();
    let began = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let outcome = operate(&api, request, &id).await;
    let (path, took) = (Truncated(uri.path()), began.elapsed());
    let error = outcome.as_ref().err().map(ApiError::error_type);
    api.store.metrics().completed(target::operation(&method, uri.path()), error, took);
    match &outcome {
        Ok(_) if method.is_safe() => tracing::debug!(%id, %method, %path, ?took, "served read"),
        Ok(_) => tracing::info!(%id, %method, %path, ?took, "served write"),
        Err(error) => {
            let (kind, reason) = (error.error_type().name(), error.to_string());
            tracing::info!(%id, %method, %path, ?took, error = kind, reason = %Truncated(&reason), "refused request");
        }
    }
    answer::respond(outcome, &id)
}

async fn operate(api: &Arc<Api>, request: Request, id: &Uuid) -> Result<answer::AnswerBody, ApiError> {
    let (parts, body) = request.into_parts();
    // Read in any case, so that the sender is not cut off and the connection can be used again.
    let body = body::read(body, None).await;
    let call = request::parse(&parts, body, &api.realm)?;
    let caller = caller(&parts);
    let operation = target::operation(&parts.method, parts.uri.path());
    api.rights.permit(&caller, operation, &needed::by_call(&call))?;
    let with_tags = parts.headers.get(INCLUDE).is_some_and(|include| include == "tags");
    match call {
        Call::Read(read) => {
            let age = api.store.catch_up().await?;
            let visible = api.rights.visible(&caller)?;
            let answer = api.store.inspect(|state| state.read_visible(&read, |path| visible.includes(path)))?;
            Ok(answer::render(&answer, &api.realm, with_tags).with_age(age))
        }
        Call::Write(write) => {
            api.rights.pass_write(&caller, tokio::time::Instant::now())?;
            let request = request_context(&parts, id);
            let attempts = WriteAttempts::signed(parts.extensions.get::<WriteSignature>().cloned());
            if api.events.has_no_receivers() {
                return execute_write(api, &write, attempts, &request).await;
            }
            // A disconnecting client does not stop the write, and so must not stop its event.
            let api = Arc::clone(api);
            let task = tokio::spawn(async move { execute_write(&api, &write, attempts, &request).await });
            task.await.map_err(|_| ApiError::Unavailable)?
        }
    }
}

/// Executes a write and sends its events.
async fn execute_write(
    api: &Api,
    write: &Write,
    attempts: WriteAttempts,
    request: &RequestContext,
) -> Result<answer::AnswerBody, ApiError> {
    let stamp = stamp(&request.caller);
    let attempts = match api.events.draft(request, write, &api.realm) {
        Some(events) => attempts.with_events(events),
        None => attempts,
    };
    let (answer, created) = match &api.admission {
        None => (api.store.write_signed(attempts, write, &stamp).await?, Vec::new()),
        Some(admission) => match admission.write(&api.store, attempts, write, &stamp).await {
            Ok(admitted) => (admitted.answer, admitted.created),
            Err(error) => {
                if let ApiError::NotAdmitted { findings, .. } = &error {
                    api.events.denied(request, write, findings, &api.realm, stamp.now);
                }
                return Err(error);
            }
        },
    };
    api.events.changed(request, write, &answer, &created, &api.realm, stamp.now);
    Ok(answer::render(&answer, &api.realm, false).with_findings(&created))
}

/// The caller and the circumstances of a request.
fn request_context(parts: &Parts, id: &Uuid) -> RequestContext {
    let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    RequestContext {
        caller: caller(parts),
        peer: parts.extensions.get::<ConnectInfo<ApiPeer>>().map(|ConnectInfo(peer)| peer.addr),
        agent: agent.map(str::to_owned),
        operation: target::operation(&parts.method, parts.uri.path()),
        id: id.to_string(),
    }
}

/// Draws the time and the id of a write, and names its caller. The time has milliseconds, which survive the conversion
/// to a JSON number and back.
fn stamp(caller: &Caller) -> Stamp {
    let now = Timestamp::now();
    Stamp { now: now.round(Unit::Millisecond).unwrap_or(now), uid: Uuid::new_v4(), caller: caller.written_by() }
}
