//! The decisions as the journal and the report have them.

use mesh::name::ResourcePath;
use records::{DecisionEntry, PlanEntry, WeightPlan};
use rollouts::{Decision, Reason, RoutePlan};
use serde_json::{Map, Value, json};

/// The decision about the rollout itself.
pub(crate) fn rollout(decision: &Decision) -> DecisionEntry {
    let record = &decision.record;
    DecisionEntry {
        decision: Some(record.state.name().to_owned()),
        text: Some(decision.reason.to_string()),
        ..DecisionEntry::new(record.subject(), decision.reason.code(), facts(decision))
    }
}

/// The decision about one route.
pub(crate) fn route(decision: &Decision, plan: &RoutePlan) -> DecisionEntry {
    let resource = ResourcePath::Route(plan.route.clone()).to_string();
    DecisionEntry {
        decision: Some(decision.record.state.name().to_owned()),
        text: Some(format!("{} to {}: {}", plan.route, plan.to, decision.reason)),
        plan: Some(PlanEntry::Weights(WeightPlan {
            id: plan.id.clone(),
            route: plan.route.clone(),
            version: plan.version,
            from: plan.from.clone(),
            to: plan.to.clone(),
            spends: plan.spends,
            tag: Value::Null,
            reason: Map::new(),
        })),
        ..DecisionEntry::new(resource, decision.reason.code(), facts(decision))
    }
}

/// The facts of a reason, with the rollout, its step and its gates.
fn facts(decision: &Decision) -> Value {
    let record = &decision.record;
    let mut facts = reason_facts(&decision.reason);
    let rollout = &record.rollout;
    for (name, value) in [
        ("rollout", json!(rollout.id)),
        ("step", json!(record.step)),
        ("percent", json!(rollout.percent_of_step(record.step))),
        ("gates", json!(record.gates)),
    ] {
        facts.insert(name.to_owned(), value);
    }
    Value::Object(facts)
}

/// The facts of a reason without its code, which is a separate member.
fn reason_facts(reason: &Reason) -> Map<String, Value> {
    // Reasons have only string keys, so this cannot fail.
    match serde_json::to_value(reason).unwrap_or_default() {
        Value::Object(mut members) => {
            members.remove("reason");
            members
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
