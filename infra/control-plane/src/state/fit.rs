//! Checks of a spec against the stored resources: quotas on its parts, its references, and the resources that refer
//! to it.

use mesh::name::{MeshName, ResourcePath, VirtualGatewayName, VirtualNodeName, VirtualRouterName, VirtualServiceName};
use mesh::spec::{Spec, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec, VirtualServiceSpec};
use mesh::validate::{self, GatewayRouteEntry, MeshView, RouteEntry};

use super::{Collection, Resource, State, ValidSpec};
use crate::error::ApiError;
use crate::quotas::Quota;

impl State {
    /// Passes if a resource at this path may have this spec.
    pub(super) fn fits(&self, path: &ResourcePath, spec: &ValidSpec) -> Result<(), ApiError> {
        let Some(read) = spec.spec() else {
            return Err(ApiError::invalid("spec", "is stored in a form that this release cannot read; send it again"));
        };
        self.keeps_quotas(path, read)?;
        self.references_exist(path, spec)?;
        let violations = validate::broken_by(&InMesh { state: self, mesh: path.mesh() }, path, read);
        if violations.is_empty() { Ok(()) } else { Err(ApiError::Invalid { violations }) }
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

    fn references_exist(&self, path: &ResourcePath, spec: &ValidSpec) -> Result<(), ApiError> {
        match spec.references().iter().find(|target| self.find(target).is_none()) {
            Some(target) => Err(ApiError::DanglingReference { path: path.clone(), target: Box::new(target.clone()) }),
            None => Ok(()),
        }
    }

    /// The resources of one collection, or of all collections that `among` accepts.
    fn members_of<'s>(
        &'s self,
        one: Option<Collection>,
        among: impl Fn(&Collection) -> bool + 's,
    ) -> impl Iterator<Item = &'s Resource> {
        let all = one.is_none();
        let one = one.and_then(|one| self.collections.get(&one));
        let every = self.collections.iter().filter(move |(collection, _)| all && among(collection));
        one.into_iter().chain(every.map(|(_, members)| members)).flat_map(|members| members.values().map(AsRef::as_ref))
    }
}

/// The stored resources of one mesh.
struct InMesh<'s> {
    state: &'s State,
    mesh: &'s MeshName,
}

/// Finds the spec of a resource of one kind.
macro_rules! stored {
    ($($method:ident($name:ty) -> $spec:ty = $kind:ident;)*) => {$(
        fn $method(&self, name: &$name) -> Option<&$spec> {
            match self.state.find(&ResourcePath::$kind(self.mesh.clone(), name.clone()))?.spec.spec() {
                Some(Spec::$kind(spec)) => Some(spec),
                _ => None,
            }
        }
    )*};
}

impl MeshView for InMesh<'_> {
    fn mesh(&self) -> &MeshName {
        self.mesh
    }

    stored! {
        node(VirtualNodeName) -> VirtualNodeSpec = VirtualNode;
        router(VirtualRouterName) -> VirtualRouterSpec = VirtualRouter;
        gateway(VirtualGatewayName) -> VirtualGatewaySpec = VirtualGateway;
        service(VirtualServiceName) -> VirtualServiceSpec = VirtualService;
    }

    fn routes<'v>(&'v self, router: Option<&'v VirtualRouterName>) -> impl Iterator<Item = RouteEntry<'v>> {
        let one = router.map(|router| Collection::Routes(self.mesh.clone(), router.clone()));
        let members = self
            .state
            .members_of(one, |collection| matches!(collection, Collection::Routes(mesh, _) if mesh == self.mesh));
        members.filter_map(|resource| match (&resource.path, resource.spec.spec()) {
            (ResourcePath::Route(id), Some(Spec::Route(spec))) => Some((&id.router, &id.route, spec)),
            _ => None,
        })
    }

    fn gateway_routes<'v>(
        &'v self,
        gateway: Option<&'v VirtualGatewayName>,
    ) -> impl Iterator<Item = GatewayRouteEntry<'v>> {
        let one = gateway.map(|gateway| Collection::GatewayRoutes(self.mesh.clone(), gateway.clone()));
        let members = self.state.members_of(
            one,
            |collection| matches!(collection, Collection::GatewayRoutes(mesh, _) if mesh == self.mesh),
        );
        members.filter_map(|resource| match (&resource.path, resource.spec.spec()) {
            (ResourcePath::GatewayRoute(_, gateway, name), Some(Spec::GatewayRoute(spec))) => {
                Some((gateway, name, spec))
            }
            _ => None,
        })
    }
}
