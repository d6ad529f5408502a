//! Plans over tables of held and desired resources.

use readers::{Surroundings, read};
use serde_json::{Value, json};

use super::*;
use crate::desired::InputOptions;
use crate::held::as_held;

fn desired(resources: &Value) -> Desired {
    let text = json!({"resources": resources}).to_string();
    let reading = read(&text, "mesh.json", &Surroundings::default()).unwrap();
    Desired::from_reading(&reading, &InputOptions::default()).unwrap()
}

/// The resources of an API that executed these creations.
fn held(resources: &Value) -> Held {
    let held = desired(resources).resources.into_iter().map(|(path, resource)| {
        let arn = format!("arn:aws:appmesh:eu-west-1:123456789012:{path}");
        let spec = as_held(&resource.spec);
        let tags = resource.tags.unwrap_or_default();
        (path, HeldResource { spec, tags, version: 3, arn, mesh_owner: "123456789012".parse().unwrap() })
    });
    held.collect()
}

/// A mesh with a node, a router with a route to the node, and a service.
fn shop() -> Value {
    json!([
        {"meshName": "shop", "virtualRouterName": "r", "routeName": "all", "spec": {"httpRoute": {
            "match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNode": "a", "weight": 1}]}}}},
        {"meshName": "shop", "virtualServiceName": "a.local", "spec": {"provider": {"virtualRouter": {"virtualRouterName": "r"}}}},
        {"meshName": "shop", "virtualNodeName": "a", "spec": node(&[8080]), "tags": [{"key": "team", "value": "web"}]},
        {"meshName": "shop", "virtualRouterName": "r", "spec": {"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]}},
        {"meshName": "shop", "spec": {}},
    ])
}

fn node(ports: &[u16]) -> Value {
    let listener = |port: &u16| {
        json!({"portMapping": {"port": port, "protocol": "http"}, "healthCheck": {
            "protocol": "http", "path": "/", "healthyThreshold": 2, "unhealthyThreshold": 2, "intervalMillis": 5000,
            "timeoutMillis": 2000}})
    };
    let listeners: Vec<Value> = ports.iter().map(listener).collect();
    json!({"listeners": listeners, "serviceDiscovery": {"dns": {"hostname": "a.internal"}}})
}

fn text(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.verb(), step.path())).collect()
}

#[test]
fn creations_follow_the_order_of_dependencies() {
    let plan = plan(&desired(&shop()), &Held::new(), PlanOptions::default()).unwrap();
    let expected = [
        "create mesh/shop",
        "create mesh/shop/virtualNode/a",
        "create mesh/shop/virtualRouter/r",
        "create mesh/shop/virtualService/a.local",
        "create mesh/shop/virtualRouter/r/route/all",
    ];
    assert_eq!(text(&plan), expected);
    let tokens: BTreeSet<String> = plan.steps.iter().map(Step::client_token).collect();
    assert_eq!(tokens.len(), 5);
    assert!(tokens.iter().all(|token| token.len() <= 36), "{tokens:?}");
}

#[test]
fn second_import_of_the_same_files_is_empty() {
    let plan = plan(&desired(&shop()), &held(&shop()), PlanOptions { prune: true, create_meshes: true }).unwrap();
    assert_eq!((text(&plan), plan.unchanged.len(), plan.kept.len()), (vec![], 5, 0));
}

#[test]
fn changed_members_and_tags_are_updates_with_their_version() {
    let mut changed = shop();
    changed[0]["spec"]["httpRoute"]["action"]["weightedTargets"][0]["weight"] = json!(50);
    changed[2]["tags"] = json!([{"key": "owner", "value": "edge"}]);
    let (desired, held) = (desired(&changed), held(&shop()));
    let kept = plan(&desired, &held, PlanOptions::default()).unwrap();
    assert_eq!(text(&kept), ["tag mesh/shop/virtualNode/a", "update mesh/shop/virtualRouter/r/route/all"]);
    let Step::Update { if_version, changes, .. } = &kept.steps[1] else { panic!("{kept:?}") };
    assert_eq!((*if_version, changes[0].path.as_str()), (3, "spec.httpRoute.action.weightedTargets[0].weight"));
    let Step::Tag { set, remove, .. } = &kept.steps[0] else { panic!("{kept:?}") };
    assert_eq!((set.len(), remove.len()), (1, 0), "a tag that is not in the file stays");
    let pruned = plan(&desired, &held, PlanOptions { prune: true, ..PlanOptions::default() }).unwrap();
    let Step::Tag { remove, .. } = &pruned.steps[0] else { panic!("{pruned:?}") };
    assert_eq!(remove, &["team"]);
}

