//! Asking STS who it is that signed a request.

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

use super::presigned::Presigned;
use super::role::Session;
use super::turns::{QueueFull, Turns};
use super::{Audience, StsEndpoint};
use crate::auth::Denial;
use crate::connections::Client;

/// How long an answer may take, connection included. It takes tens of milliseconds within a region.
const PATIENCE: Duration = Duration::from_secs(5);

/// Questions under way at a time about credentials that STS vouched for lately. Those about others take turns.
const KNOWN_AT_ONCE: usize = 8;

/// The longest answer that is read. A real one has 500 bytes.
const LONGEST: usize = 64 * 1024;

/// A client that follows no redirects, knows no proxy, and asks nobody but STS.
#[derive(Debug)]
pub(super) struct Sts {
    client: HttpClient<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    known: Arc<Semaphore>,
    turns: Turns,
}

/// Among whom a question waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Among those about credentials that STS vouched for lately.
    Known,
    /// Among all others; clients take turns.
    Unknown(Client),
}

/// The answer, as far as it is of interest.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    get_caller_identity_response: Response,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    get_caller_identity_result: Identity,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    arn: String,
}

impl Sts {
    /// Reads the machine's root certificates, unless they aren't needed.
    pub(super) fn new(endpoint: Option<&StsEndpoint>) -> io::Result<Self> {
        let builder = HttpsConnectorBuilder::new();
        let connector = if endpoint.is_none_or(StsEndpoint::speaks_tls) {
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
            known: Arc::new(Semaphore::new(KNOWN_AT_ONCE)),
            turns: Turns::default(),
        })
    }

    /// Whether a client has as many questions waiting as it may.
    pub(super) fn is_full(&self, client: Client) -> bool {
        self.turns.is_full(client)
    }

    /// Who signed this, for this audience and, where it is given, this write.
    pub(super) async fn caller(
        &self,
        presigned: &Presigned,
        audience: &Audience,
        request: Option<&str>,
        lane: Lane,
    ) -> Result<Session, Denial> {
        let question = async {
            let (_known, _turn) = match lane {
                Lane::Known => (Some(self.known.acquire().await.map_err(|error| error.to_string())?), None),
                Lane::Unknown(client) => match self.turns.take(client).await {
                    Ok(turn) => (None, Some(turn)),
                    Err(QueueFull) => return Ok(None),
                },
            };
            self.ask(presigned, audience, request).await.map(Some)
        };
        let away = |error: String| {
            tracing::warn!(error, "STS can't be asked");
            Denial::StsAway
        };
        let answer =
            tokio::time::timeout(PATIENCE, question).await.map_err(|_| away("no answer in time".to_owned()))?;
        let (status, body) = answer.map_err(away)?.ok_or(Denial::Congested)?;
        if status == StatusCode::OK {
            let answer: Answer = serde_json::from_slice(&body).map_err(|error| away(error.to_string()))?;
            let arn = answer.get_caller_identity_response.get_caller_identity_result.arn;
            return Session::of(&arn).ok_or_else(|| {
                tracing::warn!(arn, "no session of a role");
                Denial::Role
            });
        }
        if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            return Err(Denial::Unvouched);
        }
        Err(away(format!("it answered {status}")))
    }

    async fn ask(
        &self,
        presigned: &Presigned,
        audience: &Audience,
        request: Option<&str>,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut question = Request::get(presigned.uri().clone())
            .header(header::ACCEPT, "application/json")
            .header("x-meshwarden-audience", audience.as_str());
        if let Some(request) = request {
            question = question.header("x-meshwarden-request", request);
        }
        let question = question.body(Empty::new()).map_err(|error| error.to_string())?;
        let answer = self.client.request(question).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }
}
