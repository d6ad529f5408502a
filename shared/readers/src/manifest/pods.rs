//! The virtual nodes, and the virtual gateways, that select the same pods.
//!
//! The controller gives a pod the proxy of the one virtual node, or virtual gateway, of its namespace with a `podSelector`
//! that matches the labels of the pod. It refuses a pod that several select.

use serde_json::Value;

use super::super::declare::text_of;
use super::super::reading::{Defect, Fault, Reading};
use super::objects::{Object, Objects};
use super::selectors::Selector;
use mesh::name::{MeshName, ResourceKind, ResourcePath, VirtualGatewayName, VirtualNodeName};

impl Objects {
    /// Reports an object with pods that others of its kind and namespace select, too: pods with the same selector, and pods
    /// with a selector that matches all of its pods, or only some of them.
    pub(super) fn report_pods(&self, object: &Object, kind: ResourceKind, mesh: &str, reading: &mut Reading) {
        let is_other = |other: &&Object| {
            let is_same = other.namespace == object.namespace && other.name == object.name;
            other.namespace == object.namespace && !is_same && share_pods(object, other)
        };
        let others: Vec<String> = self.of_kind(kind).filter(is_other).map(|other| other.name.clone()).collect();
        if others.is_empty() {
            return;
        }
        let Ok(mesh) = MeshName::parse(mesh) else { return };
        let name = object.aws_name();
        let resource = match kind {
            ResourceKind::VirtualNode => {
                VirtualNodeName::parse(&name).map(|name| ResourcePath::VirtualNode(mesh, name))
            }
            ResourceKind::VirtualGateway => {
                VirtualGatewayName::parse(&name).map(|name| ResourcePath::VirtualGateway(mesh, name))
            }
            ResourceKind::Mesh
            | ResourceKind::VirtualRouter
            | ResourceKind::Route
            | ResourceKind::VirtualService
            | ResourceKind::GatewayRoute => return,
        };
        // An invalid name is refused where the object is declared.
        let Ok(resource) = resource else { return };
        let mut all = others;
        all.push(object.name.clone());
        all.sort();
        reading.faults.push(Fault {
            resource,
            source: object.source.clone(),
            line: object.spot.member("spec").member("podSelector").line(),
            part: String::new(),
            defect: Defect::PodsAmbiguous { kind, objects: all },
        });
    }
}

/// Whether one of two objects selects every pod that the other selects. Selectors that only may match one pod, such as
/// those of different labels, do not count.
fn share_pods(one: &Object, other: &Object) -> bool {
    let (Some(one), Some(other)) = (requirements(one), requirements(other)) else { return false };
    let includes = |all: &[Requirement], some: &[Requirement]| some.iter().all(|wanted| all.contains(wanted));
    includes(&one, &other) || includes(&other, &one)
}

/// A requirement of a selector: a key, an operator and values in order.
type Requirement = (String, String, Vec<String>);

/// The requirements of a pod selector; `None` if it selects nothing.
fn requirements(object: &Object) -> Option<Vec<Requirement>> {
    let given = object.spec.get("podSelector");
    let selector = Selector::new(given);
    if selector.is_missing() || !selector.faults().is_empty() {
        return None;
    }
    let selector = given?;
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let equal = labels.map(|(key, value)| (key.clone(), "In".to_owned(), text_of(value).into_iter().collect()));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    let text = |expression: &Value, member: &str| expression.get(member).and_then(text_of).unwrap_or_default();
    let expressions = expressions.map(|expression| {
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        let mut values: Vec<String> = values.filter_map(text_of).collect();
        values.sort();
        values.dedup();
        (text(expression, "key"), text(expression, "operator"), values)
    });
    Some(equal.chain(expressions).collect())
}
