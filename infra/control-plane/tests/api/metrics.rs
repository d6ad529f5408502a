//! The metrics for Prometheus.

use std::collections::BTreeSet;
use std::time::Duration;

use control_plane::{ProxyKind, XdsType};
use serde_json::json;

use crate::client::Plane;
use crate::fixture::{samples, shop};

/// The value of a series; `None` if the series does not exist.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn requests_writes_commits_and_resources_are_counted() {
    let plane = Plane::start().await;
    shop(&plane).await;
    plane.get("/meshes/shop").await.ok();
    plane.get("/meshes/none").await.error("NotFoundException");
    plane.put("/meshes", json!({"meshName": "shop"})).await.error("ConflictException");
    plane.delete("/meshes/shop/virtualGateway/edge/gatewayRoutes/orders").await.ok();
    assert_eq!(plane.get("/nothing/here").await.status, 404);
    let (status, text) = plane.endpoint("/metrics").await;
    assert_eq!(status, 200);
    for (series, expected) in [
        (r#"meshwarden_requests_total{operation="CreateRoute",outcome="success"}"#, 1.0),
        (r#"meshwarden_requests_total{operation="CreateMesh",outcome="ConflictException"}"#, 1.0),
        (r#"meshwarden_requests_total{operation="DescribeMesh",outcome="success"}"#, 1.0),
        (r#"meshwarden_requests_total{operation="DescribeMesh",outcome="NotFoundException"}"#, 1.0),
        (r#"meshwarden_requests_total{operation="Unknown",outcome="UnknownOperationException"}"#, 1.0),
        (r#"meshwarden_request_duration_seconds_count{operation="DescribeMesh"}"#, 2.0),
        (r#"meshwarden_writes_total{operation="created",kind="virtual_node"}"#, 1.0),
        (r#"meshwarden_writes_total{operation="deleted",kind="gateway_route"}"#, 1.0),
        (r#"meshwarden_resources{kind="route"}"#, 1.0),
        (r#"meshwarden_resources{kind="gateway_route"}"#, 0.0),
        (r#"meshwarden_storage_commits_total{outcome="success"}"#, 8.0),
        (r#"meshwarden_storage_commits_total{outcome="failure"}"#, 0.0),
        ("meshwarden_storage_commit_duration_seconds_count", 8.0),
        ("meshwarden_storage_writable", 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_ads_server_has_its_metrics_on_the_same_page() {
    let plane = Plane::start().await;
    let xds = plane.store.metrics().xds();
    xds.stream_opened(ProxyKind::VirtualNode);
    xds.stream_opened(ProxyKind::VirtualGateway);
    xds.stream_closed(ProxyKind::VirtualGateway);
    xds.pushed(XdsType::Cluster);
    xds.acked(XdsType::Listener);
    xds.nacked(XdsType::Secret);
    xds.snapshot_built(Duration::from_millis(3));
    let (_, text) = plane.endpoint("/metrics").await;
    for (series, expected) in [
        (r#"meshwarden_xds_streams{kind="virtual_node"}"#, 1.0),
        (r#"meshwarden_xds_streams{kind="virtual_gateway"}"#, 0.0),
        (r#"meshwarden_xds_pushes_total{type="cluster"}"#, 1.0),
        (r#"meshwarden_xds_pushes_total{type="endpoint"}"#, 0.0),
        (r#"meshwarden_xds_acks_total{type="listener"}"#, 1.0),
        (r#"meshwarden_xds_nacks_total{type="secret"}"#, 1.0),
        ("meshwarden_xds_snapshot_build_duration_seconds_count", 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
}

#[tokio::test]
async fn names_of_resources_do_not_become_series() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let series = async || {
        let text = plane.endpoint("/metrics").await.1;
        let series = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0);
        series.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    plane.get("/meshes/shop/virtualNodes/one").await.error("NotFoundException");
    let before = series().await;
    for n in 0..20 {
        let body = json!({"virtualNodeName": format!("n{n}"), "spec": {}});
        plane.put("/meshes/shop/virtualNodes", body).await.ok();
        plane.get(&format!("/meshes/shop/virtualNodes/x{n}")).await.error("NotFoundException");
    }
    assert_eq!(series().await, before);
    for sample in samples() {
        assert!(!before.iter().any(|series| series.contains(sample.name) && sample.name.len() > 6), "{}", sample.name);
    }
}
