//! The failover of a healthy node, as a drill makes it: the routes that give the node weight, and the split of each
//! without it. Receivers, capacity, what-if and the arbiter are those of a failover.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::candidate::{CandidatePlan, ReceiverRule};
use super::facts::{Facts, RouteFacts};
use super::health::Health;
use super::input::{Allocations, DecisionInput};
use super::layer_write::{LayerChange, LayerRefusal, layer_write};
use super::phases::NodeHealthSource as _;
use super::reason::HoldReason;
use super::record::{OwedNote, RouteRecord};
use super::route_state::{RouteStateError, route_state};
use crate::decision::HarmFact;
use crate::weights::{DrillLayer, Receivers};
use mesh::alarm::AlarmName;
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use policy::Policy;

/// The failover of a healthy node, as far as it would work now.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearsal {
    /// The failing nodes of the mesh, each with its alarms in `ALARM`.
    pub failing: BTreeMap<VirtualNodeName, Vec<AlarmName>>,
    /// The routes that give the node weight, or on which a drill drains it.
    pub routes: Vec<RehearsedRoute>,
}

/// A route of a rehearsal.
#[derive(Clone, Debug, PartialEq)]
pub struct RehearsedRoute {
    /// The route.
    pub route: RouteFacts,
    /// Its record, updated with the observed route; or why the route's state is unclear.
    pub record: Result<RouteRecord, HoldReason>,
    /// The targets that may receive the node's share.
    pub receivers: Receivers,
    /// The split without the node, or why a failover would not make it now.
    pub drained: Result<WeightSplit, NotDrained>,
}

/// Why a route cannot be drained now.
#[derive(Clone, Debug, PartialEq)]
pub enum NotDrained {
    /// A failover would hold.
    Hold(HoldReason),
    /// The arbiter does not admit the drill.
    Refused(LayerRefusal),
    /// The split would do harm that no waiver permits.
    Harmful(Vec<HarmFact>),
}

/// Rehearses the failover of a node. `drill` is the layer that the drill would write.
#[must_use]
pub fn rehearse(
    facts: &Facts,
    harms: &dyn Fn(&RouteId, &WeightSplit) -> Vec<HarmFact>,
    policy: &Policy,
    drill: &DrillLayer,
    now: Timestamp,
) -> Rehearsal {
    let input = DecisionInput::new(facts, harms, policy, now);
    let mut allocations = Allocations::new(facts);
    let failing = facts.nodes.iter().filter_map(|node| match input.health(node) {
        Health::Failing { alarms, .. } => Some((node.clone(), alarms)),
        Health::Muted { .. } | Health::Ready { .. } | Health::Unknown { .. } => None,
    });
    let failing = failing.collect();
    let mut routes: Vec<&RouteFacts> = facts.routes.iter().collect();
    routes.sort_by(|one, other| one.id.cmp(&other.id));
    let mut rehearsed = Vec::new();
    for route in routes {
        let state = route_state(route, policy, now);
        let layer = state.as_ref().ok().and_then(|state| state.record.layers.drill.as_ref());
        let is_drilled = layer.is_some_and(|layer| layer.node == drill.node);
        if !is_drilled && route.split.weight_of(&drill.node).unwrap_or_default() == 0 {
            continue;
        }
        let one = match state {
            Err(unclear) => unclear_route(route, &unclear),
            Ok(state) => {
                let candidate = CandidatePlan::new(&state);
                let (mut ready, others) = candidate.receivers(route, &input, &allocations, ReceiverRule::KnownReady);
                ready.retain(|receiver| receiver.node != drill.node);
                let receivers = Receivers { ready, present: route.split.clone() };
                let drained = if receivers.ready.is_empty() {
                    let failing = vec![drill.node.clone()];
                    Err(NotDrained::Hold(HoldReason::NothingEligible { failing, others }))
                } else {
                    drained(route, &state.record, &receivers, drill, &input)
                };
                RehearsedRoute { route: route.clone(), record: Ok(state.record), receivers, drained }
            }
        };
        if let Ok(split) = &one.drained {
            allocations.set(&route.id, split.clone());
        }
        rehearsed.push(one);
    }
    Rehearsal { failing, routes: rehearsed }
}

fn unclear_route(route: &RouteFacts, unclear: &RouteStateError) -> RehearsedRoute {
    let hold = match unclear {
        RouteStateError::Unreadable(why) => HoldReason::RecordUnreadable { why: why.clone() },
        RouteStateError::Stale { known } => HoldReason::StaleRead { read: route.version, known: *known },
    };
    RehearsedRoute {
        route: route.clone(),
        record: Err(hold.clone()),
        receivers: Receivers { ready: Vec::new(), present: route.split.clone() },
        drained: Err(NotDrained::Hold(hold)),
    }
}

