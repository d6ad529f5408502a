//! The report line of one decision.

use mesh::rotation::{Decision, Verdict};
use ports::{PortError, Refusal};
use runner::{Report, Signals};
use serde_json::{Value, json};

use crate::actuate::Outcome;
use crate::wake::{EVERYTHING, EventNotice};

/// One line of the report, with its effect on the invocation as a whole.
#[derive(Debug)]
pub(crate) struct Account {
    /// The line of the report.
    pub(crate) line: runner::Decision,
    /// The text for operators.
    pub(crate) text: String,
    /// The metrics that the line counts into.
    pub(crate) signals: Signals,
    /// Whether the function should observe again at once.
    pub(crate) moved: bool,
    /// The name of the plan's outcome; `None` without a plan.
    pub(crate) outcome: Option<&'static str>,
    /// Why the event should be delivered again; `None` if it should not.
    pub(crate) retry: Option<String>,
}

impl Account {
    /// The report line of a decision and its outcome.
    pub(crate) fn of(decision: &Decision, outcome: Option<&Outcome>) -> Self {
        let (mut facts, plan, text) = match &decision.verdict {
            Verdict::Keep(reason) => (without_tag(json!(reason)), None, reason.to_string()),
            Verdict::Verify(why) => (without_tag(json!(why)), None, why.to_string()),
            Verdict::Issue(plan) | Verdict::Distribute(plan) | Verdict::Retire(plan) => {
                (without_tag(json!(plan.why)), Some(json!(plan)), format!("{}: {}", plan.why, plan.step))
            }
        };
        if let Some(facts) = facts.as_object_mut().filter(|_| plan.is_some() && !decision.unread.is_empty()) {
            // An unread mesh may share the subject. The plan causes no harm there, but it was made without that mesh.
            facts.insert("unreadMeshes".to_owned(), json!(decision.unread));
        }
        let tag = json!(decision.verdict).get("decision").and_then(Value::as_str).unwrap_or("keep").to_owned();
        let killed = matches!(outcome, Some(Outcome::Refused { refusal: Refusal::KillSwitchOn }))
            || decision.verdict.code() == "KillSwitchOn";
        let failed = match outcome {
            Some(Outcome::Failed { error, may_heal: true }) => Some(error.clone()),
            _ => None,
        };
        Self {
            line: runner::Decision {
                resource: decision.subject.to_string(),
                decision: tag,
                reason: decision.verdict.code(),
                facts,
                plan,
                outcome: outcome.map(|outcome| json!(outcome)),
            },
            text,
            signals: Signals {
                overwrote: u32::from(matches!(outcome, Some(Outcome::Overwrote { .. }))),
                kill_switch_on: killed,
                ..Signals::default()
            },
            moved: outcome.is_some_and(Outcome::moved),
            outcome: outcome.map(Outcome::name),
            retry: failed,
        }
    }

    /// The observation failed as a whole.
    pub(crate) fn blind(error: &PortError) -> Self {
        let facts = json!({ "call": error.call, "kind": error.kind, "message": error.message });
        let retry = error.kind.may_heal().then(|| error.to_string());
        Self { retry, ..Self::note(EVERYTHING, "CannotObserve", facts, &error.to_string()) }
    }

    /// A hold that only an operator can resolve.
    pub(crate) fn note(resource: &str, code: &str, facts: Value, text: &str) -> Self {
        Self::noted("hold", resource, code, facts, text)
    }

    /// An event about a certificate or CA that no mesh uses: no action is needed.
    pub(crate) fn unused(notice: &EventNotice) -> Self {
        let text = format!("no mesh uses {}: {}", notice.resource, notice.text);
        Self::noted("keep", &notice.resource, "CertificateNotUsed", notice.facts.clone(), &text)
    }

    fn noted(decision: &str, resource: &str, code: &str, facts: Value, text: &str) -> Self {
        Self {
            line: runner::Decision {
                resource: resource.to_owned(),
                decision: decision.to_owned(),
                reason: code.to_owned(),
                facts,
                plan: None,
                outcome: None,
            },
            text: text.to_owned(),
            signals: Signals::default(),
            moved: false,
            outcome: None,
            retry: None,
        }
    }

    /// The report of an invocation.
    pub(crate) fn report(accounts: Vec<Self>) -> Report {
        let mut signals = Signals::default();
        for account in &accounts {
            signals.overwrote += account.signals.overwrote;
            signals.kill_switch_on |= account.signals.kill_switch_on;
            signals.pages_withheld += account.signals.pages_withheld;
        }
        Report { signals, ..Report::of(accounts.into_iter().map(|account| account.line).collect()) }
    }
}

/// The facts of a reason without its code, which is a separate field of the line.
fn without_tag(mut reason: Value) -> Value {
    if let Some(members) = reason.as_object_mut() {
        members.remove("reason");
    }
    reason
}
