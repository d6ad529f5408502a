//! The API over HTTP: a thin layer that turns a request into a read or a write of the state, and the answer into
//! JSON.

mod answer;
mod api;
mod body;
mod certificates;
mod findings;
mod guarded;
mod proxies;
mod query;
mod request;
mod target;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use jiff::{Timestamp, Unit};
use uuid::Uuid;

use crate::admission::Admission;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::events::{AdmissionOutcome, RequestContext};
use crate::headers::INCLUDE;
use crate::listen::ApiPeer;
use crate::log::Truncated;
use crate::state::{Answer, Stamp, Write, WriteSignature};
use crate::store::{Freshness, WriteAttempts};
pub(crate) use api::Api;
use request::Call;

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
        .route("/proxies", get(proxies::all))
        .route("/proxies/{*resource}", get(proxies::one))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), current))
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
    api.guard.problem()
}

/// The reason why no proxies should connect here, if there is one. A replica that cannot read its store still serves them
/// for some time: an outage of the store must not remove every replica from DNS.
fn xds_problem(api: &Api) -> Option<&'static str> {
    match api.store.freshness() {
        Freshness::Current | Freshness::Stale => None,
        Freshness::Expired => Some("the current state could not be read from the store for too long"),
    }
}

async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
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
    let with_tags = parts.headers.get(INCLUDE).is_some_and(|include| include == "tags");
    match call {
        Call::Read(read) => {
            let age = api.store.catch_up().await?;
            Ok(answer::render(&api.store.read(&read)?, &api.realm, with_tags).with_age(age))
        }
        Call::Write(write) => {
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
    let (answer, created) = match &api.admission {
        None => (api.store.write_signed(attempts, write, &stamp).await?, Vec::new()),
        Some(admission) => match admission.write(&api.store, attempts, write, &stamp).await {
            Ok(admitted) => (admitted.answer, admitted.created),
            Err(error) => {
                if let ApiError::NotAdmitted { findings, .. } = &error {
                    api.events.judged(request, write, AdmissionOutcome::Denied, findings, &api.realm, stamp.now);
                }
                return Err(error);
            }
        },
    };
    let after = match &answer {
        Answer::Resource(resource) => Some(&**resource),
        Answer::Resources { .. } | Answer::Tags { .. } | Answer::Nothing => None,
    };
    api.events.changed(request, write, after, &api.realm, stamp.now);
    api.events.judged(request, write, AdmissionOutcome::Warned, &created, &api.realm, stamp.now);
    Ok(answer::render(&answer, &api.realm, false).with_findings(&created))
}

/// The caller and the circumstances of a request.
fn request_context(parts: &Parts, id: &Uuid) -> RequestContext {
    let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    RequestContext {
        caller: parts.extensions.get::<Caller>().cloned().unwrap_or(Caller::Local),
        peer: parts.extensions.get::<ConnectInfo<ApiPeer>>().map(|ConnectInfo(peer)| peer.addr),
        agent: agent.map(str::to_owned),
        operation: target::operation(&parts.method, parts.uri.path()),
        id: id.to_string(),
    }
}

/// Draws the time and the id of a write, and names its caller. The time has milliseconds, which survive the conversion to a JSON number
/// and back.
fn stamp(caller: &Caller) -> Stamp {
    let now = Timestamp::now();
    Stamp { now: now.round(Unit::Millisecond).unwrap_or(now), uid: Uuid::new_v4(), caller: caller.written_by() }
}