fn drained(
    route: &RouteFacts,
    record: &RouteRecord,
    receivers: &Receivers,
    drill: &DrillLayer,
    input: &DecisionInput<'_>,
) -> Result<WeightSplit, NotDrained> {
    let change = LayerChange::DrillStart(drill.clone());
    let note = OwedNote { code: String::new(), text: String::new() };
    // The kill switch is the drill's own check, which comes before this one.
    let write = layer_write(route, record, change, receivers, note, &input.failover.failback, None, input.now)
        .map_err(NotDrained::Refused)?;
    if write.unplaced > 0 {
        let failing = vec![drill.node.clone()];
        return Err(NotDrained::Hold(HoldReason::Unplaced { failing, unplaced: write.unplaced }));
    }
    let resource = route.id.to_string();
    let mut harms = (input.harms)(&route.id, &write.to);
    harms.retain(|harm| !input.policy.waivers.iter().any(|waiver| waiver.permits(&harm.id, &resource, input.now)));
    if harms.is_empty() { Ok(write.to) } else { Err(NotDrained::Harmful(harms)) }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap as Map, BTreeSet};

    use super::*;
    use crate::failover::Memory;
    use crate::failover::fixtures::{at, node, on_node, policy, route, split};
    use mesh::alarm::AlarmState;

    fn facts(route: RouteFacts, v2: AlarmState) -> Facts {
        Facts {
            mesh: "shop".parse().unwrap(),
            alarms: vec![on_node("one", AlarmState::Ok, "v1"), on_node("two", v2, "v2")],
            alarm_tags: Map::new(),
            routes: vec![route],
            nodes: BTreeSet::from([node("v1"), node("v2")]),
            calls: Map::new(),
            provides: Map::new(),
            kill_switch: None,
            budget_used: 0,
        }
    }

    fn layer() -> DrillLayer {
        DrillLayer { id: "d1".to_owned(), node: node("v1"), since: at(0), restore_by: at(2100) }
    }

    #[test]
    fn healthy_node_is_drained_as_a_failover_would() {
        let no_harm = |_: &RouteId, _: &WeightSplit| Vec::new();
        let harm = |_: &RouteId, _: &WeightSplit| vec![HarmFact { id: "tls-lost".to_owned(), text: "x".to_owned() }];
        let rehearsed = |facts: &Facts, harms: &dyn Fn(&RouteId, &WeightSplit) -> Vec<HarmFact>| {
            rehearse(facts, harms, &policy(""), &layer(), at(0))
        };
        let even = || route(&[("v1", 50), ("v2", 50)], Memory::None);
        let found = rehearsed(&facts(even(), AlarmState::Ok), &no_harm);
        assert_eq!(found.routes[0].drained, Ok(split(&[("v1", 0), ("v2", 100)])));
        assert!(found.failing.is_empty());
        // A standby that is not known to be ready, and one that fails.
        for state in [AlarmState::InsufficientData, AlarmState::Alarm] {
            let found = rehearsed(&facts(even(), state.clone()), &no_harm);
            let held = matches!(&found.routes[0].drained, Err(NotDrained::Hold(HoldReason::NothingEligible { .. })));
            assert!(held, "{:?}", found.routes[0].drained);
            assert_eq!(found.failing.contains_key(&node("v2")), state == AlarmState::Alarm);
        }
        let found = rehearsed(&facts(even(), AlarmState::Ok), &harm);
        assert!(matches!(found.routes[0].drained, Err(NotDrained::Harmful(_))));
        // A route without weight for the node is not part of it.
        let idle = route(&[("v1", 0), ("v2", 100)], Memory::None);
        assert_eq!(rehearsed(&facts(idle, AlarmState::Ok), &no_harm).routes, []);
    }

    #[test]
    fn edited_route_is_refused_by_the_arbiter() {
        let record = RouteRecord::first_seen("u1".to_owned(), 1, split(&[("v1", 90), ("v2", 10)]));
        let edited = route(&[("v1", 50), ("v2", 50)], Memory::Record(Box::new(record)));
        let found = rehearse(&facts(edited, AlarmState::Ok), &|_, _| Vec::new(), &policy(""), &layer(), at(0));
        let refusal = &found.routes[0].drained;
        assert!(matches!(refusal, Err(NotDrained::Refused(LayerRefusal::Refuse { .. }))), "{refusal:?}");
    }
}
