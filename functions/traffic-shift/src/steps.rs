//! The write of a route's weights.

use mesh::change::Change;
use mesh::resource::RouteData;
use ports::{PortError, PortErrorKind, RouteWrite, Written};
use rollouts::RoutePlan;

use crate::Ports;

/// The result of the steps of a plan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Done {
    /// The split was in place: only the layers changed.
    AlreadyInPlace,
    /// The write was made or was superseded.
    Written(Written),
}

/// Writes the weights of a plan to the route as it was read. The same write sent twice is made once.
pub(crate) async fn set_weights(ports: &Ports, plan: &RoutePlan, route: &RouteData) -> Result<Done, PortError> {
    if plan.from == plan.to {
        return Ok(Done::AlreadyInPlace);
    }
    let change = Change::SetRouteWeights { route: plan.route.clone(), split: plan.to.clone() };
    let mut spec = route.spec.clone();
    change.apply_to_spec(&mut spec).map_err(|error| {
        PortError::new(format!("change route {}", plan.route), PortErrorKind::Other, error.to_string())
    })?;
    let metadata = &route.metadata;
    let is_shared = metadata.mesh_owner != metadata.resource_owner;
    let write = RouteWrite {
        route: plan.route.clone(),
        mesh_owner: is_shared.then(|| metadata.mesh_owner.clone()),
        spec,
        if_version: plan.version,
        client_token: plan.id.clone(),
    };
    ports.routes.update_route(&write).await.map(Done::Written)
}
