//! The reason and the resource of a decision, as reports, notices and the journal have them.

use decisions::failover::{Subject, Verdict};
use mesh::name::{MeshName, ResourcePath};
use serde::Serialize;
use serde_json::Value;

/// The reason of a decision: its stable code, its facts, and its text for operators.
pub(crate) fn reason(verdict: &Verdict) -> (String, Value, String) {
    match verdict {
        Verdict::Keep(reason) => (reason.code(), facts(reason), reason.to_string()),
        Verdict::Hold(reason) => (reason.code(), facts(reason), reason.to_string()),
        Verdict::Act(plan) => (plan.why.code(), facts(&plan.why), plan.why.to_string()),
    }
}

/// Kind and path of a decision's subject.
pub(crate) fn resource(mesh: &MeshName, subject: &Subject) -> String {
    match subject {
        Subject::Route(id) => ResourcePath::Route(id.clone()).to_string(),
        Subject::Node(node) => ResourcePath::VirtualNode(mesh.clone(), node.clone()).to_string(),
    }
}

/// A reason's facts, without its code.
pub(crate) fn facts(reason: &impl Serialize) -> Value {
    let mut facts = serde_json::to_value(reason).unwrap_or_default();
    if let Some(members) = facts.as_object_mut() {
        members.remove("reason");
    }
    facts
}
