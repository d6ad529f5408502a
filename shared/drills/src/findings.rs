//! The findings of the sweep about drills: plans without a recent drill, and plans with a failed last drill.

use jiff::Timestamp;
use mesh::graph::DrillFactState;
use mesh::name::{MeshName, VirtualNodeName};
use policy::{DrillName, DrillsPolicy};

use crate::calendar;
use crate::record::MeshDrills;

/// A finding about a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillFinding {
    /// The defect of the plan.
    pub state: DrillFactState,
    /// The plan.
    pub drill: DrillName,
    /// The virtual node.
    pub node: VirtualNodeName,
    /// The explanation.
    pub text: String,
}

impl DrillFinding {
    /// The id of the rule of the pack.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self.state {
            DrillFactState::Overdue => "drill-overdue",
            DrillFactState::Failed => "drill-failed",
        }
    }
}

/// The findings of a mesh.
#[must_use]
pub fn findings(mesh: &MeshName, record: &MeshDrills, policy: &DrillsPolicy, now: Timestamp) -> Vec<DrillFinding> {
    let mut findings = Vec::new();
    for plan in policy.plans.iter().filter(|plan| plan.mesh == *mesh) {
        let finding =
            |state, text| DrillFinding { state, drill: plan.name.clone(), node: plan.virtual_node.clone(), text };
        let Some(history) = record.plans.get(&plan.name) else {
            let text = format!("drill {} is not known to failover-drill, so no failover is proved", plan.name);
            findings.push(finding(DrillFactState::Overdue, text));
            continue;
        };
        let last = history.last_conclusive.as_ref();
        if let Some(end) = last.filter(|end| end.outcome == crate::DrillOutcome::Failed) {
            let text = format!("drill {} failed at {:.0}: {}", plan.name, end.ended, end.reason);
            findings.push(finding(DrillFactState::Failed, text));
        }
        let due = calendar::due_at(plan, history, policy);
        let windows = calendar::windows(plan, policy);
        let closed = windows.iter().filter_map(|window| window.closed_before(now));
        // Without windows, an operator has to start the drill.
        let is_overdue = if windows.is_empty() {
            due <= now
        } else {
            closed.map(|window| window.until).max().is_some_and(|until| due < until)
        };
        let is_active = record.active.as_ref().is_some_and(|drill| drill.plan.name == plan.name);
        if is_overdue && !is_active {
            let since = last.map_or_else(
                || "it never ran".to_owned(),
                |end| format!("it last ran at {:.0}", end.started.unwrap_or(end.ended)),
            );
            let attempt = history.last.as_ref().filter(|end| !end.outcome.is_conclusive());
            let attempt = attempt.map_or_else(String::new, |end| {
                format!("; the last attempt was {} at {:.0}: {}", end.outcome, end.ended, end.reason)
            });
            let text = format!("drill {} is due since {due:.0}: {since}{attempt}", plan.name);
            findings.push(finding(DrillFactState::Overdue, text));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::decide;
    use crate::fixtures::{at, ended, facts, observation, policy, start};
    use crate::record::PlanHistory;
    use crate::{DrillOutcome, Reason};

    #[test]
    fn plans_without_a_recent_proof_are_findings() {
        let mesh: MeshName = "shop".parse().unwrap();
        let by_command = policy("").drills;
        let weekly = policy("windows: ['Mon:10:00-Mon:16:00']").drills;
        let stopped = || ended(DrillOutcome::Interrupted, Reason::Stopped { by: "ada".to_owned() }, at(0));
        let ok = || ended(DrillOutcome::Succeeded, Reason::DurationOver, at(0));
        let failed = || ended(DrillOutcome::Failed, Reason::OutcomeAlarm { alarms: Vec::new() }, at(0));
        let day = 24 * 3600;
        let history = |last, conclusive| {
            let first_seen = at(-day);
            Some(PlanHistory { first_seen, last, last_conclusive: conclusive, window_closed: None })
        };
        // Policy, history, now (0 is Monday 12:00), rules.
        for (policy, history, now, rules) in [
            (&by_command, None, 0, vec![DrillFactState::Overdue]),
            (&by_command, history(None, None), 0, vec![DrillFactState::Overdue]),
            (&by_command, history(Some(ok()), Some(ok())), 7 * day - 1, vec![]),
            (&by_command, history(Some(ok()), Some(ok())), 7 * day, vec![DrillFactState::Overdue]),
            (&by_command, history(Some(failed()), Some(failed())), day, vec![DrillFactState::Failed]),
            // An interrupted drill is no proof.
            (&by_command, history(Some(stopped()), None), day, vec![DrillFactState::Overdue]),
            (&by_command, history(Some(stopped()), Some(ok())), day, vec![]),
            // A plan with windows is overdue when a window closed in which it was due.
            (&weekly, history(None, None), 0, vec![]),
            (&weekly, history(None, None), 4 * 3600, vec![DrillFactState::Overdue]),
            (&weekly, history(Some(ok()), Some(ok())), 7 * day, vec![]),
            (&weekly, history(Some(ok()), Some(ok())), 7 * day + 4 * 3600, vec![DrillFactState::Overdue]),
        ] {
            let mut record = MeshDrills::default();
            record.plans.extend(history.clone().map(|history| ("recs".parse().unwrap(), history)));
            let found: Vec<_> =
                findings(&mesh, &record, policy, at(now)).into_iter().map(|finding| finding.state).collect();
            assert_eq!(found, rules, "{history:?} at {now}");
        }
    }

    #[test]
    fn plan_with_an_active_drill_is_not_overdue() {
        let mesh: MeshName = "shop".parse().unwrap();
        let policy = policy("");
        let requested = MeshDrills { requests: vec![start("r1")], ..MeshDrills::default() };
        let mut record = decide(&observation(requested, facts(&policy)), &policy, at(0)).record;
        assert!(record.active.is_some());
        assert_eq!(findings(&mesh, &record, &policy.drills, at(0)), []);
        record.active = None;
        let found = findings(&mesh, &record, &policy.drills, at(0));
        assert_eq!(found.iter().map(|finding| finding.state).collect::<Vec<_>>(), [DrillFactState::Overdue]);
    }
}
