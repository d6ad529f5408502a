//! The custom resources of the App Mesh controller, version `appmesh.k8s.aws/v1beta2`.

use std::collections::BTreeMap;
use std::fmt;

use mesh::name::ResourceKind;
use serde_json::{Map, Value, json};

/// The group and version of the custom resources.
pub const API_VERSION: &str = "appmesh.k8s.aws/v1beta2";

/// The finalizer of objects with resources in App Mesh, by the name that the App Mesh controller uses.
pub const RESOURCES_FINALIZER: &str = "finalizers.appmesh.k8s.aws/aws-appmesh-resources";

/// The finalizer that the App Mesh controller adds to a mesh. It is removed together with [`RESOURCES_FINALIZER`].
pub const MEMBERS_FINALIZER: &str = "finalizers.appmesh.k8s.aws/mesh-members";

/// The kind of a custom resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A mesh; the only kind without a namespace.
    Mesh,
    /// A virtual node.
    VirtualNode,
    /// A virtual router with its routes.
    VirtualRouter,
    /// A virtual service.
    VirtualService,
    /// A virtual gateway.
    VirtualGateway,
    /// A gateway route.
    GatewayRoute,
    /// Virtual services that virtual nodes share as backends. The App Mesh API has no such resource.
    BackendGroup,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Mesh,
        Self::VirtualNode,
        Self::VirtualRouter,
        Self::VirtualService,
        Self::VirtualGateway,
        Self::GatewayRoute,
        Self::BackendGroup,
    ];

    /// The name of the kind in an object.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "Mesh",
            Self::VirtualNode => "VirtualNode",
            Self::VirtualRouter => "VirtualRouter",
            Self::VirtualService => "VirtualService",
            Self::VirtualGateway => "VirtualGateway",
            Self::GatewayRoute => "GatewayRoute",
            Self::BackendGroup => "BackendGroup",
        }
    }

    /// The name of the kind in a URL of the Kubernetes API.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Mesh => "meshes",
            Self::VirtualNode => "virtualnodes",
            Self::VirtualRouter => "virtualrouters",
            Self::VirtualService => "virtualservices",
            Self::VirtualGateway => "virtualgateways",
            Self::GatewayRoute => "gatewayroutes",
            Self::BackendGroup => "backendgroups",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind of the resource in App Mesh; `None` for a backend group.
    #[must_use]
    pub const fn resource(self) -> Option<ResourceKind> {
        match self {
            Self::Mesh => Some(ResourceKind::Mesh),
            Self::VirtualNode => Some(ResourceKind::VirtualNode),
            Self::VirtualRouter => Some(ResourceKind::VirtualRouter),
            Self::VirtualService => Some(ResourceKind::VirtualService),
            Self::VirtualGateway => Some(ResourceKind::VirtualGateway),
            Self::GatewayRoute => Some(ResourceKind::GatewayRoute),
            Self::BackendGroup => None,
        }
    }

    /// The type of the condition that reports whether App Mesh has the resource; `None` for a backend group.
    #[must_use]
    pub const fn condition(self) -> Option<&'static str> {
        match self {
            Self::Mesh => Some("MeshActive"),
            Self::VirtualNode => Some("VirtualNodeActive"),
            Self::VirtualRouter => Some("VirtualRouterActive"),
            Self::VirtualService => Some("VirtualServiceActive"),
            Self::VirtualGateway => Some("VirtualGatewayActive"),
            Self::GatewayRoute => Some("GatewayRouteActive"),
            Self::BackendGroup => None,
        }
    }

    /// The member of the status with the ARN of the resource; `None` for a backend group.
    #[must_use]
    pub const fn arn_member(self) -> Option<&'static str> {
        match self {
            Self::Mesh => Some("meshARN"),
            Self::VirtualNode => Some("virtualNodeARN"),
            Self::VirtualRouter => Some("virtualRouterARN"),
            Self::VirtualService => Some("virtualServiceARN"),
            Self::VirtualGateway => Some("virtualGatewayARN"),
            Self::GatewayRoute => Some("gatewayRouteARN"),
            Self::BackendGroup => None,
        }
    }
}

