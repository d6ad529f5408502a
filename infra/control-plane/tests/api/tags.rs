//! Tags of every kind of resource.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{ARN, Plane, Reply};
use crate::fixture::{samples, shop};

fn arn(path: &str) -> String {
    format!("{ARN}{path}").replace(' ', "%20")
}

async fn tag(plane: &Plane, path: &str, tags: Value) -> Reply {
    plane.put(&format!("/tag?resourceArn={}", arn(path)), json!({"tags": tags})).await
}

async fn untag(plane: &Plane, path: &str, keys: Value) -> Reply {
    plane.put(&format!("/untag?resourceArn={}", arn(path)), json!({"tagKeys": keys})).await
}

async fn tags(plane: &Plane, path: &str) -> Value {
    let mut listed = plane.get(&format!("/tags?resourceArn={}", arn(path))).await.ok();
    assert_eq!(listed.as_object().unwrap().len(), 1, "{listed}");
    listed["tags"].take()
}

fn many(count: usize) -> Value {
    (0..count).map(|n| json!({"key": format!("key-{n:02}"), "value": "v"})).collect()
}

#[tokio::test]
async fn tags_are_merged_and_removed_on_every_kind() {
    let plane = Plane::start().await;
    for sample in samples() {
        let mut body = sample.body();
        body["tags"] = json!([{"key": "team", "value": "orders"}, {"key": "empty", "value": ""}]);
        let created = plane.put(sample.collection, body).await.ok();
        assert_eq!(created["metadata"]["arn"], format!("{ARN}{}", sample.path));
        let expected = json!([{"key": "empty", "value": ""}, {"key": "team", "value": "orders"}]);
        assert_eq!(tags(&plane, sample.path).await, expected);

        let added = json!([{"key": "team", "value": "stock"}, {"key": "cost-centre", "value": "7"}]);
        assert_eq!(tag(&plane, sample.path, added).await.ok(), json!({}));
        let expected = json!([
            {"key": "cost-centre", "value": "7"}, {"key": "empty", "value": ""}, {"key": "team", "value": "stock"}
        ]);
        assert_eq!(tags(&plane, sample.path).await, expected);

        assert_eq!(untag(&plane, sample.path, json!(["empty", "team", "never-there"])).await.ok(), json!({}));
        assert_eq!(tags(&plane, sample.path).await, json!([{"key": "cost-centre", "value": "7"}]));
        assert_eq!(plane.get(&sample.uri()).await.ok(), created, "the resource itself is unchanged");
        plane.put(&sample.uri(), json!({"spec": sample.spec})).await.ok();
        assert_eq!(tags(&plane, sample.path).await, json!([{"key": "cost-centre", "value": "7"}]));
    }
}

/// A description that includes the tags.
async fn with_tags(plane: &Plane, path: &str) -> Reply {
    plane.send(Method::GET, path, &[("x-meshwarden-include", "tags")], None).await
}

#[tokio::test]
async fn a_description_has_tags_only_on_request() {
    let plane = Plane::start().await;
    for sample in samples() {
        let created = plane.put(sample.collection, sample.body()).await.ok();
        let mut expected = created.clone();
        expected["tags"] = json!([]);
        assert_eq!(with_tags(&plane, &sample.uri()).await.ok(), expected);
        tag(&plane, sample.path, json!([{"key": "team", "value": "orders"}])).await.ok();
        expected["tags"] = json!([{"key": "team", "value": "orders"}]);
        assert_eq!(with_tags(&plane, &sample.uri()).await.ok(), expected);
        assert_eq!(plane.get(&sample.uri()).await.ok(), created);
    }
}

