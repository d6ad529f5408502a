//! The protocol: headers, malformed requests, owners, health.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Plane;
use crate::fixture::{samples, shop};

#[tokio::test]
async fn every_response_has_its_own_request_id() {
    let plane = Plane::start().await;
    let good = plane.get("/meshes").await;
    let bad = plane.get("/meshes/none").await;
    let id = |reply: &crate::client::Reply| reply.header("x-amzn-requestid").unwrap().to_owned();
    assert_eq!(id(&good).len(), 36);
    assert_ne!(id(&good), id(&bad));
    assert_eq!(good.header("x-amzn-errortype"), None);
}

#[tokio::test]
async fn an_unknown_operation_is_a_typed_error() {
    let plane = Plane::start().await;
    for (method, path, status) in [
        (Method::GET, "/nothing", 404),
        (Method::GET, "/meshes/m/virtualNode/n", 404),
        (Method::POST, "/meshes", 405),
        (Method::PATCH, "/meshes/m", 405),
        (Method::GET, "/tag", 405),
        (Method::DELETE, "/meshes", 405),
    ] {
        let reply = plane.send(method, path, &[], None).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("x-amzn-errortype"), Some("UnknownOperationException"));
        assert!(reply.body["message"].as_str().unwrap().contains(path));
    }
}

#[tokio::test]
async fn a_malformed_body_is_refused_with_the_position() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let long = format!("{{\"meshName\": \"{}\"}}", "m".repeat(2 * 1024 * 1024));
    for (path, body, says) in [
        ("/meshes", "{\"meshName\": ", "line 1 column"),
        ("/meshes", "{\n\"meshName\": x}", "line 2 column"),
        ("/meshes", "[]", "must be a JSON object, not a list"),
        ("/meshes", "", "meshName: is required"),
        ("/meshes", "{}", "meshName: is required"),
        ("/meshes", "{\"meshName\": null}", "meshName: is required"),
        ("/meshes", "{\"meshName\": 7}", "meshName: must be a string, not a number"),
        ("/meshes", "{\"meshName\": \"\"}", "meshName: "),
        ("/meshes", "{\"meshName\": \"m\", \"spec\": []}", "spec"),
        ("/meshes", "{\"meshName\": \"m\", \"tag\": []}", "tag: is not a member"),
        ("/meshes", "{\"meshName\": \"m\", \"clientToken\": 7}", "clientToken: must be a string"),
        ("/meshes", &long, "body: is larger than 1048576 bytes"),
        ("/meshes/shop/virtualNodes", "{\"virtualNodeName\": \"n\"}", "spec: is required"),
        ("/meshes/shop/virtualNodes", "{\"spec\": {}}", "virtualNodeName: is required"),
        ("/meshes/shop/virtualNodes/orders_v1", "{}", "spec: is required"),
    ] {
        let reply = plane.send(Method::PUT, path, &[], Some(body.to_owned())).await;
        let message = reply.error("BadRequestException");
        assert!(message.contains(says), "{body:.60}: {message}");
    }
}

#[tokio::test]
async fn names_have_the_limits_of_the_api() {
    let plane = Plane::start().await;
    let message = plane.put("/meshes", json!({"meshName": "m".repeat(256)})).await.error("BadRequestException");
    assert!(message.starts_with("meshName: "), "{message}");
    plane.put("/meshes", json!({"meshName": "m".repeat(255)})).await.ok();
    plane.put("/meshes", json!({"meshName": "a/b"})).await.error("BadRequestException");
    plane.get(&format!("/meshes/{}", "m".repeat(256))).await.error("BadRequestException");
}

#[tokio::test]
async fn members_of_the_uri_may_be_repeated_in_the_body() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for sample in samples() {
        let mut body = sample.body();
        body["meshName"] = "shop".into();
        plane.put(&sample.uri(), body).await.ok();
    }
}

#[tokio::test]
async fn a_mesh_of_another_owner_is_not_served() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for sample in samples() {
        plane.get(&format!("{}?meshOwner=123456789012", sample.uri())).await.ok();
        let message = plane.get(&format!("{}?meshOwner=210987654321", sample.uri())).await.error("ForbiddenException");
        assert!(message.contains("210987654321") && message.contains("mesh/shop"), "{message}");
        let message = plane.get(&format!("{}?meshOwner=me", sample.uri())).await.error("BadRequestException");
        assert!(message.starts_with("meshOwner: "), "{message}");
    }
    let body = json!({"virtualNodeName": "n", "spec": {}});
    plane.put("/meshes/shop/virtualNodes?meshOwner=210987654321", body).await.error("ForbiddenException");
    plane.get("/meshes?meshOwner=210987654321").await.ok();
}

#[tokio::test]
async fn known_query_parameters_are_validated() {
    let plane = Plane::start().await;
    plane.get("/meshes?else=1").await.ok();
    plane.get("/meshes?").await.ok();
    for query in ["limit=1&limit=2", "limit=%zz", "nextToken="] {
        plane.get(&format!("/meshes?{query}")).await.error("BadRequestException");
    }
}

#[tokio::test]
async fn a_connection_stays_open_after_a_refused_body() {
    let plane = Plane::start().await;
    for _ in 0..3 {
        let body = Some("x".repeat(3 * 1024 * 1024));
        plane.send(Method::PUT, "/meshes", &[], body).await.error("BadRequestException");
        plane.get("/meshes").await.ok();
    }
}

#[tokio::test]
async fn health_and_readiness_are_served() {
    let plane = Plane::start().await;
    for path in ["/healthz", "/readyz"] {
        let response = reqwest::get(format!("{}{path}", plane.endpoint)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.json::<Value>().await.unwrap(), json!({"status": "ok"}));
    }
}
