//! Compare and set: `x-meshwarden-if-version`.

use reqwest::Method;
use serde_json::json;

use crate::client::{ARN, Plane};
use crate::fixture::{samples, shop};

const IF_VERSION: &str = "x-meshwarden-if-version";

#[tokio::test]
async fn a_write_based_on_another_version_changes_nothing() {
    let plane = Plane::start().await;
    for sample in samples() {
        plane.put_if(0, sample.collection, sample.body()).await.ok();
        plane.put_if(1, &sample.uri(), json!({"spec": sample.other_spec})).await.ok();

        let reply = plane.put_if(1, &sample.uri(), json!({"spec": sample.spec})).await;
        let message = reply.error("ConflictException");
        assert!(message.contains("version 2") && message.contains("version 1"), "{message}");
        assert_eq!(reply.header("x-meshwarden-version"), Some("2"));

        let reply = plane.send(Method::DELETE, &sample.uri(), &[(IF_VERSION, "3")], None).await;
        let message = reply.error("ConflictException");
        assert!(message.contains("version 2") && message.contains("version 3"), "{message}");
        assert_eq!(reply.header("x-meshwarden-version"), Some("2"));

        let now = plane.get(&sample.uri()).await.ok();
        assert_eq!(now["metadata"]["version"], 2);
        assert_eq!(now["spec"], sample.other_spec);
        plane.put_if(2, &sample.uri(), json!({"spec": sample.spec})).await.ok();
    }
    for sample in samples().iter().rev() {
        plane.send(Method::DELETE, &sample.uri(), &[(IF_VERSION, "3")], None).await.ok();
    }
}

#[tokio::test]
async fn a_creation_can_require_that_the_resource_does_not_exist() {
    let plane = Plane::start().await;
    let reply = plane.put_if(1, "/meshes", json!({"meshName": "shop"})).await;
    let message = reply.error("ConflictException");
    assert!(message.contains("version 0") && message.contains("version 1"), "{message}");
    assert_eq!(reply.header("x-meshwarden-version"), Some("0"));
    plane.put_if(0, "/meshes", json!({"meshName": "shop"})).await.ok();
    let reply = plane.put_if(0, "/meshes", json!({"meshName": "shop"})).await;
    reply.error("ConflictException");
    assert_eq!(reply.header("x-meshwarden-version"), Some("1"));
    let reply = plane.put("/meshes", json!({"meshName": "shop"})).await;
    reply.error("ConflictException");
    assert_eq!(reply.header("x-meshwarden-version"), Some("1"));
}

#[tokio::test]
async fn a_missing_resource_is_reported_as_missing_whatever_the_version() {
    let plane = Plane::start().await;
    plane.put_if(1, "/meshes/shop", json!({"spec": {}})).await.error("NotFoundException");
    plane.send(Method::DELETE, "/meshes/shop", &[(IF_VERSION, "1")], None).await.error("NotFoundException");
}

#[tokio::test]
async fn a_retry_after_a_lost_answer_gets_that_answer() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for sample in samples() {
        let body = json!({"spec": sample.other_spec, "clientToken": "plan-1"});
        let first = plane.put_if(1, &sample.uri(), body.clone()).await.ok();
        assert_eq!(plane.put_if(1, &sample.uri(), body.clone()).await.ok(), first);
        plane.put_if(2, &sample.uri(), body).await.error("ConflictException");
    }
}

#[tokio::test]
async fn tags_can_be_changed_conditionally_too() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let uri = format!("/tag?resourceArn={ARN}mesh/shop");
    let body = json!({"tags": [{"key": "team", "value": "orders"}]});
    plane.put_if(2, &uri, body.clone()).await.error("ConflictException");
    plane.put_if(1, &uri, body).await.ok();
    let described = plane.get("/meshes/shop").await;
    assert_eq!(described.header("x-meshwarden-version"), Some("1"), "changes of tags do not change the version");
}

#[tokio::test]
async fn an_invalid_version_header_is_refused() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for value in ["", "one", "-1", "+1", "1.0", "18446744073709551616", "1, 2"] {
        let body = Some(json!({"spec": {}}).to_string());
        let reply = plane.send(Method::PUT, "/meshes/shop", &[(IF_VERSION, value)], body).await;
        let message = reply.error("BadRequestException");
        assert!(message.starts_with(IF_VERSION), "{message}");
    }
    let twice = [(IF_VERSION, "1"), (IF_VERSION, "1")];
    plane.send(Method::DELETE, "/meshes/shop", &twice, None).await.error("BadRequestException");
}
