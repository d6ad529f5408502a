//! The requests to the App Mesh API, and the parsing of its responses.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::canned::{CannedResponse, CannedServer};
use mesh::name::{ResourceKind, ResourcePath, RouteId};
use mesh::resource::{Resource, RouteData};
use ports::{
    Deadline, MeshReader, MeshWrite, MeshWriter, PortErrorKind, RouteWrite, RouteWriter, TagWriter, VirtualNodeWrite,
    Written,
};
use serde_json::{Value, json};

fn route_id() -> RouteId {
    "shop/recommendations/all".parse().unwrap()
}

/// A route with members at every level that no version of the model knows.
fn route(version: u64) -> Value {
    json!({
        "meshName": "shop", "virtualRouterName": "recommendations", "routeName": "all",
        "metadata": {
            "arn": "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualRouter/recommendations/route/all",
            "createdAt": 1_700_000_000, "lastUpdatedAt": 1_700_000_000.5, "meshOwner": "123456789012",
            "resourceOwner": "123456789012", "uid": "u-1", "version": version, "tier": "gold",
        },
        "spec": {
            "priority": 3,
            "httpRoute": {
                "match": { "prefix": "/", "headers": [{ "name": "X-Beta", "invert": false, "future": 1 }], "cookie": "a" },
                "action": { "weightedTargets": [
                    { "virtualNode": "recommendations-v1", "weight": 60, "zone": "a" },
                    { "virtualNode": "recommendations-v2", "weight": 40 },
                ], "mirror": { "virtualNode": "shadow" } },
                "retryPolicy": { "maxRetries": 0, "perRetryTimeout": { "unit": "ms", "value": 250_000 }, "budget": 0.2 },
                "timeout": { "idle": { "unit": "s", "value": 0 } },
            },
            "circuit": { "open": true },
        },
        "status": { "status": "ACTIVE" },
    })
}

async fn described(body: &Value) -> RouteData {
    let server = CannedServer::start([CannedResponse::ok(body)]).await;
    let path = ResourcePath::Route(route_id());
    match server.aws().await.mesh().describe(&path).await.unwrap() {
        Resource::Route(data) => data,
        other => panic!("{other:?}"),
    }
}

fn write(data: RouteData) -> RouteWrite {
    RouteWrite { route: route_id(), mesh_owner: None, spec: data.spec, if_version: 7, client_token: "t-1".into() }
}

async fn updated(answers: Vec<CannedResponse>) -> (CannedServer, Result<Written, ports::PortError>) {
    let server = CannedServer::start(answers).await;
    let written = server.aws().await.mesh().update_route(&write(described(&route(7)).await)).await;
    (server, written)
}

#[tokio::test]
async fn spec_survives_describe_and_update_with_every_member() {
    let (server, written) = updated(vec![CannedResponse::ok(route(8))]).await;
    assert_eq!(written.unwrap(), Written::Applied { version: 8 });
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, "PUT");
    assert_eq!(requests[0].uri.path(), "/v20190125/meshes/shop/virtualRouter/recommendations/routes/all");
    assert_eq!(requests[0].json(), json!({ "clientToken": "t-1", "spec": route(7)["spec"] }));
    assert_eq!(requests[0].header("x-meshwarden-if-version"), Some("7"));
    assert_eq!(requests[0].header("content-length"), Some(requests[0].body.len().to_string().as_str()));
    assert!(requests[0].header("authorization").unwrap().starts_with("AWS4-HMAC-SHA256"));
}

#[tokio::test]
async fn caller_of_the_version_is_read_from_the_header_and_never_sent() {
    let role = "arn:aws:iam::123456789012:role/terraform";
    let header = "x-meshwarden-written-by";
    let server =
        CannedServer::start([CannedResponse::ok(route(7)).with(header, role), CannedResponse::ok(route(8))]).await;
    let path = ResourcePath::Route(route_id());
    let Resource::Route(data) = server.aws().await.mesh().describe(&path).await.unwrap() else { panic!("no route") };
    assert_eq!(data.metadata.written_by(), Some(role));
    server.aws().await.mesh().update_route(&write(data)).await.unwrap();
    assert!(!String::from_utf8_lossy(&server.requests()[1].body).contains("terraform"));
    assert_eq!(described(&route(7)).await.metadata.written_by(), None, "a server that does not name the caller");
}

#[tokio::test]
async fn lost_update_is_overwritten_and_conflict_is_superseded() {
    let (_, written) = updated(vec![CannedResponse::ok(route(9))]).await;
    assert_eq!(written.unwrap(), Written::Overwrote { version: 9 });
    let conflict = CannedResponse::error(409, "ConflictException", json!({ "message": "version 8" }));
    let (_, written) = updated(vec![conflict]).await;
    assert_eq!(written.unwrap(), Written::Superseded);
}

