//! Which failures are retried, and which error the caller gets when the retries fail too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_appmesh::config::Credentials;
use ports::{Deadline, MeshReader as _, PortError, PortErrorKind};
use serde_json::json;

use crate::canned::{CannedResponse, CannedServer};

fn meshes() -> CannedResponse {
    CannedResponse::ok(json!({ "meshes": [] }))
}

fn throttle() -> CannedResponse {
    CannedResponse::error(429, "TooManyRequestsException", json!({ "message": "slow down" }))
}

fn signature_expired() -> CannedResponse {
    let message =
        "Signature expired: 20261130T031500Z is now earlier than 20261130T032000Z (20261130T032500Z - 5 min.)";
    CannedResponse::error(403, "InvalidSignatureException", json!({ "message": message }))
}

fn token_expired() -> CannedResponse {
    let message = "The security token included in the request is expired";
    CannedResponse::error(400, "ExpiredTokenException", json!({ "message": message }))
}

/// Lists the meshes of a server with these responses, and returns the outcome, the number of requests and
/// the elapsed time.
async fn list(answers: impl IntoIterator<Item = CannedResponse>) -> (Result<usize, PortError>, usize, Duration) {
    let server = CannedServer::start(answers).await;
    let meshes = server.aws().await.mesh();
    let began = Instant::now();
    let outcome = meshes.meshes().await.map(|meshes| meshes.len());
    (outcome, server.requests().len(), began.elapsed())
}

#[tokio::test]
async fn single_transient_failure_is_retried_silently() {
    let error = |status, code: &str| CannedResponse::error(status, code, json!({ "message": "no" }));
    for (name, failure) in [
        ("throttle", throttle()),
        ("throttle as 400", error(400, "ThrottlingException")),
        ("error 500", error(500, "InternalServerErrorException")),
        ("error 503", error(503, "ServiceUnavailableException")),
        ("expired signature", signature_expired()),
        ("skewed clock", error(403, "InvalidSignatureException").with("date", "Mon, 30 Nov 2020 03:00:00 GMT")),
        ("expired token", token_expired()),
        ("unknown token", error(403, "UnrecognizedClientException")),
        ("malformed answer", CannedResponse::ok("<html>")),
        ("no answer", CannedResponse::none()),
    ] {
        let (outcome, requests, took) = list([failure, meshes()]).await;
        assert_eq!(outcome.map_err(|error| error.to_string()), Ok(0), "{name}");
        assert_eq!(requests, 2, "{name}");
        assert!(took < Duration::from_secs(3), "{name}: {took:?}");
    }
}

#[tokio::test]
async fn persistent_failure_keeps_its_class_and_names_it() {
    use PortErrorKind::{Denied, Expired, NotFound, Other, Throttled, TimedOut, Unavailable};
    let error = |status, code: &str| CannedResponse::error(status, code, json!({ "message": "no" }));
    for (failure, kind, requests, text) in [
        (throttle(), Throttled, 3, "throttled: slow down (TooManyRequestsException, status 429)"),
        (error(503, "ServiceUnavailableException"), Unavailable, 3, "unavailable: no (ServiceUnavailableException"),
        (signature_expired(), Expired, 3, "expired: Signature expired"),
        (token_expired(), Expired, 2, "expired: The security token included in the request is expired"),
        (error(403, "UnrecognizedClientException"), Denied, 2, "denied: no (UnrecognizedClientException"),
        (error(403, "InvalidSignatureException"), Denied, 1, "denied: no (InvalidSignatureException"),
        (error(403, "ForbiddenException"), Denied, 1, "denied: no (ForbiddenException"),
        (error(404, "NotFoundException"), NotFound, 1, "not found: no"),
        (error(400, "LimitExceededException"), Other, 1, "refused: no (LimitExceededException"),
        (CannedResponse::ok("<html>"), Other, 2, "refused: an unreadable response with status 200"),
        (CannedResponse::none(), TimedOut, 2, "timed out: no answer in time"),
    ] {
        let (outcome, sent, took) = list(vec![failure; 5]).await;
        let failed = outcome.unwrap_err();
        assert_eq!((failed.kind, sent), (kind, requests), "{failed}");
        assert!(failed.to_string().contains(text), "{failed}");
        assert!(took < Duration::from_secs(4), "{took:?}: {failed}");
    }
}

