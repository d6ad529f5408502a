//! Requests node tokens from the control plane. This is not part of the App Mesh API. The request uses the same client, endpoint
//! and signature, through an operation with a body and an empty response.

use aws_sdk_appmesh::types::TagRef;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use ports::{PortError, PortErrorKind};
use serde_json::{Value, json};

use super::AppMesh;
use super::raw::KeepBody;
use crate::call::call;

/// The path of the SDK operation that carries this request.
const SIGNED_PATH: &str = "/v20190125/tag";

/// The path of node tokens.
const TOKENS: &str = "/tokens";

/// A request for a node token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTokenRequest {
    /// The proxy: `mesh/<mesh>/virtualNode/<name>`, `mesh/<mesh>/virtualGateway/<name>`, or the ARN.
    pub node: String,
    /// The instance, such as a task id. It is a part of the token.
    pub instance: Option<String>,
    /// The lifetime in seconds, 1 to 86,400.
    pub lifetime_seconds: u32,
}

/// An issued node token. Its `Debug` output omits the token.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedNodeToken {
    /// The token.
    pub token: String,
    /// The id of the token, for its revocation.
    pub id: String,
    /// The time at which it expires.
    pub expires: Timestamp,
}

impl std::fmt::Debug for IssuedNodeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedNodeToken").field("id", &self.id).field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl AppMesh {
    /// Requests a node token.
    pub async fn node_token(&self, request: &NodeTokenRequest) -> Result<IssuedNodeToken, PortError> {
        let what = || format!("request a token for {}", request.node);
        let unreadable =
            || PortError::new(what(), PortErrorKind::Other, "the response of the control plane can't be read");
        let mut body = json!({"node": request.node, "lifetimeSeconds": request.lifetime_seconds});
        if let (Some(instance), Some(members)) = (&request.instance, body.as_object_mut()) {
            members.insert("instance".to_owned(), instance.as_str().into());
        }
        let (kept, body) = (KeepBody::default(), body.to_string());
        let tag = TagRef::builder().key("token").value("token").build().map_err(|_| unreadable())?;
        let signed = self.client.tag_resource().resource_arn("token").tags(tag).customize();
        let signed = signed.map_request(move |request| redirected(request, &body)).interceptor(kept.clone());
        call(what, signed.send()).await?;
        token(&kept.body()).ok_or_else(unreadable)
    }
}

fn token(body: &[u8]) -> Option<IssuedNodeToken> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |member: &str| body.get(member).and_then(Value::as_str);
    Some(IssuedNodeToken {
        token: text("token")?.to_owned(),
        id: text("id")?.to_owned(),
        expires: text("expires")?.parse().ok()?,
    })
}

/// The request of the signed operation has an unexpected URI. It must not be sent: it would be another request.
#[derive(Debug, thiserror::Error)]
#[error("invalid URI `{uri}`: expected an endpoint with the path {SIGNED_PATH}")]
struct UnexpectedUri {
    uri: String,
}

/// The request with the method, path and body of a request for a token.
fn redirected(mut request: HttpRequest, body: &str) -> Result<HttpRequest, UnexpectedUri> {
    let uri = request.uri().to_owned();
    let path = uri.split_once('?').map_or(uri.as_str(), |(path, _)| path);
    let moved = path.strip_suffix(SIGNED_PATH).map(|endpoint| request.set_uri(format!("{endpoint}{TOKENS}")));
    if !matches!(moved, Some(Ok(()))) || request.set_method("POST").is_err() {
        return Err(UnexpectedUri { uri });
    }
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_moved_with_its_body() {
        let mut request = HttpRequest::new(SdkBody::from("{\"tags\": []}"));
        request.set_uri("https://mesh.internal:8080/base/v20190125/tag?resourceArn=token").unwrap();
        let moved = redirected(request, "{}").unwrap();
        assert_eq!((moved.method(), moved.uri()), ("POST", "https://mesh.internal:8080/base/tokens"));
        assert_eq!(moved.headers().get("content-length"), Some("2"));
        assert_eq!(moved.body().bytes(), Some(&b"{}"[..]));
        let mut other = HttpRequest::new(SdkBody::empty());
        other.set_uri("https://mesh.internal/v20190125/meshes").unwrap();
        assert!(redirected(other, "{}").is_err());
    }

    #[test]
    fn response_is_read_and_its_token_is_not_printed() {
        let issued =
            token(br#"{"token": "a.b.c", "id": "1", "node": "n", "expires": "2026-01-02T03:04:05Z"}"#).unwrap();
        assert_eq!((issued.token.as_str(), issued.id.as_str()), ("a.b.c", "1"));
        assert!(!format!("{issued:?}").contains("a.b.c"));
        for body in ["", "{}", r#"{"token": "a", "id": "1", "expires": "soon"}"#] {
            assert_eq!(token(body.as_bytes()), None, "{body}");
        }
    }
}
