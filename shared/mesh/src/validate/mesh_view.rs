//! The resources of one mesh, looked up by name.

use crate::graph::Mesh;
use crate::name::{
    GatewayRouteName, MeshName, RouteName, VirtualGatewayName, VirtualNodeName, VirtualRouterName, VirtualServiceName,
};
use crate::spec::{
    GatewayRouteSpec, RouteSpec, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec, VirtualServiceSpec,
};

/// A route with the router that it is in.
pub type RouteEntry<'m> = (&'m VirtualRouterName, &'m RouteName, &'m RouteSpec);

/// A gateway route with the gateway that it is in.
pub type GatewayRouteEntry<'m> = (&'m VirtualGatewayName, &'m GatewayRouteName, &'m GatewayRouteSpec);

/// The resources of one mesh, looked up by name.
pub trait MeshView {
    /// The name of the mesh.
    fn mesh(&self) -> &MeshName;
    /// A virtual node.
    fn node(&self, name: &VirtualNodeName) -> Option<&VirtualNodeSpec>;
    /// A virtual router.
    fn router(&self, name: &VirtualRouterName) -> Option<&VirtualRouterSpec>;
    /// A virtual gateway.
    fn gateway(&self, name: &VirtualGatewayName) -> Option<&VirtualGatewaySpec>;
    /// A virtual service.
    fn service(&self, name: &VirtualServiceName) -> Option<&VirtualServiceSpec>;
    /// The routes of a router, or of all routers.
    fn routes<'v>(&'v self, router: Option<&'v VirtualRouterName>) -> impl Iterator<Item = RouteEntry<'v>>;
    /// The gateway routes of a gateway, or of all gateways.
    fn gateway_routes<'v>(
        &'v self,
        gateway: Option<&'v VirtualGatewayName>,
    ) -> impl Iterator<Item = GatewayRouteEntry<'v>>;
}

impl MeshView for Mesh {
    fn mesh(&self) -> &MeshName {
        &self.name
    }

    fn node(&self, name: &VirtualNodeName) -> Option<&VirtualNodeSpec> {
        self.nodes.get(name)
    }

    fn router(&self, name: &VirtualRouterName) -> Option<&VirtualRouterSpec> {
        self.routers.get(name)?.spec.as_ref()
    }

    fn gateway(&self, name: &VirtualGatewayName) -> Option<&VirtualGatewaySpec> {
        self.gateways.get(name)?.spec.as_ref()
    }

    fn service(&self, name: &VirtualServiceName) -> Option<&VirtualServiceSpec> {
        self.services.get(name)
    }

    fn routes<'v>(&'v self, router: Option<&'v VirtualRouterName>) -> impl Iterator<Item = RouteEntry<'v>> {
        let routers = self.routers.iter().filter(move |(name, _)| router.is_none_or(|router| router == *name));
        routers.flat_map(|(router, entry)| entry.routes.iter().map(move |(name, spec)| (router, name, spec)))
    }

    fn gateway_routes<'v>(
        &'v self,
        gateway: Option<&'v VirtualGatewayName>,
    ) -> impl Iterator<Item = GatewayRouteEntry<'v>> {
        let gateways = self.gateways.iter().filter(move |(name, _)| gateway.is_none_or(|gateway| gateway == *name));
        gateways.flat_map(|(gateway, entry)| entry.routes.iter().map(move |(name, spec)| (gateway, name, spec)))
    }
}
