//! Admission of proxies, and the errors of refused ones.

use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use envoy_types::pb::google::rpc::Status as Refusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;
use xds::ResourceType::{Cluster, Listener, Route};

use crate::envoy::{self, EGRESS, Envoy, node, refusal};
use crate::plane::{Plane, tcp};

#[tokio::test]
async fn a_proxy_of_a_missing_resource_gets_the_documented_code() {
    let plane = Plane::shop().await;
    let channel = envoy::tcp(&plane.xds[0]).await;
    for id in [
        "mesh/shop/virtualNode/missing",
        "mesh/shop/virtualGateway/front",
        "mesh/missing/virtualNode/front",
        "mesh/shop@210987654321/virtualNode/front",
        "arn:aws:appmesh:eu-west-1:210987654321:mesh/shop/virtualNode/front",
    ] {
        let status = refusal(channel.clone(), id).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{id}");
        assert!(status.message().contains("not found"), "{id}: {}", status.message());
    }
    assert!(plane.proxies().await.is_empty());
}

#[tokio::test]
async fn an_invalid_node_id_is_explained() {
    let plane = Plane::shop().await;
    let channel = envoy::tcp(&plane.xds[0]).await;
    for id in ["front", "mesh/shop", "mesh/shop/virtualRouter/back", "mesh/shop/virtualNode/a/b", "arn:aws:s3:::x"] {
        let status = refusal(channel.clone(), id).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{id}");
        assert!(status.message().contains("mesh/<mesh>/virtualNode/<name>"), "{id}: {}", status.message());
    }
}

#[tokio::test]
async fn a_first_request_without_a_node_is_explained() {
    let plane = Plane::shop().await;
    for request in
        [DiscoveryRequest::default(), DiscoveryRequest { node: Some(node("")), ..DiscoveryRequest::default() }]
    {
        let mut stream = Envoy::open(envoy::tcp(&plane.xds[0]).await).await;
        stream.send(request);
        let status = stream.end().await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("node.id"), "{}", status.message());
    }
}

#[tokio::test]
async fn a_stream_belongs_to_one_node() {
    let plane = Plane::shop().await;
    let mut front = Envoy::settled(envoy::tcp(&plane.xds[0]).await, "mesh/shop/virtualNode/front", &[]).await;
    let again = |id: &str| DiscoveryRequest {
        node: Some(node(id)),
        type_url: "type.googleapis.com/some.other.Type".to_owned(),
        ..DiscoveryRequest::default()
    };
    // Some clients repeat the node in every request, in any of its forms.
    front.send(again("arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/front"));
    front.subscribe(Listener, &[]);
    front.take(Listener).await;
    front.send(again("mesh/shop/virtualNode/other"));
    let status = front.end().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("mesh/shop/virtualNode/other"), "{}", status.message());
}

#[tokio::test]
async fn too_many_streams_of_one_proxy_are_refused() {
    let mut settings = tcp();
    settings.streams_per_proxy = 2;
    let plane = Plane::with(settings).await;
    plane.make_shop().await;
    let channel = envoy::tcp(&plane.xds[0]).await;
    let front = "mesh/shop/virtualNode/front";
    let mut first = Envoy::connect(channel.clone(), front).await;
    let mut second = Envoy::connect(channel.clone(), front).await;
    first.take(Cluster).await;
    second.take(Cluster).await;
    assert_eq!(refusal(channel.clone(), front).await.code(), Code::ResourceExhausted);
    // Other proxies are not affected.
    Envoy::connect(channel.clone(), "mesh/shop/virtualNode/other").await.take(Cluster).await;
    drop(first);
    let deadline = std::time::Instant::now() + crate::plane::TIMEOUT;
    while plane.proxies().await.iter().filter(|proxy| proxy["id"] == front).count() > 1 {
        assert!(std::time::Instant::now() < deadline, "the ended stream is still registered");
    }
    Envoy::connect(channel, front).await.take(Cluster).await;
}

#[tokio::test]
async fn invalid_requests_on_one_stream_do_not_affect_another() {
    let plane = Plane::shop().await;
    let channel = envoy::tcp(&plane.xds[0]).await;
    let mut front = Envoy::settled(channel.clone(), "mesh/shop/virtualNode/front", &[EGRESS]).await;
    let odd = |change: fn(&mut DiscoveryRequest)| {
        let mut request = DiscoveryRequest { type_url: Cluster.url().to_owned(), ..DiscoveryRequest::default() };
        change(&mut request);
        request
    };
    let requests = [
        odd(|request| request.type_url = String::new()),
        odd(|request| request.type_url = "x".repeat(100_000)),
        odd(|request| request.response_nonce = "no such nonce".to_owned()),
        odd(|request| request.version_info = "\u{0}\u{1F980}".to_owned()),
        odd(|request| request.resource_names = vec![String::new(); 10_000]),
        odd(|request| request.resource_names = vec!["*".to_owned(), "*".to_owned()]),
        odd(|request| {
            request.error_detail = Some(Refusal { message: "\u{1F980}".repeat(50_000), ..Refusal::default() });
        }),
    ];
    for request in requests {
        let other = Envoy::settled(channel.clone(), "mesh/shop/virtualNode/other", &[]).await;
        other.send(request);
    }
    let mut large = Envoy::settled(channel.clone(), "mesh/shop/virtualNode/other", &[]).await;
    large.send(odd(|request| request.resource_names = vec!["x".repeat(1000); 5_000]));
    assert_eq!(large.end().await.code(), Code::OutOfRange, "the request exceeds the limit");
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff"]
    {
        let mut stream = tokio::net::TcpStream::connect(&plane.xds[0]).await.unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(garbage).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    plane.weigh(30, 70).await;
    front.take(Route).await;
}
