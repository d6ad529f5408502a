//! Lists resources, over all pages.

use aws_sdk_appmesh::Client;
use mesh::name::{AccountId, NameError, ResourceKind, ResourcePath, RouteId};
use ports::{PortError, PortErrorKind, ResourceRef};

use crate::call::call;

/// Every mesh that the caller can see.
pub(super) async fn meshes(client: &Client) -> Result<Vec<ResourceRef>, PortError> {
    let what = || "list meshes".to_owned();
    let pages = client.list_meshes().into_paginator().stop_on_duplicate_token(false).items().send();
    let refs: Vec<_> = call(what, pages.collect::<Result<_, _>>()).await?;
    let refs = refs.into_iter().map(|found| {
        reference(ResourcePath::Mesh(found.mesh_name.parse()?), found.arn, found.version, &found.mesh_owner)
    });
    readable(refs, what)
}

/// Every resource of a kind directly below `parent`.
pub(super) async fn children(
    client: &Client,
    parent: &ResourcePath,
    kind: ResourceKind,
    owner: Option<String>,
) -> Result<Vec<ResourceRef>, PortError> {
    let what = || format!("list {kind} of {parent}");
    macro_rules! list {
        ($operation:ident $(.$parent:ident($value:expr))*, |$found:ident| $path:expr) => {{
            let request = client.$operation().mesh_name(parent.mesh().as_str()).set_mesh_owner(owner)$(.$parent($value))*;
            let pages = request.into_paginator().stop_on_duplicate_token(false).items().send();
            let refs: Vec<_> = call(what, pages.collect::<Result<_, _>>()).await?;
            let refs = refs.into_iter().map(|$found| {
                let path = $path;
                reference(path, $found.arn, $found.version, &$found.mesh_owner)
            });
            readable(refs, what)
        }};
    }
    match (parent, kind) {
        (ResourcePath::Mesh(mesh), ResourceKind::VirtualNode) => {
            list!(list_virtual_nodes, |found| ResourcePath::VirtualNode(mesh.clone(), found.virtual_node_name.parse()?))
        }
        (ResourcePath::Mesh(mesh), ResourceKind::VirtualGateway) => {
            list!(list_virtual_gateways, |found| {
                ResourcePath::VirtualGateway(mesh.clone(), found.virtual_gateway_name.parse()?)
            })
        }
        (ResourcePath::Mesh(mesh), ResourceKind::VirtualRouter) => {
            list!(list_virtual_routers, |found| {
                ResourcePath::VirtualRouter(mesh.clone(), found.virtual_router_name.parse()?)
            })
        }
        (ResourcePath::Mesh(mesh), ResourceKind::VirtualService) => {
            list!(list_virtual_services, |found| {
                ResourcePath::VirtualService(mesh.clone(), found.virtual_service_name.parse()?)
            })
        }
        (ResourcePath::VirtualRouter(mesh, router), ResourceKind::Route) => {
            list!(list_routes.virtual_router_name(router.as_str()), |found| {
                ResourcePath::Route(RouteId::new(mesh.clone(), router.clone(), found.route_name.parse()?))
            })
        }
        (ResourcePath::VirtualGateway(mesh, gateway), ResourceKind::GatewayRoute) => {
            list!(list_gateway_routes.virtual_gateway_name(gateway.as_str()), |found| {
                ResourcePath::GatewayRoute(mesh.clone(), gateway.clone(), found.gateway_route_name.parse()?)
            })
        }
        _ => Ok(Vec::new()),
    }
}

fn reference(path: ResourcePath, arn: String, version: i64, owner: &str) -> Result<ResourceRef, NameError> {
    Ok(ResourceRef { path, arn, version: version.unsigned_abs(), mesh_owner: AccountId::parse(owner)? })
}

/// Rejects a list with an invalid name: a resource that is left out would look deleted.
fn readable(
    refs: impl Iterator<Item = Result<ResourceRef, NameError>>,
    what: impl Fn() -> String,
) -> Result<Vec<ResourceRef>, PortError> {
    refs.collect::<Result<_, _>>().map_err(|error| {
        PortError::new(what(), PortErrorKind::Other, format!("the response of App Mesh can't be read: {error}"))
    })
}
