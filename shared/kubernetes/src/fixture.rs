//! Test fixture: a small cluster, and App Mesh as a map.

use std::collections::BTreeMap;

use imports::{Held, HeldResource, Step, as_held};
use jiff::Timestamp;
use mesh::name::{AccountId, ResourcePath};
use mesh::resource::Tags;
use serde_json::{Value, json};

use crate::{
    ClusterName, ClusterObjects, Declarations, Object, ObjectKey, ObjectKind, RESOURCES_FINALIZER, Reconciliation,
    reconcile, statuses,
};

pub(crate) fn cluster_name() -> ClusterName {
    ClusterName::parse("blue").unwrap()
}

pub(crate) fn key(kind: ObjectKind, name: &str) -> ObjectKey {
    ObjectKey::new(kind, "shop", name)
}

/// An object in the namespace `shop`, as the Kubernetes API returns it.
pub(crate) fn json_object(kind: ObjectKind, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": crate::API_VERSION,
        "kind": kind.as_str(),
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": format!("uid-{name}"),
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": "2026-11-30T10:00:00Z",
        },
        "spec": spec,
    })
}

pub(crate) fn object(kind: ObjectKind, name: &str, spec: &Value) -> Object {
    Object::from_json(kind, &json_object(kind, name, spec)).unwrap()
}

pub(crate) fn mesh_spec() -> Value {
    json!({"namespaceSelector": {"matchLabels": {"mesh": "shop"}}})
}

pub(crate) fn node_spec(host: &str) -> Value {
    json!({
        "podSelector": {"matchLabels": {"app": host}},
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": format!("{host}.shop.svc.cluster.local")}},
    })
}

pub(crate) fn router_spec(weights: [u8; 2]) -> Value {
    json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "routes": [{"name": "all", "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
            {"virtualNodeRef": {"name": "a"}, "weight": weights[0]},
            {"virtualNodeRef": {"name": "b"}, "weight": weights[1]},
        ]}}}],
    })
}

/// A mesh with two nodes, a router, a service, a gateway and a gateway route.
pub(crate) fn shop() -> ClusterObjects {
    let mut cluster = ClusterObjects::default();
    cluster.namespaces.insert("shop".to_owned(), json!({"mesh": "shop"}));
    for object in [
        object(ObjectKind::Mesh, "shop", &mesh_spec()),
        object(ObjectKind::VirtualNode, "a", &node_spec("a")),
        object(ObjectKind::VirtualNode, "b", &node_spec("b")),
        object(ObjectKind::VirtualRouter, "orders", &router_spec([90, 10])),
        object(
            ObjectKind::VirtualService,
            "orders",
            &json!({"awsName": "orders.local", "provider": {"virtualRouter": {"virtualRouterRef": {"name": "orders"}}}}),
        ),
        object(
            ObjectKind::VirtualGateway,
            "edge",
            &json!({
                "namespaceSelector": {"matchLabels": {"mesh": "shop"}},
                "podSelector": {"matchLabels": {"app": "edge"}},
                "listeners": [{"portMapping": {"port": 8088, "protocol": "http"}}],
            }),
        ),
        object(
            ObjectKind::GatewayRoute,
            "orders",
            &json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"target": {"virtualService": {
                "virtualServiceRef": {"name": "orders"}}}}}}),
        ),
    ] {
        cluster.insert(object);
    }
    cluster
}

pub(crate) fn plan_of(cluster: &ClusterObjects, held: &Held) -> Reconciliation {
    reconcile(cluster, &Declarations::new(cluster), held, &cluster_name())
}

/// Applies a step, as App Mesh does.
pub(crate) fn apply(held: &mut Held, step: &Step) {
    match step {
        Step::Create { path, spec, tags } => {
            let resource = HeldResource {
                spec: as_held(spec),
                tags: Tags::read(tags.clone()).unwrap(),
                version: 1,
                arn: arn(path),
                mesh_owner: AccountId::parse("123456789012").unwrap(),
            };
            assert!(held.insert(path.clone(), resource).is_none(), "{path} exists");
        }
        Step::Update { path, spec, if_version, .. } => {
            let resource = held.get_mut(path).unwrap();
            assert_eq!(resource.version, *if_version);
            resource.version += 1;
            resource.spec = as_held(spec);
        }
        Step::Tag { path, set, remove, .. } => {
            let resource = held.get_mut(path).unwrap();
            let mut tags: BTreeMap<String, String> =
                resource.tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            tags.retain(|key, _| !remove.contains(key));
            tags.extend(set.clone());
            resource.tags = Tags::read(tags).unwrap();
        }
        Step::Delete { path, if_version } => assert_eq!(held.remove(path).unwrap().version, *if_version),
    }
}

pub(crate) fn arn(path: &ResourcePath) -> String {
    format!("arn:aws:appmesh:eu-west-1:123456789012:{path}")
}

/// One pass: finalizers, writes, statuses, released objects. Returns the last plan.
pub(crate) fn pass(cluster: &mut ClusterObjects, held: &mut Held) -> Reconciliation {
    let plan = plan_of(cluster, held);
    for key in &plan.finalizers {
        cluster.objects.get_mut(key).unwrap().finalizers.push(RESOURCES_FINALIZER.to_owned());
    }
    for step in &plan.steps {
        apply(held, &step.step);
    }
    let after = plan_of(cluster, held);
    for (key, status) in statuses(cluster, &after, held, &BTreeMap::new(), Timestamp::UNIX_EPOCH) {
        cluster.objects.get_mut(&key).unwrap().status = status;
    }
    for key in &after.released {
        let object = cluster.objects.get_mut(key).unwrap();
        object.finalizers = object.other_finalizers();
        if object.finalizers.is_empty() {
            cluster.objects.remove(key);
        }
    }
    plan
}

/// Runs passes until one writes nothing.
pub(crate) fn settle(cluster: &mut ClusterObjects, held: &mut Held) {
    for _ in 0..10 {
        if pass(cluster, held).steps.is_empty() && plan_of(cluster, held).released.is_empty() {
            return;
        }
    }
    panic!("the cluster does not settle: {:#?}", plan_of(cluster, held));
}

/// The status, reason and message of an object's condition.
pub(crate) fn condition(object: &Object) -> (String, String, String) {
    let condition = &object.status["conditions"][0];
    let text = |member: &str| condition[member].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}
