//! Test fixtures: a mesh `shop` with the nodes v1 and v2, and a plan `recs` that drains v1.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mesh::alarm::AlarmName;
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::{Weight, WeightSplit, WeightedTarget};
use policy::Policy;

use crate::capacity::{Load, ReceiverLoad};
use crate::drill_plan::DrillPlan;
use crate::observation::{AlarmReading, DrainedSplit, DrillFacts, Observation, Proxies, RouteLayer, RouteObservation};
use crate::record::{DrillEnd, MeshDrills, Request, RequestAction};
use crate::{DrillOutcome, Reason};

/// The time that many seconds after 12:00 UTC of a fixed Monday.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-10-05T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_secs(seconds)
}

pub(crate) fn node(name: &str) -> VirtualNodeName {
    VirtualNodeName::parse(name).unwrap()
}

pub(crate) fn alarm(name: &str) -> AlarmName {
    AlarmName::parse(name).unwrap()
}

pub(crate) fn split(targets: &[(&str, u8)]) -> WeightSplit {
    let target = |(name, weight): &(&str, u8)| WeightedTarget::new(node(name), Weight::new(*weight).unwrap());
    WeightSplit::new(targets.iter().map(target).collect()).unwrap()
}

pub(crate) fn before() -> WeightSplit {
    split(&[("v1", 50), ("v2", 50)])
}

pub(crate) fn drained() -> WeightSplit {
    split(&[("v1", 0), ("v2", 100)])
}

pub(crate) fn route(name: &str) -> RouteId {
    RouteId::parse(&format!("shop/{name}/all")).unwrap()
}

/// A policy that enforces drills, with this line in its section.
pub(crate) fn policy(line: &str) -> Policy {
    let line = if line.is_empty() { String::new() } else { format!("  {line}\n") };
    let text = format!(
        "version: 1\nmodes: {{rules: {{failover-drill: enforce}}}}\ndrills:\n{line}  plans:\n    \
         - {{name: recs, mesh: shop, virtualNode: v1, outcomeAlarms: [checkout], blockingAlarms: [deploys]}}\n"
    );
    Policy::read(&text).unwrap()
}

pub(crate) fn plan(policy: &Policy) -> DrillPlan {
    DrillPlan::new(policy.drills.plans.first().unwrap(), &policy.drills)
}

/// The facts of a mesh where all checks pass, with the routes `recs` and `beta`.
pub(crate) fn facts(policy: &Policy) -> DrillFacts {
    let route = |name: &str| RouteObservation {
        route: route(name),
        version: 1,
        split: before(),
        layer: None,
        occupied: None,
        verdict: None,
        drained: DrainedSplit::To(drained()),
    };
    DrillFacts {
        plan: plan(policy),
        node_exists: true,
        alarms: ["checkout", "deploys"].map(|name| (alarm(name), AlarmReading::Off)).into(),
        failing: BTreeMap::new(),
        routes: vec![route("recs"), route("beta")],
        proxies: Proxies::UpToDate,
        load: Load::Known {
            node: 10.0,
            receivers: [(node("v2"), ReceiverLoad { present: 10.0, highest: 20.0, declared: false })].into(),
        },
        traffic: None,
    }
}

pub(crate) fn request(id: &str, action: RequestAction) -> Request {
    Request { id: id.to_owned(), by: "ada".to_owned(), at: at(0), drill: "recs".parse().unwrap(), action }
}

pub(crate) fn start(id: &str) -> Request {
    request(id, RequestAction::Start { plan: None })
}

pub(crate) fn observation(record: MeshDrills, facts: DrillFacts) -> Observation {
    Observation { mesh: "shop".parse().unwrap(), record, kill_switch: None, budget_used: 0, facts: Some(facts) }
}

/// Puts the drill's layer on each route.
pub(crate) fn drain(facts: &mut DrillFacts, restore_by: Timestamp) {
    for route in &mut facts.routes {
        route.split = drained();
        route.drained = DrainedSplit::Drained;
        route.layer = Some(RouteLayer { node: node("v1"), restore_by, in_place: true });
    }
}

pub(crate) fn ended(outcome: DrillOutcome, reason: Reason, at: Timestamp) -> DrillEnd {
    DrillEnd {
        id: "1".to_owned(),
        request: "r1".to_owned(),
        by: "ada".to_owned(),
        node: node("v1"),
        outcome,
        reason,
        started: outcome.is_conclusive().then_some(at),
        ended: at,
        acknowledged_after: None,
        restored_after: None,
        restore_acknowledged_after: None,
        peaks: BTreeMap::new(),
        traffic: None,
        routes: Vec::new(),
    }
}
