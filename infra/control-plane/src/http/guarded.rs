//! Authentication of requests, before any other layer reads them.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use uuid::Uuid;

use super::api::Api;
use super::{answer, body, target};
use crate::auth::{Caller, Denial};
use crate::connections::Client;
use crate::error::ApiError;
use crate::listen::ApiPeer;
use crate::log::Truncated;

/// Passes authenticated requests on. Health checks need no authentication.
pub(super) async fn admitted(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<ApiPeer>>().map(|ConnectInfo(peer)| peer.clone());
    let unauthenticated = peer.as_ref().map(|peer| peer.slot.start_request());
    let one_host = request.headers().get_all(header::HOST).iter().nth(1).is_none();
    if one_host && matches!(request.uri().path(), "/healthz" | "/readyz" | "/readyz/xds") {
        return next.run(request).await;
    }
    let began = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let client = peer.as_ref().map(ApiPeer::client);
    match admit(&api, client, request).await {
        Ok(request) => {
            let _busy = peer.as_ref().map(|peer| peer.slot.busy());
            drop(unauthenticated);
            next.run(request).await
        }
        Err(error) => {
            let (id, kind) = (Uuid::new_v4(), error.error_type());
            let (path, reason) = (Truncated(uri.path()), error.to_string());
            tracing::info!(%id, %method, %path, error = kind.name(), reason = %Truncated(&reason), "refused request of unknown caller");
            api.store.metrics().completed(target::operation(&method, uri.path()), Some(kind), began.elapsed());
            answer::respond(Err(error), &id)
        }
    }
}

/// The service account that requests a node token with its own token. It can make no other request.
async fn service_account(api: &Api, parts: &Parts) -> Result<Option<Caller>, Denial> {
    let Some(cluster) = api.tokens.as_ref().and_then(|tokens| tokens.cluster()) else { return Ok(None) };
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let token = headers.next().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = token.filter(|_| headers.next().is_none()) else { return Ok(None) };
    if parts.method != Method::POST || parts.uri.path() != "/tokens" {
        return Ok(None);
    }
    let token = token.trim_end();
    cluster.prepare(token).await;
    let account = cluster.verify(token, Timestamp::now()).map_err(Denial::Token)?;
    Ok(Some(Caller::ServiceAccount { subject: account.subject }))
}

async fn admit(api: &Api, client: Option<Client>, request: Request) -> Result<Request, ApiError> {
    let (mut parts, mut body) = request.into_parts();
    if parts.headers.get_all(header::HOST).iter().nth(1).is_some() {
        return Err(ApiError::invalid("host", "is given more than once"));
    }
    if let Some(caller) = service_account(api, &parts).await? {
        parts.extensions.insert(caller);
        return Ok(Request::from_parts(parts, body));
    }
    let claim = api.guard.claim(&parts, Timestamp::now())?;
    let (mut caller, mut signature) = (Caller::Local, None);
    if claim.is_open() {
        let reservation = client.map(|client| api.bodies.begin(client));
        let read = body::read(body, reservation.as_ref()).await?;
        caller = claim.settle(&parts, &read, Timestamp::now()).await?;
        if !parts.method.is_safe() {
            signature = claim.signature(&caller);
        }
        body = Body::from(read);
    }
    drop(claim);
    if let Some(signature) = signature {
        parts.extensions.insert(signature);
    }
    parts.extensions.insert(caller);
    Ok(Request::from_parts(parts, body))
}
