//! What goes over the wire to Cloud Map, and how its responses are read.

use std::collections::BTreeMap;

use ports::{InstanceDirectory as _, PortErrorKind};
use serde_json::{Value, json};

use crate::canned::{Answer, Canned};

fn instance(id: &str, attributes: &Value) -> Value {
    json!({ "InstanceId": id, "NamespaceName": "prod", "ServiceName": "cart", "HealthStatus": "HEALTHY",
        "Attributes": attributes })
}

#[tokio::test]
async fn the_healthy_are_asked_for_or_else_all_at_the_endpoint_as_it_is_given() {
    let found = json!([
        instance("a", &json!({ "AWS_INSTANCE_IPV4": "10.0.0.1", "version": "1" })),
        { "InstanceId": "b" },
    ]);
    let server = Canned::answering([
        Answer::ok(json!({ "Instances": found, "InstancesRevision": 7 })),
        Answer::ok(json!({ "Instances": [] })),
    ])
    .await;
    let directory = server.aws().await.instances();
    let first = BTreeMap::from([("AWS_INSTANCE_IPV4", "10.0.0.1"), ("version", "1")]);
    let first: BTreeMap<_, _> = first.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!(directory.discover("prod", "cart").await.unwrap(), [first, BTreeMap::new()]);
    assert!(directory.discover("prod", "cart").await.unwrap().is_empty());
    let asked = &server.asked()[0];
    let expected = json!({ "NamespaceName": "prod", "ServiceName": "cart", "MaxResults": 1000,
        "HealthStatus": "HEALTHY_OR_ELSE_ALL" });
    assert_eq!(asked.json(), expected);
    assert_eq!(asked.header("x-amz-target"), Some("Route53AutoNaming_v20170314.DiscoverInstances"));
    assert!(asked.header("host").unwrap().starts_with("127.0.0.1:"), "{:?}", asked.header("host"));
}

#[tokio::test]
async fn what_is_not_there_and_what_asks_for_patience_are_told_apart() {
    for (code, kind) in [
        ("ServiceNotFound", PortErrorKind::NotFound),
        ("NamespaceNotFound", PortErrorKind::NotFound),
        ("RequestLimitExceeded", PortErrorKind::Throttled),
        ("AccessDeniedException", PortErrorKind::Denied),
        ("InvalidInput", PortErrorKind::Other),
    ] {
        // The SDK sends this many attempts when it is throttled.
        let server = Canned::answering(vec![Answer::error(400, code, json!({ "Message": "no" })); 3]).await;
        let error = server.aws().await.instances().discover("prod", "cart").await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}");
        assert!(error.to_string().starts_with("failed to discover the instances of cart.prod"), "{error}");
    }
}
