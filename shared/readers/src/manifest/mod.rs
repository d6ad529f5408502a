//! Kubernetes manifests of the App Mesh controller, `appmesh.k8s.aws/v1beta2`.
//!
//! ```text
//!   documents of all files ──▶ objects ──▶ mesh and gateway by selectors ──▶ references by name ──▶ declare
//! ```
//!
//! The controller names a resource `name_namespace` in App Mesh (a virtual service `name.namespace`, a mesh and a route
//! only by their name) unless `awsName` is set. It creates a route for each entry in a virtual router, and sets no
//! tags.

mod kind;
mod membership;
mod objects;
mod pods;
mod references;
mod schema;
mod selectors;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Surroundings;
use super::declare::{Draft, Names, declare, text_of};
use super::node::Spelling;
use super::reading::{Note, Reading, Source};
use super::spelling::Misspelt;
use super::spots::{Spot, Step};
use super::stand_ins::StandIns;
use super::unheld::{UnheldMember, UnheldReason};
use kind::Kind;
use mesh::name::ResourceKind;
use objects::Object;
use references::api_spec;

pub(super) use objects::{Objects, is_object};

/// Whether a label selector of an object selects labels. A missing or invalid selector selects nothing, and an empty one
/// selects all.
#[must_use]
pub fn selects(selector: Option<&Value>, labels: &BTreeMap<String, String>) -> bool {
    selectors::Selector::new(selector).matches_all_known(labels)
}

/// Members of a spec that only the controller reads; the API has no counterpart.
const FOR_CONTROLLER: [&str; 10] = [
    "awsName",
    "backendGroups",
    "gatewayRouteSelector",
    "meshOwner",
    "meshRef",
    "namespaceSelector",
    "podSelector",
    "routes",
    "virtualGatewayRef",
    "virtualservices",
];

impl Objects {
    /// Declares the resources of all objects.
    pub(super) fn declare(&self, around: &Surroundings, reading: &mut Reading) {
        for (source, version) in &self.other_versions {
            let message = format!("is `{version}`; only appmesh.k8s.aws/v1beta2 is read");
            reading.refuse(source.clone(), "apiVersion", message);
        }
        self.report_memberships(around, reading);
        for object in &self.all {
            match object.kind {
                Kind::Resource(kind) => self.declare_object(object, kind, around, reading),
                Kind::BackendGroup | Kind::Namespace => {}
            }
        }
    }

    fn declare_object(&self, object: &Object, kind: ResourceKind, around: &Surroundings, reading: &mut Reading) {
        let source = &object.source;
        if object.namespace_assumed && kind != ResourceKind::Mesh {
            reading.remark(source, "metadata.namespace", Note::NameAssumed { name: object.namespace.clone() });
        }
        let mesh = if kind == ResourceKind::Mesh { object.aws_name() } else { self.mesh_of(object, around, reading) };
        self.report_pods(object, kind, &mesh, reading);
        let parent = (kind == ResourceKind::GatewayRoute).then(|| self.gateway_of(object, &mesh, reading));
        let mut spec = api_spec(self, object, &without_controllers(&object.spec), reading);
        if let Value::Object(members) = &mut spec
            && kind == ResourceKind::Mesh
            && let Some(discovery) = members.shift_remove("meshServiceDiscovery")
        {
            members.insert("serviceDiscovery".to_owned(), discovery);
        }
        let owner = if kind == ResourceKind::Mesh { object.text("meshOwner") } else { self.owner_of(&mesh) };
        let names = Names { mesh: Some(mesh.clone()), parent, own: Some(object.aws_name()) };
        let way = [Step::Member("spec".to_owned())];
        let declared = (source.clone(), &object.spot, way.as_slice(), object.misspelt.clone(), unheld(object));
        draft(declared, kind, names, &spec, owner.clone(), reading);
        if kind == ResourceKind::VirtualRouter {
            self.declare_routes(object, &mesh, owner.as_deref(), reading);
        }
    }

    fn declare_routes(&self, holder: &Object, mesh: &str, owner: Option<&str>, reading: &mut Reading) {
        let routes = match holder.spec.get("routes") {
            None | Some(Value::Null) => return,
            Some(Value::Array(routes)) => routes,
            Some(_) => {
                reading.refuse(holder.source.clone(), "spec.routes", "must be a list");
                return;
            }
        };
        for (index, route) in routes.iter().enumerate() {
            let name = route.get("name").and_then(text_of);
            let source =
                Source { file: holder.source.file.clone(), id: format!("{} routes[{index}]", holder.source.id) };
            let mut route = route.clone();
            if let Value::Object(members) = &mut route {
                members.shift_remove("name");
            }
            let spec = api_spec(self, holder, &route, reading);
            let names = Names { mesh: Some(mesh.to_owned()), parent: Some(holder.aws_name()), own: name };
            let spot = holder.spot.member("spec").member("routes").item(index);
            let declared = (source, spot, [].as_slice(), Vec::new(), Vec::new());
            draft(declared, ResourceKind::Route, names, &spec, owner.map(str::to_owned), reading);
        }
    }

    fn owner_of(&self, mesh: &str) -> Option<String> {
        self.of_kind(ResourceKind::Mesh).find(|object| object.aws_name() == mesh)?.text("meshOwner")
    }
}

/// The members of an object that the API does not have. References and `awsName` become names.
fn unheld(object: &Object) -> Vec<UnheldMember> {
    let mut found = Vec::new();
    if let Value::Object(spec) = &object.spec {
        let selectors = ["gatewayRouteSelector", "namespaceSelector", "podSelector"];
        let spot = object.spot.member("spec");
        super::unheld::add(spec, &selectors, spot, "spec", UnheldReason::Selector, &mut found);
    }
    if !object.labels.is_empty() {
        let line = object.spot.member("metadata").member("labels").line();
        let member = "metadata.labels".to_owned();
        found.push(UnheldMember { member, line, reason: UnheldReason::ObjectMetadata });
    }
    found
}

/// A spec without the members that only the controller reads.
fn without_controllers(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Value::Object(members) = &mut spec {
        members.retain(|name, _| !FOR_CONTROLLER.contains(&name.as_str()));
    }
    spec
}

fn draft(
    (source, spot, way, misspelt, unheld): (Source, &Spot, &[Step], Vec<Misspelt>, Vec<UnheldMember>),
    kind: ResourceKind,
    names: Names,
    spec: &Value,
    mesh_owner: Option<String>,
    reading: &mut Reading,
) {
    let empty = Value::Object(Map::new());
    declare(
        Draft {
            source,
            spot,
            kind,
            names,
            spec: if spec.is_null() { &empty } else { spec },
            way,
            misspelt,
            spelling: Spelling::Manifest,
            stand_ins: &StandIns::Placeholders,
            tags: None,
            mesh_owner,
            captured_at: None,
            unheld,
        },
        reading,
    );
}
