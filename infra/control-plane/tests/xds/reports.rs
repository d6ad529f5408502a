//! `GET /proxies`.

use control_plane::xds::XdsSettings;
use serde_json::json;
use xds::ResourceType::{Cluster, Listener, Route};

use crate::envoy::{self, EGRESS, Envoy};
use crate::plane::Plane;

const FRONT: &str = "mesh/shop/virtualNode/front";

#[tokio::test]
async fn a_stream_is_reported_from_its_first_request_to_its_end() {
    let plane = Plane::shop().await;
    let (status, report) = plane.get("/proxies").await;
    assert_eq!((status, &report["proxies"], &report["complete"]), (200, &json!([]), &json!(true)));
    assert_eq!((&report["replicas"], &report["unknown"]), (&json!([]), &json!([])), "no replicas share the store");
    let mut front = Envoy::connect(envoy::tcp(&plane.xds[0]).await, FRONT).await;
    let clusters = front.next().await;
    let report = plane.proxy_once(|_| true).await;
    assert_eq!(report["id"], FRONT);
    assert_eq!(report["resource"], FRONT);
    assert_eq!(report["cluster"], "a cluster");
    assert_eq!(report["userAgent"], "envoy 1.40.0");
    assert_eq!(report["protocol"], "sotw");
    assert!(report["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(report["since"].as_str().unwrap().ends_with('Z'));
    assert_eq!(report["upToDate"], false);
    assert_eq!(report["types"]["clusters"]["sent"], clusters.version_info);
    assert_eq!(report["types"]["clusters"]["acknowledged"], json!(null));

    front.acknowledge(&clusters);
    front.subscribe(Listener, &[]);
    front.take(Listener).await;
    let report = plane.proxy_once(|report| report["upToDate"] == true).await;
    assert_eq!(report["types"]["clusters"]["acknowledged"], clusters.version_info);
    assert_eq!(report["types"]["clusters"]["resources"].as_object().unwrap().len(), clusters.resources.len());
    drop(front);
    let deadline = std::time::Instant::now() + crate::plane::TIMEOUT;
    while !plane.proxies().await.is_empty() {
        assert!(std::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn a_report_includes_all_earlier_writes() {
    let plane = Plane::shop().await;
    let mut front = Envoy::settled(envoy::tcp(&plane.xds[0]).await, FRONT, &[EGRESS]).await;
    plane.proxy_once(|report| report["upToDate"] == true).await;
    for weight in 0..50 {
        plane.weigh(weight, 100 - weight).await;
        // The proxy has not acknowledged a response that was not read from its stream.
        assert_eq!(plane.proxies().await[0]["upToDate"], false, "{weight}");
        front.take(Route).await;
        plane.proxy_once(|report| report["upToDate"] == true).await;
    }
}

#[tokio::test]
async fn a_nack_is_reported_until_a_later_version_is_acknowledged() {
    let plane = Plane::shop().await;
    let mut front = Envoy::settled(envoy::tcp(&plane.xds[0]).await, FRONT, &[EGRESS]).await;
    let good = plane.proxy_once(|report| report["upToDate"] == true).await;
    let good = good["types"]["routes"]["acknowledged"].as_str().unwrap().to_owned();
    plane.weigh(50, 50).await;
    let response = front.next().await;
    front.refuse(&response, "no such cluster", &good);
    let report = plane.proxy_once(|report| report["types"]["routes"]["nack"].is_object()).await;
    assert_eq!(report["upToDate"], false);
    let routes = &report["types"]["routes"];
    assert_eq!(routes["nack"], json!({"version": response.version_info, "message": "no such cluster"}));
    assert_eq!(routes["acknowledged"], good);

    plane.weigh(60, 40).await;
    front.take(Route).await;
    let report = plane.proxy_once(|report| report["upToDate"] == true).await;
    assert_eq!(report["types"]["routes"]["nack"], json!(null));
}

#[tokio::test]
async fn a_proxy_is_reported_even_if_it_is_not_connected() {
    let plane = Plane::shop().await;
    let (status, report) = plane.get("/proxies/shop/virtualNode/front").await;
    assert_eq!((status, &report["connected"], &report["streams"]), (200, &json!(false), &json!([])));
    let mut front = Envoy::connect(envoy::tcp(&plane.xds[0]).await, FRONT).await;
    front.take(Cluster).await;
    let (_, report) = plane.get("/proxies/shop/virtualNode/front").await;
    assert_eq!(report["connected"], true);
    assert_eq!(report["streams"][0]["id"], FRONT);
    for path in ["shop/virtualNode/missing", "shop/virtualGateway/front", "shop", "shop/virtualRouter/back", "%ff/x/y"]
    {
        let (status, report) = plane.get(&format!("/proxies/{path}")).await;
        assert_eq!(status, 404, "{path}");
        assert!(report["message"].as_str().unwrap().contains("/proxies/<mesh>/virtualNode/<name>"));
    }
}

#[tokio::test]
async fn findings_are_reported() {
    let plane = Plane::shop().await;
    plane.put("/shop/virtualNodes", crate::plane::node("early", &["late.local"])).await;
    let (_, report) = plane.get("/proxies/shop/virtualNode/early").await;
    let finding = &report["findings"][0];
    assert_eq!(finding["id"], "dangling-backend");
    assert!(finding["message"].as_str().unwrap().contains("late.local"), "{finding}");
}

#[tokio::test]
async fn streams_and_pushes_are_counted() {
    let plane = Plane::shop().await;
    let mut front = Envoy::settled(envoy::tcp(&plane.xds[0]).await, FRONT, &[EGRESS]).await;
    plane.weigh(50, 50).await;
    front.take(Route).await;
    plane.proxy_once(|report| report["upToDate"] == true).await;
    let text = reqwest::get(format!("{}/metrics", plane.endpoint)).await.unwrap().text().await.unwrap();
    for line in [
        "meshwarden_xds_streams{kind=\"virtual_node\"} 1",
        "meshwarden_xds_pushes_total{type=\"route\"} 2",
        "meshwarden_xds_acks_total{type=\"route\"} 2",
        "meshwarden_xds_nacks_total{type=\"route\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn findings_are_reported_without_an_xds_listener() {
    let plane = Plane::with(XdsSettings::default()).await;
    assert!(plane.xds.is_empty());
    plane.make_shop().await;
    plane.put("/shop/virtualNodes", crate::plane::node("early", &["late.local"])).await;
    let (status, report) = plane.get("/findings/shop").await;
    assert_eq!(status, 200, "{report}");
    assert!(report["findings"].as_array().is_some_and(|findings| !findings.is_empty()), "{report}");
    let early = &report["leftOut"]["mesh/shop/virtualNode/early"];
    assert_eq!(early[0]["id"], "dangling-backend", "{report}");
    assert_eq!(plane.get("/proxies/shop/virtualNode/early").await.0, 200);
    assert_eq!(plane.get("/findings/nowhere").await.0, 404);
    plane.stop().await;
}
