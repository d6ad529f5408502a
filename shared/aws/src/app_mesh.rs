//! The mesh ports over the App Mesh API.

mod identity;
mod list;
mod proxies;
mod raw;
mod resources;
mod tokens;
mod write;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_appmesh::Client;
use aws_sdk_appmesh::types::TagRef;
use mesh::name::{AccountId, MeshName, ResourceKind, ResourcePath, RouteId};
use mesh::resource::{Resource, Tags};
use ports::{Described, MeshReader, PortError, PortErrorKind, ResourceRef};
use serde_json::Value;

use crate::call::call;
pub(crate) use identity::PresentIdentity;
use raw::{INCLUDE, KeepBody, TAGS};
pub use tokens::{IssuedNodeToken, NodeTokenRequest};

/// Meshes in the App Mesh API, or in a compatible control plane.
#[derive(Clone, Debug)]
pub struct AppMesh {
    client: Client,
    owners: Arc<Mutex<BTreeMap<MeshName, AccountId>>>,
}

impl AppMesh {
    /// Creates an adapter that uses this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, owners: Arc::default() }
    }

    /// Sets the account that owns a mesh, so that a mesh shared from another account is found. Listing the meshes sets
    /// the owners too.
    pub fn know_owner(&self, mesh: MeshName, owner: AccountId) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).insert(mesh, owner);
    }

    fn owner(&self, mesh: &MeshName) -> Option<String> {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.get(mesh).map(|owner| owner.as_str().to_owned())
    }
}

impl AppMesh {
    /// Describes a resource and returns the body unchanged. It includes the tags if `with_tags` is set and the server
    /// supports that.
    async fn described(&self, path: &ResourcePath, with_tags: bool) -> Result<KeepBody, PortError> {
        let what = || format!("describe {path}");
        let (mesh, owner, kept) = (path.mesh().as_str(), self.owner(path.mesh()), KeepBody::default());
        macro_rules! describe {
            ($operation:ident $(, $name:ident = $value:expr)*) => {{
                let request = self.client.$operation().mesh_name(mesh).set_mesh_owner(owner)$(.$name($value.as_str()))*;
                let request = request.customize().interceptor(kept.clone()).mutate_request(move |request| {
                    if with_tags {
                        request.headers_mut().insert(INCLUDE, TAGS);
                    }
                });
                call(what, request.send()).await.map(drop)
            }};
        }
        match path {
            ResourcePath::Mesh(_) => describe!(describe_mesh),
            ResourcePath::VirtualNode(_, node) => describe!(describe_virtual_node, virtual_node_name = node),
            ResourcePath::VirtualGateway(_, gateway) => {
                describe!(describe_virtual_gateway, virtual_gateway_name = gateway)
            }
            ResourcePath::VirtualRouter(_, router) => describe!(describe_virtual_router, virtual_router_name = router),
            ResourcePath::Route(RouteId { router, route, .. }) => {
                describe!(describe_route, virtual_router_name = router, route_name = route)
            }
            ResourcePath::VirtualService(_, service) => {
                describe!(describe_virtual_service, virtual_service_name = service)
            }
            ResourcePath::GatewayRoute(_, gateway, route) => {
                describe!(describe_gateway_route, virtual_gateway_name = gateway, gateway_route_name = route)
            }
        }?;
        Ok(kept)
    }
}

#[async_trait]
impl MeshReader for AppMesh {
    async fn meshes(&self) -> Result<Vec<ResourceRef>, PortError> {
        let meshes = list::meshes(&self.client).await?;
        for mesh in &meshes {
            self.know_owner(mesh.path.mesh().clone(), mesh.mesh_owner.clone());
        }
        Ok(meshes)
    }

    async fn list(&self, parent: &ResourcePath, kind: ResourceKind) -> Result<Vec<ResourceRef>, PortError> {
        list::children(&self.client, parent, kind, self.owner(parent.mesh())).await
    }

    async fn describe(&self, path: &ResourcePath) -> Result<Resource, PortError> {
        let kept = self.described(path, false).await?;
        resource(path.kind(), &kept, || format!("describe {path}"))
    }

    async fn describe_with_tags(&self, path: &ResourcePath) -> Result<Described, PortError> {
        let what = || format!("describe {path}");
        let kept = self.described(path, true).await?;
        let mut body = json_of(&kept, what)?;
        let tags = body.as_object_mut().and_then(|members| members.remove(TAGS));
        let resource = resource_of(path.kind(), &body, &kept, what)?;
        let tags = match tags {
            Some(tags) => pairs(&tags).ok_or_else(|| unreadable(what, "its tags are not a list of keys and values")),
            // The server does not support the request for tags in a description.
            None => self.tags(&resource.metadata().arn.to_string()).await,
        };
        let tags = tags.and_then(|tags| Tags::read(tags).map_err(|error| unreadable(what, &error)));
        Ok(Described { resource, tags })
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError> {
        let pages = self
            .client
            .list_tags_for_resource()
            .resource_arn(arn)
            .into_paginator()
            .stop_on_duplicate_token(false)
            .items()
            .send();
        let tags: Vec<TagRef> = call(|| format!("list tags of {arn}"), pages.collect::<Result<_, _>>()).await?;
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }
}

/// Parses the stored body, with every member in it.
fn resource(kind: ResourceKind, kept: &KeepBody, what: impl Fn() -> String + Copy) -> Result<Resource, PortError> {
    resource_of(kind, &json_of(kept, what)?, kept, what)
}

fn json_of(kept: &KeepBody, what: impl Fn() -> String) -> Result<Value, PortError> {
    serde_json::from_slice(&kept.body()).map_err(|error| unreadable(what, &error.to_string()))
}

fn resource_of(
    kind: ResourceKind,
    body: &Value,
    kept: &KeepBody,
    what: impl Fn() -> String,
) -> Result<Resource, PortError> {
    let mut resource = Resource::read(kind, body).map_err(|violations| {
        unreadable(what, &violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    resource.metadata_mut().set_written_by(kept.written_by().as_deref());
    Ok(resource)
}

/// Converts tags from the API's list of pairs.
fn pairs(tags: &Value) -> Option<BTreeMap<String, String>> {
    let text = |tag: &Value, member: &str| Some(tag.get(member)?.as_str()?.to_owned());
    tags.as_array()?.iter().map(|tag| Some((text(tag, "key")?, text(tag, "value")?))).collect()
}

fn unreadable(what: impl Fn() -> String, why: &str) -> PortError {
    PortError::new(what(), PortErrorKind::Other, format!("the response of App Mesh can't be read: {why}"))
}
