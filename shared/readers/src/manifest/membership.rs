//! The mesh of an object and the virtual gateway of a gateway route, by the rules of the controller.
//!
//! Exactly one mesh must select the object's namespace. Exactly one virtual gateway must select the namespace and the
//! labels of a gateway route. No match and several matches are refused. A missing selector selects nothing, except a
//! gateway's `gatewayRouteSelector`, which then selects all.

use std::collections::BTreeSet;

use super::super::Surroundings;
use super::super::declare::text_of;
use super::super::reading::{Defect, Fault, Note, Reading, Refusal};
use super::super::stand_ins::stand_in;
use super::objects::{Object, Objects};
use super::selectors::Selector;
use mesh::name::{GatewayRouteName, MeshName, ResourceKind, ResourcePath, VirtualGatewayName};
use mesh::spec::Violation;

/// The objects that select another object, and those for which the selection is unknown.
struct Selecting<'o> {
    sure: Vec<&'o Object>,
    open: Vec<&'o Object>,
    /// The reason of each object that does not select it.
    reasons: Vec<String>,
}

impl Objects {
    /// Reports each namespace that no mesh or several meshes of the files select, and each mesh without a selector.
    pub(super) fn report_memberships(&self, around: &Surroundings, reading: &mut Reading) {
        for object in &self.all {
            refuse_selectors(object, reading);
        }
        let meshes: Vec<&Object> = self.of_kind(ResourceKind::Mesh).collect();
        for mesh in &meshes {
            if Selector::new(mesh.spec.get("namespaceSelector")).is_missing() {
                report(mesh, "spec.namespaceSelector", Defect::MeshSelectsNothing, reading);
            }
        }
        // A mesh that the caller names may be missing in the files.
        let is_elsewhere =
            around.mesh.as_ref().is_some_and(|given| meshes.iter().all(|mesh| mesh.aws_name() != given.as_str()));
        if is_elsewhere {
            return;
        }
        let in_namespace = |object: &&Object| object.in_mesh() && object.spec.get("meshRef").is_none();
        let namespaces: BTreeSet<&str> =
            self.all.iter().filter(in_namespace).map(|one| one.namespace.as_str()).collect();
        for namespace in namespaces {
            let Selecting { sure, open, reasons } = self.meshes_of(namespace);
            let part = format!("namespace {namespace}");
            let namespace = namespace.to_owned();
            if sure.len() > 1 {
                let names: Vec<String> = sure.iter().map(|mesh| mesh.name.clone()).collect();
                for mesh in sure {
                    let meshes = names.clone();
                    report(mesh, &part, Defect::MeshAmbiguous { namespace: namespace.clone(), meshes }, reading);
                }
            } else if sure.is_empty() && open.is_empty() {
                let selecting = |mesh: &&&Object| !Selector::new(mesh.spec.get("namespaceSelector")).is_missing();
                if let Some(mesh) = meshes.iter().find(selecting) {
                    report(mesh, &part, Defect::MeshMissing { namespace, reasons }, reading);
                }
            }
        }
    }

    /// The name of the mesh that contains the object.
    pub(super) fn mesh_of(&self, object: &Object, around: &Surroundings, reading: &mut Reading) -> String {
        if let Some(name) = object.spec.get("meshRef").and_then(|reference| reference.get("name")).and_then(text_of) {
            return self.mesh_named(&name).map_or(name, Object::aws_name);
        }
        let Selecting { sure, open, .. } = self.meshes_of(&object.namespace);
        let all: Vec<&Object> = self.of_kind(ResourceKind::Mesh).collect();
        let mesh = match (sure.as_slice(), open.as_slice(), all.as_slice(), &around.mesh) {
            ([mesh], ..) => return mesh.aws_name(),
            ([first, ..], ..) => first.aws_name(),
            ([], _, _, Some(mesh)) => mesh.to_string(),
            // Where no mesh selects the namespace, the first one stands for all, so that the finding is on a mesh that exists.
            ([], [mesh], _, None) | ([], [], [mesh, ..], None) => mesh.aws_name(),
            ([], [_, _, ..], _, None) | ([], [], [], None) => stand_in("mesh"),
        };
        reading.remark(&object.source, "meshName", Note::MeshAssumed { mesh: mesh.clone() });
        mesh
    }

    fn mesh_named(&self, name: &str) -> Option<&Object> {
        self.of_kind(ResourceKind::Mesh).find(|mesh| mesh.name == name)
    }

