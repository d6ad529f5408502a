//! The repairs of a mesh's egress, and the traffic that each repair would cut.

use std::fmt;

use serde::Serialize;

use super::set::{Egresses, Outlet, Reach};
use mesh::change::Change;
use mesh::graph::{Links, Mesh};
use mesh::harm::{Harm, harms};
use mesh::name::{ResourcePath, VirtualServiceName};
use mesh::spec::EgressFilterType;
use policy::EgressPolicy;

/// Traffic that can leave a mesh before a change and not after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressCut {
    /// The caller.
    pub from: ResourcePath,
    /// The called host. With an open egress filter, a backend without a virtual service may be called by its host name.
    pub to: VirtualServiceName,
}

impl fmt::Display for EgressCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} would no longer reach {}", self.from, self.to)
    }
}

/// The traffic that a change would cut, in order: names that may be called through an open filter, and backends
/// with a target.
#[must_use]
pub fn cuts(before: &Mesh, after: &Mesh, policy: &EgressPolicy) -> Vec<EgressCut> {
    let (links, links_after) = (Links::new(before), Links::new(after));
    let (was, will) = (Egresses::new(before, &links, policy), Egresses::new(after, &links_after, policy));
    let mut found = Vec::new();
    for name in before.nodes.keys() {
        let (Some(was), Some(will)) = (was.node(name), will.node(name)) else { continue };
        if will.outlet == Outlet::Open {
            continue;
        }
        for (service, reach) in &was.services {
            let led = match reach {
                Reach::Mesh | Reach::External { .. } => true,
                Reach::Nothing | Reach::Dangling => was.outlet != Outlet::Closed,
            };
            let leads = matches!(will.services.get(service), Some(Reach::Mesh | Reach::External { .. }));
            if led && !leads {
                let from = ResourcePath::VirtualNode(before.name.clone(), name.clone());
                found.push(EgressCut { from, to: (*service).clone() });
            }
        }
    }
    found.sort();
    found
}

/// A repair, with its effects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    /// The change.
    pub change: Change,
    /// The traffic that it would cut; the repair is safe only if this and `harms` are empty.
    pub cuts: Vec<EgressCut>,
    /// The other harms.
    pub harms: Vec<Harm>,
}

impl Repair {
    /// Evaluates a change by the mesh after it; `None` if it cannot be applied.
    #[must_use]
    pub fn evaluate(change: Change, mesh: &Mesh, policy: &EgressPolicy) -> Option<Self> {
        let mut after = mesh.clone();
        change.apply(&mut after).ok()?;
        let routes: Vec<_> = mesh.routes().map(|(id, _)| id).collect();
        let (cuts, harms) = (cuts(mesh, &after, policy), harms(mesh, &after, &routes));
        Some(Self { change, cuts, harms })
    }

    /// Whether the model finds no cut and no harm.
    #[must_use]
    pub const fn is_safe(&self) -> bool {
        self.cuts.is_empty() && self.harms.is_empty()
    }
}

/// Every repair of a mesh's egress, each evaluated on its own: closing an open filter, and removing backends without a
/// virtual service if the policy permits it.
#[must_use]
pub fn repairs(mesh: &Mesh, policy: &EgressPolicy) -> Vec<Repair> {
    let open = mesh.spec.as_ref().and_then(|spec| spec.egress_filter.as_ref());
    let close = open
        .filter(|filter| filter.filter == EgressFilterType::AllowAll)
        .map(|_| Change::SetEgressFilter { mesh: mesh.name.clone(), filter: EgressFilterType::DropAll });
    let mut repairs: Vec<Repair> =
        close.into_iter().filter_map(|change| Repair::evaluate(change, mesh, policy)).collect();
    if policy.remove_dangling {
        for (name, node) in &mesh.nodes {
            for service in node.backend_services().filter(|service| !mesh.services.contains_key(*service)) {
                let (virtual_node, virtual_service) = (name.clone(), service.clone());
                let change = Change::RemoveBackend { mesh: mesh.name.clone(), virtual_node, virtual_service };
                // A backend without a virtual service has no target in the mesh; only the open filter permits calls
                // outside.
                repairs.push(Repair { change, cuts: Vec::new(), harms: Vec::new() });
            }
        }
    }
    repairs
}
