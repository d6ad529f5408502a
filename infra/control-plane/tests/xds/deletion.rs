//! Resources that are deleted and created while their proxies are connected.

use tonic::Code;
use xds::ResourceType::{Cluster, Listener};

use crate::envoy::{self, Envoy, refusal};
use crate::plane::{Plane, node};

#[tokio::test]
async fn a_deleted_resource_ends_its_streams_without_removing_their_configuration() {
    let plane = Plane::shop().await;
    let channel = envoy::tcp(&plane.xds[0]).await;
    let other = "mesh/shop/virtualNode/other";
    let mut stream = Envoy::settled(channel.clone(), other, &[]).await;
    plane.proxy_once(|proxy| proxy["upToDate"] == true).await;
    plane.delete("/shop/virtualNodes/other").await;
    // The stream ends without another response: the Envoy keeps its configuration.
    let status = stream.end().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains(other), "{}", status.message());
    assert_eq!(refusal(channel.clone(), other).await.code(), Code::InvalidArgument);
    assert!(plane.proxies().await.is_empty());

    plane.put("/shop/virtualNodes", node("other", &["back.local"])).await;
    let mut stream = Envoy::connect(channel, other).await;
    assert!(stream.take(Cluster).await.resources.len() > 1, "the proxy receives the new resource, not the old one");
}

#[tokio::test]
async fn a_missing_backend_is_sent_once_it_is_created() {
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
