//! Reads a mesh over HTTP from a control plane that throttles.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aws::Aws;
use aws_config::retry::RetryConfig;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use meshwarden_tests::stack::{ControlPlane, sdk_config};
use ports::{Pace, survey};
use serde_json::json;

const NODES: usize = 120;

/// The time for which the proxy throttles.
const THROTTLE_TIME: Duration = Duration::from_millis(300);

/// An HTTP proxy that forwards `pass` calls, then answers 429 for a while, and then forwards all calls again.
#[derive(Clone)]
struct Proxy {
    pass: Arc<AtomicUsize>,
    busy_until: Arc<OnceLock<Instant>>,
    refused: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    endpoint: String,
    client: reqwest::Client,
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    proxy.calls.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let passes = proxy.pass.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    if !passes && Instant::now() < *proxy.busy_until.get_or_init(|| Instant::now() + THROTTLE_TIME) {
        proxy.refused.fetch_add(1, Ordering::Relaxed);
        let body = json!({"message": "slow down"}).to_string();
        let response = Response::builder().status(429).header("x-amzn-errortype", "TooManyRequestsException");
        return response.body(Body::from(body)).unwrap();
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1_000_000).await.unwrap();
    let url = format!("{}{}", proxy.endpoint, parts.uri);
    let answer = proxy.client.request(parts.method, url).headers(parts.headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

#[tokio::test]
async fn throttled_survey_reads_the_whole_mesh_and_adapts_its_pace() {
    let plane = ControlPlane::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = async |path: &str, body: serde_json::Value| {
        let url = format!("{}/v20190125/meshes{path}", plane.endpoint);
        client.put(url).body(body.to_string()).send().await.unwrap().error_for_status().unwrap();
    };
    put("", json!({"meshName": "shop"})).await;
    for n in 0..NODES {
        put("/shop/virtualNodes", json!({"virtualNodeName": format!("n{n}"), "spec": {}})).await;
    }
    let proxy = Proxy {
        pass: Arc::new(AtomicUsize::new(usize::MAX)),
        busy_until: Arc::default(),
        refused: Arc::default(),
        calls: Arc::default(),
        endpoint: plane.endpoint.clone(),
        client: client.clone(),
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let slow = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(forward).with_state(proxy.clone());
    let proxying = tokio::spawn(async move { axum::serve(listener, router).await });
    // The SDK's own retries are disabled, so that the test observes the pace of the survey.
    let config = sdk_config(&slow).await.into_builder().retry_config(RetryConfig::disabled()).build();
    let meshes = Aws::with_config(config).mesh();
    let mesh = "shop".parse().unwrap();

    let mut pace = Pace::new(16, 40);
    let whole = survey(&meshes, &mesh, &mut pace).await.unwrap();
    assert_eq!((whole.is_whole(), whole.resources.len()), (true, NODES + 1));
    let (before, calls) = (pace.at_a_time(), proxy.calls.load(Ordering::Relaxed));
    assert!(before > 16, "{before}");
    // Four lists of a mesh, their pages, and one description each.
    assert!(calls * 10 <= (NODES + 1) * 11 + 40, "{calls} calls");

    proxy.pass.store(30, Ordering::Relaxed);
    let whole = survey(&meshes, &mesh, &mut pace).await.unwrap();
    assert_eq!((whole.is_whole(), whole.resources.len()), (true, NODES + 1));
    assert!(proxy.refused.load(Ordering::Relaxed) > 0, "the proxy throttled no request");
    let fallen = pace.at_a_time();
    assert!(fallen < before, "{before}, then {fallen}");

    for _ in 0..3 {
        survey(&meshes, &mesh, &mut pace).await.unwrap();
    }
    assert!(pace.at_a_time() > fallen, "{fallen}, then {}", pace.at_a_time());
    proxying.abort();
}
