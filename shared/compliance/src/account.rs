//! What is reported.

use std::collections::BTreeMap;

use lambda_kit::{Report, Signals};
use mesh::compliance::{Decision, HoldReason, Standing, Unread, Verdict};
use mesh::name::{MeshName, ResourcePath};
use mesh::pack::Finding;
use ports::{DocumentError, PortError, Refusal};
use serde_json::{Map, Value, json};

use crate::actuate::Outcome;
use crate::trigger::{Concern, Trigger};

/// The most unread resources that a report names.
const MOST_NAMED: usize = 20;

/// One line of the report, with what it means for the invocation as a whole.
#[derive(Debug)]
pub(crate) struct Account {
    /// The line.
    pub(crate) line: lambda_kit::Decision,
    /// What is counted.
    pub(crate) signals: Signals,
    /// What has to come again, and why.
    pub(crate) repeats: Vec<Repeat>,
    /// Whether it says that the list of meshes, or a mesh, could not be read.
    pub(crate) is_unread: bool,
}

/// Deliveries that have to come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    /// Why.
    pub(crate) why: String,
    /// Which.
    pub(crate) concern: Concern,
}

impl Account {
    /// A line that means nothing else.
    pub(crate) fn of(line: lambda_kit::Decision) -> Self {
        Self { line, signals: Signals::default(), repeats: Vec::new(), is_unread: false }
    }

    /// What became of a decision.
    pub(crate) fn of_decision(decision: &Decision, outcome: Option<&Outcome>) -> Self {
        let killed = matches!(decision.verdict, Verdict::Hold(HoldReason::KillSwitchOn { .. }))
            || matches!(outcome, Some(Outcome::Refused { refusal: Refusal::KillSwitchOn }));
        let why = match outcome {
            Some(Outcome::Failed { error, may_heal: true }) => Some(error.clone()),
            Some(Outcome::Superseded) => Some(format!("{} was written by another writer each time", decision.resource)),
            Some(_) | None => None,
        };
        let concern = || Concern::Resource(decision.resource.clone());
        Self {
            line: decided(decision, outcome),
            signals: Signals {
                overwrote: u32::from(matches!(outcome, Some(Outcome::Overwrote { .. }))),
                kill_switch_on: killed,
                ..Signals::default()
            },
            repeats: why.map(|why| Repeat { why, concern: concern() }).into_iter().collect(),
            is_unread: false,
        }
    }

    /// How a mesh stands as a whole.
    pub(crate) fn summary(mesh: &MeshName, decisions: &[(Decision, Option<Outcome>)]) -> Self {
        let count = |wanted| decisions.iter().filter(|(decision, _)| decision.judged.standing == wanted).count();
        let facts = json!({
            "compliant": count(Standing::Compliant),
            "nonCompliant": count(Standing::NonCompliant),
            "notApplicable": count(Standing::NotApplicable),
            "insufficientData": count(Standing::InsufficientData),
        });
        Self::of(line(ResourcePath::Mesh(mesh.clone()).to_string(), "keep", "Judged", facts))
    }

    /// Something could not be read, so that nothing about it is decided.
    pub(crate) fn unreadable(what: &str, error: &PortError, concern: Concern) -> Self {
        let facts = json!({ "call": error.call, "kind": error.kind, "message": error.message });
        let mut account = Self::of(line(what.to_owned(), "hold", "CannotObserve", facts));
        account.is_unread = matches!(concern, Concern::AllMeshes | Concern::Mesh(_));
        if error.kind.may_heal() {
            account.repeats.push(Repeat { why: format!("{what} cannot be read: {error}"), concern });
        }
        account
    }

    /// A stored document cannot be read, so that nothing is changed.
    pub(crate) fn unreadable_document(what: &str, error: &DocumentError) -> Self {
        let facts = json!({ "document": error.key(), "error": error.to_string(), "remedy": error.remedy() });
        Self::of(line(what.to_owned(), "hold", error.reason(), facts))
    }

    /// Resources of a mesh that could not be read, or not with their tags. The others are judged.
    pub(crate) fn partly_read(mesh: &MeshName, unread: &BTreeMap<ResourcePath, Unread>) -> Option<Self> {
        if unread.is_empty() {
            return None;
        }
        let named: Map<String, Value> =
            unread.iter().take(MOST_NAMED).map(|(path, unread)| (path.to_string(), json!(unread))).collect();
        let facts = json!({ "unread": named, "count": unread.len() });
        let mut account = Self::of(line(ResourcePath::Mesh(mesh.clone()).to_string(), "hold", "PartlyRead", facts));
        let transient = unread.iter().filter(|(_, unread)| unread.transient);
        account.repeats = transient
            .map(|(path, unread)| Repeat { why: unread.error.clone(), concern: Concern::Resource(path.clone()) })
            .collect();
        Some(account)
    }

