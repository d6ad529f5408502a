//! What ends an active drill before its time.

use jiff::{SignedDuration, Timestamp};

use crate::checks;
use crate::observation::{DrillFacts, Observation};
use crate::outcome::DrillOutcome;
use crate::reason::Reason;
use crate::record::{Drill, DrillPhase};

/// How long an alarm may have no usable state during a drill.
pub(crate) const NO_DATA: SignedDuration = SignedDuration::from_mins(5);

/// The outcome and the reason with which an active drill ends now, if anything is red. A failure counts before an
/// interruption, because it proves something.
pub(crate) fn red(
    drill: &Drill,
    seen: &Observation,
    facts: &DrillFacts,
    now: Timestamp,
) -> Option<(DrillOutcome, Reason)> {
    let failed = outcome_alarms(facts).or_else(|| receivers(drill, facts));
    if let Some(reason) = failed {
        return Some((DrillOutcome::Failed, reason));
    }
    let interrupted = [
        stopped(drill),
        checks::kill_switch(seen),
        drilled_node(drill, facts),
        blocking_alarms(facts),
        lost(drill, facts),
        other_nodes(drill, facts),
        no_data(drill, facts, now),
    ];
    interrupted.into_iter().flatten().next().map(|reason| (DrillOutcome::Interrupted, reason))
}

fn outcome_alarms(facts: &DrillFacts) -> Option<Reason> {
    let alarms = facts.on(&facts.plan.outcome_alarms);
    (!alarms.is_empty()).then_some(Reason::OutcomeAlarm { alarms })
}

fn receivers(drill: &Drill, facts: &DrillFacts) -> Option<Reason> {
    let receivers = DrillFacts::receivers(drill.routes.iter().map(|route| (&route.before, &route.drained)));
    let nodes: Vec<_> = facts.failing.keys().filter(|node| receivers.contains(*node)).cloned().collect();
    (!nodes.is_empty()).then_some(Reason::ReceiverFailing { nodes })
}

fn stopped(drill: &Drill) -> Option<Reason> {
    drill.stop.as_ref().map(|stop| Reason::Stopped { by: stop.by.clone() })
}

/// The alarms of the drained node, if it fails by itself.
pub(crate) fn drilled_node(drill: &Drill, facts: &DrillFacts) -> Option<Reason> {
    facts.failing.get(&drill.plan.node).map(|alarms| Reason::DrilledNodeFailing { alarms: alarms.clone() })
}

fn blocking_alarms(facts: &DrillFacts) -> Option<Reason> {
    let alarms = facts.on(&facts.plan.blocking_alarms);
    (!alarms.is_empty()).then_some(Reason::BlockingAlarm { alarms })
}

/// A route that is not drained by this drill although it was, or that has another writer before it is drained.
fn lost(drill: &Drill, facts: &DrillFacts) -> Option<Reason> {
    drill.routes.iter().find_map(|drilled| {
        let route = drilled.route.clone();
        let gone = |why: &str| Some(Reason::LayerLost { route: route.clone(), why: why.to_owned() });
        let Some(found) = facts.routes.iter().find(|found| found.route == drilled.route) else {
            return gone("the route was deleted, or gives the node no weight");
        };
        let occupied = found.occupied.as_ref().map(|occupied| occupied.why.as_str());
        match (&found.layer, drill.phase) {
            (Some(layer), _) if layer.in_place => None,
            (_, DrillPhase::Draining) => match occupied {
                Some(why) => gone(why),
                None if found.split != drilled.before && found.split != drilled.drained => {
                    gone("its weights were changed")
                }
                None => None,
            },
            (Some(_), _) => gone(occupied.unwrap_or("its weights were changed")),
            (None, DrillPhase::Checking | DrillPhase::Confirming | DrillPhase::Running | DrillPhase::Restoring) => {
                gone(occupied.unwrap_or("another writer ended the drill"))
            }
        }
    })
}

fn other_nodes(drill: &Drill, facts: &DrillFacts) -> Option<Reason> {
    let nodes: Vec<_> = facts.failing.keys().filter(|node| **node != drill.plan.node).cloned().collect();
    (!nodes.is_empty()).then_some(Reason::NodeFailing { nodes })
}

fn no_data(drill: &Drill, facts: &DrillFacts, now: Timestamp) -> Option<Reason> {
    let since = drill.no_data_since?;
    let alarms = facts.unknown(facts.plan.alarms());
    (since + NO_DATA <= now && !alarms.is_empty()).then_some(Reason::AlarmUnknown { alarms })
}