    fn meshes_of(&self, namespace: &str) -> Selecting<'_> {
        let labels = self.labels_of(namespace);
        self.selecting(ResourceKind::Mesh, |mesh| {
            let selector = Selector::new(mesh.spec.get("namespaceSelector"));
            (
                selector.matches(&labels),
                reason(mesh, selector, "namespaceSelector", &format!("namespace `{namespace}`")),
            )
        })
    }

    /// The virtual gateway that the gateway route names, otherwise the one that selects it.
    pub(super) fn gateway_of(&self, route: &Object, mesh: &str, reading: &mut Reading) -> String {
        if let Some(reference) = route.spec.get("virtualGatewayRef") {
            return self.named(ResourceKind::VirtualGateway, route, reference, "spec.virtualGatewayRef", reading);
        }
        let gateways: Vec<&Object> = self.of_kind(ResourceKind::VirtualGateway).collect();
        let Selecting { sure, open, reasons } = self.gateways_of(route);
        let (gateway, defect) = match (sure.as_slice(), open.as_slice(), gateways.as_slice()) {
            ([gateway], ..) => return gateway.aws_name(),
            ([first, ..], ..) => {
                let gateways = sure.iter().map(|gateway| gateway.name.clone()).collect();
                (first.aws_name(), Some(Defect::GatewayAmbiguous { gateways }))
            }
            ([], [gateway], _) => (gateway.aws_name(), None),
            ([], [_, _, ..], _) | ([], [], []) => (stand_in("virtualGateway"), None),
            ([], [], [gateway]) => (gateway.aws_name(), Some(Defect::GatewayMissing { reasons })),
            ([], [], [_, _, ..]) => (stand_in("virtualGateway"), Some(Defect::GatewayMissing { reasons })),
        };
        reading.remark(&route.source, "virtualGatewayName", Note::SelectionAssumed { name: gateway.clone() });
        let names =
            (MeshName::parse(mesh), VirtualGatewayName::parse(&gateway), GatewayRouteName::parse(&route.aws_name()));
        if let (Some(defect), (Ok(mesh), Ok(gateway), Ok(name))) = (defect, names) {
            reading.faults.push(Fault {
                resource: ResourcePath::GatewayRoute(mesh, gateway, name),
                source: route.source.clone(),
                line: route.spot.line(),
                part: String::new(),
                defect,
            });
        }
        gateway
    }

    fn gateways_of(&self, route: &Object) -> Selecting<'_> {
        let labels = self.labels_of(&route.namespace);
        self.selecting(ResourceKind::VirtualGateway, |gateway| {
            let namespaces = Selector::new(gateway.spec.get("namespaceSelector"));
            let routes = Selector::new(gateway.spec.get("gatewayRouteSelector"));
            let takes_route = routes.is_missing() || routes.matches_all_known(&route.labels);
            if takes_route {
                let of = format!("namespace `{}`", route.namespace);
                (namespaces.matches(&labels), reason(gateway, namespaces, "namespaceSelector", &of))
            } else {
                (Some(false), reason(gateway, routes, "gatewayRouteSelector", "the gateway route"))
            }
        })
    }

    fn selecting(&self, kind: ResourceKind, judge: impl Fn(&Object) -> (Option<bool>, String)) -> Selecting<'_> {
        let mut selecting = Selecting { sure: Vec::new(), open: Vec::new(), reasons: Vec::new() };
        for object in self.of_kind(kind) {
            match judge(object) {
                (Some(true), _) => selecting.sure.push(object),
                (None, _) => selecting.open.push(object),
                (Some(false), reason) => selecting.reasons.push(reason),
            }
        }
        selecting
    }
}

/// The reason why an object does not select another one.
fn reason(object: &Object, selector: Selector<'_>, member: &str, other: &str) -> String {
    if !selector.faults().is_empty() {
        format!("the {member} of `{}` is not valid, and so selects nothing", object.name)
    } else if selector.is_missing() {
        format!("`{}` has no {member}, and so selects nothing", object.name)
    } else {
        format!("the {member} of `{}` does not match the labels of {other}", object.name)
    }
}

/// Refuses the requirements of selectors that Kubernetes refuses.
fn refuse_selectors(object: &Object, reading: &mut Reading) {
    for member in ["namespaceSelector", "gatewayRouteSelector", "podSelector"] {
        for (path, problem) in Selector::new(object.spec.get(member)).faults() {
            let line = object.spot.member("spec").member(member).line();
            let violations = vec![Violation::malformed(format!("spec.{member}.{path}"), problem)];
            reading.refusals.push(Refusal { source_: object.source.clone(), line: Some(line), violations });
        }
    }
}

fn report(mesh: &Object, part: &str, defect: Defect, reading: &mut Reading) {
    // An invalid name is refused where the mesh is declared.
    if let Ok(name) = MeshName::parse(&mesh.aws_name()) {
        reading.faults.push(Fault {
            resource: ResourcePath::Mesh(name),
            source: mesh.source.clone(),
            line: mesh.spot.line(),
            part: part.to_owned(),
            defect,
        });
    }
}
