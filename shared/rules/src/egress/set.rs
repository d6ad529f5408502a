//! The hosts and services that a proxy can reach.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use mesh::graph::{Links, Mesh};
use mesh::name::{VirtualGatewayName, VirtualNodeName, VirtualServiceName};
use mesh::spec::{EgressFilterType, ServiceDiscovery};
use policy::EgressPolicy;

/// The hosts that every proxy can reach, independent of the mesh: any host below `amazonaws.com` on port 443.
pub const ALWAYS_OPEN: &str = "*.amazonaws.com";

/// The hosts and services that a proxy can reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Egress<'m> {
    /// Whether the mesh permits connections without a backend.
    pub outlet: Outlet,
    /// The virtual services that it names, each with its targets.
    pub services: BTreeMap<&'m VirtualServiceName, Reach<'m>>,
}

impl<'m> Egress<'m> {
    /// The outside hosts that it reaches by name, each with the first virtual service for it.
    #[must_use]
    pub fn external(&self) -> BTreeMap<&'m str, &'m VirtualServiceName> {
        external(self.services.iter().map(|(service, reach)| (*service, reach)))
    }
}

/// The outside hosts of some virtual services, each with the first virtual service for it.
pub(crate) fn external<'s, 'm: 's>(
    services: impl Iterator<Item = (&'m VirtualServiceName, &'s Reach<'m>)>,
) -> BTreeMap<&'m str, &'m VirtualServiceName> {
    let mut hosts = BTreeMap::new();
    for (service, reach) in services {
        if let Reach::External { hosts: of_service } = reach {
            for host in of_service {
                hosts.entry(*host).or_insert(service);
            }
        }
    }
    hosts
}

/// Whether a mesh permits connections without a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outlet {
    /// Yes: its egress filter is `ALLOW_ALL`.
    Open,
    /// No: its egress filter is `DROP_ALL`, or is absent.
    Closed,
    /// Its egress filter has an unknown type, which may permit them.
    Unknown,
}

impl Outlet {
    /// Reads the egress filter of a mesh.
    #[must_use]
    pub fn new(mesh: &Mesh) -> Self {
        let filter = mesh.spec.as_ref().and_then(|spec| spec.egress_filter.as_ref());
        match filter.map(|filter| &filter.filter) {
            Some(EgressFilterType::AllowAll) => Self::Open,
            Some(EgressFilterType::DropAll) | None => Self::Closed,
            Some(EgressFilterType::Unrecognised(_)) => Self::Unknown,
        }
    }
}

/// The targets of a virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reach", rename_all = "kebab-case")]
pub enum Reach<'m> {
    /// Virtual nodes of the mesh.
    Mesh,
    /// Outside hosts.
    External {
        /// The host names.
        hosts: BTreeSet<&'m str>,
    },
    /// None: it has no provider, or a provider without targets.
    Nothing,
    /// None: the virtual service does not exist.
    Dangling,
}

/// The egress of all proxies of a mesh; the targets of each virtual service are computed once.
#[derive(Debug)]
pub struct Egresses<'m> {
    mesh: &'m Mesh,
    outlet: Outlet,
    /// By virtual service; missing services are not included.
    reaches: Vec<(&'m VirtualServiceName, Reach<'m>)>,
}

impl<'m> Egresses<'m> {
    /// Computes the egress of a mesh.
    #[must_use]
    pub fn new(mesh: &'m Mesh, links: &Links<'m>, policy: &EgressPolicy) -> Self {
        let reaches = links.services.iter().enumerate().map(|(number, (name, service))| {
            let reach = service.map_or(Reach::Dangling, |_| reach(links, policy, number));
            (name, reach)
        });
        Self { mesh, outlet: Outlet::new(mesh), reaches: reaches.collect() }
    }

    /// Whether the mesh permits connections without a backend.
    #[must_use]
    pub const fn outlet(&self) -> Outlet {
        self.outlet
    }

    /// The egress of a virtual node; `None` if it does not exist in the mesh.
    #[must_use]
    pub fn node(&self, name: &VirtualNodeName) -> Option<Egress<'m>> {
        Some(self.through(self.mesh.nodes.get(name)?.backend_services()))
    }

    /// The egress of a virtual gateway; `None` if it does not exist in the mesh.
    #[must_use]
    pub fn gateway(&self, name: &VirtualGatewayName) -> Option<Egress<'m>> {
        let targets = self.mesh.gateways.get(name)?.routes.values().filter_map(|route| route.rule.target());
        Some(self.through(targets.map(|target| &target.virtual_service.virtual_service_name)))
    }

    /// The targets of a virtual service.
    #[must_use]
    pub fn reach(&self, service: &VirtualServiceName) -> Reach<'m> {
        let found = self.reaches.binary_search_by_key(&service, |(name, _)| *name).ok();
        found.and_then(|number| self.behind(number)).map_or(Reach::Dangling, |(_, reach)| reach.clone())
    }

    /// The virtual service of a number, with its targets.
    pub(crate) fn behind(&self, service: usize) -> Option<(&'m VirtualServiceName, &Reach<'m>)> {
        self.reaches.get(service).map(|(name, reach)| (*name, reach))
    }

    fn through(&self, services: impl Iterator<Item = &'m VirtualServiceName>) -> Egress<'m> {
        let services = services.map(|service| (service, self.reach(service))).collect();
        Egress { outlet: self.outlet, services }
    }
}

fn reach<'m>(links: &Links<'m>, policy: &EgressPolicy, service: usize) -> Reach<'m> {
    let mut hosts = BTreeSet::new();
    let mut nodes = 0;
    for node in links.nodes_behind(service).iter().filter_map(|node| links.nodes.get(*node)) {
        nodes += 1;
        if let Some(ServiceDiscovery::Dns(dns)) = &node.service_discovery
            && policy.is_external(&dns.hostname)
        {
            hosts.insert(dns.hostname.as_str());
        }
    }
    match (nodes, hosts.is_empty()) {
        (0, _) => Reach::Nothing,
        (_, true) => Reach::Mesh,
        (_, false) => Reach::External { hosts },
    }
}
