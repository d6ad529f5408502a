//! Whole resources in the form of API responses: names, metadata, spec and status.

mod metadata;
mod tags;

use crate::spec::shapes::structure;
use serde_json::Value;

use crate::name::{
    GatewayRouteName, MeshName, ResourceKind, ResourcePath, RouteId, RouteName, VirtualGatewayName, VirtualNodeName,
    VirtualRouterName, VirtualServiceName,
};
use crate::spec::wire::{Reader, UnknownMembers, Wire};
use crate::spec::{
    GatewayRouteSpec, MeshSpec, RouteSpec, Spec, Violation, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec,
    VirtualServiceSpec,
};

pub use metadata::{Epoch, Metadata, Status, StatusCode};
pub use tags::{Tag, Tags, TooManyTags};

structure! {
    /// A mesh.
    pub struct MeshData {
        /// Its name.
        "meshName" => mesh_name: MeshName,
        /// The metadata that the service sets.
        "metadata" => metadata: Metadata,
        /// The spec that the owner sets.
        "spec" => spec: MeshSpec,
        /// The status.
        "status" => status: Status,
    }
}

structure! {
    /// A virtual node.
    pub struct VirtualNodeData {
        /// Its mesh.
        "meshName" => mesh_name: MeshName,
        /// Its name.
        "virtualNodeName" => virtual_node_name: VirtualNodeName,
        /// The metadata that the service sets.
        "metadata" => metadata: Metadata,
        /// The spec that the owner sets.
        "spec" => spec: VirtualNodeSpec,
        /// The status.
        "status" => status: Status,
    }
}

structure! {
    /// A virtual gateway.
    pub struct VirtualGatewayData {
        /// Its mesh.
        "meshName" => mesh_name: MeshName,
        /// Its name.
        "virtualGatewayName" => virtual_gateway_name: VirtualGatewayName,
        /// The metadata that the service sets.
        "metadata" => metadata: Metadata,
        /// The spec that the owner sets.
        "spec" => spec: VirtualGatewaySpec,
        /// The status.
        "status" => status: Status,
    }
}

structure! {
    /// A virtual router.
    pub struct VirtualRouterData {
        /// Its mesh.
        "meshName" => mesh_name: MeshName,
        /// Its name.
        "virtualRouterName" => virtual_router_name: VirtualRouterName,
        /// The metadata that the service sets.
        "metadata" => metadata: Metadata,
        /// The spec that the owner sets.
        "spec" => spec: VirtualRouterSpec,
        /// The status.
        "status" => status: Status,
    }
}

structure! {
    /// A route.
    pub struct RouteData {
        /// Its mesh.
        "meshName" => mesh_name: MeshName,
        /// Its virtual router.
        "virtualRouterName" => virtual_router_name: VirtualRouterName,
        /// Its name.
        "routeName" => route_name: RouteName,
        /// The metadata that the service sets.
        "metadata" => metadata: Metadata,
        /// The spec that the owner sets.
        "spec" => spec: RouteSpec,
        /// The status.
        "status" => status: Status,
    }
}

structure! {
    /// A virtual service.
    pub struct VirtualServiceData {
        /// Its mesh.
        "meshName" => mesh_name: MeshName,
        /// Its name.
        "virtualServiceName" => virtual_service_name: VirtualServiceName,
        /// The metadata that the service sets.
        "metadata" => metadata: Metadata,
        /// The spec that the owner sets.
        "spec" => spec: VirtualServiceSpec,
        /// The status.
        "status" => status: Status,
    }
}

structure! {
    /// A gateway route.
    pub struct GatewayRouteData {
        /// Its mesh.
        "meshName" => mesh_name: MeshName,
        /// Its virtual gateway.
        "virtualGatewayName" => virtual_gateway_name: VirtualGatewayName,
        /// Its name.
        "gatewayRouteName" => gateway_route_name: GatewayRouteName,
        /// The metadata that the service sets.
        "metadata" => metadata: Metadata,
        /// The spec that the owner sets.
        "spec" => spec: GatewayRouteSpec,
        /// The status.
        "status" => status: Status,
    }
}

