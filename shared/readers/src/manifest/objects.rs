//! The objects of manifests, collected from all files before references are resolved.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::super::Surroundings;
use super::super::declare::text_of;
use super::super::declare::violation_of;
use super::super::reading::{Reading, Refusal, Source};
use super::super::spelling::{Misspelt, nearest};
use super::super::spots::Spot;
use super::kind::Kind;
use super::schema::checked;
use super::selectors::{Labels, labels_that_are_no_text, text_problem};
use mesh::name::ResourceKind;
use mesh::spec::Violation;

const GROUP: &str = "appmesh.k8s.aws/";
const VERSION: &str = "appmesh.k8s.aws/v1beta2";

/// The namespace that `kubectl` uses for an object without one.
const DEFAULT_NAMESPACE: &str = "default";

/// An object of a manifest.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) source: Source,
    pub(super) spot: Spot,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) namespace_assumed: bool,
    pub(super) labels: BTreeMap<String, String>,
    /// The spec, without the members that the custom resource does not have.
    pub(super) spec: Value,
    /// The members that the custom resource does not have.
    pub(super) misspelt: Vec<Misspelt>,
}

/// The label with the namespace's name, which Kubernetes sets on each namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Object {
    /// Whether the object is a resource in a mesh, which selects it by its namespace.
    pub(super) const fn in_mesh(&self) -> bool {
        match self.kind {
            Kind::Resource(kind) => !matches!(kind, ResourceKind::Mesh),
            Kind::BackendGroup => true,
            Kind::Namespace => false,
        }
    }

    /// The name in App Mesh.
    pub(super) fn aws_name(&self) -> String {
        match self.kind {
            Kind::Resource(kind) => {
                self.text("awsName").unwrap_or_else(|| default_aws_name(kind, &self.name, &self.namespace))
            }
            Kind::BackendGroup | Kind::Namespace => self.name.clone(),
        }
    }

    /// A text in the spec; an empty text counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.spec.get(name).and_then(text_of).filter(|text| !text.is_empty())
    }
}

/// The name that the controller generates.
pub(super) fn default_aws_name(kind: ResourceKind, name: &str, namespace: &str) -> String {
    match kind {
        ResourceKind::Mesh | ResourceKind::Route => name.to_owned(),
        ResourceKind::VirtualService => format!("{name}.{namespace}"),
        ResourceKind::VirtualNode
        | ResourceKind::VirtualGateway
        | ResourceKind::VirtualRouter
        | ResourceKind::GatewayRoute => format!("{name}_{namespace}"),
    }
}

/// The objects of all files read together.
#[derive(Debug, Default)]
pub(in super::super) struct Objects {
    pub(super) all: Vec<Object>,
    of_kind: HashMap<Kind, Vec<usize>>,
    /// The index of each object by kind, namespace and name; the first one of several.
    by_name: HashMap<(Kind, String, String), usize>,
    namespaces: HashMap<String, usize>,
    /// Objects of the controller in a version that is not supported.
    pub(super) other_versions: Vec<(Source, String)>,
}

/// Whether a document is an App Mesh object, or a list with one.
pub(in super::super) fn is_object(document: &Map<String, Value>) -> bool {
    let of_group = |version: &Value| version.as_str().is_some_and(|version| version.starts_with(GROUP));
    document.contains_key("kind") && document.get("apiVersion").is_some_and(of_group)
        || items(document).any(|item| item.as_object().is_some_and(is_object))
}

fn items(document: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let is_list = document.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    document.get("items").filter(|_| is_list).and_then(Value::as_array).into_iter().flatten()
}

