//! Events to a web server.

use std::fmt::{self, Write as _};
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{Request, StatusCode, Uri, header};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use ports::{BusEvent, EventBus, PortError, PortErrorKind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

/// How much of a response is read, in bytes, so that the connection can be used again.
const MAX_RESPONSE: usize = 64 * 1024;

/// The header of the signature.
const SIGNATURE: &str = "x-meshwarden-signature";

/// A web server that receives events, one in each request, in the format of EventBridge. The address may contain a
/// secret in its path, so only the host is ever logged.
#[derive(Clone)]
pub struct Webhook {
    uri: Uri,
    /// The secret that signs requests.
    secret: Option<Arc<Zeroizing<Vec<u8>>>>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// The address of a web server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The text is not an address of a web server.
    #[error("invalid address: expected http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH, without user or password")]
    Address,
    /// The machine's root certificates cannot be read, which verify the server.
    #[error("failed to read the root certificates of this machine")]
    Roots(#[source] io::Error),
}

impl FromStr for Webhook {
    type Err = WebhookError;

    fn from_str(text: &str) -> Result<Self, WebhookError> {
        let uri: Uri = text.parse().map_err(|_| WebhookError::Address)?;
        let uses_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(WebhookError::Address),
        };
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@') || authority.host().is_empty()) {
            return Err(WebhookError::Address);
        }
        let connector = if uses_tls {
            let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(ring::default_provider());
            builder.map_err(WebhookError::Roots)?.https_only().enable_http1().build()
        } else {
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| WebhookError::Roots(io::Error::other(error)))?
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build()
        };
        Ok(Self { uri, secret: None, client: Client::builder(TokioExecutor::new()).build(connector) })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

#[async_trait]
impl EventBus for Webhook {
    /// Sends events in order. A failed event is returned as an error before the later ones are sent; a retry sends
    /// all again.
    async fn put(&self, events: &[BusEvent]) -> Result<(), PortError> {
        for event in events {
            self.post(&envelope(event)).await?;
        }
        Ok(())
    }
}

impl Webhook {
    /// Signs every later request with this secret.
    #[must_use]
    pub fn with_secret(self, secret: Zeroizing<Vec<u8>>) -> Self {
        Self { secret: Some(Arc::new(secret)), ..self }
    }

    /// Its name in the store and in metrics, which does not show the address.
    #[must_use]
    pub fn name(&self) -> String {
        let hash = Sha256::digest(self.uri.to_string());
        format!("webhook:{:016x}", hash.first_chunk().map_or(0, |head| u64::from_be_bytes(*head)))
    }

    async fn post(&self, event: &Value) -> Result<(), PortError> {
        let failed = |kind, reason: String| {
            PortError::new(format!("post an event to {}", self.uri.host().unwrap_or_default()), kind, reason)
        };
        let body = event.to_string();
        let mut request = Request::post(self.uri.clone());
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE, signature(secret, Timestamp::now().as_second(), &body));
        }
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("meshwarden/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(body))
            .map_err(|error| failed(PortErrorKind::Other, error.to_string()))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| failed(PortErrorKind::Unavailable, error.to_string()))?;
        let status = response.status();
        // Read the body so that the connection can be used again.
        drop(Limited::new(response.into_body(), MAX_RESPONSE).collect().await);
        let kind = match status {
            status if status.is_success() => return Ok(()),
            StatusCode::TOO_MANY_REQUESTS => PortErrorKind::Throttled,
            StatusCode::REQUEST_TIMEOUT => PortErrorKind::TimedOut,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PortErrorKind::Denied,
            status if status.is_server_error() => PortErrorKind::Unavailable,
            _ => PortErrorKind::Other,
        };
        Err(failed(kind, format!("the response has status {status}")))
    }
}

/// `t=SECONDS,v1=HEX`: the time, and the HMAC-SHA256 of the time, a full stop and the body.
fn signature(secret: &[u8], at: i64, body: &str) -> String {
    // HMAC accepts keys of any length, so this does not fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(format!("{at}.{body}").as_bytes());
    let mut text = format!("t={at},v1=");
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// An event in the format in which EventBridge delivers it.
fn envelope(event: &BusEvent) -> Value {
    let detail = &event.detail;
    json!({
        "version": "0",
        "id": detail["eventID"],
        "detail-type": event.detail_type,
        "source": super::trail::SOURCE,
        "account": detail["recipientAccountId"],
        "time": detail["eventTime"],
        "region": detail["awsRegion"],
        "resources": event.resources,
        "detail": detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_signed() {
        // The output of `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret`.
        let expected = "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686";
        assert_eq!(signature(b"secret", 1_700_000_000, r#"{"a":1}"#), expected);
    }

    #[test]
    fn addresses_are_parsed() {
        for text in ["http://127.0.0.1:9000/hook", "http://localhost", "http://[::1]:80/a?b=c"] {
            let webhook: Webhook = text.parse().unwrap();
            assert!(!format!("{webhook:?}").contains("hook?"), "{webhook:?}");
        }
        for text in ["", "hook", "ftp://host/", "http://", "http://ann:pw@host/", "/path", "bus:x"] {
            assert!(matches!(text.parse::<Webhook>(), Err(WebhookError::Address)), "{text}");
        }
    }
}
