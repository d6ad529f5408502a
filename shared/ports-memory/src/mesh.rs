mod admission;

use std::collections::BTreeMap;

use async_trait::async_trait;
use mesh::name::{AccountId, ResourceKind, ResourcePath, RouteId};
use mesh::resource::{Metadata, Resource, RouteData};
use mesh::spec::bounded::Int;
use mesh::spec::{RouteSpec, Spec, Violation};
use serde_json::{Map, Value, json};

use super::{Cell, Faults};
use ports::{
    MeshReader, MeshWrite, MeshWriter, PortError, PortErrorKind, ResourceRef, RouteWrite, RouteWriter, TagWriter,
    VirtualGatewayWrite, VirtualNodeWrite, Written,
};

/// The account that owns what [`MemoryMesh::put_spec`] adds.
pub const ACCOUNT: &str = "123456789012";

/// A mesh in memory, which compares versions, remembers client tokens, keeps tags and refuses updates like the real API.
/// What a test puts there itself ([`MemoryMesh::put`], [`MemoryMesh::edit`], ...) is not judged, as if an earlier server had
/// stored it.
#[derive(Clone, Debug)]
pub struct MemoryMesh(Cell<Meshes>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Meshes {
    resources: BTreeMap<ResourcePath, Resource>,
    tags: BTreeMap<String, BTreeMap<String, String>>,
    tokens: BTreeMap<String, Used>,
    updates: Vec<(ResourcePath, Spec)>,
    ignores_versions: bool,
    /// The caller that writes through the port; `None` like a server without authentication.
    caller: Option<String>,
}

/// The use of a client token.
#[derive(Clone, Debug, PartialEq)]
struct Used {
    resource: ResourcePath,
    spec: Spec,
    version: u64,
}

/// A write of a resource of any kind.
struct Update<'a> {
    resource: ResourcePath,
    owner: Option<&'a AccountId>,
    spec: Spec,
    if_version: u64,
    token: &'a str,
}

impl MemoryMesh {
    /// Creates a store without meshes.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Meshes::default(), faults))
    }

    /// Disables the version check of updates, as in AWS's App Mesh.
    pub fn ignore_versions(&self) {
        self.0.poke(|meshes| meshes.ignores_versions = true);
    }

    /// Names the caller of the writes through the port from now on, as a server with authentication does.
    pub fn authenticate(&self, caller: &str) {
        self.0.poke(|meshes| meshes.caller = Some(caller.to_owned()));
    }

    /// Adds or replaces a resource.
    pub fn put(&self, resource: Resource) {
        self.0.poke(|meshes| meshes.resources.insert(resource.path(), resource));
    }

    /// Adds a resource of version 1 from its spec in the form of the API.
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

    /// Edits a route as another writer: a new spec with a new version. A missing route is ignored.
    pub fn edit(&self, route: &RouteId, spec: RouteSpec) {
        self.edit_resource(&ResourcePath::Route(route.clone()), Spec::Route(spec));
    }

    /// Edits a route as this authenticated caller. A missing route is ignored.
    pub fn edit_as(&self, route: &RouteId, spec: RouteSpec, caller: &str) {
        let path = ResourcePath::Route(route.clone());
        self.0.poke(|meshes| {
            let resource = meshes.resources.get_mut(&path)?;
            replace(resource, Spec::Route(spec), Some(caller))
        });
    }

    /// Edits any resource as another writer. A missing resource, or one of another kind, is ignored.
    pub fn edit_resource(&self, path: &ResourcePath, spec: Spec) {
        self.0.poke(|meshes| meshes.resources.get_mut(path).and_then(|resource| replace(resource, spec, None)));
    }

    /// Replaces the tags of a resource as another writer.
    pub fn set_tags(&self, arn: &str, tags: BTreeMap<String, String>) {
        self.0.poke(|meshes| meshes.tags.insert(arn.to_owned(), tags));
    }

    /// Deletes a resource.
    pub fn remove(&self, path: &ResourcePath) {
        self.0.poke(|meshes| meshes.resources.remove(path));
    }

    /// The present route.
    #[must_use]
    pub fn route(&self, route: &RouteId) -> Option<RouteData> {
        let path = ResourcePath::Route(route.clone());
        self.0.peek(|meshes| match meshes.resources.get(&path) {
            Some(Resource::Route(data)) => Some(data.clone()),
            _ => None,
        })
    }

    /// The present tags of a resource.
    #[must_use]
    pub fn tags_of(&self, arn: &str) -> BTreeMap<String, String> {
        self.0.peek(|meshes| meshes.tags.get(arn).cloned().unwrap_or_default())
    }

    /// The present resource.
    #[must_use]
    pub fn resource(&self, path: &ResourcePath) -> Option<Resource> {
        self.0.peek(|meshes| meshes.resources.get(path).cloned())
    }

    /// Every update of a route made through the port, oldest first.
    #[must_use]
    pub fn updates(&self) -> Vec<(RouteId, RouteSpec)> {
        let of_route = |(path, spec): (ResourcePath, Spec)| match (path, spec) {
            (ResourcePath::Route(route), Spec::Route(spec)) => Some((route, spec)),
            _ => None,
        };
        self.writes().into_iter().filter_map(of_route).collect()
    }

    /// Every update made through the port, oldest first.
    #[must_use]
    pub fn writes(&self) -> Vec<(ResourcePath, Spec)> {
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
        let update = Update {
            resource: ResourcePath::Route(write.route.clone()),
            owner: write.mesh_owner.as_ref(),
            spec: Spec::Route(write.spec.clone()),
            if_version: write.if_version,
            token: &write.client_token,
        };
        self.0.write("update route", &write.route, |meshes| meshes.update(update)).await
    }
}

