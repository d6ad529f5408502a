//! The steps in which the route configurations of a virtual gateway change.
//!
//! The ingress side of a gateway names a target, and its egress side has the routes for that name. A request passes both
//! sides, and Envoy applies the two route configurations one after the other. So that each target that the ingress side
//! names always has routes, a change is sent in up to three steps:
//!
//! ```text
//!   ingress side    egress side
//!   former          former
//!   former          former and new targets     1. sent at once
//!   new             former and new targets     2. sent when 1 is acknowledged
//!   new             new                        3. sent some time after 2 is acknowledged
//! ```
//!
//! Step 1 is left out if the egress side gets no target, and step 3 if it loses none. If the ingress side does not change,
//! there is only one step. The third step waits for requests that the former ingress side has sent on their way: an
//! acknowledgement does not say that every worker thread of the proxy has finished those. The caller measures that time.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use prost::Message as _;

use crate::resource::{Resource, ResourceType};
use crate::snapshot::Snapshot;
use crate::translate::bridge;

/// The route configurations of a client, for the next step.
#[derive(Debug, Clone, Copy)]
pub(super) struct RouteSteps<'a> {
    /// The acknowledged route configurations, by name.
    pub(super) held: &'a BTreeMap<String, Resource>,
    /// Whether the inner ones that were sent last have targets that only the former outer ones name.
    pub(super) keeps_former: bool,
}

/// A step towards the route configurations of a snapshot.
#[derive(Debug)]
pub(super) struct Step {
    /// The snapshot with the route configurations to send.
    pub(super) snapshot: Snapshot,
    /// Whether the inner ones have targets that the snapshot lacks.
    pub(super) keeps_former: bool,
    /// Whether the client has everything but the removal of those targets.
    pub(super) lingers: bool,
}

impl Step {
    /// The step in which all route configurations are those of the snapshot.
    pub(super) fn whole(snapshot: &Snapshot) -> Self {
        Self { snapshot: snapshot.clone(), keeps_former: false, lingers: false }
    }
}

impl RouteSteps<'_> {
    /// The next step to a snapshot, for a client that subscribes to the names that `includes` accepts.
    pub(super) fn next(self, snapshot: &Snapshot, includes: impl Fn(&str) -> bool) -> Step {
        let routes = || snapshot.of(ResourceType::Route).filter(|(name, _)| includes(name));
        if !routes().any(|(_, resource)| resource.is_inner_routes()) {
            return Step::whole(snapshot);
        }
        // A client that does not have an outer one yet sends no requests by it.
        let changes = |(name, resource): &(&String, &Resource)| {
            !resource.is_inner_routes() && self.held.get(*name).is_some_and(|held| held.version() != resource.version())
        };
        let outer_changes = routes().any(|entry| changes(&entry));
        if !outer_changes && !self.keeps_former {
            return Step::whole(snapshot);
        }
        let mut next: BTreeMap<String, Resource> =
            snapshot.of(ResourceType::Route).map(|(name, resource)| (name.clone(), resource.clone())).collect();
        let (mut adds, mut keeps_former) = (false, false);
        for (name, wanted) in routes().filter(|(_, resource)| resource.is_inner_routes()) {
            let Some(held) = self.held.get(name) else { continue };
            let bridged = bridged(held, wanted);
            adds |= bridged.version() != held.version();
            keeps_former |= bridged.version() != wanted.version();
            next.insert(name.clone(), bridged);
        }
        if adds {
            for (name, _) in routes().filter(changes) {
                next.extend(self.held.get(name).map(|held| (name.clone(), held.clone())));
            }
        }
        Step { snapshot: snapshot.with_routes(next), keeps_former, lingers: keeps_former && !adds && !outer_changes }
    }
}

/// The inner route configuration with the targets of both: one of the two if that has them all.
fn bridged(held: &Resource, wanted: &Resource) -> Resource {
    let decode = |resource: &Resource| RouteConfiguration::decode(resource.body());
    let (Ok(former), Ok(new)) = (decode(held), decode(wanted)) else { return wanted.clone() };
    let both = bridge(&former, &new);
    if both == new {
        wanted.clone()
    } else if both == former {
        held.clone()
    } else {
        Resource::encode(&both).into_inner_routes()
    }
}
