//! Renders journal entries as sentences.

use jiff::Timestamp;
use mesh::weights::WeightSplit;
use ports::JournalEntry;
use serde_json::Value;

use super::standing::short;

/// The most decisions of one entry that are shown.
const MOST: usize = 3;

/// Renders one entry.
pub(super) fn entry(entry: &JournalEntry) -> String {
    let body = &entry.body;
    let at = short(entry.at);
    if let Some(outcome) = body.get("outcome") {
        return format!("{at} {}", ended(outcome, text(body, "plan")));
    }
    if let Some(decision) = body.get("decision") {
        return format!("{at} {} {}", text(body, "function").unwrap_or("somebody"), decided(decision));
    }
    if let Some(decisions) = body.get("decisions").and_then(Value::as_array) {
        let function = text(body, "function").unwrap_or("somebody");
        let told = |decision: &Value| format!("{} {}", text(decision, "resource").unwrap_or("?"), decided(decision));
        let mut lines: Vec<String> = decisions.iter().take(MOST).map(told).collect();
        if let Some(more) = decisions.len().checked_sub(MOST).filter(|more| *more > 0) {
            lines.push(format!("and {more} more."));
        }
        return format!("{at} {function} {}", lines.join(" "));
    }
    let function = text(body, "function").unwrap_or("somebody");
    let Some(reason) = text(body, "reason") else {
        // An entry of another version is shown as raw JSON, rather than omitted.
        return format!("{at} {function} {body}");
    };
    let said = text(body, "text").unwrap_or("gave no text");
    let mut told = format!("{at} {function} [{reason}] {said}.");
    told.push_str(&plan(body.get("plan").unwrap_or(&Value::Null)));
    told.push_str(&observed(body.get("observed").unwrap_or(&Value::Null)));
    told
}

/// The decisions on one resource in an entry about many resources, each with its time.
pub(super) fn of_resource(entry: &JournalEntry, resource: &str) -> Vec<(Timestamp, String)> {
    let body = &entry.body;
    let function = text(body, "function").unwrap_or("somebody");
    let all = body.get("decisions").and_then(Value::as_array).into_iter().flatten().chain(body.get("decision"));
    let of_it = all.filter(|decision| text(decision, "resource") == Some(resource));
    of_it.map(|decision| (entry.at, format!("{} {function} {}", short(entry.at), decided(decision)))).collect()
}

fn plan(plan: &Value) -> String {
    match (split(plan, "from"), split(plan, "to")) {
        (Some(from), Some(to)) => {
            let version = plan.get("version").map_or_else(String::new, |version| format!(" at version {version}"));
            let budget = match plan.get("spends").and_then(Value::as_bool) {
                Some(true) => "; it counts against the budget",
                Some(false) | None => "",
            };
            format!(" Planned: {from} to {to}{version}{budget}.")
        }
        _ => String::new(),
    }
}

/// A summary of the observation: the number of alarms and the alarms in ALARM, or the location of the stored
/// observation.
fn observed(observed: &Value) -> String {
    if let Some(place) = text(observed, "at") {
        return format!(" Observed: kept at {place}.");
    }
    let Some(alarms) = observed.pointer("/facts/alarms").and_then(Value::as_array) else { return String::new() };
    let is_on = |alarm: &&Value| text(alarm, "state") == Some("ALARM");
    let on: Vec<&str> = alarms.iter().filter(is_on).filter_map(|alarm| text(alarm, "name")).collect();
    let on = if on.is_empty() { "none on".to_owned() } else { format!("on: {}", on.join(", ")) };
    format!(" Observed: {} alarms, {on}.", alarms.len())
}

fn ended(outcome: &Value, plan: Option<&str>) -> String {
    let plan = plan.map_or_else(String::new, |plan| format!(" (plan {plan})"));
    let version = || outcome.get("version").map_or_else(String::new, |version| format!(" as version {version}"));
    match text(outcome, "outcome") {
        Some("Applied") => format!("Applied: what was planned is written{}{plan}.", version()),
        Some("AlreadyInPlace") => format!("AlreadyInPlace: it was so already{plan}."),
        Some("Superseded") => format!("Superseded: somebody wrote first, so nothing was written{plan}."),
        Some("Overwrote") => {
            format!("Overwrote: what was planned is written{}, over a change that had not been seen{plan}.", version())
        }
        Some("Failed") => format!("Failed: {}{plan}.", text(outcome, "error").unwrap_or("no error was told")),
        Some(other) => format!("{other}: {outcome}{plan}."),
        None => format!("ended: {outcome}{plan}."),
    }
}

/// Renders one decision of a function's report.
fn decided(decision: &Value) -> String {
    let (kind, reason) = (text(decision, "decision").unwrap_or("decided"), text(decision, "reason").unwrap_or("-"));
    let facts = decision.get("facts").filter(|facts| !facts.is_null());
    let facts = facts.map_or_else(String::new, |facts| format!(" {facts}"));
    let outcome = decision.get("outcome").and_then(|outcome| text(outcome, "outcome"));
    let outcome = outcome.map_or_else(String::new, |outcome| format!("; outcome {outcome}"));
    format!("[{reason}] {kind}{facts}{outcome}.")
}

fn split(value: &Value, member: &str) -> Option<WeightSplit> {
    serde_json::from_value(value.get(member)?.clone()).ok()
}

fn text<'v>(value: &'v Value, member: &str) -> Option<&'v str> {
    value.get(member).and_then(Value::as_str)
}
