//! Creates, replaces and deletes resources of every kind.

use async_trait::async_trait;
use aws_sdk_appmesh::types::{GatewayRouteSpec, RouteSpec, VirtualNodeSpec, VirtualRouterSpec, VirtualServiceSpec};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use mesh::name::{ResourceKind, ResourcePath, RouteId};
use ports::{
    CreationOutcome, DeletionOutcome, PortError, PortErrorKind, ResourceCreation, ResourceDeletion, ResourceUpdate,
    ResourceWriter, Written,
};
use serde_json::{Map, Value, json};

use super::raw::{IF_VERSION, KeepBody, SendBody};
use super::write::any_gateway;
use super::{AppMesh, resource};
use crate::call::{Failed, classify, within_deadline};

/// The code of an error for a version that differs, or for a resource that exists.
const CONFLICT: &str = "ConflictException";

/// A failed write, with the service's own code.
struct FailedWrite {
    code: Option<String>,
    error: PortError,
}

impl FailedWrite {
    fn is_conflict(&self) -> bool {
        self.code.as_deref() == Some(CONFLICT)
    }
}

/// Removes the operation's own types from the result of a call.
fn outcome<T, E>(what: impl Fn() -> String, answer: Result<T, Failed<E>>) -> Result<(), FailedWrite>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    answer.map(drop).map_err(|failed| {
        let code = failed.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
        FailedWrite { code, error: classify(what(), failed) }
    })
}

/// Sends a request with our own body, and keeps the response.
macro_rules! send {
    ($what:ident, $sent:ident, $kept:ident, $request:expr) => {{
        let request = $request.customize().interceptor($kept.clone()).interceptor($sent);
        outcome($what, within_deadline($what, request.send()).await?)
    }};
}

/// Sends a deletion, on the condition of a version.
macro_rules! delete {
    ($what:ident, $version:ident, $request:expr) => {{
        let request = $request.customize().mutate_request(move |request| {
            request.headers_mut().insert(IF_VERSION, $version.clone());
        });
        outcome($what, within_deadline($what, request.send()).await?)
    }};
}

#[async_trait]
impl ResourceWriter for AppMesh {
    async fn create_resource(&self, write: &ResourceCreation) -> Result<CreationOutcome, PortError> {
        let ResourceCreation { path, spec, tags, client_token } = write;
        let what = || format!("create {path}");
        let (mesh, owner, kept) = (path.mesh().as_str(), self.owner(path.mesh()), KeepBody::default());
        let mut body = Map::from_iter([
            (own_name(path.kind()).to_owned(), json!(path.name())),
            ("clientToken".to_owned(), json!(client_token)),
            ("spec".to_owned(), spec.to_json()),
        ]);
        if !tags.is_empty() {
            let tags: Value = tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
            body.insert("tags".to_owned(), tags);
        }
        let sent = SendBody { body: Value::Object(body).to_string().into_bytes(), if_version: 0 };
        // The typed inputs require names and specs. `SendBody` replaces them with the real ones.
        let client = &self.client;
        let answer = match path {
            ResourcePath::Mesh(_) => send!(what, sent, kept, client.create_mesh().mesh_name(mesh)),
            ResourcePath::VirtualNode(_, node) => {
                let request = client.create_virtual_node().mesh_name(mesh).set_mesh_owner(owner);
                let spec = VirtualNodeSpec::builder().build();
                send!(what, sent, kept, request.virtual_node_name(node.as_str()).spec(spec))
            }
            ResourcePath::VirtualGateway(_, gateway) => {
                let request = client.create_virtual_gateway().mesh_name(mesh).set_mesh_owner(owner);
                send!(what, sent, kept, request.virtual_gateway_name(gateway.as_str()).spec(any_gateway()?))
            }
            ResourcePath::VirtualRouter(_, router) => {
                let request = client.create_virtual_router().mesh_name(mesh).set_mesh_owner(owner);
                let spec = VirtualRouterSpec::builder().build();
                send!(what, sent, kept, request.virtual_router_name(router.as_str()).spec(spec))
            }
            ResourcePath::VirtualService(_, service) => {
                let request = client.create_virtual_service().mesh_name(mesh).set_mesh_owner(owner);
                let spec = VirtualServiceSpec::builder().build();
                send!(what, sent, kept, request.virtual_service_name(service.as_str()).spec(spec))
            }
            ResourcePath::Route(RouteId { router, route, .. }) => {
                let request = client.create_route().mesh_name(mesh).set_mesh_owner(owner);
                let request = request.virtual_router_name(router.as_str()).route_name(route.as_str());
                send!(what, sent, kept, request.spec(RouteSpec::builder().build()))
            }
            ResourcePath::GatewayRoute(_, gateway, route) => {
                let request = client.create_gateway_route().mesh_name(mesh).set_mesh_owner(owner);
                let request = request.virtual_gateway_name(gateway.as_str()).gateway_route_name(route.as_str());
                send!(what, sent, kept, request.spec(GatewayRouteSpec::builder().build()))
            }
        };
        match answer {
            Ok(()) => Ok(CreationOutcome::Created),
            Err(failed) if failed.is_conflict() => Ok(CreationOutcome::AlreadyExists),
            Err(failed) => Err(failed.error),
        }
    }

