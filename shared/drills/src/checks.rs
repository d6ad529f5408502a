//! The checks before a drill, in order. The first that does not pass is the reason.

use jiff::Timestamp;
use mesh::split::WeightSplit;
use policy::{Mode, Policy, RuleId};

use crate::calendar;
use crate::capacity;
use crate::observation::{DrainedSplit, DrillFacts, Observation};
use crate::reason::Reason;
use crate::record::DrilledRoute;

/// The reason why a drill does not start, or the routes that it drains.
pub(crate) fn routes_to_drain(
    seen: &Observation,
    facts: &DrillFacts,
    policy: &Policy,
    now: Timestamp,
) -> Result<Vec<DrilledRoute>, Reason> {
    let checks = [
        blocked_date(policy, now),
        kill_switch(seen),
        node(facts),
        route(facts),
        occupied(facts),
        blocking_alarms(facts),
        alarms_usable(facts),
        failing(facts),
        receivers(facts),
        capacity(facts, policy),
        budget(seen, policy),
        mode(seen, policy),
    ];
    match checks.into_iter().flatten().next() {
        Some(reason) => Err(reason),
        None => Ok(drained(facts).collect()),
    }
}

fn drained(facts: &DrillFacts) -> impl Iterator<Item = DrilledRoute> + '_ {
    facts.routes.iter().filter_map(|route| match &route.drained {
        DrainedSplit::To(to) => {
            Some(DrilledRoute { route: route.route.clone(), before: route.split.clone(), drained: to.clone() })
        }
        DrainedSplit::Drained | DrainedSplit::NotReady { .. } | DrainedSplit::Harmful(_) => None,
    })
}

fn blocked_date(policy: &Policy, now: Timestamp) -> Option<Reason> {
    calendar::is_blocked(&policy.drills, now).then_some(Reason::BlockedDate)
}

/// The kill switch, as the reason of a decision.
pub(crate) fn kill_switch(seen: &Observation) -> Option<Reason> {
    let kill = seen.kill_switch.as_ref()?;
    Some(Reason::KillSwitchOn { by: kill.by.clone(), why: kill.reason.clone() })
}

fn node(facts: &DrillFacts) -> Option<Reason> {
    (!facts.node_exists).then_some(Reason::NodeMissing)
}

fn route(facts: &DrillFacts) -> Option<Reason> {
    facts.routes.is_empty().then_some(Reason::NoRoute)
}

fn occupied(facts: &DrillFacts) -> Option<Reason> {
    facts.routes.iter().find_map(|route| {
        let occupied = route.occupied.as_ref()?;
        let (by, why) = (occupied.code.clone(), occupied.why.clone());
        Some(Reason::RouteOccupied { route: route.route.clone(), by, why })
    })
}

fn blocking_alarms(facts: &DrillFacts) -> Option<Reason> {
    let blocking = facts.on(&facts.plan.blocking_alarms);
    if !blocking.is_empty() {
        return Some(Reason::BlockingAlarm { alarms: blocking });
    }
    // Users notice a failure already, so the drill could not prove anything.
    let outcome = facts.on(&facts.plan.outcome_alarms);
    (!outcome.is_empty()).then_some(Reason::BlockingAlarm { alarms: outcome })
}

fn alarms_usable(facts: &DrillFacts) -> Option<Reason> {
    let unknown = facts.unknown(facts.plan.alarms());
    (!unknown.is_empty()).then_some(Reason::AlarmUnknown { alarms: unknown })
}

fn failing(facts: &DrillFacts) -> Option<Reason> {
    let nodes: Vec<_> = facts.failing.keys().cloned().collect();
    (!nodes.is_empty()).then_some(Reason::NodeFailing { nodes })
}

fn receivers(facts: &DrillFacts) -> Option<Reason> {
    facts.routes.iter().find_map(|route| route.drained.obstacle(&route.route))
}

fn capacity(facts: &DrillFacts, policy: &Policy) -> Option<Reason> {
    let routes: Vec<(WeightSplit, WeightSplit)> = drained(facts).map(|route| (route.before, route.drained)).collect();
    capacity::obstacle(&facts.plan.node, &routes, &facts.load, policy.drills.capacity)
}

fn budget(seen: &Observation, policy: &Policy) -> Option<Reason> {
    let cap = policy.drills.budget.changes;
    (cap <= seen.budget_used).then_some(Reason::BudgetSpent { used: seen.budget_used, cap })
}

fn mode(seen: &Observation, policy: &Policy) -> Option<Reason> {
    match policy.modes.mode(RuleId::FailoverDrill, &seen.mesh) {
        Mode::Observe => Some(Reason::ObserveOnly),
        Mode::Enforce => None,
    }
}
