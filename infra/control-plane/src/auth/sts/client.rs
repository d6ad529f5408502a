//! Requests to STS for the caller behind a presigned request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::fair_queue::{FairQueue, QueueFull};
use super::presigned::Presigned;
use super::role::Session;
use super::{Audience, StsEndpoint};
use crate::auth::Denial;
use crate::connections::Client;

/// The timeout of a request, connection included. Within a region a request takes tens of milliseconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Concurrent requests with credentials that STS confirmed recently. All other requests go through the fair queue.
const MAX_KNOWN_IN_PROGRESS: usize = 8;

/// The longest response that is read, in bytes. A real one has 500.
const MAX_RESPONSE: usize = 64 * 1024;

/// An HTTP client that follows no redirects, uses no proxy, and sends requests to STS only.
#[derive(Debug)]
pub(super) struct StsClient {
    client: HttpClient<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    known: Arc<Semaphore>,
    queue: FairQueue,
}

/// The queue that a request waits in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// The requests with credentials that STS confirmed recently.
    Known,
    /// All other requests, queued fairly by client.
    Unknown(Client),
}

/// The part of the response that is needed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentityResponse {
    get_caller_identity_response: CallerIdentityBody,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentityBody {
    get_caller_identity_result: CallerIdentity,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentity {
    arn: String,
}

impl StsClient {
    /// Reads the machine's root certificates, unless the endpoint uses no TLS.
    pub(super) fn new(endpoint: Option<&StsEndpoint>) -> io::Result<Self> {
        let builder = HttpsConnectorBuilder::new();
        let connector = if endpoint.is_none_or(StsEndpoint::uses_tls) {
            builder.with_provider_and_native_roots(ring::default_provider())?.https_only().enable_http1().build()
        } else {
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
            builder.with_tls_config(config).https_or_http().enable_http1().build()
        };
        Ok(Self {
            client: HttpClient::builder(TokioExecutor::new()).build(connector),
            known: Arc::new(Semaphore::new(MAX_KNOWN_IN_PROGRESS)),
            queue: FairQueue::default(),
        })
    }

    /// Whether as many requests of a client are waiting as allowed.
    pub(super) fn is_full(&self, client: Client) -> bool {
        self.queue.is_full(client)
    }

    /// The session that signed this request, for this audience and, if given, this write.
    pub(super) async fn caller(
        &self,
        presigned: &Presigned,
        audience: &Audience,
        request: Option<&str>,
        lane: Lane,
    ) -> Result<Session, Denial> {
        let exchange = async {
            let (_known, _permit) = match lane {
                Lane::Known => (Some(self.known.acquire().await.map_err(|error| error.to_string())?), None),
                Lane::Unknown(client) => match self.queue.acquire(client).await {
                    Ok(permit) => (None, Some(permit)),
                    Err(QueueFull) => return Ok(None),
                },
            };
            self.send(presigned, audience, request).await.map(Some)
        };
        let unavailable = |error: String| {
            tracing::warn!(error, "failed to request caller identity from STS");
            Denial::StsAway
        };
        let response =
            tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| unavailable("no response in time".to_owned()))?;
        let (status, body) = response.map_err(unavailable)?.ok_or(Denial::Congested)?;
        if status == StatusCode::OK {
            let response: CallerIdentityResponse =
                serde_json::from_slice(&body).map_err(|error| unavailable(error.to_string()))?;
            let arn = response.get_caller_identity_response.get_caller_identity_result.arn;
            return Session::parse(&arn).ok_or_else(|| {
                tracing::warn!(arn, "refused caller that is not a role session");
                Denial::Role
            });
        }
        if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            return Err(Denial::Unvouched);
        }
        Err(unavailable(format!("the response has status {status}")))
    }

    async fn send(
        &self,
        presigned: &Presigned,
        audience: &Audience,
        request: Option<&str>,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut message = Request::get(presigned.uri().clone())
            .header(header::ACCEPT, "application/json")
            .header("x-meshwarden-audience", audience.as_str());
        if let Some(request) = request {
            message = message.header("x-meshwarden-request", request);
        }
        let message = message.body(Empty::new()).map_err(|error| error.to_string())?;
        let response = self.client.request(message).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), MAX_RESPONSE).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }
}
