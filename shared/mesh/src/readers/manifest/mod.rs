//! Kubernetes manifests of the App Mesh controller, `appmesh.k8s.aws/v1beta2`.
//!
//! ```text
//!   documents of all files ──▶ objects ──▶ mesh and gateway by selectors ──▶ references by name ──▶ declare
//! ```
//!
//! The controller calls a resource `name_namespace` in App Mesh (a virtual service `name.namespace`, a mesh and a
//! route just by its name) unless `awsName` says otherwise. It makes a route of each entry in a virtual router, and
//! gives no tags.

mod objects;
mod references;
mod selectors;

use serde_json::{Map, Value};

use super::Surroundings;
use super::declare::{Draft, Names, declare, text_of};
use super::reading::{Note, Reading, Source};
use super::respell::Spelling;
use super::stand_ins::{StandIns, stand_in};
use crate::name::ResourceKind;
use objects::{Kind, Object};
use references::api_spec;
use selectors::Selector;

pub(super) use objects::{Objects, is_object};

/// Members of a spec that are for the controller and have no counterpart in the API.
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
        let parent = (kind == ResourceKind::GatewayRoute).then(|| self.gateway_of(object, reading));
        let mut spec = api_spec(self, object, &without_controllers(&object.spec), reading);
        if let Value::Object(members) = &mut spec
            && kind == ResourceKind::Mesh
            && let Some(discovery) = members.shift_remove("meshServiceDiscovery")
        {
            members.insert("serviceDiscovery".to_owned(), discovery);
        }
        let owner = if kind == ResourceKind::Mesh { object.text("meshOwner") } else { self.owner_of(&mesh) };
        let names = Names { mesh: Some(mesh.clone()), parent, own: Some(object.aws_name()) };
        let declared = (source.clone(), object.spot.line());
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
            let line = holder.spot.member("spec").member("routes").item(index).line();
            draft((source, line), ResourceKind::Route, names, &spec, owner.map(str::to_owned), reading);
        }
    }

    /// The mesh whose namespace selector takes the object's namespace.
    fn mesh_of(&self, object: &Object, around: &Surroundings, reading: &mut Reading) -> String {
        if let Some(name) = object.spec.get("meshRef").and_then(|reference| reference.get("name")).and_then(text_of) {
            return self.mesh_named(&name).map_or(name, Object::aws_name);
        }
        let meshes: Vec<&Object> = self.of_kind(ResourceKind::Mesh).collect();
        let selecting: Vec<&&Object> = match self.namespace_labels(&object.namespace) {
            Some(labels) => {
                let selects = |mesh: &&&Object| Selector::of(mesh.spec.get("namespaceSelector")).matches(labels);
                meshes.iter().filter(selects).collect()
            }
            None => Vec::new(),
        };
        match (selecting.as_slice(), meshes.as_slice(), &around.mesh) {
            ([mesh], _, _) => mesh.aws_name(),
            // The namespace may be labelled in another file: then the surroundings say, or there is only one choice.
            ([], _, Some(mesh)) => assumed(object, mesh.to_string(), reading),
            ([], [mesh], None) => assumed(object, mesh.aws_name(), reading),
            ([], _, None) => assumed(object, stand_in("mesh"), reading),
            ([first, ..], _, _) => assumed(object, first.aws_name(), reading),
        }
    }

    fn mesh_named(&self, name: &str) -> Option<&Object> {
        self.of_kind(ResourceKind::Mesh).find(|mesh| mesh.name == name)
    }

    fn owner_of(&self, mesh: &str) -> Option<String> {
        self.of_kind(ResourceKind::Mesh).find(|object| object.aws_name() == mesh)?.text("meshOwner")
    }

    /// The virtual gateway that the gateway route names, else the one whose selectors take it.
    fn gateway_of(&self, route: &Object, reading: &mut Reading) -> String {
        if let Some(reference) = route.spec.get("virtualGatewayRef") {
            return self.named(ResourceKind::VirtualGateway, route, reference, "spec.virtualGatewayRef", reading);
        }
        let gateways: Vec<&Object> = self.of_kind(ResourceKind::VirtualGateway).collect();
        let takes = |gateway: &&&Object| {
            let takes_route = match gateway.spec.get("gatewayRouteSelector") {
                None | Some(Value::Null) => true,
                selector => Selector::of(selector).matches(&route.labels),
            };
            let labels = self.namespace_labels(&route.namespace);
            takes_route
                && labels.is_some_and(|labels| Selector::of(gateway.spec.get("namespaceSelector")).matches(labels))
        };
        let taking: Vec<&&Object> = gateways.iter().filter(takes).collect();
        let (name, is_sure) = match (taking.as_slice(), gateways.as_slice()) {
            ([gateway], _) => (gateway.aws_name(), true),
            ([], [gateway]) => (gateway.aws_name(), false),
            ([first, ..], _) => (first.aws_name(), false),
            ([], _) => (stand_in("virtualGateway"), false),
        };
        if !is_sure {
            let note = Note::ReferenceAssumed { name: name.clone() };
            reading.remark(&route.source, "virtualGatewayName", note);
        }
        name
    }
}

/// A spec without the members for the controller.
fn without_controllers(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Value::Object(members) = &mut spec {
        members.retain(|name, _| !FOR_CONTROLLER.contains(&name.as_str()));
    }
    spec
}

fn assumed(object: &Object, mesh: String, reading: &mut Reading) -> String {
    reading.remark(&object.source, "meshName", Note::MeshAssumed { mesh: mesh.clone() });
    mesh
}

fn draft(
    (source, line): (Source, usize),
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
            line,
            kind,
            names,
            spec: if spec.is_null() { &empty } else { spec },
            spelling: Spelling::Manifest,
            stand_ins: &StandIns::Placeholders,
            tags: None,
            mesh_owner,
        },
        reading,
    );
}
