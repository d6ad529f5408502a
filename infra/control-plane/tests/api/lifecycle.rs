//! Create, describe, list, update and delete, for every kind.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::client::{ACCOUNT, ARN, Plane};
use crate::fixture::{Sample, samples, shop};

/// Asserts the members of a described resource.
fn assert_shown(body: &Value, sample: &Sample, spec: &Value, version: u64, status: &str) {
    assert_eq!(body["meshName"], "shop");
    assert_eq!(body[sample.name_member()], sample.name);
    assert_eq!(&body["spec"], spec, "the spec is echoed");
    assert_eq!(body["spec"].to_string(), spec.to_string(), "the order of its members is unchanged");
    assert_eq!(body["status"], json!({"status": status}));
    let metadata = &body["metadata"];
    assert_eq!(metadata["arn"], format!("{ARN}{}", sample.path));
    assert_eq!(metadata["version"], version);
    assert_eq!(metadata["meshOwner"], ACCOUNT);
    assert_eq!(metadata["resourceOwner"], ACCOUNT);
    assert!(metadata["createdAt"].as_f64().unwrap() > 1_700_000_000.0);
    assert!(metadata["lastUpdatedAt"].as_f64() >= metadata["createdAt"].as_f64());
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn every_kind_is_created_described_updated_and_deleted() {
    let plane = Plane::start().await;
    let mut uids = HashSet::new();
    for sample in samples() {
        plane.get(&sample.uri()).await.error("NotFoundException");
        plane.put(&sample.uri(), json!({"spec": sample.spec})).await.error("NotFoundException");
        plane.delete(&sample.uri()).await.error("NotFoundException");
        assert_eq!(plane.get(sample.collection).await.ok(), json!({sample.list_member: []}));

        let created = plane.put(sample.collection, sample.body()).await;
        assert_eq!(created.header("x-meshwarden-version"), Some("1"));
        let created = created.ok();
        assert_shown(&created, &sample, &sample.spec, 1, "ACTIVE");
        assert!(uids.insert(created["metadata"]["uid"].clone()), "uids are unique");
        assert_eq!(plane.get(&sample.uri()).await.ok(), created);

        let message = plane.put(sample.collection, sample.body()).await.error("ConflictException");
        assert!(message.contains(sample.path), "{message}");

        let updated = plane.put(&sample.uri(), json!({"spec": sample.other_spec})).await;
        assert_eq!(updated.header("x-meshwarden-version"), Some("2"));
        let updated = updated.ok();
        assert_shown(&updated, &sample, &sample.other_spec, 2, "ACTIVE");
        assert_eq!(updated["metadata"]["uid"], created["metadata"]["uid"]);
        assert_eq!(updated["metadata"]["createdAt"], created["metadata"]["createdAt"]);
        let described = plane.get(&sample.uri()).await;
        assert_eq!(described.header("x-meshwarden-version"), Some("2"));
        assert_eq!(described.ok(), updated);

        plane.put(&sample.uri(), json!({"spec": sample.spec})).await.ok();
    }
    for sample in samples().iter().rev() {
        let deleted = plane.delete(&sample.uri()).await;
        assert_eq!(deleted.header("x-meshwarden-version"), Some("4"));
        assert_shown(&deleted.ok(), sample, &sample.spec, 4, "DELETED");
        plane.get(&sample.uri()).await.error("NotFoundException");
        plane.delete(&sample.uri()).await.error("NotFoundException");
    }
    assert_eq!(plane.get("/meshes").await.ok(), json!({"meshes": []}));
}

#[tokio::test]
async fn lists_contain_references() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for sample in samples() {
        let list = plane.get(sample.collection).await.ok();
        assert_eq!(list.as_object().unwrap().len(), 1, "a last page has only the list: {list}");
        let [reference] = list[sample.list_member].as_array().unwrap().as_slice() else {
            unreachable!("the list has one resource: {list}");
        };
        let mut expected =
            HashSet::from(["arn", "createdAt", "lastUpdatedAt", "meshName", "meshOwner", "resourceOwner", "version"]);
        let name_member = sample.name_member();
        expected.insert(&name_member);
        match sample.kind {
            "route" => assert!(expected.insert("virtualRouterName")),
            "gatewayRoute" => assert!(expected.insert("virtualGatewayName")),
            _ => {}
        }
        let members: HashSet<&str> = reference.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, expected);
        assert_eq!(reference["arn"], format!("{ARN}{}", sample.path));
        assert_eq!(reference[&name_member], sample.name);
    }
}

#[tokio::test]
async fn a_resource_created_again_has_another_uid() {
    let plane = Plane::start().await;
    let body = json!({"meshName": "shop", "clientToken": "same"});
    let first = plane.put("/meshes", body.clone()).await.ok();
    plane.put("/meshes/shop", json!({"spec": {}})).await.ok();
    plane.delete("/meshes/shop").await.ok();
    let second = plane.put("/meshes", body).await.ok();
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(second["metadata"]["version"], 1);
    assert_eq!(plane.get("/meshes/shop").await.ok(), second);
}

#[tokio::test]
async fn a_mesh_needs_no_spec() {
    let plane = Plane::start().await;
    let created = plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
    assert_eq!(created["spec"], json!({}));
    let filter = json!({"egressFilter": {"type": "ALLOW_ALL"}});
    plane.put("/meshes/shop", json!({"spec": filter})).await.ok();
    let updated = plane.put("/meshes/shop", json!({})).await.ok();
    assert_eq!(updated["spec"], filter, "an update without a spec leaves it unchanged");
    assert_eq!(updated["metadata"]["version"], 3);
    let emptied = plane.put("/meshes/shop", json!({"spec": {}})).await.ok();
    assert_eq!(emptied["spec"], json!({}));
}

#[tokio::test]
async fn a_creation_needs_its_parent() {
    let plane = Plane::start().await;
    for sample in samples().iter().skip(1) {
        let message = plane.put(sample.collection, sample.body()).await.error("NotFoundException");
        assert!(message.starts_with("mesh/shop"), "{message}");
        plane.get(sample.collection).await.error("NotFoundException");
    }
    plane.put("/meshes", json!({"meshName": "shop"})).await.ok();
    for (collection, parent) in [
        ("/meshes/shop/virtualRouter/none/routes", "mesh/shop/virtualRouter/none"),
        ("/meshes/shop/virtualGateway/none/gatewayRoutes", "mesh/shop/virtualGateway/none"),
    ] {
        let message = plane.get(collection).await.error("NotFoundException");
        assert!(message.contains(parent), "{message}");
    }
}