    /// Notices that could not be sent. They are kept, and sent by the next run.
    pub(crate) fn not_notified(mesh: &MeshName, error: &PortError, owed: usize) -> Self {
        let facts = json!({ "error": error.to_string(), "owed": owed });
        Self::of(line(ResourcePath::Mesh(mesh.clone()).to_string(), "hold", "NotNotified", facts))
    }

    /// Events that could not be published. They are kept, and published by the next run.
    pub(crate) fn not_published(mesh: &MeshName, error: &PortError, owed: usize) -> Self {
        let facts = json!({ "error": error.to_string(), "owed": owed });
        Self::of(line(ResourcePath::Mesh(mesh.clone()).to_string(), "hold", "NotPublished", facts))
    }

    /// A mesh that an event spoke of doesn't exist, at least not here.
    pub(crate) fn not_there(what: &str) -> Self {
        Self::of(line(what.to_owned(), "keep", "NotThere", json!({})))
    }

    /// What a trigger brought that requests nothing.
    pub(crate) fn remarks(trigger: &Trigger) -> Vec<Self> {
        let refused = trigger.refused.iter().map(|write| {
            let resource = write.resource.as_ref().map_or_else(|| "event".to_owned(), ToString::to_string);
            let facts = json!({ "operation": write.operation, "error": write.error, "by": write.by });
            Self::of(line(resource, "keep", "NothingChanged", facts))
        });
        let foreign = (0..trigger.foreign).map(|_| {
            Self::of(line(
                "event".to_owned(),
                "hold",
                "NotOurs",
                json!({ "what": "an alarm, or the release of a route" }),
            ))
        });
        refused.chain(foreign).collect()
    }

    /// The report of an invocation.
    pub(crate) fn report(accounts: Vec<Self>) -> Report {
        let mut signals = Signals::default();
        for account in &accounts {
            signals.overwrote += account.signals.overwrote;
            signals.kill_switch_on |= account.signals.kill_switch_on;
        }
        Report { signals, ..Report::of(accounts.into_iter().map(|account| account.line).collect()) }
    }
}

/// A line of the report.
pub(crate) fn line(resource: String, decision: &str, reason: &str, facts: Value) -> lambda_kit::Decision {
    lambda_kit::Decision {
        resource,
        decision: decision.to_owned(),
        reason: reason.to_owned(),
        facts,
        plan: None,
        outcome: None,
    }
}

/// The reason of a decision: its stable code, its facts, and its text for people.
pub(crate) fn reason(verdict: &Verdict) -> (String, Value, String) {
    match verdict {
        Verdict::Keep(reason) => {
            let (code, facts) = reason.parts();
            (code, facts, reason.to_string())
        }
        Verdict::Hold(reason) => {
            let (code, facts) = reason.parts();
            (code, facts, reason.to_string())
        }
        Verdict::Act(plan) => {
            let changes: Vec<String> = plan.apply.iter().chain(&plan.would).map(ToString::to_string).collect();
            ("Mends".to_owned(), json!({ "rules": plan.mends }), changes.join("; "))
        }
    }
}

fn decided(decision: &Decision, outcome: Option<&Outcome>) -> lambda_kit::Decision {
    let (code, mut facts, _) = reason(&decision.verdict);
    let (kind, plan) = match &decision.verdict {
        Verdict::Keep(_) => ("keep", None),
        Verdict::Hold(_) => ("hold", None),
        Verdict::Act(plan) => ("act", serde_json::to_value(plan).ok()),
    };
    let told = |finding: &Finding| json!({ "id": finding.id(), "rule": finding.rule, "severity": finding.severity, "message": finding.message });
    let mut more = Map::from_iter([
        ("standing".to_owned(), json!(decision.judged.standing)),
        ("findings".to_owned(), decision.judged.findings.iter().map(told).collect()),
    ]);
    // The first of these is the reason itself where nothing is done.
    let others: Vec<&HoldReason> = match &decision.verdict {
        Verdict::Hold(reason) => decision.held.iter().filter(|held| *held != reason).collect(),
        Verdict::Keep(_) | Verdict::Act(_) => decision.held.iter().collect(),
    };
    if !others.is_empty() {
        more.insert("held".to_owned(), json!(others));
    }
    if let Some(unknown) = &decision.judged.unknown {
        more.insert("unknown".to_owned(), json!(unknown));
    }
    if let Some(facts) = facts.as_object_mut() {
        facts.extend(more);
    }
    lambda_kit::Decision {
        plan,
        outcome: outcome.and_then(|outcome| serde_json::to_value(outcome).ok()),
        ..line(decision.resource.to_string(), kind, &code, facts)
    }
}