#[tokio::test]
async fn sdk_retry_sends_the_same_token_version_and_spec() {
    let unavailable = CannedResponse::error(503, "ServiceUnavailableException", json!({ "message": "later" }));
    let (server, written) = updated(vec![unavailable, CannedResponse::ok(route(8))]).await;
    assert_eq!(written.unwrap(), Written::Applied { version: 8 });
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[1].header("x-meshwarden-if-version"), Some("7"));
}

#[tokio::test]
async fn failures_are_classified_and_name_the_request() {
    for (answer, tries, kind) in [
        (CannedResponse::error(404, "NotFoundException", json!({ "message": "no route" })), 1, PortErrorKind::NotFound),
        (CannedResponse::error(403, "ForbiddenException", json!({ "message": "no" })), 1, PortErrorKind::Denied),
        (
            CannedResponse::error(429, "TooManyRequestsException", json!({ "message": "slow" })),
            3,
            PortErrorKind::Throttled,
        ),
        (
            CannedResponse::error(500, "InternalServerErrorException", json!({ "message": "oh" })),
            3,
            PortErrorKind::Unavailable,
        ),
        (CannedResponse::error(400, "BadRequestException", json!({ "message": "bad" })), 1, PortErrorKind::Other),
    ] {
        let (server, written) = updated(vec![answer.clone(); 3]).await;
        let error = written.unwrap_err();
        assert_eq!(error.kind, kind, "{answer:?}");
        assert_eq!(server.requests().len(), tries, "{answer:?}");
        let text = error.to_string();
        assert!(text.starts_with("failed to update route shop/recommendations/all: "), "{text}");
        assert!(text.contains(", request req-7"), "{text}");
        assert!(error.source.is_some());
    }
}

#[tokio::test]
async fn missing_server_is_unavailable_and_unresponsive_server_times_out() {
    let gone = CannedServer::start([]).await;
    let mesh = gone.aws().await.mesh();
    drop(gone);
    let error = mesh.meshes().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unavailable, "{error}");

    // A listener that accepts no connection: connections are established, but responses never come.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let config = aws_sdk_appmesh::Config::builder()
        .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
        .endpoint_url(format!("http://{}", silent.local_addr().unwrap()))
        .region(aws_config::Region::new("eu-west-1"))
        .credentials_provider(aws_sdk_appmesh::config::Credentials::new("AKID", "secret", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let mesh = aws::AppMesh::new(aws_sdk_appmesh::Client::from_conf(config));
    let error = Deadline::after(Duration::from_millis(200)).cover(mesh.meshes()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::TimedOut, "{error}");
}

#[tokio::test]
async fn every_page_is_read_and_shared_mesh_is_requested_with_its_owner() {
    let reference = |name: &str, owner: &str| {
        json!({ "arn": format!("arn:aws:appmesh:eu-west-1:{owner}:mesh/{name}"), "createdAt": 1, "lastUpdatedAt": 1,
            "meshName": name, "meshOwner": owner, "resourceOwner": owner, "version": 2 })
    };
    let node = |name: &str| {
        let mut node = reference("shared", "210987654321");
        node["virtualNodeName"] = json!(name);
        node
    };
    let server = CannedServer::start([
        CannedResponse::ok(json!({ "meshes": [reference("shop", "123456789012")], "nextToken": "more" })),
        CannedResponse::ok(json!({ "meshes": [reference("shared", "210987654321")] })),
        CannedResponse::ok(json!({ "virtualNodes": [node("a")], "nextToken": "n+2/=" })),
        CannedResponse::ok(json!({ "virtualNodes": [node("b"), node("c")] })),
    ])
    .await;
    let mesh = server.aws().await.mesh();
    let meshes = mesh.meshes().await.unwrap();
    let names: Vec<_> = meshes.iter().map(|mesh| (mesh.path.name(), mesh.version)).collect();
    assert_eq!(names, [("shop", 2), ("shared", 2)]);

    let nodes = mesh.list(&"mesh/shared".parse().unwrap(), ResourceKind::VirtualNode).await.unwrap();
    let paths: Vec<_> = nodes.iter().map(|node| node.path.to_string()).collect();
    assert_eq!(paths, ["a", "b", "c"].map(|name| format!("mesh/shared/virtualNode/{name}")));
    let queries: Vec<_> =
        server.requests().iter().map(|request| request.uri.query().unwrap_or_default().to_owned()).collect();
    assert_eq!(queries[1], "nextToken=more");
    assert!(queries[2].contains("meshOwner=210987654321"), "{queries:?}");
    assert!(queries[3].contains("nextToken=n%2B2%2F%3D"), "{queries:?}");
}

#[tokio::test]
async fn names_are_percent_encoded_by_the_sdk() {
    let server = CannedServer::start([]).await;
    let path = ResourcePath::parse("mesh/shop/virtualService/a b/c.local").unwrap();
    server.aws().await.mesh().describe(&path).await.unwrap_err();
    assert_eq!(server.requests()[0].uri.path(), "/v20190125/meshes/shop/virtualServices/a%20b%2Fc.local");
}

#[tokio::test]
async fn invalid_response_is_an_error_that_names_the_member() {
    let mut body = route(7);
    body["spec"]["httpRoute"]["action"]["weightedTargets"][0]["weight"] = json!(700);
    let server = CannedServer::start([CannedResponse::ok(body)]).await;
    let error = server.aws().await.mesh().describe(&ResourcePath::Route(route_id())).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Other);
    assert!(error.message.contains("spec.httpRoute.action.weightedTargets[0].weight"), "{error}");
}

