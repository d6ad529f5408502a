//! The reports of change-audit on writes to the kiosk: the caller, the change, and the findings it created and
//! cleared.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::context::DemoContext;
use super::kiosk::read_event;
use stack::console::say;
use stack::demo_mesh::KIOSK;
use stack::failure::Result;

const FUNCTION: &str = "change-audit";

/// Rules with cleared findings.
pub(super) type Cleared = BTreeSet<String>;

/// Runs the function as by its schedule: it finds the changes, but not their callers.
pub(super) fn run_by_schedule(context: &DemoContext) -> Result<Cleared> {
    Ok(print_changes(&context.run_for_kiosk(FUNCTION, "tick-rule.json")?))
}

/// Runs the function with the event of a write to a virtual node, as the control plane sends it.
pub(super) fn run_with_event(context: &DemoContext, node: &str) -> Result<Cleared> {
    let mut event = read_event(&context.workspace, FUNCTION, "cloudtrail-update-virtual-node.json")?;
    let now = json!(Timestamp::now().to_string());
    let written = context.read_kiosk(&format!("virtualNodes/{node}"))?;
    for (place, value) in [
        ("/time", now.clone()),
        ("/source", json!("meshwarden.appmesh")),
        ("/detail/eventTime", now),
        ("/detail/requestParameters", json!({"meshName": KIOSK, "virtualNodeName": node})),
        ("/detail/responseElements", json!({"virtualNode": written})),
    ] {
        if let Some(member) = event.pointer_mut(place) {
            *member = value;
        }
    }
    Ok(print_changes(&context.invoke_for_kiosk(FUNCTION, &event)?))
}

fn print_changes(decisions: &[Value]) -> Cleared {
    let mut cleared = Cleared::new();
    for decision in decisions {
        let Some(facts) = decision.get("facts").filter(|facts| facts.get("cleared").is_some()) else { continue };
        let resource = decision.get("resource").and_then(Value::as_str).unwrap_or_default();
        let by: Vec<&str> =
            facts.get("by").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let by = if by.is_empty() { "by an unknown caller".to_owned() } else { format!("by {}", by.join(", ")) };
        let change = facts.get("change").and_then(Value::as_str).unwrap_or("several changes");
        let (gone, new) = (rules(facts, "cleared"), rules(facts, "created"));
        let listed = |rules: &BTreeSet<String>| {
            if rules.is_empty() { "nothing".to_owned() } else { rules.iter().cloned().collect::<Vec<_>>().join(", ") }
        };
        say(format_args!("    {FUNCTION}: {resource}: {change}, {by}"));
        say(format_args!("      cleared {}; created {}", listed(&gone), listed(&new)));
        cleared.extend(gone);
    }
    cleared
}

fn rules(facts: &Value, member: &str) -> BTreeSet<String> {
    let first = facts.get(member).and_then(|named| named.get("first")).and_then(Value::as_array);
    let rule = |finding: &Value| Some(finding.get("rule")?.as_str()?.to_owned());
    first.into_iter().flatten().filter_map(rule).collect()
}
