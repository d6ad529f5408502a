//! Objects, and the writes that they lead to.

use serde_json::json;

use super::*;
use crate::fixture::{
    apply, arn, cluster_name, condition, json_object, key, mesh_spec, node_spec, object, pass, plan_of, router_spec,
    settle, shop,
};
use crate::object::{Object, ObjectKind, RESOURCES_FINALIZER};

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).unwrap()
}

fn written(plan: &Reconciliation) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.step.verb(), step.step.path())).collect()
}

fn delete(cluster: &mut ClusterObjects, kind: ObjectKind, name: &str) {
    let key = key(kind, name);
    cluster.objects.get_mut(&key).unwrap().is_deleted = true;
}

#[test]
fn objects_become_resources_with_their_names_conditions_and_arns() {
    let (mut cluster, mut held) = (shop(), Held::new());
    let plan = pass(&mut cluster, &mut held);
    assert_eq!(
        written(&plan),
        [
            "create mesh/shop",
            "create mesh/shop/virtualNode/a_shop",
            "create mesh/shop/virtualNode/b_shop",
            "create mesh/shop/virtualRouter/orders_shop",
            "create mesh/shop/virtualService/orders.local",
            "create mesh/shop/virtualRouter/orders_shop/route/all",
            "create mesh/shop/virtualGateway/edge_shop",
            "create mesh/shop/virtualGateway/edge_shop/gatewayRoute/orders_shop",
        ]
    );
    assert_eq!(plan.finalizers.len(), 7, "{:?}", plan.finalizers);
    for object in cluster.objects.values() {
        assert_eq!(condition(object).0, "True", "{}: {:?}", object.key, object.status);
        assert_eq!(object.status["observedGeneration"], 1);
        assert_eq!(object.status["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
    }
    let router = &cluster.objects[&key(ObjectKind::VirtualRouter, "orders")].status;
    assert_eq!(router["virtualRouterARN"], arn(&path("mesh/shop/virtualRouter/orders_shop")));
    assert_eq!(router["routeARNs"]["all"], arn(&path("mesh/shop/virtualRouter/orders_shop/route/all")));
    let node = &held[&path("mesh/shop/virtualNode/a_shop")];
    assert_eq!(node.tags.value(OWNER_TAG), Some("blue/VirtualNode/shop/a"));
    let before = cluster.clone();
    let again = pass(&mut cluster, &mut held);
    assert_eq!((written(&again), again.finalizers.len()), (Vec::new(), 0));
    assert_eq!(cluster, before, "a second pass writes no status");
}

/// A change of a cluster.
type Edit = fn(&mut ClusterObjects);

#[expect(clippy::too_many_lines, reason = "one table of problems")]
#[test]
fn object_with_a_problem_writes_nothing_and_reports_the_reason() {
    let table: [(&str, Edit, ObjectKind, &str, ProblemCode, &str); 12] = [
        (
            "namespace without labels",
            |cluster| drop(cluster.namespaces.insert("shop".to_owned(), json!({}))),
            ObjectKind::VirtualNode,
            "a",
            ProblemCode::MeshNotSelected,
            "label the namespace",
        ),
        (
            "unknown namespace",
            |cluster| drop(cluster.namespaces.remove("shop")),
            ObjectKind::VirtualNode,
            "a",
            ProblemCode::MeshNotSelected,
            "no mesh selects the namespace `shop`",
        ),
        (
            "two meshes",
            |cluster| cluster.insert(object(ObjectKind::Mesh, "other", &mesh_spec())),
            ObjectKind::VirtualNode,
            "a",
            ProblemCode::MeshAmbiguous,
            "other, shop",
        ),
        (
            "no mesh",
            |cluster| drop(cluster.objects.remove(&key(ObjectKind::Mesh, "shop"))),
            ObjectKind::VirtualNode,
            "a",
            ProblemCode::MeshNotSelected,
            "create a Mesh",
        ),
        (
            "deleted mesh",
            |cluster| delete(cluster, ObjectKind::Mesh, "shop"),
            ObjectKind::VirtualNode,
            "a",
            ProblemCode::MeshNotSelected,
            "create a Mesh",
        ),
        (
            "mesh of the reference is missing",
            |cluster| {
                cluster.objects.get_mut(&key(ObjectKind::VirtualNode, "a")).unwrap().spec["meshRef"] =
                    json!({"name": "gone"});
            },
            ObjectKind::VirtualNode,
            "a",
            ProblemCode::MeshNotFound,
            "spec.meshRef: the Mesh `gone`",
        ),
        (
            "mesh of the reference was replaced",
            |cluster| {
                cluster.objects.get_mut(&key(ObjectKind::VirtualNode, "a")).unwrap().spec["meshRef"] =
                    json!({"name": "shop", "uid": "uid-of-before"});
            },
            ObjectKind::VirtualNode,
            "a",
            ProblemCode::MeshReplaced,
            "spec.meshRef.uid",
        ),
        (
            "no gateway",
            |cluster| drop(cluster.objects.remove(&key(ObjectKind::VirtualGateway, "edge"))),
            ObjectKind::GatewayRoute,
            "orders",
            ProblemCode::GatewayNotSelected,
            "create a VirtualGateway",
        ),
        (
            "two gateways",
            |cluster| {
                let mut second = cluster.objects[&key(ObjectKind::VirtualGateway, "edge")].clone();
                second.key.name = "second".to_owned();
                cluster.insert(second);
            },
            ObjectKind::GatewayRoute,
            "orders",
            ProblemCode::GatewayAmbiguous,
            "edge, second",
        ),
        (
            "missing target",
            |cluster| drop(cluster.objects.remove(&key(ObjectKind::VirtualNode, "b"))),
            ObjectKind::VirtualRouter,
            "orders",
            ProblemCode::ReferenceNotFound,
            "b_shop",
        ),
        (
            "invalid value",
            |cluster| {
                cluster.objects.get_mut(&key(ObjectKind::VirtualNode, "a")).unwrap().spec["listeners"][0]["portMapping"]
                    ["port"] = json!(0);
            },
            ObjectKind::VirtualNode,
            "a",
            ProblemCode::InvalidSpec,
            "spec.listeners[0].portMapping.port",
        ),
        (
            "misspelt member",
            |cluster| cluster.objects.get_mut(&key(ObjectKind::VirtualNode, "a")).unwrap().spec["listners"] = json!([]),
            ObjectKind::VirtualNode,
            "a",
            ProblemCode::InvalidSpec,
            "spec.listners: is an unknown member; remove it",
        ),
    ];
    for (name, edit, kind, of, code, text) in table {
        let mut cluster = shop();
        let mut held = Held::new();
        settle(&mut cluster, &mut held);
        let before = held.clone();
        edit(&mut cluster);
        pass(&mut cluster, &mut held);
        let object = &cluster.objects[&key(kind, of)];
        let (status, reason, message) = condition(object);
        assert_eq!((status.as_str(), reason.as_str()), ("False", code.as_str()), "{name}: {message}");
        assert!(message.contains(text), "{name}: {message}");
        let owned: Vec<&ResourcePath> = before.keys().filter(|path| !held.contains_key(path)).collect();
        assert_eq!(owned, Vec::<&ResourcePath>::new(), "{name}: nothing is deleted");
        // From an empty App Mesh nothing is written for the object either.
        let plan = plan_of(&cluster, &Held::new());
        assert!(plan.steps.iter().all(|step| step.owner != object.key), "{name}: {:?}", written(&plan));
    }
}

#[test]
fn problem_of_an_object_stops_only_the_objects_that_need_it() {
    let mut cluster = shop();
    cluster.objects.get_mut(&key(ObjectKind::VirtualNode, "b")).unwrap().spec["listeners"][0]["portMapping"]["port"] =
        json!(0);
    let mut held = Held::new();
    settle(&mut cluster, &mut held);
    let names: Vec<String> = held.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["mesh/shop", "mesh/shop/virtualNode/a_shop", "mesh/shop/virtualGateway/edge_shop"]);
    let router = condition(&cluster.objects[&key(ObjectKind::VirtualRouter, "orders")]);
    assert_eq!(router.1, "NotWritable", "{}", router.2);
    assert!(
        router.2.contains("mesh/shop/virtualNode/b_shop does not exist") && !router.2.contains("files"),
        "{}",
        router.2
    );
    cluster.insert(object(ObjectKind::VirtualNode, "b", &node_spec("b")));
    settle(&mut cluster, &mut held);
    assert_eq!(held.len(), 8);
}

#[test]
fn invalid_mesh_stops_its_members_with_a_reason() {
    let mut cluster = shop();
    cluster.objects.get_mut(&key(ObjectKind::Mesh, "shop")).unwrap().spec["egressFilter"] = json!({"type": "SOME"});
    let mut held = Held::new();
    settle(&mut cluster, &mut held);
    assert!(held.is_empty(), "{held:?}");
    let (_, reason, message) = condition(&cluster.objects[&key(ObjectKind::VirtualNode, "a")]);
    assert_eq!(reason, "NotWritable");
    assert!(message.contains("see the conditions of its Mesh"), "{message}");
}

#[test]
fn resource_that_no_object_created_is_adopted_only_on_request() {
    let node = path("mesh/shop/virtualNode/a_shop");
    let a = key(ObjectKind::VirtualNode, "a");
    let foreign = |edit: fn(&mut HeldResource)| {
        let (mut cluster, mut held) = (shop(), Held::new());
        settle(&mut cluster, &mut held);
        let resource = held.get_mut(&node).unwrap();
        resource.tags = Tags::default();
        edit(resource);
        (cluster, held)
    };
    let different = |resource: &mut HeldResource| {
        resource.spec = mesh::spec::Spec::read(mesh::name::ResourceKind::VirtualNode, &json!({})).unwrap();
    };
    // An equal resource is used, and not deleted with the object.
    let (mut cluster, mut held) = foreign(|_| {});
    assert_eq!(written(&pass(&mut cluster, &mut held)), Vec::<String>::new());
    assert_eq!(condition(&cluster.objects[&a]).0, "True");
    cluster.objects.get_mut(&a).unwrap().is_deleted = true;
    pass(&mut cluster, &mut held);
    assert!(held.contains_key(&node) && !cluster.objects.contains_key(&a));
    // A different one is refused.
    let (mut cluster, mut held) = foreign(different);
    assert_eq!(written(&pass(&mut cluster, &mut held)), Vec::<String>::new());
    let (status, reason, message) = condition(&cluster.objects[&a]);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NotOwned"), "{message}");
    assert!(message.contains("meshwarden.io/adopt"), "{message}");
    // The annotation takes it over.
    cluster.objects.get_mut(&a).unwrap().annotations.insert(ADOPT_ANNOTATION.to_owned(), "true".to_owned());
    let plan = pass(&mut cluster, &mut held);
    assert_eq!(written(&plan), [format!("update {node}"), format!("tag {node}")]);
    assert_eq!(condition(&cluster.objects[&a]).0, "True");
    // One of another cluster is never taken over.
    let (mut cluster, mut held) = foreign(different);
    let tags = [(OWNER_TAG.to_owned(), "green/VirtualNode/shop/a".to_owned())];
    held.get_mut(&node).unwrap().tags = Tags::read(tags).unwrap();
    cluster.objects.get_mut(&a).unwrap().annotations.insert(ADOPT_ANNOTATION.to_owned(), "true".to_owned());
    pass(&mut cluster, &mut held);
    assert_eq!(condition(&cluster.objects[&a]).1, "NotOwned");
}

#[test]
fn moved_weights_stay_until_the_object_declares_others() {
    let (mut cluster, mut held) = (shop(), Held::new());
    settle(&mut cluster, &mut held);
    let route = path("mesh/shop/virtualRouter/orders_shop/route/all");
    let router = key(ObjectKind::VirtualRouter, "orders");
    let weights = |held: &Held| {
        let spec = held[&route].spec.to_json();
        let targets = spec["httpRoute"]["action"]["weightedTargets"].as_array().unwrap().clone();
        targets.iter().map(|target| target["weight"].as_u64().unwrap()).collect::<Vec<u64>>()
    };
    let move_to = |held: &mut Held, to: [u64; 2]| {
        let mut spec = held[&route].spec.to_json();
        for (target, weight) in to.into_iter().enumerate() {
            spec["httpRoute"]["action"]["weightedTargets"][target]["weight"] = json!(weight);
        }
        let resource = held.get_mut(&route).unwrap();
        resource.spec = mesh::spec::Spec::read(mesh::name::ResourceKind::Route, &spec).unwrap();
        resource.version += 1;
    };
    move_to(&mut held, [0, 100]);
    assert_eq!(written(&pass(&mut cluster, &mut held)), Vec::<String>::new(), "a failover stays");
    assert_eq!(condition(&cluster.objects[&router]).0, "True");
    // Another member changes: the moved weights stay.
    cluster.objects.get_mut(&router).unwrap().spec["routes"][0]["httpRoute"]["match"]["prefix"] = json!("/v2");
    assert_eq!(written(&pass(&mut cluster, &mut held)), [format!("update {route}")]);
    assert_eq!(weights(&held), [0, 100]);
    // The weights of the object change: they are written, and their digest with them.
    cluster.objects.get_mut(&router).unwrap().spec = router_spec([70, 30]);
    assert_eq!(written(&pass(&mut cluster, &mut held)), [format!("update {route}"), format!("tag {route}")]);
    assert_eq!(weights(&held), [70, 30]);
    // The process ended between the two writes: the declared weights are written again.
    move_to(&mut held, [0, 100]);
    cluster.objects.get_mut(&router).unwrap().spec = router_spec([60, 40]);
    let plan = plan_of(&cluster, &held);
    apply(&mut held, &plan.steps[0].step);
    move_to(&mut held, [0, 100]);
    settle(&mut cluster, &mut held);
    assert_eq!(weights(&held), [60, 40]);
    // Other targets: no moved weight fits them.
    let mut spec = router_spec([60, 40]);
    spec["routes"][0]["httpRoute"]["action"]["weightedTargets"].as_array_mut().unwrap().pop();
    move_to(&mut held, [0, 100]);
    cluster.objects.get_mut(&router).unwrap().spec = spec;
    settle(&mut cluster, &mut held);
    assert_eq!(weights(&held), [60]);
}

#[test]
fn deleted_objects_delete_their_resources_in_order_and_then_lose_the_finalizer() {
    let (mut cluster, mut held) = (shop(), Held::new());
    settle(&mut cluster, &mut held);
    for object in cluster.objects.values_mut() {
        object.is_deleted = true;
    }
    let plan = pass(&mut cluster, &mut held);
    assert_eq!(plan.steps.len(), 8, "{:?}", written(&plan));
    assert_eq!(written(&plan)[7], "delete mesh/shop");
    assert!(held.is_empty() && cluster.objects.is_empty(), "{held:?} {cluster:?}");
}

#[test]
fn deletion_waits_for_users_and_names_them() {
    let (mut cluster, mut held) = (shop(), Held::new());
    settle(&mut cluster, &mut held);
    delete(&mut cluster, ObjectKind::VirtualNode, "a");
    assert_eq!(written(&pass(&mut cluster, &mut held)), Vec::<String>::new());
    let a = &cluster.objects[&key(ObjectKind::VirtualNode, "a")];
    let (status, reason, message) = condition(a);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InUse"));
    assert!(message.contains("mesh/shop/virtualRouter/orders_shop/route/all"), "{message}");
    assert!(a.has_finalizer());
    // The route is removed from its router, which stays.
    cluster.objects.get_mut(&key(ObjectKind::VirtualRouter, "orders")).unwrap().spec["routes"] = json!([]);
    settle(&mut cluster, &mut held);
    assert!(!cluster.objects.contains_key(&key(ObjectKind::VirtualNode, "a")));
    assert!(held.contains_key(&path("mesh/shop/virtualRouter/orders_shop")));
    assert_eq!(held.len(), 6);
}

#[test]
fn vanished_objects_delete_nothing() {
    let (mut cluster, mut held) = (shop(), Held::new());
    settle(&mut cluster, &mut held);
    let mesh = cluster.objects.remove(&key(ObjectKind::Mesh, "shop")).unwrap();
    cluster.objects.clear();
    cluster.insert(mesh);
    let plan = pass(&mut cluster, &mut held);
    assert_eq!(written(&plan), Vec::<String>::new());
    assert_eq!((plan.orphans.len(), held.len()), (7, 8));
}

#[test]
fn older_object_has_the_name_that_two_declare() {
    let mut cluster = shop();
    let mut second = json_object(ObjectKind::VirtualNode, "second", &node_spec("c"));
    second["spec"]["awsName"] = json!("a_shop");
    second["metadata"]["creationTimestamp"] = json!("2026-12-01T10:00:00Z");
    cluster.insert(Object::from_json(ObjectKind::VirtualNode, &second).unwrap());
    let mut held = Held::new();
    settle(&mut cluster, &mut held);
    assert_eq!(condition(&cluster.objects[&key(ObjectKind::VirtualNode, "a")]).0, "True");
    let (_, reason, message) = condition(&cluster.objects[&key(ObjectKind::VirtualNode, "second")]);
    assert_eq!(reason, "NameConflict", "{message}");
    assert!(message.contains("VirtualNode/shop/a declares mesh/shop/virtualNode/a_shop"), "{message}");
}

#[test]
fn texts_with_dollar_signs_are_values() {
    let mut cluster = shop();
    cluster.objects.get_mut(&key(ObjectKind::VirtualNode, "a")).unwrap().spec["logging"] =
        json!({"accessLog": {"file": {"path": "/logs/${NAME}"}}});
    let mut held = Held::new();
    settle(&mut cluster, &mut held);
    assert_eq!(condition(&cluster.objects[&key(ObjectKind::VirtualNode, "a")]).0, "True");
}

#[test]
fn long_names_fit_in_a_tag() {
    let name = "n".repeat(253);
    let key = ObjectKey::new(ObjectKind::VirtualNode, &"s".repeat(63), &name);
    let value = cluster_name().owner_of(&key);
    assert!(value.len() <= 256 && value.starts_with("blue/VirtualNode/sha256:"), "{value}");
    let tags = Tags::read([(OWNER_TAG.to_owned(), value)]).unwrap();
    assert!(cluster_name().owner(&tags, std::iter::once(&key)).is(&key));
}

#[test]
fn finalizers_of_other_programs_stay() {
    let mut cluster = shop();
    let node = cluster.objects.get_mut(&key(ObjectKind::VirtualNode, "a")).unwrap();
    node.finalizers = vec!["other/finalizer".to_owned(), RESOURCES_FINALIZER.to_owned()];
    assert_eq!(node.other_finalizers(), ["other/finalizer"]);
}