/// A resource of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A mesh.
    Mesh(MeshData),
    /// A virtual node.
    VirtualNode(VirtualNodeData),
    /// A virtual gateway.
    VirtualGateway(VirtualGatewayData),
    /// A virtual router.
    VirtualRouter(VirtualRouterData),
    /// A route.
    Route(RouteData),
    /// A virtual service.
    VirtualService(VirtualServiceData),
    /// A gateway route.
    GatewayRoute(GatewayRouteData),
}

impl Resource {
    /// Reads the body of a single-resource response leniently: the bare object, without a wrapper.
    pub fn read(kind: ResourceKind, body: &Value) -> Result<Self, Vec<Violation>> {
        let root = kind.as_str();
        match kind {
            ResourceKind::Mesh => Reader::document(body, root, UnknownMembers::Keep).map(Self::Mesh),
            ResourceKind::VirtualNode => Reader::document(body, root, UnknownMembers::Keep).map(Self::VirtualNode),
            ResourceKind::VirtualGateway => {
                Reader::document(body, root, UnknownMembers::Keep).map(Self::VirtualGateway)
            }
            ResourceKind::VirtualRouter => Reader::document(body, root, UnknownMembers::Keep).map(Self::VirtualRouter),
            ResourceKind::Route => Reader::document(body, root, UnknownMembers::Keep).map(Self::Route),
            ResourceKind::VirtualService => {
                Reader::document(body, root, UnknownMembers::Keep).map(Self::VirtualService)
            }
            ResourceKind::GatewayRoute => Reader::document(body, root, UnknownMembers::Keep).map(Self::GatewayRoute),
        }
    }

