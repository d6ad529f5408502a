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
    text.push_str(&restore(drill));
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

/// The progress of a restore; empty before it.
fn restore(drill: &Drill) -> String {
    let verdict = drill.verdict.as_ref();
    let mut text = verdict.map_or_else(String::new, |verdict| format!("    {}: {}\n", verdict.outcome, verdict.reason));
    if let Some(restored) = drill.restored {
        let _ = writeln!(
            text,
            "    weights are restored since {restored:.0}; the drill ends once the proxies acknowledge them, or with the \
             next run of failover-drill, within a minute"
        );
    }
    text
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

#[cfg(test)]
mod tests {
    use drills::{DrillOutcome, DrillVerdict, Reason};

    use super::*;

    #[test]
    fn restored_drill_shows_its_result_and_what_it_waits_for() {
        let drill: Drill = serde_json::from_value(serde_json::json!({
            "id": "d1", "request": "r1", "by": "dana", "phase": "restoring",
            "accepted": "2026-11-30T12:00:00Z", "beginBy": "2026-11-30T12:15:00Z", "since": "2026-11-30T12:30:00Z",
            "plan": { "name": "recs", "mesh": "shop", "node": "v1", "duration": "30m", "outcomeAlarms": ["checkout"],
                "blockingAlarms": [], "comeBack": "at-once" },
        }))
        .unwrap();
        assert_eq!(restore(&drill), "");
        let at = "2026-11-30T12:30:00Z".parse().unwrap();
        let verdict = DrillVerdict { outcome: DrillOutcome::Succeeded, reason: Reason::DurationOver, at };
        let drill = Drill { verdict: Some(verdict), restored: Some(at), ..drill };
        let text = restore(&drill);
        assert!(text.starts_with("    SUCCEEDED: the node was drained for the whole duration\n"), "{text}");
        assert!(
            text.contains("weights are restored since 2026-11-30T12:30:00Z; the drill ends once the proxies"),
            "{text}"
        );
    }
}
