use std::collections::BTreeMap;

use async_trait::async_trait;
use mesh::name::{ResourceKind, ResourcePath, RouteId};
use mesh::resource::{Resource, RouteData};
use mesh::spec::bounded::Int;
use mesh::spec::{RouteSpec, Violation};
use serde_json::{Map, Value, json};

use super::{Cell, Faults};
use crate::{MeshReader, PortError, PortErrorKind, ResourceRef, RouteWrite, RouteWriter, Written};

/// The account that owns what [`MemoryMesh::put_spec`] adds.
pub const ACCOUNT: &str = "123456789012";

/// A mesh in memory, which compares versions, remembers client tokens and keeps tags like the real API.
#[derive(Clone, Debug)]
pub struct MemoryMesh(Cell<Meshes>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Meshes {
    resources: BTreeMap<ResourcePath, Resource>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
    tokens: BTreeMap<String, Used>,
    updates: Vec<(RouteId, RouteSpec)>,
    ignores_versions: bool,
}

/// What a client token was used for.
#[derive(Clone, Debug, PartialEq)]
struct Used {
    route: RouteId,
    spec: RouteSpec,
    version: u64,
}

impl MemoryMesh {
    /// No meshes yet.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Meshes::default(), faults))
    }

    /// From now on updates are done whatever version they were based on, as plain AWS did.
    pub fn ignore_versions(&self) {
        self.0.poke(|meshes| meshes.ignores_versions = true);
    }

    /// Adds or replaces a resource.
    pub fn put(&self, resource: Resource) {
        self.0.poke(|meshes| meshes.resources.insert(resource.path(), resource));
    }

    /// Adds a resource of version 1 from its spec as the API has it.
    pub fn put_spec(&self, path: &ResourcePath, spec: &Value) -> Result<(), Vec<Violation>> {
        let mut body = named(path);
        let metadata = json!({
            "arn": format!("arn:aws:appmesh:eu-west-1:{ACCOUNT}:{path}"),
            "createdAt": 1_700_000_000,
            "lastUpdatedAt": 1_700_000_000,
            "meshOwner": ACCOUNT,
            "resourceOwner": ACCOUNT,
            "uid": format!("uid of {path}"),
            "version": 1,
        });
        for (member, value) in
            [("metadata", metadata), ("spec", spec.clone()), ("status", json!({ "status": "ACTIVE" }))]
        {
            body.insert(member.to_owned(), value);
        }
        self.put(Resource::read(path.kind(), &Value::Object(body))?);
        Ok(())
    }

    /// Somebody else's edit of a route: a new spec under a new version. A route that does not exist is left alone.
    pub fn edit(&self, route: &RouteId, spec: RouteSpec) {
        self.0.poke(|meshes| {
            if let Some(data) = meshes.route_mut(route) {
                data.spec = spec;
                data.metadata.version = successor(data);
            }
        });
    }

    /// Takes a resource away.
    pub fn remove(&self, path: &ResourcePath) {
        self.0.poke(|meshes| meshes.resources.remove(path));
    }

    /// A route as it is now.
    #[must_use]
    pub fn route(&self, route: &RouteId) -> Option<RouteData> {
        let path = ResourcePath::Route(route.clone());
        self.0.peek(|meshes| match meshes.resources.get(&path) {
            Some(Resource::Route(data)) => Some(data.clone()),
            _ => None,
        })
    }

    /// The tags of a resource as they are now.
    #[must_use]
    pub fn tags_of(&self, arn: &str) -> BTreeMap<String, String> {
        self.0.peek(|meshes| meshes.tags.get(arn).cloned().unwrap_or_default())
    }

    /// Every update that was done through the port, oldest first.
    #[must_use]
    pub fn updates(&self) -> Vec<(RouteId, RouteSpec)> {
        self.0.peek(|meshes| meshes.updates.clone())
    }
}

#[async_trait]
impl MeshReader for MemoryMesh {
    async fn meshes(&self) -> Result<Vec<ResourceRef>, PortError> {
        let meshes = |meshes: &Meshes| Ok(meshes.refs(|path| path.kind() == ResourceKind::Mesh));
        self.0.read("list", "meshes", meshes).await
    }

    async fn list(&self, parent: &ResourcePath, kind: ResourceKind) -> Result<Vec<ResourceRef>, PortError> {
        let call = format!("list {kind} of {parent}");
        self.0
            .read("list", format!("{kind} of {parent}"), |meshes| {
                if meshes.resources.contains_key(parent) {
                    Ok(meshes.refs(|path| path.kind() == kind && is_directly_below(parent, path)))
                } else {
                    Err(PortError::new(call, PortErrorKind::NotFound, "no such resource"))
                }
            })
            .await
    }

    async fn describe(&self, path: &ResourcePath) -> Result<Resource, PortError> {
        self.0
            .read("describe", path, |meshes| {
                let found = meshes.resources.get(path).cloned();
                found.ok_or_else(|| {
                    PortError::new(format!("describe {path}"), PortErrorKind::NotFound, "no such resource")
                })
            })
            .await
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError> {
        self.0
            .read("list tags of", arn, |meshes| {
                meshes.known(arn, "list tags of")?;
                Ok(meshes.tags.get(arn).cloned().unwrap_or_default())
            })
            .await
    }
}

#[async_trait]
impl RouteWriter for MemoryMesh {
    async fn update_route(&self, write: &RouteWrite) -> Result<Written, PortError> {
        self.0.write("update route", &write.route, |meshes| meshes.update(write)).await
    }