    /// The body as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let written = match self {
            Self::Mesh(data) => data.write(),
            Self::VirtualNode(data) => data.write(),
            Self::VirtualGateway(data) => data.write(),
            Self::VirtualRouter(data) => data.write(),
            Self::Route(data) => data.write(),
            Self::VirtualService(data) => data.write(),
            Self::GatewayRoute(data) => data.write(),
        };
        written.unwrap_or_default()
    }

    /// The path of the resource.
    #[must_use]
    pub fn path(&self) -> ResourcePath {
        match self {
            Self::Mesh(data) => ResourcePath::Mesh(data.mesh_name.clone()),
            Self::VirtualNode(data) => {
                ResourcePath::VirtualNode(data.mesh_name.clone(), data.virtual_node_name.clone())
            }
            Self::VirtualGateway(data) => {
                ResourcePath::VirtualGateway(data.mesh_name.clone(), data.virtual_gateway_name.clone())
            }
            Self::VirtualRouter(data) => {
                ResourcePath::VirtualRouter(data.mesh_name.clone(), data.virtual_router_name.clone())
            }
            Self::Route(data) => ResourcePath::Route(RouteId::new(
                data.mesh_name.clone(),
                data.virtual_router_name.clone(),
                data.route_name.clone(),
            )),
            Self::VirtualService(data) => {
                ResourcePath::VirtualService(data.mesh_name.clone(), data.virtual_service_name.clone())
            }
            Self::GatewayRoute(data) => ResourcePath::GatewayRoute(
                data.mesh_name.clone(),
                data.virtual_gateway_name.clone(),
                data.gateway_route_name.clone(),
            ),
        }
    }

    /// The metadata that the service sets.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        match self {
            Self::Mesh(data) => &data.metadata,
            Self::VirtualNode(data) => &data.metadata,
            Self::VirtualGateway(data) => &data.metadata,
            Self::VirtualRouter(data) => &data.metadata,
            Self::Route(data) => &data.metadata,
            Self::VirtualService(data) => &data.metadata,
            Self::GatewayRoute(data) => &data.metadata,
        }
    }

    /// The metadata, to set what a response carries outside its body.
    pub const fn metadata_mut(&mut self) -> &mut Metadata {
        match self {
            Self::Mesh(data) => &mut data.metadata,
            Self::VirtualNode(data) => &mut data.metadata,
            Self::VirtualGateway(data) => &mut data.metadata,
            Self::VirtualRouter(data) => &mut data.metadata,
            Self::Route(data) => &mut data.metadata,
            Self::VirtualService(data) => &mut data.metadata,
            Self::GatewayRoute(data) => &mut data.metadata,
        }
    }

    /// The spec that the owner sets.
    #[must_use]
    pub fn into_spec(self) -> Spec {
        match self {
            Self::Mesh(data) => Spec::Mesh(data.spec),
            Self::VirtualNode(data) => Spec::VirtualNode(data.spec),
            Self::VirtualGateway(data) => Spec::VirtualGateway(data.spec),
            Self::VirtualRouter(data) => Spec::VirtualRouter(data.spec),
            Self::Route(data) => Spec::Route(data.spec),
            Self::VirtualService(data) => Spec::VirtualService(data.spec),
            Self::GatewayRoute(data) => Spec::GatewayRoute(data.spec),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(kind: ResourceKind, names: &Value, spec: &Value) -> Value {
        let mut body = names.clone();
        body["metadata"] = json!({
            "arn": format!("arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualService/{kind}"),
            "createdAt": 1_700_000_000.125, "lastUpdatedAt": 1_700_000_001,
            "meshOwner": "123456789012", "resourceOwner": "210987654321",
            "uid": "0d8f1a7e-0000-4000-8000-000000000001", "version": 3,
        });
        body["spec"] = spec.clone();
        body["status"] = json!({"status": "ACTIVE", "since": "a newer API"});
        body
    }

    #[test]
    fn every_kind_is_read_and_written_back() {
        let route = json!({"tcpRoute": {"action": {"weightedTargets": [{"virtualNode": "a", "weight": 1}]}}});
        let gateway_route = json!({"grpcRoute": {"match": {"serviceName": "s"},
            "action": {"target": {"virtualService": {"virtualServiceName": "s.local"}}}}});
        let table = [
            (ResourceKind::Mesh, json!({"meshName": "shop"}), json!({}), "mesh/shop"),
            (
                ResourceKind::VirtualNode,
                json!({"meshName": "shop", "virtualNodeName": "orders"}),
                json!({}),
                "mesh/shop/virtualNode/orders",
            ),
            (
                ResourceKind::VirtualGateway,
                json!({"meshName": "shop", "virtualGatewayName": "edge"}),
                json!({"listeners": []}),
                "mesh/shop/virtualGateway/edge",
            ),
            (
                ResourceKind::VirtualRouter,
                json!({"meshName": "shop", "virtualRouterName": "orders"}),
                json!({}),
                "mesh/shop/virtualRouter/orders",
            ),
            (
                ResourceKind::Route,
                json!({"meshName": "shop", "virtualRouterName": "orders", "routeName": "all"}),
                route,
                "mesh/shop/virtualRouter/orders/route/all",
            ),
            (
                ResourceKind::VirtualService,
                json!({"meshName": "shop", "virtualServiceName": "orders.local"}),
                json!({}),
                "mesh/shop/virtualService/orders.local",
            ),
            (
                ResourceKind::GatewayRoute,
                json!({"meshName": "shop", "virtualGatewayName": "edge", "gatewayRouteName": "root"}),
                gateway_route,
                "mesh/shop/virtualGateway/edge/gatewayRoute/root",
            ),
        ];
        for (kind, names, spec, path) in table {
            let body = body(kind, &names, &spec);
            let resource = Resource::read(kind, &body).unwrap();
            assert_eq!(resource.to_json(), body);
            assert_eq!(resource.path().to_string(), path);
            assert_eq!(resource.metadata().version.get(), 3);
            assert_eq!(resource.into_spec().to_json(), spec);
        }
    }

    #[test]
    fn a_broken_body_names_every_member() {
        let mut body = body(ResourceKind::Mesh, &json!({"meshName": ""}), &json!({}));
        body["metadata"]["meshOwner"] = json!("12");
        body["metadata"]["createdAt"] = json!("yesterday");
        let violations = Resource::read(ResourceKind::Mesh, &body).unwrap_err();
        let paths: Vec<_> = violations.iter().map(|violation| violation.path.as_str()).collect();
        assert_eq!(paths, ["mesh.meshName", "mesh.metadata.createdAt", "mesh.metadata.meshOwner"]);
    }
}
