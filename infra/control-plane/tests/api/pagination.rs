//! Pages of lists and of tags.

use serde_json::{Value, json};

use crate::client::{ARN, Plane};
use crate::fixture::shop;

async fn pages(plane: &Plane, uri: &str, limit: usize, member: &str, key: &str) -> (usize, Vec<String>) {
    let (mut pages, mut names, mut next) = (0, Vec::new(), String::new());
    loop {
        let page = plane.get(&format!("{uri}limit={limit}{next}")).await.ok();
        pages += 1;
        let items = page[member].as_array().unwrap();
        assert!(items.len() <= limit);
        names.extend(items.iter().map(|item| item[key].as_str().unwrap().to_owned()));
        match page.get("nextToken") {
            Some(token) => next = format!("&nextToken={}", token.as_str().unwrap()),
            None => return (pages, names),
        }
    }
}

#[tokio::test]
async fn pages_cover_every_resource_once() {
    let plane = Plane::start().await;
    plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
    let mut expected: Vec<String> = (0..120).map(|n| format!("node-{n}")).collect();
    for name in &expected {
        plane.put("/meshes/shop/virtualNodes", json!({"virtualNodeName": name, "spec": {}})).await.ok();
    }
    expected.sort();
    for (limit, count) in [(7, 18), (60, 2), (100, 2)] {
        let found = pages(&plane, "/meshes/shop/virtualNodes?", limit, "virtualNodes", "virtualNodeName").await;
        assert_eq!(found, (count, expected.clone()));
    }
    let first = plane.get("/meshes/shop/virtualNodes").await.ok();
    assert_eq!(first["virtualNodes"].as_array().unwrap().len(), 100, "the default limit is 100");
    assert!(first["nextToken"].is_string());
}

#[tokio::test]
async fn a_page_token_is_valid_after_changes_between_pages() {
    let plane = Plane::start().await;
    for name in ["a", "b", "c", "d"] {
        plane.put("/meshes", json!({"meshName": name})).await.ok();
    }
    let first = plane.get("/meshes?limit=2").await.ok();
    plane.delete("/meshes/b").await.ok();
    plane.put("/meshes", json!({"meshName": "aa"})).await.ok();
    let token = first["nextToken"].as_str().unwrap();
    let second = plane.get(&format!("/meshes?nextToken={token}")).await.ok();
    let names: Vec<&Value> = second["meshes"].as_array().unwrap().iter().map(|mesh| &mesh["meshName"]).collect();
    assert_eq!(names, ["c", "d"]);
}

#[tokio::test]
async fn limits_and_tokens_are_checked() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for name in ["a", "b"] {
        plane.put("/meshes", json!({"meshName": name})).await.ok();
    }
    let tags = format!("/tags?resourceArn={ARN}mesh/shop&");
    for uri in ["/meshes?", "/meshes/shop/virtualRouter/orders/routes?", &tags] {
        for limit in ["0", "101", "-1", "ten", ""] {
            let message = plane.get(&format!("{uri}limit={limit}")).await.error("BadRequestException");
            assert!(message.starts_with("limit: "), "{message}");
        }
        plane.get(&format!("{uri}limit=100")).await.ok();
        let message = plane.get(&format!("{uri}nextToken=made-up")).await.error("BadRequestException");
        assert!(message.starts_with("nextToken: "), "{message}");
    }
    let page = plane.get("/meshes?limit=1").await.ok();
    let token = page["nextToken"].as_str().unwrap();
    let elsewhere = format!("/meshes/shop/virtualNodes?nextToken={token}");
    plane.get(&elsewhere).await.error("BadRequestException");
}

#[tokio::test]
async fn tags_are_paged_too() {
    let plane = Plane::start().await;
    let tags: Vec<Value> = (0..50).map(|n| json!({"key": format!("k{n:02}"), "value": "v"})).collect();
    plane.put("/meshes", json!({"meshName": "shop", "tags": tags})).await.ok();
    let uri = format!("/tags?resourceArn={ARN}mesh/shop&");
    let expected: Vec<String> = (0..50).map(|n| format!("k{n:02}")).collect();
    assert_eq!(pages(&plane, &uri, 20, "tags", "key").await, (3, expected));
}
