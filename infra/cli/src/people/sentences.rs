//! Journal entries as sentences.

use jiff::Timestamp;
use mesh::alarm::AlarmState;
use ports::JournalEntry;
use records::{DecisionEntry, JournalBody, Observation, ObservedRef, OutcomeEntry, PlanEntry};

use super::route_state::short;

/// The most decisions of one entry that are shown.
const MOST: usize = 3;

/// Renders one entry.
pub(super) fn entry(entry: &JournalEntry) -> String {
    let at = short(entry.at);
    let body = match entry.read() {
        Ok(body) => body,
        Err(error) => return format!("{at} failed to read the entry: {error}"),
    };
    match &body {
        JournalBody::Ended { plan, outcome } => format!("{at} {}", ended(outcome, plan)),
        JournalBody::Decided { function, decisions, observed } => match decisions.as_slice() {
            [decision] if decision.text.is_some() => {
                format!("{at} {function} {}{}", reason(decision), seen(&body, observed.as_ref()))
            }
            decisions => format!("{at} {function} {}", listed(decisions)),
        },
        JournalBody::Begun { function, decision, observed } => {
            if decision.text.is_some() {
                format!("{at} {function} {}{}", reason(decision), seen(&body, observed.as_ref()))
            } else {
                format!("{at} {function} {}", decided(decision))
            }
        }
        JournalBody::Operator { decision, .. } => format!("{at} meshwarden {}", reason(decision)),
    }
}

/// The decisions of an entry about one resource, each with its time.
pub(super) fn about_resource(entry: &JournalEntry, resource: &str) -> Vec<(Timestamp, String)> {
    let body = match entry.read() {
        Ok(body) => body,
        Err(error) => return vec![(entry.at, format!("{} failed to read an entry: {error}", short(entry.at)))],
    };
    let function = body.function().map_or_else(String::new, ToString::to_string);
    let sentence =
        |decision: &DecisionEntry| (entry.at, format!("{} {function} {}", short(entry.at), decided(decision)));
    body.decisions().iter().filter(|decision| decision.resource == resource).map(sentence).collect()
}

/// A decision with its reason as a sentence, and the weights that it plans.
fn reason(decision: &DecisionEntry) -> String {
    let text = decision.text.as_deref().unwrap_or("no text is recorded");
    format!("[{}] {text}.{}", decision.reason, planned(decision.plan.as_ref()))
}

fn planned(plan: Option<&PlanEntry>) -> String {
    match plan {
        Some(PlanEntry::Weights(plan)) => {
            let budget = if plan.spends { "; it counts against the budget" } else { "" };
            format!(" Planned: {} to {} at version {}{budget}.", plan.from, plan.to, plan.version)
        }
        // The reason names the step.
        Some(PlanEntry::Certificate(_) | PlanEntry::Repair(_) | PlanEntry::Unknown(_)) | None => String::new(),
    }
}

/// A summary of the observation: the alarms in `ALARM` and the number of alarms, or the location of the observation.
fn seen(body: &JournalBody, observed: Option<&ObservedRef>) -> String {
    let raw = match observed {
        None => return String::new(),
        Some(ObservedRef::At { place, .. }) => return format!(" Observed: stored at {place}."),
        Some(ObservedRef::Lost { error }) => return format!(" Observed: not stored: {error}."),
        Some(ObservedRef::Here(raw)) => raw,
    };
    let Some(function) = body.function() else { return String::new() };
    match raw.decode(function) {
        Ok(Observation::Failover(observation)) => {
            let alarms = &observation.facts.alarms;
            let on = alarms.iter().filter(|alarm| alarm.state == AlarmState::Alarm);
            let on: Vec<&str> = on.map(|alarm| alarm.name.as_str()).collect();
            let on = if on.is_empty() { "none in ALARM".to_owned() } else { format!("in ALARM: {}", on.join(", ")) };
            format!(" Observed: {} alarms, {on}.", alarms.len())
        }
        // The reason names the gates, or the drill.
        Ok(
            Observation::Rotation(_) | Observation::Compliance(..) | Observation::Rollout(_) | Observation::Drill(_),
        ) => String::new(),
        Err(error) => format!(" Observed: failed to read it: {error}."),
    }
}

fn ended(outcome: &OutcomeEntry, plan: &str) -> String {
    let version = |version: &Option<u64>| version.map_or_else(String::new, |version| format!(" as version {version}"));
    let sentence = match outcome {
        OutcomeEntry::WouldApply { .. } => "WouldApply: the mode is observe, so nothing is written".to_owned(),
        OutcomeEntry::Applied { version: of } => format!("Applied: the plan is executed{}", version(of)),
        OutcomeEntry::AlreadyInPlace => "AlreadyInPlace: the change had been made before".to_owned(),
        OutcomeEntry::InProgress => "InProgress: the service has not finished the step".to_owned(),
        OutcomeEntry::Superseded => {
            "Superseded: another writer changed the route first, so nothing is written".to_owned()
        }
        OutcomeEntry::Refused { refusal } => format!("Refused: the change did not begin: {refusal}"),
        OutcomeEntry::Overwrote { version: of } => {
            format!("Overwrote: the plan is executed{}, and overwrote an unread change", version(&Some(*of)))
        }
        OutcomeEntry::Failed { error, .. } => format!("Failed: {error}"),
        OutcomeEntry::OutOfTime => "OutOfTime: the invocation had no time left".to_owned(),
        OutcomeEntry::Unknown(outcome) => format!("{outcome}: an outcome of a newer version"),
    };
    format!("{sentence} (plan {plan}).")
}

/// The first decisions of an entry about many resources.
fn listed(decisions: &[DecisionEntry]) -> String {
    let line = |decision: &DecisionEntry| format!("{} {}", decision.resource, decided(decision));
    let mut lines: Vec<String> = decisions.iter().take(MOST).map(line).collect();
    if let Some(more) = decisions.len().checked_sub(MOST).filter(|more| *more > 0) {
        lines.push(format!("and {more} more."));
    }
    lines.join(" ")
}

/// A line of a function's report.
fn decided(decision: &DecisionEntry) -> String {
    let kind = decision.decision.as_deref().unwrap_or("decided");
    let facts = if decision.facts.is_null() { String::new() } else { format!(" {}", decision.facts) };
    let outcome = decision.outcome.as_ref().and_then(OutcomeEntry::name);
    let outcome = outcome.map_or_else(String::new, |outcome| format!("; outcome {outcome}"));
    format!("[{}] {kind}{facts}{outcome}.", decision.reason)
}
