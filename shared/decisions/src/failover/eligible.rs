//! The targets that may receive the share of a node that a drill or a rollback drains.

use jiff::Timestamp;

use super::candidate::{CandidatePlan, ReceiverRule};
use super::facts::{Facts, RouteFacts};
use super::input::{Allocations, DecisionInput};
use super::reason::{HoldReason, Ineligible};
use super::route_state::{RouteState, RouteStateError, route_state};
use crate::weights::{Phase, Receivers};
use mesh::name::VirtualNodeName;
use policy::Policy;

/// The targets of a route that may receive more traffic, by the rules of a failover.
#[derive(Clone, Debug, PartialEq)]
pub struct EligibleTargets {
    /// The targets that may receive traffic, standbys first.
    pub receivers: Receivers,
    /// The obstacle of each other target.
    pub others: Vec<Ineligible>,
}

/// Determines the targets of a route that may receive the share of `drained`, a node that is about to be drained; `None`
/// for a rollback, which drains no node.
///
/// # Errors
///
/// Returns a hold if the stored record of the route cannot be read, or is newer than the route that was read.
pub fn eligible_targets(
    facts: &Facts,
    route: &RouteFacts,
    drained: Option<&VirtualNodeName>,
    policy: &Policy,
    now: Timestamp,
) -> Result<EligibleTargets, HoldReason> {
    let no_harms = |_: &mesh::name::RouteId, _: &mesh::split::WeightSplit| Vec::new();
    let input = DecisionInput::new(facts, &no_harms, policy, now);
    let state: RouteState = route_state(route, policy, now).map_err(|error| match error {
        RouteStateError::Unreadable(why) => HoldReason::RecordUnreadable { why },
        RouteStateError::Stale { known } => HoldReason::StaleRead { read: route.version, known },
    })?;
    let mut candidate = CandidatePlan::new(&state);
    if let Some(node) = drained {
        candidate.shift.phases.insert(node.clone(), Phase::drained(now));
    }
    let (ready, others) = candidate.receivers(route, &input, &Allocations::new(facts), ReceiverRule::KnownReady);
    Ok(EligibleTargets { receivers: Receivers { ready, present: route.split.clone() }, others })
}
