//! Imports next to another writer, and imports that are refused because of the state.

use mesh::resource::Tags;
use ports::{MeshReader as _, ResourceCreation, ResourceUpdate, ResourceWriter as _};
use serde_json::json;

use super::super::execute::{StepOutcome, execute};
use super::*;

const NODE: &str = r#"{"resources": [{"meshName": "shop", "spec": {}},
  {"meshName": "shop", "virtualNodeName": "a", "spec": {"serviceDiscovery": {"dns": {"hostname": "a.internal"}}}}]}"#;

fn node(hostname: &str) -> Spec {
    let spec = json!({"serviceDiscovery": {"dns": {"hostname": hostname}}});
    Spec::read(mesh::name::ResourceKind::VirtualNode, &spec).unwrap()
}

#[tokio::test]
async fn resource_of_another_writer_is_accepted_if_equal_and_stops_the_import_if_not() {
    for (hostname, is_equal) in [("a.internal", true), ("b.internal", false)] {
        let plane = ControlPlane::start().await;
        let api = api_of(&plane).await;
        let folder = Folder::new();
        let desired = read(&[&folder.file("mesh.json", NODE)], &[]).unwrap();
        let plan = imports::plan(&desired, &Held::new(), imports::PlanOptions::default()).unwrap();
        plane.put("/v20190125/meshes", &json!({"meshName": "shop"})).await;
        let path: ResourcePath = "mesh/shop/virtualNode/a".parse().unwrap();
        let other = ResourceCreation {
            path: path.clone(),
            spec: node(hostname),
            tags: BTreeMap::new(),
            client_token: "other".to_owned(),
        };
        api.create_resource(&other).await.unwrap();
        let execution = execute(&api, &plan, &|_| {}).await;
        if is_equal {
            assert_eq!(execution.done, [StepOutcome::AlreadyInPlace; 2], "{execution:?}");
        } else {
            let expected = "failed to create mesh/shop/virtualNode/a: another writer changed it after it was read";
            assert_eq!(execution.failure.as_deref(), Some(expected));
        }
    }
}

#[tokio::test]
async fn change_after_the_plan_is_never_overwritten() {
    let plane = ControlPlane::start().await;
    let api = api_of(&plane).await;
    let folder = Folder::new();
    let desired = read(&[&folder.file("mesh.json", NODE)], &[]).unwrap();
    import(&api, &desired, &[]).await.unwrap();
    let path: ResourcePath = "mesh/shop/virtualNode/a".parse().unwrap();
    let changed = NODE.replace("a.internal", "c.internal");
    let changed = read(&[&folder.file("changed.json", &changed)], &[]).unwrap();
    let plan = imports::plan(&changed, &all_held(&api).await, imports::PlanOptions::default()).unwrap();
    let other = ResourceUpdate {
        path: path.clone(),
        spec: node("b.internal"),
        if_version: 1,
        client_token: "other".to_owned(),
    };
    api.update_resource(&other).await.unwrap();
    let execution = execute(&api, &plan, &|_| {}).await;
    assert!(execution.failure.is_some_and(|failure| failure.contains("another writer changed it")));
    assert_eq!(api.describe(&path).await.unwrap().into_spec(), node("b.internal"));
}

#[tokio::test]
async fn deletions_and_cut_calls_need_their_flags() {
    let before = fixtures().join("shop/api.json");
    let before = read(&[&before], &[]).unwrap();
    let plane = ControlPlane::start().await;
    let api = api_of(&plane).await;
    import(&api, &before, &[]).await.unwrap();
    let full = state(&api).await;
    let mut without_gateway_route = before.clone();
    without_gateway_route.resources.retain(|path, _| !matches!(path, ResourcePath::GatewayRoute(..)));
    let refused = import(&api, &without_gateway_route, &["--prune", "--allow-cuts"]).await.unwrap();
    assert!(refused.refusal.is_some_and(|reason| reason.contains("pass --yes")));
    assert_eq!(state(&api).await, full);
    // A route without any weight cuts the calls that it serves now.
    let mut drained = before.clone();
    let route = drained.resources.keys().find(|path| matches!(path, ResourcePath::Route(_))).unwrap().clone();
    let mut spec = drained.resources[&route].spec.to_json();
    for target in spec["httpRoute"]["action"]["weightedTargets"].as_array_mut().unwrap() {
        target["weight"] = json!(0);
    }
    drained.resources.get_mut(&route).unwrap().spec = Spec::read(route.kind(), &spec).unwrap();
    let refused = import(&api, &drained, &[]).await.unwrap();
    assert!(refused.execution.is_none() && refused.effects.cuts.iter().any(|cut| cut.rule == "route-drained"));
    let table = refused.table();
    assert!(table.contains("nothing was written: calls that work now would fail"), "{table}");
    assert_eq!(state(&api).await, full);
    let allowed = import(&api, &drained, &["--allow-cuts"]).await.unwrap();
    assert_eq!(allowed.execution.unwrap().failure, None);
    assert_eq!(state(&api).await, declared(&drained));
}

#[tokio::test]
async fn tags_are_written_and_pruned() {
    let plane = ControlPlane::start().await;
    let api = api_of(&plane).await;
    let folder = Folder::new();
    let with = |tags: &str| {
        NODE.replace(
            r#""meshName": "shop", "spec": {}"#,
            &format!(r#""meshName": "shop", "spec": {{}}, "tags": {tags}"#),
        )
    };
    let first =
        read(&[&folder.file("1.json", &with(r#"[{"key": "a", "value": "1"}, {"key": "b", "value": "1"}]"#))], &[]);
    import(&api, &first.unwrap(), &[]).await.unwrap();
    let second = read(&[&folder.file("2.json", &with(r#"[{"key": "a", "value": "2"}]"#))], &[]).unwrap();
    import(&api, &second, &[]).await.unwrap();
    let mesh: ResourcePath = "mesh/shop".parse().unwrap();
    let tags = |pairs: &[(&str, &str)]| {
        Tags::read(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))).unwrap()
    };
    assert_eq!(state(&api).await[&mesh].1, tags(&[("a", "2"), ("b", "1")]));
    import(&api, &second, &["--prune"]).await.unwrap();
    assert_eq!(state(&api).await[&mesh].1, tags(&[("a", "2")]));
}
