//! The mesh ports over the App Mesh API.

mod list;
mod proxies;
mod raw;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_appmesh::Client;
use aws_sdk_appmesh::operation::update_route::UpdateRouteError;
use aws_sdk_appmesh::types::{RouteSpec, TagRef};
use mesh::name::{AccountId, MeshName, ResourceKind, ResourcePath, RouteId};
use mesh::resource::Resource;
use ports::{MeshReader, PortError, PortErrorKind, ResourceRef, RouteWrite, RouteWriter, Written};
use serde_json::{Value, json};

use crate::call::{call, classify, within_deadline};
use raw::{KeepBody, SendBody};

/// Meshes as the App Mesh API, or whoever answers in its place, has them.
#[derive(Clone, Debug)]
pub struct AppMesh {
    client: Client,
    owners: Arc<Mutex<BTreeMap<MeshName, AccountId>>>,
}

impl AppMesh {
    /// Meshes behind this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, owners: Arc::default() }
    }

    /// Says whose mesh this is, so that a mesh shared from another account is found. Listing the meshes tells it too.
    pub fn know_owner(&self, mesh: MeshName, owner: AccountId) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).insert(mesh, owner);
    }

    fn owner(&self, mesh: &MeshName) -> Option<String> {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.get(mesh).map(|owner| owner.as_str().to_owned())
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
        let what = || format!("describe {path}");
        let (mesh, owner, kept) = (path.mesh().as_str(), self.owner(path.mesh()), KeepBody::default());
        macro_rules! describe {
            ($operation:ident $(, $name:ident = $value:expr)*) => {{
                let request = self.client.$operation().mesh_name(mesh).set_mesh_owner(owner)$(.$name($value.as_str()))*;
                call(what, request.customize().interceptor(kept.clone()).send()).await.map(drop)
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
        resource(path.kind(), &kept, what)
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, PortError> {
        let pages = self.client.list_tags_for_resource().resource_arn(arn).into_paginator().items().send();
        let tags: Vec<TagRef> = call(|| format!("list tags of {arn}"), pages.collect::<Result<_, _>>()).await?;
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }
}

#[async_trait]
impl RouteWriter for AppMesh {
    async fn update_route(&self, write: &RouteWrite) -> Result<Written, PortError> {
        let RouteWrite { route, mesh_owner, spec, if_version, client_token } = write;
        let what = || format!("update route {route}");
        let body = json!({ "clientToken": client_token, "spec": spec }).to_string().into_bytes();
        let kept = KeepBody::default();
        let request = self
            .client
            .update_route()
            .mesh_name(route.mesh.as_str())
            .virtual_router_name(route.router.as_str())
            .route_name(route.route.as_str())
            .set_mesh_owner(
                mesh_owner.as_ref().map(|owner| owner.as_str().to_owned()).or_else(|| self.owner(&route.mesh)),
            )
            .client_token(client_token)
            // Required by the typed input, and replaced with the real one on the way out.
            .spec(RouteSpec::builder().build())
            .customize()
            .interceptor(kept.clone())
            .interceptor(SendBody { body, if_version: *if_version });
        match within_deadline(what, request.send()).await? {
            Ok(_) => match resource(ResourceKind::Route, &kept, what)?.metadata().version.get().unsigned_abs() {
                version if version == if_version + 1 => Ok(Written::Applied { version }),
                version => Ok(Written::Overwrote { version }),
            },
            Err(error) if error.as_service_error().is_some_and(UpdateRouteError::is_conflict_exception) => {
                Ok(Written::Superseded)
            }
            Err(error) => Err(classify(what(), error)),
        }
    }

    async fn tag(&self, arn: &str, tags: &BTreeMap<String, String>) -> Result<(), PortError> {
        let what = || format!("tag {arn}");
        let tag = |(key, value): (&String, &String)| TagRef::builder().key(key).value(value).build();
        let tags: Result<Vec<_>, _> = tags.iter().map(tag).collect();
        let tags = tags.map_err(|error| PortError::new(what(), PortErrorKind::Other, error.to_string()))?;
        call(what, self.client.tag_resource().resource_arn(arn).set_tags(Some(tags)).send()).await.map(drop)
    }

    async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), PortError> {
        let request = self.client.untag_resource().resource_arn(arn).set_tag_keys(Some(keys.to_vec()));
        call(|| format!("untag {arn}"), request.send()).await.map(drop)
    }
}

/// Reads the body that was kept, with every member that it has.
fn resource(kind: ResourceKind, kept: &KeepBody, what: impl Fn() -> String) -> Result<Resource, PortError> {
    let unreadable =
        |why: String| PortError::new(what(), PortErrorKind::Other, format!("the answer can't be read: {why}"));
    let body: Value = serde_json::from_slice(&kept.body()).map_err(|error| unreadable(error.to_string()))?;
    Resource::read(kind, &body)
        .map_err(|violations| unreadable(violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}