/// The kind, namespace and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The kind.
    pub kind: ObjectKind,
    /// The namespace; empty for a mesh.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// Creates the key of an object. The namespace of a mesh is ignored.
    #[must_use]
    pub fn new(kind: ObjectKind, namespace: &str, name: &str) -> Self {
        let namespace = if kind == ObjectKind::Mesh { "" } else { namespace };
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{}/{}", self.kind.as_str(), self.name),
            namespace => write!(f, "{}/{namespace}/{}", self.kind.as_str(), self.name),
        }
    }
}

/// A custom resource as the Kubernetes API returned it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The kind, namespace and name.
    pub key: ObjectKey,
    /// The unique id.
    pub uid: String,
    /// The version for conditional writes.
    pub resource_version: String,
    /// The generation, which each change of the spec increments.
    pub generation: i64,
    /// The finalizers, which delay the removal of a deleted object.
    pub finalizers: Vec<String>,
    /// Whether a client deleted the object, which exists until its last finalizer is removed.
    pub is_deleted: bool,
    /// The time of the creation in RFC 3339; empty if unknown.
    pub created_at: String,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
    /// The labels, as they were read.
    pub labels: Value,
    /// The spec.
    pub spec: Value,
    /// The status; `null` if none was written.
    pub status: Value,
}

/// An object without a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind}: expected an object with `metadata.name`", kind = kind.as_str())]
pub struct ObjectError {
    /// The kind.
    pub kind: ObjectKind,
}

impl Object {
    /// Reads an object of a known kind.
    pub fn from_json(kind: ObjectKind, object: &Value) -> Result<Self, ObjectError> {
        let metadata = object.get("metadata").and_then(Value::as_object).ok_or(ObjectError { kind })?;
        let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text("name");
        if name.is_empty() {
            return Err(ObjectError { kind });
        }
        let texts = |value: &Value| value.as_str().map(str::to_owned);
        let finalizers = metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten();
        let annotations = metadata.get("annotations").and_then(Value::as_object).into_iter().flatten();
        Ok(Self {
            key: ObjectKey::new(kind, &text("namespace"), &name),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            generation: metadata.get("generation").and_then(Value::as_i64).unwrap_or_default(),
            finalizers: finalizers.filter_map(texts).collect(),
            is_deleted: metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null()),
            created_at: text("creationTimestamp"),
            annotations: annotations.filter_map(|(key, value)| Some((key.clone(), texts(value)?))).collect(),
            labels: metadata.get("labels").cloned().unwrap_or(Value::Null),
            spec: object.get("spec").cloned().unwrap_or_else(|| Value::Object(Map::new())),
            status: object.get("status").cloned().unwrap_or(Value::Null),
        })
    }

    /// Whether the object has a finalizer of this program.
    #[must_use]
    pub fn has_finalizer(&self) -> bool {
        self.finalizers.iter().any(|finalizer| is_own_finalizer(finalizer))
    }

    /// The finalizers without those of this program.
    #[must_use]
    pub fn other_finalizers(&self) -> Vec<String> {
        self.finalizers.iter().filter(|finalizer| !is_own_finalizer(finalizer)).cloned().collect()
    }

    /// A text in the spec; an empty text counts as absent.
    #[must_use]
    pub fn spec_text(&self, pointer: &str) -> Option<&str> {
        self.spec.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The object as the readers of manifests read it: without the members that only the cluster writes.
    #[must_use]
    pub fn manifest(&self) -> Value {
        let ObjectKey { kind, namespace, name } = &self.key;
        let mut metadata = Map::from_iter([("name".to_owned(), json!(name))]);
        if !namespace.is_empty() {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        if !self.labels.is_null() {
            metadata.insert("labels".to_owned(), self.labels.clone());
        }
        json!({"apiVersion": API_VERSION, "kind": kind.as_str(), "metadata": metadata, "spec": self.spec})
    }
}

fn is_own_finalizer(finalizer: &str) -> bool {
    finalizer == RESOURCES_FINALIZER || finalizer == MEMBERS_FINALIZER
}