#[async_trait]
impl MeshWriter for MemoryMesh {
    async fn update_mesh(&self, write: &MeshWrite) -> Result<Written, PortError> {
        let update = Update {
            resource: ResourcePath::Mesh(write.mesh.clone()),
            owner: None,
            spec: Spec::Mesh(write.spec.clone()),
            if_version: write.if_version,
            token: &write.client_token,
        };
        self.0.write("update mesh", &write.mesh, |meshes| meshes.update(update)).await
    }

    async fn update_virtual_node(&self, write: &VirtualNodeWrite) -> Result<Written, PortError> {
        let resource = ResourcePath::VirtualNode(write.mesh.clone(), write.virtual_node.clone());
        let update = Update {
            resource: resource.clone(),
            owner: write.mesh_owner.as_ref(),
            spec: Spec::VirtualNode(write.spec.clone()),
            if_version: write.if_version,
            token: &write.client_token,
        };
        self.0.write("update virtual node", &resource, |meshes| meshes.update(update)).await
    }

    async fn update_virtual_gateway(&self, write: &VirtualGatewayWrite) -> Result<Written, PortError> {
        let resource = ResourcePath::VirtualGateway(write.mesh.clone(), write.virtual_gateway.clone());
        let update = Update {
            resource: resource.clone(),
            owner: write.mesh_owner.as_ref(),
            spec: Spec::VirtualGateway(write.spec.clone()),
            if_version: write.if_version,
            token: &write.client_token,
        };
        self.0.write("update virtual gateway", &resource, |meshes| meshes.update(update)).await
    }
}

#[async_trait]
impl TagWriter for MemoryMesh {
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

    fn update(&mut self, update: Update<'_>) -> Result<Written, PortError> {
        let Update { resource: path, owner, spec, if_version, token } = update;
        let missing = || PortError::new(format!("update {path}"), PortErrorKind::NotFound, "no such resource");
        if let Some(used) = self.tokens.get(token) {
            let same = used.resource == path && used.spec == spec;
            return Ok(if same { written(if_version, used.version) } else { Written::Superseded });
        }
        let (ignores_versions, caller) = (self.ignores_versions, self.caller.clone());
        let resource = self
            .resources
            .get(&path)
            .filter(|resource| owner.is_none_or(|owner| *owner == resource.metadata().mesh_owner))
            .ok_or_else(missing)?;
        if resource.metadata().version.get().unsigned_abs() != if_version && !ignores_versions {
            return Ok(Written::Superseded);
        }
        admission::admit(&self.resources, &path, &spec)?;
        let resource = self.resources.get_mut(&path).ok_or_else(missing)?;
        let version = replace(resource, spec.clone(), caller.as_deref()).ok_or_else(missing)?;
        self.tokens.insert(token.to_owned(), Used { resource: path.clone(), spec: spec.clone(), version });
        self.updates.push((path, spec));
        Ok(written(if_version, version))
    }
}

fn written(if_version: u64, version: u64) -> Written {
    if version == if_version + 1 { Written::Applied { version } } else { Written::Overwrote { version } }
}

/// Sets a resource's spec and the caller that wrote it, and increases its version; `None` if the spec has another kind.
fn replace(resource: &mut Resource, spec: Spec, caller: Option<&str>) -> Option<u64> {
    let metadata = match (resource, spec) {
        (Resource::Mesh(data), Spec::Mesh(spec)) => put(&mut data.spec, spec, &mut data.metadata),
        (Resource::VirtualNode(data), Spec::VirtualNode(spec)) => put(&mut data.spec, spec, &mut data.metadata),
        (Resource::VirtualGateway(data), Spec::VirtualGateway(spec)) => put(&mut data.spec, spec, &mut data.metadata),
        (Resource::VirtualRouter(data), Spec::VirtualRouter(spec)) => put(&mut data.spec, spec, &mut data.metadata),
        (Resource::Route(data), Spec::Route(spec)) => put(&mut data.spec, spec, &mut data.metadata),
        (Resource::VirtualService(data), Spec::VirtualService(spec)) => put(&mut data.spec, spec, &mut data.metadata),
        (Resource::GatewayRoute(data), Spec::GatewayRoute(spec)) => put(&mut data.spec, spec, &mut data.metadata),
        _ => return None,
    };
    metadata.set_written_by(caller);
    let version: Int<0, { i64::MAX }> = metadata.version;
    metadata.version = Int::new(version.get().saturating_add(1)).unwrap_or(version);
    Some(metadata.version.get().unsigned_abs())
}

fn put<'a, T>(place: &mut T, spec: T, metadata: &'a mut Metadata) -> &'a mut Metadata {
    *place = spec;
    metadata
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

/// The names in a resource's body.
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
