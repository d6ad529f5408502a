//! Node tokens: an addition to the App Mesh API.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use mesh::name::ResourcePath;
use serde_json::{Value, json};
use xds::ProxyId;

use super::answer;
use super::api::Api;
use super::body::{self, Members};
use crate::auth::{Caller, Denial};
use crate::error::ApiError;
use crate::identity::{LONGEST_LIFETIME, NodeTokens, USUAL_LIFETIME};
use crate::log::Truncated;
use crate::rights::Access;
use crate::state::{Revocation, RevokedSubject};

/// The longest name of an instance, in bytes.
const MAX_INSTANCE: usize = 128;

/// `POST /tokens`: issues a token for one proxy, whether its resource exists or not.
pub(super) async fn issue(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response<Body> {
    respond(issued(&api, &caller, body).await)
}

/// `POST /tokens/revoke`: revokes one token, or the tokens of a proxy that were issued until now.
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response<Body> {
    respond(revoked(&api, &caller, body).await)
}

fn respond(outcome: Result<Value, ApiError>) -> Response<Body> {
    match outcome {
        Ok(body) => {
            let mut response = answer::json_response(StatusCode::OK, body.to_string());
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => answer::refused(error),
    }
}

fn tokens(api: &Api) -> Result<&NodeTokens, ApiError> {
    let missing = || ApiError::invalid("node", "cannot have a token: this server has no --token-key");
    api.tokens.as_deref().ok_or_else(missing)
}

async fn issued(api: &Api, caller: &Caller, body: Body) -> Result<Value, ApiError> {
    let mut members = Members::parse(&body::read(body, None).await?)?;
    let node = members.text("node")?.ok_or_else(|| ApiError::invalid("node", "is required"))?;
    let node = proxy(api, &node)?;
    let instance = members.text("instance")?;
    if instance.as_ref().is_some_and(|instance| instance.is_empty() || instance.len() > MAX_INSTANCE) {
        return Err(ApiError::invalid("instance", format!("must have 1 to {MAX_INSTANCE} bytes")));
    }
    let lifetime = match members.value("lifetimeSeconds") {
        None => USUAL_LIFETIME,
        Some(value) => {
            let seconds = value.as_i64().filter(|seconds| (1..=LONGEST_LIFETIME.as_secs()).contains(seconds));
            let invalid =
                || ApiError::invalid("lifetimeSeconds", format!("must be 1 to {}", LONGEST_LIFETIME.as_secs()));
            SignedDuration::from_secs(seconds.ok_or_else(invalid)?)
        }
    };
    members.finish(&[])?;
    api.rights.permit(caller, "IssueToken", &Access::Token(node.clone()))?;
    let token = tokens(api)?.issue(&node, instance, lifetime, Timestamp::now()).map_err(Denial::Token)?;
    tracing::info!(caller = %Truncated(caller.owner()), node = %node.path(), token = token.id, expires = %token.expires, "issued node token");
    Ok(json!({
        "token": token.text,
        "id": token.id,
        "node": node.path().to_string(),
        "expires": token.expires.to_string(),
    }))
}

async fn revoked(api: &Api, caller: &Caller, body: Body) -> Result<Value, ApiError> {
    let mut members = Members::parse(&body::read(body, None).await?)?;
    let (node, token) = (members.text("node")?, members.text("token")?);
    members.finish(&[])?;
    let (subject, access) = match (node, token) {
        (Some(node), None) => {
            let node = proxy(api, &node)?;
            (RevokedSubject::Proxy(node.path()), Access::Token(node))
        }
        (None, Some(id)) if !id.is_empty() && id.len() <= MAX_INSTANCE => (RevokedSubject::Token(id), Access::AnyToken),
        _ => return Err(ApiError::invalid("node", "or \"token\", the id of a token, is required, and not both")),
    };
    api.rights.permit(caller, "RevokeToken", &access)?;
    tokens(api)?;
    let now = Timestamp::now();
    let until = now.saturating_add(LONGEST_LIFETIME.saturating_mul(2)).unwrap_or(now);
    let revocation = Revocation { subject, at: now, until };
    api.store.revoke(&revocation).await?;
    tracing::info!(caller = %Truncated(caller.owner()), subject = %Truncated(&revocation.subject.to_string()), "revoked node tokens");
    Ok(json!({"revoked": revocation.subject.to_string(), "until": revocation.until.to_string()}))
}

/// The proxy of this account that a node id, a path or an ARN names.
fn proxy(api: &Api, text: &str) -> Result<ProxyId, ApiError> {
    let parse = |text: &str| text.parse::<ProxyId>().map_err(|error| ApiError::invalid("node", error.to_string()));
    let id = parse(text)?;
    if id.owner.as_ref().is_some_and(|owner| owner != api.realm.account()) {
        let path: ResourcePath = id.path();
        return Err(ApiError::invalid("node", format!("{path} belongs to another account than that of this server")));
    }
    Ok(ProxyId { owner: None, ..id })
}
