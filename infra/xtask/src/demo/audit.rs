//! What change-audit makes of writes to the kiosk: who, what, and which findings came and went.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kiosk::read_event;
use super::scene::Scene;
use crate::console::say;
use crate::demo_mesh::KIOSK;
use crate::failure::Result;

const FUNCTION: &str = "change-audit";

/// Rules whose findings are no more.
pub(super) type Cleared = BTreeSet<String>;

/// Wakes the function as its schedule would: it sees what was changed, and nobody has told it by whom.
pub(super) fn untold(scene: &Scene) -> Result<Cleared> {
    Ok(tell(&scene.wake_for_kiosk(FUNCTION, "tick-rule.json")?))
}

/// Wakes the function with the event of a write to a virtual node, as the control plane tells it.
pub(super) fn told(scene: &Scene, node: &str) -> Result<Cleared> {
    let mut event = read_event(&scene.workspace, FUNCTION, "cloudtrail-update-virtual-node.json")?;
    let now = json!(Timestamp::now().to_string());
    let written = scene.read_kiosk(&format!("virtualNodes/{node}"))?;
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
    Ok(tell(&scene.invoke_for_kiosk(FUNCTION, &event)?))
}

fn tell(decisions: &[Value]) -> Cleared {
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