impl Objects {
    /// Adds the objects of a document. Objects of other controllers are ignored.
    pub(in super::super) fn add(
        &mut self,
        file: &str,
        document: &Value,
        spot: &Spot,
        around: &Surroundings,
        reading: &mut Reading,
    ) {
        if let Value::Array(documents) = document {
            for (index, document) in documents.iter().enumerate() {
                self.add(file, document, spot.item(index), around, reading);
            }
            return;
        }
        let Some(object) = document.as_object() else { return };
        for (index, item) in items(object).enumerate() {
            self.add(file, item, spot.member("items").item(index), around, reading);
        }
        let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let metadata = object.get("metadata");
        let named = |name: &str| metadata.and_then(|metadata| metadata.get(name)).and_then(text_of);
        let name = named("name").unwrap_or_default();
        let given = named("namespace").filter(|namespace| !namespace.is_empty());
        let namespace_assumed = given.is_none();
        let namespace = given.or_else(|| around.namespace.clone()).unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        let source = Source {
            file: file.to_owned(),
            id: if namespace_assumed { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") },
        };
        let kind = match (version, kind) {
            ("v1", "Namespace") => Kind::Namespace,
            (VERSION, "BackendGroup") => Kind::BackendGroup,
            (VERSION, kind) => match kind_of(kind) {
                Some(kind) => Kind::Resource(kind),
                None if kind.ends_with("List") => return,
                None => return refuse_kind(source, kind, reading),
            },
            (version, _) if version.starts_with(GROUP) && !kind.ends_with("List") => {
                self.other_versions.push((source, version.to_owned()));
                return;
            }
            _ => return,
        };
        for member in ["name", "namespace"] {
            let value = metadata.and_then(|metadata| metadata.get(member));
            let Some(problem) = value.and_then(|value| text_problem(value, member)) else { continue };
            let line = spot.member("metadata").member(member).line();
            let violations = vec![Violation::malformed(format!("metadata.{member}"), problem)];
            reading.refusals.push(Refusal { source_: source.clone(), line: Some(line), violations });
        }
        let labels = metadata.and_then(|metadata| metadata.get("labels"));
        for (key, problem) in labels_that_are_no_text(labels) {
            let line = spot.member("metadata").member("labels").member(key).line();
            let violations = vec![Violation::malformed(format!("metadata.labels.{key}"), problem)];
            reading.refusals.push(Refusal { source_: source.clone(), line: Some(line), violations });
        }
        let labels = labels
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), text_of(value)?)));
        let labels = labels.collect();
        let none = Value::Object(Map::new());
        let (spec, misspelt) = checked(kind, object, object.get("spec").unwrap_or(&none));
        if kind == Kind::BackendGroup && !misspelt.is_empty() {
            let violations = misspelt.iter().map(violation_of).collect();
            reading.refusals.push(Refusal { source_: source.clone(), line: Some(spot.line()), violations });
        }
        let spot = spot.clone();
        self.push(Object { source, spot, kind, name, namespace, namespace_assumed, labels, spec, misspelt });
    }

    fn push(&mut self, object: Object) {
        let (place, kind) = (self.all.len(), object.kind);
        self.of_kind.entry(kind).or_default().push(place);
        self.by_name.entry((kind, object.namespace.clone(), object.name.clone())).or_insert(place);
        if kind == Kind::Namespace {
            self.namespaces.entry(object.name.clone()).or_insert(place);
        }
        self.all.push(object);
    }

    /// Adds a document if it is a namespace. Returns whether it is one.
    pub(in super::super) fn add_namespace(&mut self, file: &str, document: &Value, spot: &Spot) -> bool {
        let before = self.all.len();
        self.add(file, document, spot, &Surroundings::default(), &mut Reading::default());
        self.all.len() > before
    }

    /// The resources of a kind.
    pub(super) fn of_kind(&self, kind: ResourceKind) -> impl Iterator<Item = &Object> {
        let places = self.of_kind.get(&Kind::Resource(kind)).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|place| self.all.get(*place))
    }

    /// The resource of a kind, namespace and name.
    pub(super) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        let place = self.by_name.get(&(kind, namespace.to_owned(), name.to_owned()))?;
        self.all.get(*place)
    }

    /// The labels of a namespace. For an undeclared namespace, only its name is known.
    pub(super) fn labels_of(&self, namespace: &str) -> Labels {
        let declared = self.namespaces.get(namespace).and_then(|place| self.all.get(*place));
        let mut known = declared.map(|object| object.labels.clone()).unwrap_or_default();
        known.insert(NAME_LABEL.to_owned(), namespace.to_owned());
        Labels { known, is_complete: declared.is_some() }
    }
}

/// Refuses an object of the controller's group with a kind that the group does not have.
fn refuse_kind(source: Source, kind: &str, reading: &mut Reading) {
    let kinds =
        ["Mesh", "VirtualNode", "VirtualGateway", "VirtualRouter", "VirtualService", "GatewayRoute", "BackendGroup"];
    let remedy = match nearest(kind, kinds.into_iter()) {
        Some(kind) => format!("write `{kind}`"),
        None => format!("the kinds are {}", kinds.join(", ")),
    };
    reading.refuse(source, "kind", format!("`{kind}` is not a kind of {VERSION}: {remedy}"));
}

fn kind_of(name: &str) -> Option<ResourceKind> {
    match name {
        "Mesh" => Some(ResourceKind::Mesh),
        "VirtualNode" => Some(ResourceKind::VirtualNode),
        "VirtualGateway" => Some(ResourceKind::VirtualGateway),
        "VirtualRouter" => Some(ResourceKind::VirtualRouter),
        "VirtualService" => Some(ResourceKind::VirtualService),
        "GatewayRoute" => Some(ResourceKind::GatewayRoute),
        _ => None,
    }
}
