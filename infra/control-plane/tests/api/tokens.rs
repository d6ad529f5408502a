//! Client tokens: a repeated request gets its first answer.

use serde_json::{Value, json};

use crate::client::Plane;
use crate::fixture::{samples, shop};

fn with_token(mut body: Value, token: &str) -> Value {
    body["clientToken"] = token.into();
    body
}

#[tokio::test]
async fn a_repeated_creation_gets_its_first_answer() {
    let plane = Plane::start().await;
    for sample in samples() {
        let body = with_token(sample.body(), "create-1");
        let first = plane.put(sample.collection, body.clone()).await.ok();
        assert_eq!(plane.put(sample.collection, body.clone()).await.ok(), first);
        for _ in 0..20 {
            plane.put(&sample.uri(), json!({"spec": sample.spec, "clientToken": null})).await.ok();
        }
        assert_eq!(plane.put(sample.collection, body).await.ok(), first, "the answer is the same after later updates");

        let mut other = with_token(sample.body(), "create-1");
        other["tags"] = json!([{"key": "team", "value": "orders"}]);
        let message = plane.put(sample.collection, other).await.error("ConflictException");
        assert!(message.contains("create-1"), "{message}");
        let new = with_token(sample.body(), "create-2");
        plane.put(sample.collection, new).await.error("ConflictException");
        assert_eq!(plane.get(&sample.uri()).await.ok()["metadata"]["version"], 21);
    }
}

#[tokio::test]
async fn a_repeated_update_gets_its_first_answer() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for sample in samples() {
        let body = with_token(json!({"spec": sample.other_spec}), "update-1");
        let first = plane.put(&sample.uri(), body.clone()).await.ok();
        assert_eq!(first["metadata"]["version"], 2);
        plane.put(&sample.uri(), json!({"spec": sample.spec})).await.ok();
        let repeated = plane.put(&sample.uri(), body).await;
        assert_eq!(repeated.header("x-meshwarden-version"), Some("2"));
        assert_eq!(repeated.ok(), first);
        assert_eq!(plane.get(&sample.uri()).await.ok()["spec"], sample.spec, "nothing was written again");

        let other = with_token(json!({"spec": sample.spec}), "update-1");
        plane.put(&sample.uri(), other).await.error("ConflictException");
        let as_creation = with_token(sample.body(), "update-1");
        plane.put(sample.collection, as_creation).await.error("ConflictException");
    }
}

#[tokio::test]
async fn the_order_of_members_does_not_change_a_request() {
    let plane = Plane::start().await;
    let body = r#"{"meshName": "m", "clientToken": "t", "spec": {"egressFilter": {"type": "DROP_ALL"},
        "serviceDiscovery": {"ipPreference": "IPv4_ONLY"}}}"#;
    let reordered = r#"{"spec": {"serviceDiscovery": {"ipPreference": "IPv4_ONLY"},
        "egressFilter": {"type": "DROP_ALL"}}, "clientToken": "t", "meshName": "m"}"#;
    let send = async |body: &str| plane.send(reqwest::Method::PUT, "/meshes", &[], Some(body.to_owned())).await;
    let first = send(body).await.ok();
    assert_eq!(send(reordered).await.ok(), first);
}

#[tokio::test]
async fn a_token_is_remembered_for_its_resource_only() {
    let plane = Plane::start().await;
    for name in ["a", "b"] {
        plane.put("/meshes", json!({"meshName": name, "clientToken": "same"})).await.ok();
    }
}

#[tokio::test]
async fn a_refused_request_leaves_its_token_unused() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let broken = json!({"spec": {"provider": {"virtualNode": {"virtualNodeName": "none"}}}, "clientToken": "t"});
    let uri = "/meshes/shop/virtualServices/a%20b%2Forders.local";
    plane.put(uri, broken).await.error("NotFoundException");
    let fixed = json!({"spec": {"provider": {"virtualNode": {"virtualNodeName": "orders_v1"}}}, "clientToken": "t"});
    plane.put(uri, fixed).await.ok();
}

#[tokio::test]
async fn the_syntax_of_a_token_is_checked() {
    let plane = Plane::start().await;
    for (n, token) in ["a", "0123456789_ABCDEFGHIJKLMNOPQRST-abcd", "----"].iter().enumerate() {
        plane.put("/meshes", json!({"meshName": format!("m{n}"), "clientToken": token})).await.ok();
    }
    for token in ["", "a b", "ü", "a.b", "0123456789_ABCDEFGHIJKLMNOPQRST-abcde"] {
        let body = json!({"meshName": "other", "clientToken": token});
        let message = plane.put("/meshes", body).await.error("BadRequestException");
        assert!(message.starts_with("clientToken: "), "{message}");
    }
}
