//! The members that the controller's custom resources have, version v1beta2.

use serde_json::{Map, Value};

use super::super::node::{Node, Spelling};
use super::super::reference_members::{FREE, REFERENCE};
use super::super::spelling::{self, Checked, Misspelt, unknown_members};
use super::super::spots::Step;
use super::kind::Kind;
use mesh::name::ResourceKind;
use mesh::spec::Spec;

/// A reference to an object, as the controller itself writes it.
const WRITTEN_REFERENCE: Node = Node::Members(&[("name", FREE), ("namespace", FREE), ("uid", FREE)]);

const SELECTOR: Node = Node::Members(&[
    ("matchLabels", FREE),
    ("matchExpressions", Node::List(&Node::Members(&[("key", FREE), ("operator", FREE), ("values", FREE)]))),
]);

const MESH: Node = Node::Members(&[
    ("awsName", FREE),
    ("egressFilter", Node::Members(&[("type", FREE)])),
    ("meshOwner", FREE),
    ("meshServiceDiscovery", Node::Members(&[("ipPreference", FREE)])),
    ("namespaceSelector", SELECTOR),
]);

const VIRTUAL_NODE: Node = Node::With(
    || Spec::shape(ResourceKind::VirtualNode),
    &[
        ("awsName", FREE),
        ("backendGroups", Node::List(&REFERENCE)),
        ("meshRef", WRITTEN_REFERENCE),
        ("podSelector", SELECTOR),
    ],
);

const VIRTUAL_GATEWAY: Node = Node::With(
    || Spec::shape(ResourceKind::VirtualGateway),
    &[
        ("awsName", FREE),
        ("gatewayRouteSelector", SELECTOR),
        ("meshRef", WRITTEN_REFERENCE),
        ("namespaceSelector", SELECTOR),
        ("podSelector", SELECTOR),
    ],
);

const VIRTUAL_ROUTER: Node = Node::With(
    || Spec::shape(ResourceKind::VirtualRouter),
    &[
        ("awsName", FREE),
        ("meshRef", WRITTEN_REFERENCE),
        ("routes", Node::List(&Node::With(|| Spec::shape(ResourceKind::Route), &[("name", FREE)]))),
    ],
);

const VIRTUAL_SERVICE: Node =
    Node::With(|| Spec::shape(ResourceKind::VirtualService), &[("awsName", FREE), ("meshRef", WRITTEN_REFERENCE)]);

const GATEWAY_ROUTE: Node = Node::With(
    || Spec::shape(ResourceKind::GatewayRoute),
    &[("awsName", FREE), ("meshRef", WRITTEN_REFERENCE), ("virtualGatewayRef", WRITTEN_REFERENCE)],
);

const BACKEND_GROUP: Node =
    Node::Members(&[("meshRef", WRITTEN_REFERENCE), ("virtualservices", Node::List(&REFERENCE))]);

/// The members of an object, and of its metadata, as in Kubernetes.
const OBJECT: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
const METADATA: [&str; 15] = [
    "annotations",
    "clusterName",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
];

/// The spec of an object without the members that its custom resource does not have, and a list of those members.
pub(super) fn checked(kind: Kind, object: &Map<String, Value>, spec: &Value) -> (Value, Vec<Misspelt>) {
    let node = match kind {
        Kind::Resource(ResourceKind::Mesh) => MESH,
        Kind::Resource(ResourceKind::VirtualNode) => VIRTUAL_NODE,
        Kind::Resource(ResourceKind::VirtualGateway) => VIRTUAL_GATEWAY,
        Kind::Resource(ResourceKind::VirtualRouter) => VIRTUAL_ROUTER,
        Kind::Resource(ResourceKind::VirtualService) => VIRTUAL_SERVICE,
        Kind::Resource(ResourceKind::GatewayRoute) => GATEWAY_ROUTE,
        Kind::BackendGroup => BACKEND_GROUP,
        // Routes are not separate objects, and namespaces do not belong to the controller.
        Kind::Resource(ResourceKind::Route) | Kind::Namespace => return (spec.clone(), Vec::new()),
    };
    let mut misspelt = unknown_members(object, &OBJECT, &[]);
    if let Some(Value::Object(metadata)) = object.get("metadata") {
        let known: Vec<&str> = METADATA.into_iter().chain(["uid"]).collect();
        misspelt.extend(unknown_members(metadata, &known, &[Step::Member("metadata".to_owned())]));
    }
    let Checked { value, misspelt: in_spec } =
        spelling::check(spec, node, Spelling::Manifest, &[Step::Member("spec".to_owned())]);
    misspelt.extend(in_spec);
    (value, misspelt)
}
