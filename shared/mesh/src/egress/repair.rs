//! What mends the egress of a mesh, and what each repair would cut.

use std::fmt;

use serde::Serialize;

use super::set::{Egresses, Outlet, Reach};
use crate::change::Change;
use crate::graph::{Links, Mesh};
use crate::harm::{Harm, harms};
use crate::name::{ResourcePath, VirtualServiceName};
use crate::policy::EgressPolicy;
use crate::spec::EgressFilterType;

/// Traffic that leaves a mesh before a change and doesn't after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// Whose traffic.
    pub from: ResourcePath,
    /// What it calls. The name is a host name, and while everything may leave, a name without a virtual service behind
    /// it is called all the same.
    pub to: VirtualServiceName,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} would no longer reach {}", self.from, self.to)
    }
}

/// What a change would cut, in order: names that are called past the mesh while everything may leave, and backends that
/// lead somewhere.
#[must_use]
pub fn cuts(before: &Mesh, after: &Mesh, policy: &EgressPolicy) -> Vec<Cut> {
    let (links, links_after) = (Links::of(before), Links::of(after));
    let (was, will) = (Egresses::of(before, &links, policy), Egresses::of(after, &links_after, policy));
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
                found.push(Cut { from, to: (*service).clone() });
            }
        }
    }
    found.sort();
    found
}

/// A repair, and whether it is safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    /// What would be done.
    pub change: Change,
    /// What it would cut; it is safe only when this and `harms` are empty.
    pub cuts: Vec<Cut>,
    /// What else it would break.
    pub harms: Vec<Harm>,
}

impl Repair {
    /// Judges a change by what the mesh would be with it; `None` when it can't be made.
    #[must_use]
    pub fn of(change: Change, mesh: &Mesh, policy: &EgressPolicy) -> Option<Self> {
        let mut after = mesh.clone();
        change.apply(&mut after).ok()?;
        let routes: Vec<_> = mesh.routes().map(|(id, _)| id).collect();
        let (cuts, harms) = (cuts(mesh, &after, policy), harms(mesh, &after, &routes));
        Some(Self { change, cuts, harms })
    }

    /// Whether nothing that the model knows of is cut or broken by it.
    #[must_use]
    pub const fn is_safe(&self) -> bool {
        self.cuts.is_empty() && self.harms.is_empty()
    }
}

/// Every repair of a mesh's egress, each judged on its own: closing an open filter, and taking off backends that name
/// no virtual service where the policy says so.
#[must_use]
pub fn repairs(mesh: &Mesh, policy: &EgressPolicy) -> Vec<Repair> {
    let open = mesh.spec.as_ref().and_then(|spec| spec.egress_filter.as_ref());
    let close = open
        .filter(|filter| filter.filter == EgressFilterType::AllowAll)
        .map(|_| Change::SetEgressFilter { mesh: mesh.name.clone(), filter: EgressFilterType::DropAll });
    let mut repairs: Vec<Repair> = close.into_iter().filter_map(|change| Repair::of(change, mesh, policy)).collect();
    if policy.remove_dangling {
        for (name, node) in &mesh.nodes {
            for service in node.backend_services().filter(|service| !mesh.services.contains_key(*service)) {
                let (virtual_node, virtual_service) = (name.clone(), service.clone());
                let change = Change::RemoveBackend { mesh: mesh.name.clone(), virtual_node, virtual_service };
                // A name without a service behind it leads nowhere in the mesh, and past it only where the filter, not
                // the backend, lets it.
                repairs.push(Repair { change, cuts: Vec::new(), harms: Vec::new() });
            }
        }
    }
    repairs
}
