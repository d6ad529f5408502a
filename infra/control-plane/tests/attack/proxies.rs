//! Proxies that exceed their share.

use tonic::Code;
use xds::ResourceType::Cluster;

use crate::envoy::{self, Delta, Envoy};
use crate::plane::{FRONT, MAX_MEMORY, Plane, figure, until};

pub(crate) fn shop() -> Plane {
    let plane = Plane::start(&["--xds", "127.0.0.1:0"]);
    let put = |path: &str, body: &str| {
        let response = plane.send("PUT", &format!("/v20190125/meshes{path}"), &[], body);
        assert_eq!(response.status, 200, "{}", response.text);
    };
    put("", r#"{"meshName": "shop"}"#);
    let node = r#"{"virtualNodeName": "front", "spec": {"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}], "serviceDiscovery": {"dns": {"hostname": "front.local"}}}}"#;
    put("/shop/virtualNodes", node);
    plane
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn texts_of_nacks_are_shortened() {
    let plane = shop();
    let mut proxies = Vec::new();
    for _ in 0..20 {
        let mut proxy = Envoy::connect(envoy::tcp(&plane.xds[0]).await, FRONT).await;
        let response = proxy.next().await;
        proxy.refuse(&response, &"no ".repeat(1_000_000), "");
        proxies.push(proxy);
    }
    let nacks = "meshwarden_xds_nacks_total{type=\"cluster\"}";
    tokio::task::block_in_place(|| until("every NACK is counted", || plane.metric(None, nacks) == 20));
    let report = plane.send("GET", "/proxies", &[], "").text;
    figure("length of `GET /proxies` after long NACKs", &format!("{} bytes", report.len()));
    assert!(report.contains("\"nack\"") && report.len() < 200_000, "{}", report.len());
    assert!(plane.memory() < MAX_MEMORY, "{} MiB", plane.memory() >> 20);
}

#[tokio::test]
pub(crate) async fn subscriptions_of_one_stream_are_limited() {
    let plane = shop();
    let mut delta = Delta::connect(envoy::tcp(&plane.xds[0]).await, FRONT).await;
    delta.take(Cluster).await;
    let names: Vec<String> = (0..30_000).map(|number| format!("{number:0100}")).collect();
    for names in names.chunks(1000) {
        delta.subscribe(Cluster, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let status = delta.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{}", status.message());
    assert_eq!(plane.metric(None, "meshwarden_xds_streams_refused_total{reason=\"too_many_names\"}"), 1);
    // A new stream of the same proxy is served.
    Delta::connect(envoy::tcp(&plane.xds[0]).await, FRONT).await.take(Cluster).await;
}

#[tokio::test]
pub(crate) async fn a_stream_without_a_request_ends() {
    let plane = shop();
    let mut silent = Envoy::open(envoy::tcp(&plane.xds[0]).await).await;
    assert_eq!(silent.end().await.code(), Code::DeadlineExceeded);
    assert_eq!(plane.metric(None, "meshwarden_xds_streams_refused_total{reason=\"no_request\"}"), 1);
}
