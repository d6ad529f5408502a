//! The lines of the report, and the decisions as the journal and the report have them.

use decisions::rotation::{RotationDecision as Decision, RotationVerdict as Verdict};
use records::{DecisionEntry, PlanEntry};
use runner::Decision as Line;
use serde_json::{Value, json};

use crate::trigger::EventNotice;

/// A decision as the journal and the report have it.
pub(crate) fn entry(decision: &Decision) -> DecisionEntry {
    let (mut facts, text) = match &decision.verdict {
        Verdict::Keep(reason) => (without_tag(json!(reason)), reason.to_string()),
        Verdict::Verify(why) => (without_tag(json!(why)), why.to_string()),
        Verdict::Issue(plan) | Verdict::Distribute(plan) | Verdict::Retire(plan) => {
            (without_tag(json!(plan.why)), format!("{}: {}", plan.why, plan.step))
        }
    };
    let plan = decision.verdict.plan();
    if let Some(facts) = facts.as_object_mut().filter(|_| plan.is_some() && !decision.unread.is_empty()) {
        // An unread mesh may share the subject. The plan causes no harm there, but it was made without that mesh.
        facts.insert("unreadMeshes".to_owned(), json!(decision.unread));
    }
    DecisionEntry {
        decision: Some(kind(&decision.verdict).to_owned()),
        text: Some(text),
        plan: plan.map(PlanEntry::from),
        failing: Some(decision.failing),
        ..DecisionEntry::new(decision.subject.to_string(), decision.verdict.code(), facts)
    }
}

/// A line that only an operator can resolve.
pub(crate) fn hold(notice: &EventNotice) -> Line {
    Line::new(notice.resource.clone(), "hold", notice.code, notice.facts.clone())
}

/// The line of an event about a certificate or CA that no mesh uses: no action is needed.
pub(crate) fn unused(notice: &EventNotice) -> Line {
    Line::new(notice.resource.clone(), "keep", "CertificateNotUsed", notice.facts.clone())
}

/// The stable name of a verdict.
const fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Keep(_) => "keep",
        Verdict::Issue(_) => "issue",
        Verdict::Distribute(_) => "distribute",
        Verdict::Verify(_) => "verify",
        Verdict::Retire(_) => "retire",
    }
}

/// The facts of a reason without its code, which is a separate field of the line.
fn without_tag(mut reason: Value) -> Value {
    if let Some(members) = reason.as_object_mut() {
        members.remove("reason");
    }
    reason
}
