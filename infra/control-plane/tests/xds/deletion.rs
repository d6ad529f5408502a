//! Resources that go and come while their proxies are connected.

use tonic::Code;
use xds::ResourceType::{Cluster, Listener};

use crate::envoy::{self, Envoy, refusal};
use crate::plane::{Plane, node};

#[tokio::test]
async fn a_deleted_resource_ends_its_streams_and_takes_nothing_away() {
    let plane = Plane::shop().await;
    let channel = envoy::tcp(&plane.xds[0]).await;
    let other = "mesh/shop/virtualNode/other";
    let mut stream = Envoy::settled(channel.clone(), other, &[]).await;
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
    plane.delete("/shop/virtualNodes/other").await;
    // The end comes with no response before it: the Envoy goes on with what it has.
    let status = stream.end().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains(other), "{}", status.message());
    assert_eq!(refusal(channel.clone(), other).await.code(), Code::InvalidArgument);
    assert!(plane.proxies().await.is_empty());

    plane.put("/shop/virtualNodes", node("other", &["back.local"])).await;
    let mut stream = Envoy::connect(channel, other).await;
    assert!(stream.take(Cluster).await.resources.len() > 1, "what it is now, not what it was");
}

#[tokio::test]
async fn a_backend_that_is_yet_to_be_created_comes_when_it_is() {
    let plane = Plane::shop().await;
    plane.put("/shop/virtualNodes", node("early", &["late.local"])).await;
    let mut early = Envoy::settled(envoy::tcp(&plane.xds[0]).await, "mesh/shop/virtualNode/early", &[]).await;
    let provider = serde_json::json!({"virtualNode": {"virtualNodeName": "other"}});
    let service = serde_json::json!({"virtualServiceName": "late.local", "spec": {"provider": provider}});
    plane.put("/shop/virtualServices", service).await;
    let clusters = early.take(Cluster).await;
    assert!(clusters.resources.iter().any(|one| String::from_utf8_lossy(&one.value).contains("other")));
    early.take(Listener).await;
}
