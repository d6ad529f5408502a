//! Whether a spec fits what is there: the quotas on its parts, what it refers to, what it is in, what is in it.

use mesh::name::{ResourcePath, VirtualNodeName};
use mesh::spec::{GatewayRouteSpec, Port, RouteSpec, Spec, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec};
use mesh::validate::{self, Violation};

use super::{Collection, State, ValidSpec};
use crate::error::ApiError;
use crate::quotas::Quota;

impl State {
    /// Passes if a resource at this path may have this spec.
    pub(super) fn fits(&self, path: &ResourcePath, spec: &ValidSpec) -> Result<(), ApiError> {
        self.keeps_quotas(path, spec.spec())?;
        self.refers_to_what_exists(path, spec)?;
        let fits = match spec.spec() {
            Spec::Route(route) => self.route_fits(path, route),
            Spec::GatewayRoute(route) => self.gateway_route_fits(path, route),
            Spec::VirtualRouter(router) => self.routes_fit(path, router),
            Spec::Mesh(_) | Spec::VirtualNode(_) | Spec::VirtualGateway(_) | Spec::VirtualService(_) => Ok(()),
        };
        fits.map_err(|violations| ApiError::Invalid { violations })
    }

    fn keeps_quotas(&self, path: &ResourcePath, spec: &Spec) -> Result<(), ApiError> {
        let (quota, count) = match spec {
            Spec::VirtualNode(node) => (Quota::Backends, node.backends.as_ref().map_or(0, Vec::len)),
            Spec::Route(route) => {
                let targets = route.rule.action().map_or(0, |action| action.weighted_targets.len());
                (Quota::WeightedTargets, targets)
            }
            Spec::Mesh(_)
            | Spec::VirtualGateway(_)
            | Spec::VirtualRouter(_)
            | Spec::VirtualService(_)
            | Spec::GatewayRoute(_) => return Ok(()),
        };
        self.within(quota, count, || path.to_string())
    }

    fn refers_to_what_exists(&self, path: &ResourcePath, spec: &ValidSpec) -> Result<(), ApiError> {
        match spec.references().iter().find(|target| self.find(target).is_none()) {
            Some(target) => Err(ApiError::DanglingReference { path: path.clone(), target: Box::new(target.clone()) }),
            None => Ok(()),
        }
    }

    /// The route names a listener of its router and listeners of its targets, where they have several.
    fn route_fits(&self, path: &ResourcePath, route: &RouteSpec) -> Result<(), Vec<Violation>> {
        if let Some(router) = Collection::of(path).parent().and_then(|parent| self.router(&parent)) {
            validate::route_against_router(route, router)?;
        }
        for target in route.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter()) {
            if let Some(node) = self.node(path, &target.virtual_node) {
                validate::route_against_node(route, &target.virtual_node, node)?;
            }
        }
        Ok(())
    }

    /// Every route that the router has fits the router's new listeners. App Mesh let them change freely only while
    /// there were no routes.
    fn routes_fit(&self, path: &ResourcePath, router: &VirtualRouterSpec) -> Result<(), Vec<Violation>> {
        let inside = Collection::under(path).and_then(|inside| self.collections.get(&inside));
        for resource in inside.into_iter().flat_map(|inside| inside.values()) {
            let Spec::Route(route) = resource.spec.spec() else {
                continue;
            };
            validate::route_against_router(route, router).map_err(|violations| {
                let of_route = |violation: Violation| Violation {
                    path: "spec.listeners".to_owned(),
                    message: format!("must fit {}, whose {violation}", resource.path),
                };
                violations.into_iter().map(of_route).collect::<Vec<_>>()
            })?;
        }
        Ok(())
    }

    /// The gateway route names a listener of its gateway and one of what provides its service, where they have several.
    fn gateway_route_fits(&self, path: &ResourcePath, route: &GatewayRouteSpec) -> Result<(), Vec<Violation>> {
        if let Some(gateway) = Collection::of(path).parent().and_then(|parent| self.gateway(&parent)) {
            validate::gateway_route_against_gateway(route, gateway)?;
        }
        let service = route.rule.target().map(|target| {
            let name = target.virtual_service.virtual_service_name.clone();
            ResourcePath::VirtualService(path.mesh().clone(), name)
        });
        match service {
            Some(service) => validate::gateway_route_against_provider(route, &self.provider_ports(&service)),
            None => Ok(()),
        }
    }

    /// The ports on which a virtual service's provider listens.
    fn provider_ports(&self, service: &ResourcePath) -> Vec<Port> {
        let provider = self.find(service).and_then(|service| self.find(service.spec.references().first()?));
        match provider.map(|provider| provider.spec.spec()) {
            Some(Spec::VirtualNode(node)) => {
                node.listeners().iter().map(|listener| listener.port_mapping.port).collect()
            }
            Some(Spec::VirtualRouter(router)) => {
                router.listeners().iter().map(|listener| listener.port_mapping.port).collect()
            }
            _ => Vec::new(),
        }
    }

    fn node(&self, near: &ResourcePath, name: &VirtualNodeName) -> Option<&VirtualNodeSpec> {
        let path = ResourcePath::VirtualNode(near.mesh().clone(), name.clone());
        match self.find(&path)?.spec.spec() {
            Spec::VirtualNode(node) => Some(node),
            _ => None,
        }
    }

    fn router(&self, path: &ResourcePath) -> Option<&VirtualRouterSpec> {
        match self.find(path)?.spec.spec() {
            Spec::VirtualRouter(router) => Some(router),
            _ => None,
        }
    }

    fn gateway(&self, path: &ResourcePath) -> Option<&VirtualGatewaySpec> {
        match self.find(path)?.spec.spec() {
            Spec::VirtualGateway(gateway) => Some(gateway),
            _ => None,
        }
    }
}
