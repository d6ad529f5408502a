//! Objects that change, and servers with faults.

use ports::PortErrorKind;
use serde_json::json;

use crate::app_mesh::Plane;
use crate::cluster::{Process, apply, condition, delete, is_active, node, router, shop, until, until_active};
use crate::server::{Faults, Server};

async fn labelled() -> (Server, Plane) {
    let (server, plane) = (Server::start().await, Plane::start().await);
    server.label_namespace("shop", &json!({"mesh": "shop"}));
    (server, plane)
}

#[tokio::test]
async fn objects_are_created_changed_and_deleted() {
    let (server, plane) = labelled().await;
    let process = Process::start(&server, &plane).await;
    apply(&server, &shop());
    until_active(&server, &plane, &shop()).await;
    let router_object = server.object("virtualrouters", "shop", "orders").unwrap();
    let arn = router_object["status"]["routeARNs"]["all"].as_str().unwrap();
    assert!(arn.ends_with("mesh/shop/virtualRouter/orders_shop/route/all"), "{arn}");
    server.apply("virtualnodes", "VirtualNode", "shop", "a", &node("other"));
    until("the changed node", &server, async || {
        let state = plane.state().await;
        state["mesh/shop/virtualNode/a_shop"].0.to_string().contains("other.shop")
    })
    .await;
    // A mesh is not deleted before its members.
    server.delete("meshes", "", "shop");
    until("the reason of the mesh", &server, async || {
        server.object("meshes", "", "shop").is_some_and(|mesh| condition(&mesh) == ("False", "InUse"))
    })
    .await;
    delete(&server, &shop());
    until("no object", &server, async || server.objects().is_empty()).await;
    assert!(plane.paths().await.is_empty());
    process.kill().await;
}

#[tokio::test]
async fn namespace_without_its_label_stops_writes_and_deletes_nothing() {
    let (server, plane) = labelled().await;
    let process = Process::start(&server, &plane).await;
    apply(&server, &shop());
    until_active(&server, &plane, &shop()).await;
    server.label_namespace("shop", &json!({}));
    until("the reason of the node", &server, async || {
        condition(&server.object("virtualnodes", "shop", "a").unwrap()) == ("False", "MeshNotSelected")
    })
    .await;
    assert_eq!(plane.paths().await.len(), 8);
    server.label_namespace("shop", &json!({"mesh": "shop"}));
    until_active(&server, &plane, &shop()).await;
    process.kill().await;
}

#[tokio::test]
async fn moved_weights_stay_until_the_object_declares_others() {
    let (server, plane) = labelled().await;
    let process = Process::start(&server, &plane).await;
    apply(&server, &shop());
    until_active(&server, &plane, &shop()).await;
    let path: mesh::name::ResourcePath = "mesh/shop/virtualRouter/orders_shop/route/all".to_owned().try_into().unwrap();
    let api = &plane.api.inner;
    let found = ports::MeshReader::describe(api, &path).await.unwrap();
    let version = found.metadata().version.get().unsigned_abs();
    let mut spec = found.into_spec().to_json();
    spec["httpRoute"]["action"]["weightedTargets"][0]["weight"] = json!(0);
    let write = ports::ResourceUpdate {
        path: path.clone(),
        spec: mesh::spec::Spec::read(mesh::name::ResourceKind::Route, &spec).unwrap(),
        if_version: version,
        client_token: "failover".to_owned(),
    };
    ports::ResourceWriter::update_resource(api, &write).await.unwrap();
    let weights = async || {
        let spec = ports::MeshReader::describe(api, &path).await.unwrap().into_spec().to_json();
        let targets = spec["httpRoute"]["action"]["weightedTargets"].as_array().unwrap().clone();
        targets.iter().map(|target| target["weight"].as_u64().unwrap()).collect::<Vec<u64>>()
    };
    // Another object changes, so that several passes run.
    server.apply("virtualnodes", "VirtualNode", "shop", "b", &node("c"));
    until("the changed node", &server, async || is_active(&server, &shop())).await;
    assert_eq!(weights().await, [0, 10]);
    server.apply("virtualrouters", "VirtualRouter", "shop", "orders", &router(50, 50));
    until("the declared weights", &server, async || weights().await == [50, 50]).await;
    process.kill().await;
}

#[tokio::test]
async fn broken_and_slow_watches_small_pages_and_expired_versions_lose_no_change() {
    let (server, plane) = labelled().await;
    server.set_faults(Faults { break_watch_after: Some(2), piece: Some(7), page: Some(1), ..Faults::default() });
    let process = Process::start(&server, &plane).await;
    apply(&server, &shop());
    until_active(&server, &plane, &shop()).await;
    server.compact();
    server.apply("virtualnodes", "VirtualNode", "shop", "a", &node("other"));
    until("the change after the compaction", &server, async || {
        plane.state().await["mesh/shop/virtualNode/a_shop"].0.to_string().contains("other.shop")
    })
    .await;
    // A deletion during a broken watch is seen by the next list.
    server.compact();
    server.delete("gatewayroutes", "shop", "orders");
    until("the deletion", &server, async || plane.paths().await.len() == 7).await;
    process.kill().await;
}

#[tokio::test]
async fn errors_of_both_servers_delay_and_do_not_end_the_reconciliation() {
    let (server, plane) = labelled().await;
    server.set_faults(Faults { next: [500, 409, 429, 403, 500, 410, 503].repeat(2), ..Faults::default() });
    let writes = vec![PortErrorKind::Throttled, PortErrorKind::TimedOut, PortErrorKind::Conflict];
    plane.api.set_faults(vec![PortErrorKind::Unavailable], writes);
    let process = Process::start(&server, &plane).await;
    apply(&server, &shop());
    until_active(&server, &plane, &shop()).await;
    assert_eq!(plane.api.faults_left(), 0);
    process.kill().await;
}

#[tokio::test]
async fn object_without_its_finalizer_leaves_an_orphan() {
    let (server, plane) = labelled().await;
    let process = Process::start(&server, &plane).await;
    apply(&server, &shop());
    until_active(&server, &plane, &shop()).await;
    server.remove("gatewayroutes", "shop", "orders");
    // Another change proves that a pass ran after the event.
    server.apply("virtualnodes", "VirtualNode", "shop", "a", &node("other"));
    until("the changed node", &server, async || {
        plane.state().await["mesh/shop/virtualNode/a_shop"].0.to_string().contains("other.shop")
    })
    .await;
    assert_eq!(plane.paths().await.len(), 8);
    // The same object again has its resource again.
    apply(&server, &shop());
    until("active objects", &server, async || is_active(&server, &shop())).await;
    process.kill().await;
}

#[tokio::test]
async fn one_process_of_a_lease_writes_and_another_takes_over() {
    let (server, plane) = labelled().await;
    let first = Process::with_lease(&server, &plane, Some("first")).await;
    apply(&server, &shop());
    until_active(&server, &plane, &shop()).await;
    let holder = || server.object("leases", "meshwarden", "kubernetes").unwrap()["spec"]["holderIdentity"].clone();
    assert_eq!(holder(), "first");
    let second = Process::with_lease(&server, &plane, Some("second")).await;
    first.kill().await;
    server.apply("virtualnodes", "VirtualNode", "shop", "a", &node("other"));
    until("the change by the second process", &server, async || {
        plane.state().await["mesh/shop/virtualNode/a_shop"].0.to_string().contains("other.shop")
    })
    .await;
    assert_eq!(holder(), "second");
    second.kill().await;
}
