//! Writes tags, and specs with the version that they are based on.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_appmesh::operation::update_mesh::UpdateMeshError;
use aws_sdk_appmesh::operation::update_route::UpdateRouteError;
use aws_sdk_appmesh::operation::update_virtual_gateway::UpdateVirtualGatewayError;
use aws_sdk_appmesh::operation::update_virtual_node::UpdateVirtualNodeError;
use aws_sdk_appmesh::types::{RouteSpec, TagRef, VirtualGatewaySpec, VirtualNodeSpec};
use mesh::name::{AccountId, MeshName, ResourceKind};
use ports::{
    MeshWrite, MeshWriter, PortError, PortErrorKind, RouteWrite, RouteWriter, TagWriter, VirtualGatewayWrite,
    VirtualNodeWrite, Written,
};
use serde::Serialize;
use serde_json::json;

use super::raw::{KeepBody, SendBody};
use super::{AppMesh, resource};
use crate::call::{Failed, call, classify, within_deadline};

#[async_trait]
impl RouteWriter for AppMesh {
    async fn update_route(&self, write: &RouteWrite) -> Result<Written, PortError> {
        let RouteWrite { route, mesh_owner, spec, if_version, client_token } = write;
        let (sent, kept) = raw(spec, *if_version, client_token);
        let request = self
            .client
            .update_route()
            .mesh_name(route.mesh.as_str())
            .virtual_router_name(route.router.as_str())
            .route_name(route.route.as_str())
            .set_mesh_owner(self.owner_or(mesh_owner.as_ref(), &route.mesh))
            .client_token(client_token)
            // The typed input requires this spec. `SendBody` replaces it with the real one.
            .spec(RouteSpec::builder().build())
            .customize()
            .interceptor(kept.clone())
            .interceptor(sent);
        let what = || format!("update route {route}");
        let answer = within_deadline(what, request.send()).await?.map(drop);
        written(ResourceKind::Route, *if_version, &kept, answer, UpdateRouteError::is_conflict_exception, what)
    }
}

#[async_trait]
impl MeshWriter for AppMesh {
    async fn update_mesh(&self, write: &MeshWrite) -> Result<Written, PortError> {
        let MeshWrite { mesh, spec, if_version, client_token } = write;
        let (sent, kept) = raw(spec, *if_version, client_token);
        let request = self
            .client
            .update_mesh()
            .mesh_name(mesh.as_str())
            .client_token(client_token)
            .customize()
            .interceptor(kept.clone())
            .interceptor(sent);
        let what = || format!("update mesh {mesh}");
        let answer = within_deadline(what, request.send()).await?.map(drop);
        written(ResourceKind::Mesh, *if_version, &kept, answer, UpdateMeshError::is_conflict_exception, what)
    }

    async fn update_virtual_node(&self, write: &VirtualNodeWrite) -> Result<Written, PortError> {
        let VirtualNodeWrite { mesh, virtual_node, mesh_owner, spec, if_version, client_token } = write;
        let (sent, kept) = raw(spec, *if_version, client_token);
        let request = self
            .client
            .update_virtual_node()
            .mesh_name(mesh.as_str())
            .virtual_node_name(virtual_node.as_str())
            .set_mesh_owner(self.owner_or(mesh_owner.as_ref(), mesh))
            .client_token(client_token)
            .spec(VirtualNodeSpec::builder().build())
            .customize()
            .interceptor(kept.clone())
            .interceptor(sent);
        let what = || format!("update virtual node {mesh}/{virtual_node}");
        let answer = within_deadline(what, request.send()).await?.map(drop);
        let is_conflict = UpdateVirtualNodeError::is_conflict_exception;
        written(ResourceKind::VirtualNode, *if_version, &kept, answer, is_conflict, what)
    }

    async fn update_virtual_gateway(&self, write: &VirtualGatewayWrite) -> Result<Written, PortError> {
        let VirtualGatewayWrite { mesh, virtual_gateway, mesh_owner, spec, if_version, client_token } = write;
        let (sent, kept) = raw(spec, *if_version, client_token);
        let request = self
            .client
            .update_virtual_gateway()
            .mesh_name(mesh.as_str())
            .virtual_gateway_name(virtual_gateway.as_str())
            .set_mesh_owner(self.owner_or(mesh_owner.as_ref(), mesh))
            .client_token(client_token)
            .spec(any_gateway()?)
            .customize()
            .interceptor(kept.clone())
            .interceptor(sent);
        let what = || format!("update virtual gateway {mesh}/{virtual_gateway}");
        let answer = within_deadline(what, request.send()).await?.map(drop);
        let is_conflict = UpdateVirtualGatewayError::is_conflict_exception;
        written(ResourceKind::VirtualGateway, *if_version, &kept, answer, is_conflict, what)
    }
}

#[async_trait]
impl TagWriter for AppMesh {
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

impl AppMesh {
    fn owner_or(&self, given: Option<&AccountId>, mesh: &MeshName) -> Option<String> {
        given.map(|owner| owner.as_str().to_owned()).or_else(|| self.owner(mesh))
    }
}

/// Builds the spec that the typed input requires. `SendBody` replaces it with the real one.
pub(super) fn any_gateway() -> Result<VirtualGatewaySpec, PortError> {
    let built = VirtualGatewaySpec::builder().set_listeners(Some(Vec::new())).build();
    built.map_err(|error| PortError::new("update a virtual gateway", PortErrorKind::Other, error.to_string()))
}

/// Creates the interceptors that send a spec with every member and store the response.
fn raw(spec: &impl Serialize, if_version: u64, client_token: &str) -> (SendBody, KeepBody) {
    let body = json!({ "clientToken": client_token, "spec": spec }).to_string().into_bytes();
    (SendBody { body, if_version }, KeepBody::default())
}

/// Converts the result of an update into its outcome.
pub(super) fn written<E>(
    kind: ResourceKind,
    if_version: u64,
    kept: &KeepBody,
    answer: Result<(), Failed<E>>,
    is_conflict: fn(&E) -> bool,
    what: impl Fn() -> String + Copy,
) -> Result<Written, PortError>
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(()) => match resource(kind, kept, what)?.metadata().version.get().unsigned_abs() {
            version if version == if_version + 1 => Ok(Written::Applied { version }),
            version => Ok(Written::Overwrote { version }),
        },
        Err(error) if error.as_service_error().is_some_and(is_conflict) => Ok(Written::Superseded),
        Err(error) => Err(classify(what(), error)),
    }
}
