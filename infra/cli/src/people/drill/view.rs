//! The lines of `drill status` about the active drill: progress, weights, the alarms that end it, and requests.

use std::fmt::Write as _;

use drills::{Drill, DrillPhase};
use mesh::alarm::{Alarm, AlarmName, AlarmState};

use super::super::desk::Desk;
use super::super::error::Trouble;
use super::super::requests;

/// The lines about an active drill.
pub(super) async fn active(desk: &Desk<'_>, drill: &Drill) -> Result<String, Trouble> {
    let mut text = String::new();
    let (phase, node, since) = (drill.phase.as_str(), &drill.plan.node, drill.since);
    let duration = drill.plan.duration.get();
    // Times instead of seconds: a line that does not change is not repeated by `--watch`.
    let _ = match drill.phase {
        DrillPhase::Running => {
            let until = since + duration;
            writeln!(
                text,
                "    {phase} since {since:.0} until {until:.0}: {node} is drained, requested by {}",
                drill.by
            )
        }
        DrillPhase::Checking | DrillPhase::Draining | DrillPhase::Confirming | DrillPhase::Restoring => {
            writeln!(text, "    {phase} since {since:.0}: drill of {node} for {duration:#}, requested by {}", drill.by)
        }
    };
    for route in &drill.routes {
        let (router, name) = (&route.route.router, &route.route.route);
        let _ = writeln!(text, "    route {router}/{name}: {} before, {} drained", route.before, route.drained);
    }
    let names: Vec<AlarmName> = drill.plan.alarms().cloned().collect();
    let alarms = if names.is_empty() { Vec::new() } else { desk.ports.alarms.by_name(&names).await? };
    for (role, names) in [("outcome", &drill.plan.outcome_alarms), ("blocking", &drill.plan.blocking_alarms)] {
        for name in names {
            let found = alarms.iter().find(|alarm| alarm.name == *name);
            let _ = writeln!(text, "    {role} alarm {name}: {}", state(found));
        }
    }
    if let Some(started) = drill.started {
        let targets = drill.routes.iter().flat_map(|route| route.drained.shares());
        let nodes: Vec<_> = targets.map(|share| share.virtual_node.clone()).collect();
        let _ = writeln!(text, "    {}", requests::by_node(desk, &drill.plan.mesh, &nodes, started).await);
    }
    Ok(text)
}

fn state(alarm: Option<&Alarm>) -> String {
    match alarm.map(|alarm| &alarm.state) {
        None => "does not exist, or may not be read".to_owned(),
        Some(AlarmState::Ok) => "OK".to_owned(),
        Some(AlarmState::Alarm) => "ALARM".to_owned(),
        Some(AlarmState::InsufficientData) => "INSUFFICIENT_DATA".to_owned(),
        Some(AlarmState::Unrecognised(state)) => state.clone(),
    }
}
