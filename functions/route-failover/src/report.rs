//! The report line of one decision.

use std::collections::BTreeSet;

use decisions::failover::{Decision, HoldReason, Subject, UnansweredAlarm, Verdict, Wiring};
use mesh::alarm::AlarmName;
use mesh::name::MeshName;
use ports::Refusal;
use runner::{RequestedBy, Run};
use serde_json::Value;

use crate::actuate::Outcome;
use crate::alarms::Alarms;
use crate::observe::Observation;
use crate::reason::{facts, reason, resource};
use crate::trigger::Trigger;

/// One line of the report, with its effect on the invocation as a whole.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each has a separate effect on the run")]
pub(crate) struct ReportEntry {
    /// The subject of the decision; `None` for a subject outside a mesh, such as an alarm.
    pub(crate) subject: Option<Subject>,
    /// The line of the report.
    pub(crate) line: runner::Decision,
    /// Whether the resource is held although an alarm is on.
    is_held: bool,
    /// Whether a write replaced a change that had not been read.
    has_overwritten: bool,
    /// Whether the kill switch is on.
    is_killed: bool,
    /// Whether another writer changed the route or its record in between, so that the decision has to be made again.
    pub(crate) superseded: bool,
    /// Why the event should be delivered again; `None` if it should not.
    pub(crate) retry: Option<String>,
    /// Whether the line has information for a reader of the report.
    pub(crate) shown: bool,
}

impl ReportEntry {
    /// The report line of a decision and its outcome.
    pub(crate) fn new(observation: &Observation, decision: &Decision, outcome: Option<&Outcome>) -> Self {
        let mesh = &observation.facts.mesh;
        let is_held = decision.failing
            && match &decision.verdict {
                Verdict::Hold(_) => true,
                Verdict::Keep(_) => false,
                // A planned change that was not made leaves the traffic where it is, as a hold does.
                Verdict::Act(_) => outcome.is_some_and(Outcome::keeps_traffic),
            };
        Self {
            subject: Some(decision.subject.clone()),
            line: line(mesh, decision, outcome),
            is_held,
            has_overwritten: matches!(outcome, Some(Outcome::Overwrote { .. })),
            is_killed: observation.facts.kill_switch.is_some()
                || matches!(outcome, Some(Outcome::Refused { refusal: Refusal::KillSwitchOn })),
            superseded: outcome.is_some_and(overtaken) || is_stale(decision),
            retry: retry(decision, outcome),
            shown: true,
        }
    }

    /// The observation is out of date: the function observes and decides again, in the next scheduled run if need be.
    pub(crate) fn overtaken(observation: &Observation, decision: &Decision, trigger: &Trigger) -> Self {
        let entry = Self::new(observation, decision, None);
        // Only the event carries a release, so no later run makes up for it.
        let released = matches!(&decision.subject, Subject::Route(route) if trigger.released.contains_key(route));
        let why = || format!("{} was written by another writer in every attempt", entry.line.resource);
        Self { superseded: true, retry: released.then(why), ..entry }
    }

    /// Alarms that an event named and that the function ignores on purpose, since their metrics report no failure.
    pub(crate) fn not_failures(named: &BTreeSet<AlarmName>, alarms: &Alarms) -> Vec<Self> {
        let left_alone = |name: &AlarmName| {
            let reason = alarms.targets.unmapped.get(name).filter(|reason| reason.is_not_a_failure())?;
            let line = hold(format!("alarm/{name}"), reason.code(), facts(reason));
            Some(Self::without_subject(runner::Decision { decision: "keep".to_owned(), ..line }))
        };
        named.iter().filter_map(left_alone).collect()
    }

    /// An alarm that leads to no decision about a route or a node.
    pub(crate) fn unanswered(alarm: &UnansweredAlarm) -> Self {
        let mut found = facts(&alarm.reason);
        if let Some(members) = found.as_object_mut() {
            if let Some(wiring) = serde_json::to_value(&alarm.wiring).ok().as_ref().and_then(Value::as_object) {
                members.extend(wiring.clone());
            }
            members.insert("remedy".to_owned(), Value::from(alarm.remedy()));
        }
        let line = hold(format!("alarm/{}", alarm.alarm), &alarm.reason.code(), found);
        // An alarm of another application is not a hold of this function; it counts as no change.
        let is_ours = alarm.wiring != Wiring::Bus;
        let line = if is_ours { line } else { runner::Decision { decision: "keep".to_owned(), ..line } };
        Self { is_held: is_ours && alarm.in_alarm, ..Self::without_subject(line) }
    }

    /// A line about a subject outside a mesh.
    fn without_subject(line: runner::Decision) -> Self {
        Self {
            subject: None,
            line,
            is_held: false,
            has_overwritten: false,
            is_killed: false,
            superseded: false,
            retry: None,
            shown: true,
        }
    }

    /// Adds the line to the report of the run. `requested_by` are the deliveries to repeat if a retry may help.
    pub(crate) fn add_to(self, run: &Run<'_>, requested_by: &RequestedBy) {
        if self.is_held {
            run.held_during_alarm();
        }
        if self.has_overwritten {
            run.overwrote();
        }
        if self.is_killed {
            run.kill_switch_on();
        }
        if let Some(why) = &self.retry {
            run.retry(requested_by, why);
        }
        if self.shown {
            run.report(self.line);
        }
    }
}

fn line(mesh: &MeshName, decision: &Decision, outcome: Option<&Outcome>) -> runner::Decision {
    let (reason, facts, _) = reason(&decision.verdict);
    let (kind, plan) = match &decision.verdict {
        Verdict::Keep(_) => ("keep", None),
        Verdict::Hold(_) => ("hold", None),
        Verdict::Act(plan) => ("act", serde_json::to_value(plan).ok()),
    };
    runner::Decision {
        resource: resource(mesh, &decision.subject),
        decision: kind.to_owned(),
        reason,
        facts,
        plan,
        outcome: outcome.and_then(|outcome| serde_json::to_value(outcome).ok()),
    }
}

fn hold(resource: String, reason: &str, facts: Value) -> runner::Decision {
    runner::Decision {
        resource,
        decision: "hold".to_owned(),
        reason: reason.to_owned(),
        facts,
        plan: None,
        outcome: None,
    }
}

/// Why another attempt may succeed: after a transient failure, another writer in every attempt, or a stale read. `None`
/// in other cases.
fn retry(decision: &Decision, outcome: Option<&Outcome>) -> Option<String> {
    if is_stale(decision) {
        return Some(format!("{} was read at an older version in every attempt", subject_text(&decision.subject)));
    }
    match outcome? {
        Outcome::Failed { error, may_heal: true, .. } => Some(error.clone()),
        outcome => overtaken(outcome)
            .then(|| format!("{} was written by another writer in every attempt", subject_text(&decision.subject))),
    }
}

fn subject_text(subject: &Subject) -> String {
    match subject {
        Subject::Route(route) => route.to_string(),
        Subject::Node(node) => node.to_string(),
    }
}

/// Whether another writer changed the route or its record in between, so that the function observes and decides
/// once more.
fn overtaken(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Superseded | Outcome::Refused { refusal: Refusal::RevisionMoved })
}

/// Whether the read returned an older version of the route than is already known, so that the route has to be re-read.
pub(crate) fn is_stale(decision: &Decision) -> bool {
    matches!(decision.verdict, Verdict::Hold(HoldReason::StaleRead { .. }))
}
