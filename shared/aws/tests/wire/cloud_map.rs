//! The requests to Cloud Map, and the parsing of its responses.

use std::collections::BTreeMap;

use ports::{InstanceDirectory as _, PortErrorKind};
use serde_json::{Value, json};

use crate::canned::{CannedResponse, CannedServer};

fn instance(id: &str, attributes: &Value) -> Value {
    json!({ "InstanceId": id, "NamespaceName": "prod", "ServiceName": "cart", "HealthStatus": "HEALTHY",
        "Attributes": attributes })
}

#[tokio::test]
async fn healthy_or_all_instances_are_requested_at_the_configured_endpoint() {
    let found = json!([
        instance("a", &json!({ "AWS_INSTANCE_IPV4": "10.0.0.1", "version": "1" })),
        { "InstanceId": "b" },
    ]);
    let server = CannedServer::start([
        CannedResponse::ok(json!({ "Instances": found, "InstancesRevision": 7 })),
        CannedResponse::ok(json!({ "Instances": [] })),
    ])
    .await;
    let directory = server.aws().await.instances();
    let first = BTreeMap::from([("AWS_INSTANCE_IPV4", "10.0.0.1"), ("version", "1")]);
    let first: BTreeMap<_, _> = first.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!(directory.discover("prod", "cart").await.unwrap(), [first, BTreeMap::new()]);
    assert!(directory.discover("prod", "cart").await.unwrap().is_empty());
    let request = &server.requests()[0];
    let expected = json!({ "NamespaceName": "prod", "ServiceName": "cart", "MaxResults": 1000,
        "HealthStatus": "HEALTHY_OR_ELSE_ALL" });
    assert_eq!(request.json(), expected);
    assert_eq!(request.header("x-amz-target"), Some("Route53AutoNaming_v20170314.DiscoverInstances"));
    assert!(request.header("host").unwrap().starts_with("127.0.0.1:"), "{:?}", request.header("host"));
}

#[tokio::test]
async fn missing_service_and_throttle_have_different_kinds() {
    for (code, kind) in [
        ("ServiceNotFound", PortErrorKind::NotFound),
        ("NamespaceNotFound", PortErrorKind::NotFound),
        ("RequestLimitExceeded", PortErrorKind::Throttled),
        ("AccessDeniedException", PortErrorKind::Denied),
        ("InvalidInput", PortErrorKind::Other),
    ] {
        // The SDK sends this many attempts when it is throttled.
        let server = CannedServer::start(vec![CannedResponse::error(400, code, json!({ "Message": "no" })); 3]).await;
        let error = server.aws().await.instances().discover("prod", "cart").await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}");
        assert!(error.to_string().starts_with("failed to discover the instances of cart.prod"), "{error}");
    }
}