#[tokio::test]
async fn more_than_fifty_tags_are_refused_and_none_is_applied() {
    let plane = Plane::start().await;
    shop(&plane).await;
    tag(&plane, "mesh/shop", many(49)).await.ok();
    let two = json!([{"key": "one", "value": ""}, {"key": "two", "value": ""}]);
    let message = tag(&plane, "mesh/shop", two).await.error("TooManyTagsException");
    assert!(message.contains("51 tags"), "{message}");
    assert_eq!(tags(&plane, "mesh/shop").await.as_array().unwrap().len(), 49);
    tag(&plane, "mesh/shop", json!([{"key": "one", "value": ""}])).await.ok();
    tag(&plane, "mesh/shop", json!([{"key": "one", "value": "again"}])).await.ok();
    tag(&plane, "mesh/shop/virtualNode/orders_v1", many(51)).await.error("TooManyTagsException");
    assert_eq!(tags(&plane, "mesh/shop/virtualNode/orders_v1").await, json!([]));
}

#[tokio::test]
async fn tags_have_the_limits_of_the_api() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let longest = json!([{"key": "k".repeat(128), "value": "v".repeat(256)}]);
    tag(&plane, "mesh/shop", longest).await.ok();
    for (tags, says) in [
        (json!([{"key": "", "value": "v"}]), "key"),
        (json!([{"key": "k".repeat(129), "value": "v"}]), "key"),
        (json!([{"key": "k", "value": "v".repeat(257)}]), "value"),
        (json!([{"key": "k"}]), "value"),
        (json!([{"value": "v"}]), "key"),
        (json!([{"key": 1, "value": "v"}]), "key"),
        (json!(["k"]), "tags"),
        (json!({}), "tags"),
    ] {
        let message = tag(&plane, "mesh/shop", tags.clone()).await.error("BadRequestException");
        assert!(message.contains("tags") && message.contains(says), "{tags}: {message}");
        let body = json!({"meshName": "other", "tags": tags});
        plane.put("/meshes", body).await.error("BadRequestException");
    }
    plane.put("/meshes", json!({"meshName": "other", "tags": many(51)})).await.error("BadRequestException");
    plane.get("/meshes/other").await.error("NotFoundException");
}

#[tokio::test]
async fn an_incomplete_tag_request_is_refused_with_the_missing_member() {
    let plane = Plane::start().await;
    shop(&plane).await;
    let uri = format!("?resourceArn={}", arn("mesh/shop"));
    for (uri, says) in [
        ("/tag".to_owned(), "resourceArn"),
        ("/untag".to_owned(), "resourceArn"),
        (format!("/tag{uri}"), "tags"),
        (format!("/untag{uri}"), "tagKeys"),
    ] {
        let message = plane.put(&uri, json!({})).await.error("BadRequestException");
        assert_eq!(message, format!("{says}: is required"));
    }
    plane.get("/tags").await.error("BadRequestException");
    untag(&plane, "mesh/shop", json!([1])).await.error("BadRequestException");
    untag(&plane, "mesh/shop", json!("team")).await.error("BadRequestException");
}

#[tokio::test]
async fn an_unknown_arn_is_not_found() {
    let plane = Plane::start().await;
    shop(&plane).await;
    for arn in [
        "arn:aws:appmesh:eu-west-1:123456789012:mesh/none",
        "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/none",
        "arn:aws:appmesh:eu-west-1:210987654321:mesh/shop",
        "arn:aws:appmesh:eu-west-2:123456789012:mesh/shop",
    ] {
        plane.get(&format!("/tags?resourceArn={arn}")).await.error("NotFoundException");
        let body = json!({"tags": [{"key": "k", "value": "v"}]});
        plane.put(&format!("/tag?resourceArn={arn}"), body).await.error("NotFoundException");
        let body = json!({"tagKeys": ["k"]});
        plane.put(&format!("/untag?resourceArn={arn}"), body).await.error("NotFoundException");
    }
    for arn in ["", "shop", "arn:aws:acm:eu-west-1:123456789012:certificate/1"] {
        plane.get(&format!("/tags?resourceArn={arn}")).await.error("BadRequestException");
    }
}