    async fn update_resource(&self, write: &ResourceUpdate) -> Result<Written, PortError> {
        let ResourceUpdate { path, spec, if_version, client_token } = write;
        let what = || format!("update {path}");
        let (mesh, owner, kept) = (path.mesh().as_str(), self.owner(path.mesh()), KeepBody::default());
        let body = json!({"clientToken": client_token, "spec": spec.to_json()}).to_string().into_bytes();
        let sent = SendBody { body, if_version: *if_version };
        let client = &self.client;
        let answer = match path {
            ResourcePath::Mesh(_) => send!(what, sent, kept, client.update_mesh().mesh_name(mesh)),
            ResourcePath::VirtualNode(_, node) => {
                let request = client.update_virtual_node().mesh_name(mesh).set_mesh_owner(owner);
                let spec = VirtualNodeSpec::builder().build();
                send!(what, sent, kept, request.virtual_node_name(node.as_str()).spec(spec))
            }
            ResourcePath::VirtualGateway(_, gateway) => {
                let request = client.update_virtual_gateway().mesh_name(mesh).set_mesh_owner(owner);
                send!(what, sent, kept, request.virtual_gateway_name(gateway.as_str()).spec(any_gateway()?))
            }
            ResourcePath::VirtualRouter(_, router) => {
                let request = client.update_virtual_router().mesh_name(mesh).set_mesh_owner(owner);
                let spec = VirtualRouterSpec::builder().build();
                send!(what, sent, kept, request.virtual_router_name(router.as_str()).spec(spec))
            }
            ResourcePath::VirtualService(_, service) => {
                let request = client.update_virtual_service().mesh_name(mesh).set_mesh_owner(owner);
                let spec = VirtualServiceSpec::builder().build();
                send!(what, sent, kept, request.virtual_service_name(service.as_str()).spec(spec))
            }
            ResourcePath::Route(RouteId { router, route, .. }) => {
                let request = client.update_route().mesh_name(mesh).set_mesh_owner(owner);
                let request = request.virtual_router_name(router.as_str()).route_name(route.as_str());
                send!(what, sent, kept, request.spec(RouteSpec::builder().build()))
            }
            ResourcePath::GatewayRoute(_, gateway, route) => {
                let request = client.update_gateway_route().mesh_name(mesh).set_mesh_owner(owner);
                let request = request.virtual_gateway_name(gateway.as_str()).gateway_route_name(route.as_str());
                send!(what, sent, kept, request.spec(GatewayRouteSpec::builder().build()))
            }
        };
        match answer {
            Ok(()) => match resource(path.kind(), &kept, what)?.metadata().version.get().unsigned_abs() {
                version if version == if_version + 1 => Ok(Written::Applied { version }),
                version => Ok(Written::Overwrote { version }),
            },
            Err(failed) if failed.is_conflict() => Ok(Written::Superseded),
            Err(failed) => Err(failed.error),
        }
    }

    async fn delete_resource(&self, write: &ResourceDeletion) -> Result<DeletionOutcome, PortError> {
        let ResourceDeletion { path, if_version } = write;
        let what = || format!("delete {path}");
        let (mesh, owner, version) = (path.mesh().as_str(), self.owner(path.mesh()), if_version.to_string());
        let client = &self.client;
        let answer = match path {
            ResourcePath::Mesh(_) => delete!(what, version, client.delete_mesh().mesh_name(mesh)),
            ResourcePath::VirtualNode(_, node) => {
                let request = client.delete_virtual_node().mesh_name(mesh).set_mesh_owner(owner);
                delete!(what, version, request.virtual_node_name(node.as_str()))
            }
            ResourcePath::VirtualGateway(_, gateway) => {
                let request = client.delete_virtual_gateway().mesh_name(mesh).set_mesh_owner(owner);
                delete!(what, version, request.virtual_gateway_name(gateway.as_str()))
            }
            ResourcePath::VirtualRouter(_, router) => {
                let request = client.delete_virtual_router().mesh_name(mesh).set_mesh_owner(owner);
                delete!(what, version, request.virtual_router_name(router.as_str()))
            }
            ResourcePath::VirtualService(_, service) => {
                let request = client.delete_virtual_service().mesh_name(mesh).set_mesh_owner(owner);
                delete!(what, version, request.virtual_service_name(service.as_str()))
            }
            ResourcePath::Route(RouteId { router, route, .. }) => {
                let request = client.delete_route().mesh_name(mesh).set_mesh_owner(owner);
                delete!(what, version, request.virtual_router_name(router.as_str()).route_name(route.as_str()))
            }
            ResourcePath::GatewayRoute(_, gateway, route) => {
                let request = client.delete_gateway_route().mesh_name(mesh).set_mesh_owner(owner);
                let request = request.virtual_gateway_name(gateway.as_str());
                delete!(what, version, request.gateway_route_name(route.as_str()))
            }
        };
        match answer {
            Ok(()) => Ok(DeletionOutcome::Deleted),
            Err(failed) if failed.error.kind == PortErrorKind::NotFound => Ok(DeletionOutcome::AlreadyDeleted),
            Err(failed) if failed.is_conflict() => Ok(DeletionOutcome::Superseded),
            Err(failed) => Err(failed.error),
        }
    }
}

/// The API's member for a resource's own name.
const fn own_name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Mesh => "meshName",
        ResourceKind::VirtualNode => "virtualNodeName",
        ResourceKind::VirtualGateway => "virtualGatewayName",
        ResourceKind::VirtualRouter => "virtualRouterName",
        ResourceKind::Route => "routeName",
        ResourceKind::VirtualService => "virtualServiceName",
        ResourceKind::GatewayRoute => "gatewayRouteName",
    }
}