    async fn tag(&self, arn: &str, tags: &BTreeMap<String, String>) -> Result<(), PortError> {
        self.0
            .write("tag", arn, |meshes| {
                meshes.known(arn, "tag")?;
                let mut merged = meshes.tags.get(arn).cloned().unwrap_or_default();
                merged.extend(tags.clone());
                if merged.len() > mesh::resource::Tags::MAX {
                    return Err(PortError::new(format!("tag {arn}"), PortErrorKind::Other, "too many tags"));
                }
                meshes.tags.insert(arn.to_owned(), merged);
                Ok(())
            })
            .await
    }

    async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), PortError> {
        self.0
            .write("untag", arn, |meshes| {
                meshes.known(arn, "untag")?;
                if let Some(tags) = meshes.tags.get_mut(arn) {
                    tags.retain(|key, _| !keys.contains(key));
                }
                Ok(())
            })
            .await
    }
}

impl Meshes {
    fn refs(&self, wanted: impl Fn(&ResourcePath) -> bool) -> Vec<ResourceRef> {
        let resources = self.resources.iter().filter(|(path, _)| wanted(path));
        let reference = |(path, resource): (&ResourcePath, &Resource)| ResourceRef {
            path: path.clone(),
            arn: resource.metadata().arn.to_string(),
            version: resource.metadata().version.get().unsigned_abs(),
            mesh_owner: resource.metadata().mesh_owner.clone(),
        };
        resources.map(reference).collect()
    }

    fn known(&self, arn: &str, call: &str) -> Result<(), PortError> {
        if self.resources.values().any(|resource| resource.metadata().arn.to_string() == arn) {
            Ok(())
        } else {
            Err(PortError::new(format!("{call} {arn}"), PortErrorKind::NotFound, "no such resource"))
        }
    }

    fn route_mut(&mut self, route: &RouteId) -> Option<&mut RouteData> {
        match self.resources.get_mut(&ResourcePath::Route(route.clone())) {
            Some(Resource::Route(data)) => Some(data),
            _ => None,
        }
    }

    fn update(&mut self, write: &RouteWrite) -> Result<Written, PortError> {
        let call = || format!("update route {}", write.route);
        if let Some(used) = self.tokens.get(&write.client_token) {
            let same = used.route == write.route && used.spec == write.spec;
            return Ok(if same { written(write, used.version) } else { Written::Superseded });
        }
        let ignores_versions = self.ignores_versions;
        let data = self
            .route_mut(&write.route)
            .filter(|data| write.mesh_owner.as_ref().is_none_or(|owner| owner == &data.metadata.mesh_owner))
            .ok_or_else(|| PortError::new(call(), PortErrorKind::NotFound, "no such route"))?;
        if data.metadata.version.get().unsigned_abs() != write.if_version && !ignores_versions {
            return Ok(Written::Superseded);
        }
        data.spec = write.spec.clone();
        data.metadata.version = successor(data);
        let version = data.metadata.version.get().unsigned_abs();
        let used = Used { route: write.route.clone(), spec: write.spec.clone(), version };
        self.tokens.insert(write.client_token.clone(), used);
        self.updates.push((write.route.clone(), write.spec.clone()));
        Ok(written(write, version))
    }
}

fn written(write: &RouteWrite, version: u64) -> Written {
    if version == write.if_version + 1 { Written::Applied { version } } else { Written::Overwrote { version } }
}

fn successor(route: &RouteData) -> Int<0, { i64::MAX }> {
    Int::new(route.metadata.version.get().saturating_add(1)).unwrap_or(route.metadata.version)
}

fn is_directly_below(parent: &ResourcePath, path: &ResourcePath) -> bool {
    match (parent, path) {
        (ResourcePath::Mesh(mesh), child) => {
            mesh == child.mesh()
                && !matches!(child.kind(), ResourceKind::Mesh | ResourceKind::Route | ResourceKind::GatewayRoute)
        }
        (ResourcePath::VirtualRouter(mesh, router), ResourcePath::Route(route)) => {
            mesh == &route.mesh && router == &route.router
        }
        (ResourcePath::VirtualGateway(mesh, gateway), ResourcePath::GatewayRoute(of, below, _)) => {
            mesh == of && gateway == below
        }
        _ => false,
    }
}

/// The names that a resource's body carries.
fn named(path: &ResourcePath) -> Map<String, Value> {
    let mesh = path.mesh();
    let names = match path {
        ResourcePath::Mesh(_) => json!({ "meshName": mesh }),
        ResourcePath::VirtualNode(_, node) => json!({ "meshName": mesh, "virtualNodeName": node }),
        ResourcePath::VirtualGateway(_, gateway) => json!({ "meshName": mesh, "virtualGatewayName": gateway }),
        ResourcePath::VirtualRouter(_, router) => json!({ "meshName": mesh, "virtualRouterName": router }),
        ResourcePath::Route(RouteId { router, route, .. }) => {
            json!({ "meshName": mesh, "virtualRouterName": router, "routeName": route })
        }
        ResourcePath::VirtualService(_, service) => json!({ "meshName": mesh, "virtualServiceName": service }),
        ResourcePath::GatewayRoute(_, gateway, route) => {
            json!({ "meshName": mesh, "virtualGatewayName": gateway, "gatewayRouteName": route })
        }
    };
    match names {
        Value::Object(names) => names,
        _ => Map::new(),
    }
}