#[tokio::test]
async fn tags_are_read_written_and_removed() {
    let arn = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualRouter/recommendations/route/all";
    let server = CannedServer::start([
        CannedResponse::ok(json!({ "tags": [{ "key": "a", "value": "1" }], "nextToken": "t" })),
        CannedResponse::ok(json!({ "tags": [{ "key": "b", "value": "" }] })),
        CannedResponse::ok(json!({})),
        CannedResponse::ok(json!({})),
    ])
    .await;
    let mesh = server.aws().await.mesh();
    let tags = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
    assert_eq!(mesh.tags(arn).await.unwrap(), tags);
    mesh.tag(arn, &tags).await.unwrap();
    mesh.untag(arn, &["a".to_owned()]).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[2].json()["tags"], json!([{ "key": "a", "value": "1" }, { "key": "b", "value": "" }]));
    assert_eq!(requests[3].json()["tagKeys"], json!(["a"]));
}

#[tokio::test]
async fn mesh_and_node_updates_send_every_member_and_the_read_version() {
    let answer = |names: Value, version: u64| {
        let mut body = names;
        body["metadata"] = json!({ "arn": "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop", "createdAt": 1, "lastUpdatedAt": 1,
            "meshOwner": "123456789012", "resourceOwner": "123456789012", "uid": "u-1", "version": version });
        body["spec"] = json!({});
        body["status"] = json!({ "status": "ACTIVE" });
        CannedResponse::ok(body)
    };
    let conflict = CannedResponse::error(409, "ConflictException", json!({ "message": "version 8" }));
    let server = CannedServer::start([
        answer(json!({ "meshName": "shop" }), 8),
        conflict.clone(),
        answer(json!({ "meshName": "shop", "virtualNodeName": "cart" }), 9),
        conflict,
    ])
    .await;
    let mesh = server.aws().await.mesh();
    let open = json!({ "egressFilter": { "type": "DROP_ALL", "log": true }, "future": 1 });
    let write = MeshWrite {
        mesh: "shop".parse().unwrap(),
        spec: serde_json::from_value(open.clone()).unwrap(),
        if_version: 7,
        client_token: "t-1".into(),
    };
    assert_eq!(mesh.update_mesh(&write).await.unwrap(), Written::Applied { version: 8 });
    assert_eq!(mesh.update_mesh(&write).await.unwrap(), Written::Superseded);
    let backends =
        json!({ "backends": [{ "virtualService": { "virtualServiceName": "pay.local", "tier": 1 } }], "mirror": {} });
    let write = VirtualNodeWrite {
        mesh: "shop".parse().unwrap(),
        virtual_node: "cart".parse().unwrap(),
        mesh_owner: Some("210987654321".parse().unwrap()),
        spec: serde_json::from_value(backends.clone()).unwrap(),
        if_version: 7,
        client_token: "t-2".into(),
    };
    assert_eq!(mesh.update_virtual_node(&write).await.unwrap(), Written::Overwrote { version: 9 });
    assert_eq!(mesh.update_virtual_node(&write).await.unwrap(), Written::Superseded);
    let requests = server.requests();
    for (request, path, token, spec) in [
        (&requests[0], "/v20190125/meshes/shop", "t-1", open),
        (&requests[2], "/v20190125/meshes/shop/virtualNodes/cart", "t-2", backends),
    ] {
        assert_eq!((request.method.as_str(), request.uri.path()), ("PUT", path));
        assert_eq!(request.json(), json!({ "clientToken": token, "spec": spec }));
        assert_eq!(request.header("x-meshwarden-if-version"), Some("7"));
    }
    assert_eq!(requests[2].uri.query(), Some("meshOwner=210987654321"));
}