#[tokio::test]
async fn throttle_before_the_deadline_is_returned_immediately() {
    let server = CannedServer::start(vec![throttle(); 5]).await;
    let mesh = server.aws().await.mesh();
    let began = Instant::now();
    let outcome = Deadline::after(Duration::from_millis(140)).cover(mesh.meshes()).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.kind, server.requests().len()), (PortErrorKind::Throttled, 1), "{error}");
    assert!(began.elapsed() < Duration::from_millis(140), "it does not wait for a retry that has no time");
}

#[tokio::test]
async fn attempt_cut_off_by_the_deadline_times_out_and_names_the_earlier_throttle() {
    let server = CannedServer::start([throttle(), CannedResponse::none()]).await;
    let mesh = server.aws().await.mesh();
    let outcome = Deadline::after(Duration::from_millis(900)).cover(mesh.meshes()).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::TimedOut, "whether the attempt was done is unknown: {error}");
    assert!(error.message.contains("attempts: throttled"), "{error}");
}

#[tokio::test]
async fn throttle_after_a_lost_response_has_an_unknown_outcome() {
    let server = CannedServer::start([CannedResponse::none(), throttle(), throttle()]).await;
    let mesh = server.aws().await.mesh();
    let error = mesh.meshes().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::TimedOut, "{error}");
    assert!(error.message.contains("attempts: timed out, throttled, throttled"), "{error}");
}

/// Returns other credentials each time that it is called.
#[derive(Clone, Debug, Default)]
struct Rotating(Arc<AtomicU32>);

impl ProvideCredentials for Rotating {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let credentials: provider::Result = Ok(Credentials::new(format!("KEY{number}"), "secret", None, None, "test"));
        future::ProvideCredentials::ready(credentials)
    }
}

#[tokio::test]
async fn rejected_token_is_replaced_and_kept_after_other_failures() {
    let server = CannedServer::start([throttle(), meshes(), token_expired(), meshes(), meshes()]).await;
    let aws = server.aws_as(Rotating::default()).await;
    let mesh = aws.mesh();
    for _ in 0..3 {
        mesh.meshes().await.unwrap();
    }
    let keys: Vec<String> = server
        .requests()
        .iter()
        .map(|request| {
            let signature = request.header("authorization").unwrap();
            signature.split("Credential=").nth(1).unwrap().split('/').next().unwrap().to_owned()
        })
        .collect();
    assert_eq!(keys, ["KEY0", "KEY0", "KEY0", "KEY1", "KEY1"]);
}

#[tokio::test]
async fn clock_skew_is_corrected_from_the_response() {
    let skewed = CannedResponse::error(403, "InvalidSignatureException", json!({ "message": "no" }));
    let server = CannedServer::start([skewed.with("date", "Mon, 30 Nov 2020 03:00:00 GMT"), meshes()]).await;
    server.aws().await.mesh().meshes().await.unwrap();
    let requests = server.requests();
    let signed = |at: usize| requests[at].header("x-amz-date").unwrap().to_owned();
    assert!(!signed(0).starts_with("2020"), "{}", signed(0));
    assert!(signed(1).starts_with("20201130T03"), "{}", signed(1));
}

#[tokio::test]
async fn outage_consumes_at_most_the_retry_quota() {
    let server =
        CannedServer::start(vec![CannedResponse::error(503, "ServiceUnavailableException", json!({})); 400]).await;
    let mesh = server.aws().await.mesh();
    let calls = 60;
    let outcomes = futures::future::join_all((0..calls).map(|_| mesh.meshes())).await;
    assert!(
        outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.kind == PortErrorKind::Unavailable))
    );
    let retries = server.requests().len() - calls;
    assert!((50..=70).contains(&retries), "{retries} retries of {calls} calls");
}