#[test]
fn tags_of_the_functions_survive_pruning() {
    let mut with_restore_tag = shop();
    with_restore_tag[2]["tags"] = json!([{"key": "team", "value": "web"}, {"key": "meshwarden:restore", "value": "x"}]);
    let options = PlanOptions { prune: true, ..PlanOptions::default() };
    assert!(plan(&desired(&shop()), &held(&with_restore_tag), options).unwrap().is_empty());
}

#[test]
fn deletions_require_prune_and_use_the_reverse_order() {
    let mesh_only = json!([{"meshName": "shop", "spec": {}}]);
    let (desired, held) = (desired(&mesh_only), held(&shop()));
    let kept = plan(&desired, &held, PlanOptions::default()).unwrap();
    assert_eq!((text(&kept), kept.kept.len()), (vec![], 4));
    let pruned = plan(&desired, &held, PlanOptions { prune: true, ..PlanOptions::default() }).unwrap();
    let expected = [
        "delete mesh/shop/virtualRouter/r/route/all",
        "delete mesh/shop/virtualService/a.local",
        "delete mesh/shop/virtualRouter/r",
        "delete mesh/shop/virtualNode/a",
    ];
    assert_eq!(text(&pruned), expected);
}

#[test]
fn update_that_breaks_a_route_follows_the_update_of_the_route() {
    // A second listener is refused while the route names no port.
    let mut changed = shop();
    changed[2]["spec"] = node(&[8080, 9090]);
    changed[0]["spec"]["httpRoute"]["action"]["weightedTargets"][0]["port"] = json!(8080);
    let plan = plan(&desired(&changed), &held(&shop()), PlanOptions::default()).unwrap();
    let expected = ["update mesh/shop/virtualRouter/r/route/all", "update mesh/shop/virtualNode/a"];
    assert_eq!(text(&plan), expected);
}

#[test]
fn pruned_resource_that_a_kept_one_uses_is_deleted_after_the_update() {
    let mut changed = shop();
    changed[1]["spec"] = json!({"provider": {"virtualNode": {"virtualNodeName": "a"}}});
    let changed: Vec<Value> = changed.as_array().unwrap()[1..3].iter().cloned().chain([changed[4].clone()]).collect();
    let options = PlanOptions { prune: true, ..PlanOptions::default() };
    let plan = plan(&desired(&json!(changed)), &held(&shop()), options).unwrap();
    let expected = [
        "update mesh/shop/virtualService/a.local",
        "delete mesh/shop/virtualRouter/r/route/all",
        "delete mesh/shop/virtualRouter/r",
    ];
    assert_eq!(text(&plan), expected);
}

#[test]
fn missing_targets_and_meshes_are_refused_with_file_and_line() {
    let route = shop()[0].clone();
    let mesh = json!({"meshName": "shop", "spec": {}});
    let refused = plan(&desired(&json!([route, mesh])), &Held::new(), PlanOptions::default()).unwrap_err();
    let shown = refused[0].to_string();
    assert!(shown.starts_with("mesh.json:1: route all: mesh/shop/virtualRouter/r/route/all: "), "{shown}");
    assert!(shown.contains("mesh/shop/virtualNode/a does not exist and is not in the files"), "{shown}");
    let node = shop()[2].clone();
    let desired = desired(&json!([node]));
    let refused = plan(&desired, &Held::new(), PlanOptions::default()).unwrap_err();
    assert!(refused[0].to_string().contains("--create-meshes"), "{refused:?}");
    let created = plan(&desired, &Held::new(), PlanOptions { create_meshes: true, prune: false }).unwrap();
    assert_eq!(text(&created), ["create mesh/shop", "create mesh/shop/virtualNode/a"]);
}
