//! The contents, the time and the receivers of pushes.

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use prost::Message as _;
use serde_json::json;
use xds::ResourceType::{Cluster, Listener, Route};

use crate::envoy::{self, Delta, EGRESS, Envoy};
use crate::plane::{Folder, Plane, node, tcp};

const FRONT: &str = "mesh/shop/virtualNode/front";

/// Whether the first route of a response has these weights.
fn weighs(response: &DiscoveryResponse, v1: u32, v2: u32) -> bool {
    let routes = RouteConfiguration::decode(response.resources[0].value.as_slice()).unwrap();
    let text = format!("{routes:?}");
    let at =
        |name: &str, weight: u32| text.split(name).skip(1).any(|rest| rest.contains(&format!("value: {weight} }})")));
    at("back-v1", v1) && at("back-v2", v2)
}

#[tokio::test]
async fn a_changed_route_is_pushed_and_nothing_else() {
    let plane = Plane::shop().await;
    let mut front = Envoy::settled(envoy::tcp(&plane.xds[0]).await, FRONT, &[EGRESS]).await;
    for (v1, v2) in [(50, 50), (0, 100), (100, 0)] {
        plane.weigh(v1, v2).await;
        let response = front.take(Route).await;
        assert!(weighs(&response, v1.into(), v2.into()), "{response:?}");
        assert_eq!(response.resources.len(), 1);
    }
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
    let the_same = async {
        plane.weigh(100, 0).await;
        plane.proxies().await
    };
    front.nothing_until(the_same).await;
}

#[tokio::test]
async fn an_unaffected_proxy_is_sent_nothing() {
    let plane = Plane::shop().await;
    let mut other = Envoy::settled(envoy::tcp(&plane.xds[0]).await, "mesh/shop/virtualNode/other", &[]).await;
    let everything = async {
        plane.weigh(1, 99).await;
        plane.put("/shop/virtualNodes/back-v1", json!({"spec": node("elsewhere", &[])["spec"]})).await;
        plane.put("", json!({"meshName": "another"})).await;
        plane.put("/another/virtualNodes", node("other", &[])).await;
        // The response to this includes all earlier writes.
        plane.proxies().await
    };
    other.nothing_until(everything).await;
    plane.put("/shop/virtualNodes/other", json!({"spec": node("other", &["back.local"])["spec"]})).await;
    let clusters = other.take(Cluster).await;
    assert!(clusters.resources.len() > 1);
    other.take(Listener).await;
}

#[tokio::test]
async fn only_the_last_state_of_a_burst_has_to_be_sent() {
    let plane = Plane::shop().await;
    let mut front = Envoy::settled(envoy::tcp(&plane.xds[0]).await, FRONT, &[EGRESS]).await;
    for weight in 0..100 {
        plane.weigh(weight, 100 - weight).await;
    }
    plane.weigh(7, 93).await;
    let mut pushes = 1;
    while !weighs(&front.take(Route).await, 7, 93) {
        pushes += 1;
    }
    assert!(pushes < 100, "{pushes} pushes for 101 writes");
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
}

#[tokio::test]
async fn all_streams_of_a_proxy_are_served() {
    let plane = Plane::shop().await;
    let channel = envoy::tcp(&plane.xds[0]).await;
    let arn = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/front";
    let owned = "mesh/shop@123456789012/virtualNode/front";
    let mut streams = Vec::new();
    for id in [FRONT, arn, owned] {
        streams.push(Envoy::settled(channel.clone(), id, &[EGRESS]).await);
    }
    plane.weigh(20, 80).await;
    for stream in &mut streams {
        assert!(weighs(&stream.take(Route).await, 20, 80));
    }
}

#[tokio::test]
async fn delta_sends_only_what_changed() {
    let plane = Plane::shop().await;
    let mut front = Delta::connect(envoy::tcp(&plane.xds[0]).await, FRONT).await;
    assert!(front.take(Cluster).await.resources.len() > 1);
    front.subscribe(Listener, &[]);
    assert_eq!(front.take(Listener).await.resources.len(), 2);
    front.subscribe(Route, &[EGRESS, "rds_ingress_http_8080"]);
    assert_eq!(front.take(Route).await.resources.len(), 2);
    plane.weigh(50, 50).await;
    let pushed = front.take(Route).await;
    assert_eq!(pushed.resources.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), [EGRESS]);
    let proxy = plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
    assert_eq!(proxy["protocol"], "delta");
}

#[tokio::test]
async fn a_proxy_that_reconnects_after_a_restart_is_sent_nothing_that_it_has() {
    let folder = Folder::new();
    let data = Some(folder.join("data"));
    let plane = Plane::bind(tcp(), data.clone()).await;
    plane.make_shop().await;
    let mut front = Envoy::connect(envoy::tcp(&plane.xds[0]).await, FRONT).await;
    let clusters = front.take(Cluster).await;
    front.subscribe(Listener, &[]);
    let listeners = front.take(Listener).await;
    front.subscribe(Route, &[EGRESS]);
    let routes = front.take(Route).await;
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
    plane.stop().await;
    assert_eq!(front.end().await.code(), tonic::Code::Ok, "a stop ends the stream gracefully");

    let plane = Plane::bind(tcp(), data).await;
    let mut front = Envoy::open(envoy::tcp(&plane.xds[0]).await).await;
    front.node(FRONT);
    front.subscribe_with(Cluster, &[], &clusters.version_info);
    front.subscribe_with(Listener, &[], &listeners.version_info);
    front.subscribe_with(Route, &[EGRESS], &routes.version_info);
    let up_to_date = plane.proxy_once(|proxy| proxy["upToDate"] == true && proxy["types"]["routes"].is_object());
    let report = front.nothing_until(up_to_date).await;
    assert_eq!(report["types"]["routes"]["acknowledged"], routes.version_info);
    plane.weigh(50, 50).await;
    front.take(Route).await;
}
