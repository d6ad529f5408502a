//! The reading of whole meshes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use mesh::name::{MeshName, ResourcePath};
use ports::{MeshReader, Pace, PortErrorKind, TagWriter, reread, survey};
use ports_memory::{Faults, MemoryMesh};
use serde_json::json;

fn shop(faults: Faults) -> (MemoryMesh, MeshName) {
    let meshes = MemoryMesh::new(faults);
    let node = |n: u8| (format!("mesh/shop/virtualNode/n{n}"), json!({}));
    let route = json!({"tcpRoute": {"action": {"weightedTargets": [{"virtualNode": "n0", "weight": 1}]}}});
    let gateway_route = json!({"grpcRoute": {"match": {"serviceName": "s"},
        "action": {"target": {"virtualService": {"virtualServiceName": "s.local"}}}}});
    let others = [
        ("mesh/shop", json!({})),
        ("mesh/shop/virtualRouter/r", json!({})),
        ("mesh/shop/virtualRouter/r/route/all", route),
        ("mesh/shop/virtualService/s.local", json!({})),
        ("mesh/shop/virtualGateway/edge", json!({"listeners": []})),
        ("mesh/shop/virtualGateway/edge/gatewayRoute/root", gateway_route),
    ];
    let others = others.map(|(path, spec)| (path.to_owned(), spec));
    for (path, spec) in (0..20).map(node).chain(others) {
        meshes.put_spec(&path.parse().unwrap(), &spec).unwrap();
    }
    (meshes, "shop".parse().unwrap())
}

#[tokio::test]
async fn everything_is_read_with_its_tags() {
    let (meshes, name) = shop(Faults::default());
    let path: ResourcePath = "mesh/shop/virtualGateway/edge/gatewayRoute/root".parse().unwrap();
    let arn = meshes.describe(&path).await.unwrap().metadata().arn.to_string();
    meshes.tag(&arn, &BTreeMap::from([("team".to_owned(), "edge".to_owned())])).await.unwrap();
    let survey = survey(&meshes, &name, &mut Pace::new(8, 40)).await.unwrap();
    assert!(survey.is_whole());
    assert_eq!(survey.resources.len(), 26);
    assert_eq!(survey.resources[&path].tags.as_ref().unwrap().value("team"), Some("edge"));
    // Four lists of the mesh, one of a router, one of a gateway, and one description each.
    assert_eq!(survey.calls, 4 + 2 + 26);
    let mesh = survey.model(&name).unwrap();
    assert_eq!((mesh.nodes.len(), mesh.routes().count(), mesh.gateways.len()), (20, 1, 1));
}

#[tokio::test]
async fn only_requested_resources_are_read_again() {
    let faults = Faults::default();
    let (meshes, _) = shop(faults.clone());
    let paths: Vec<ResourcePath> =
        ["mesh/shop/virtualNode/n1", "mesh/shop/virtualNode/gone"].iter().map(|path| path.parse().unwrap()).collect();
    let again = reread(&meshes, paths.clone(), &mut Pace::new(8, 8)).await;
    assert!(again.unread.is_empty());
    assert!(again.resources[&paths[0]].is_some() && again.resources[&paths[1]].is_none());
    assert!(faults.calls().iter().all(|call| !call.name.starts_with("list meshes")), "{:?}", faults.calls());
    assert_eq!(again.resources.len(), 2);
}

#[tokio::test]
async fn deleted_mesh_is_an_error() {
    let (meshes, _) = shop(Faults::default());
    let error = survey(&meshes, &"other".parse().unwrap(), &mut Pace::new(8, 8)).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
}
