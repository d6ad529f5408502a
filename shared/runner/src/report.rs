//! The result of an invocation, as it is returned, logged and counted.

use std::collections::BTreeMap;

use records::{DecisionEntry, OutcomeEntry, PlanEntry};
use serde::Serialize;
use serde_json::Value;

use crate::events::{Delivery, Payload};

/// The report of one invocation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The function's name, as in `route-failover`.
    pub function: String,
    /// The payloads that triggered the invocation.
    #[serde(rename = "wake")]
    pub triggers: Vec<Payload>,
    /// The decisions, one entry per resource.
    pub decisions: Vec<Decision>,
    /// The duration of the invocation, in milliseconds.
    pub took_ms: u64,
    /// The values to count in addition to the decisions.
    #[serde(skip)]
    pub signals: Signals,
    /// Metrics that only this function has.
    #[serde(skip)]
    pub metrics: Vec<Metric>,
    /// The answer to a direct invocation, in place of the report.
    #[serde(skip)]
    pub answer: Option<Value>,
}

/// A metric value for CloudWatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The name of the metric, as in `Findings`.
    pub name: &'static str,
    /// CloudWatch's name of the unit, as in `Count`.
    pub unit: &'static str,
    /// The value of the metric.
    pub value: f64,
    /// The names and values of the dimensions, the most general first.
    pub dimensions: Vec<(&'static str, String)>,
}

impl Metric {
    /// Creates a metric with the unit `Count`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nothing is counted beyond 2^53")]
    pub fn count(name: &'static str, count: usize, dimensions: Vec<(&'static str, String)>) -> Self {
        Self { name, unit: "Count", value: count as f64, dimensions }
    }
}

/// One decision about one resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Kind and path of the resource, as in `mesh/shop/virtualRouter/recs/route/main`.
    pub resource: String,
    /// The name of the decision, as in `shift` or `hold`.
    pub decision: String,
    /// The stable reason code.
    pub reason: String,
    /// The facts that explain the reason.
    pub facts: Value,
    /// The plan of the change, if the decision has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
    /// The outcome of the plan, if it was executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Value>,
}

/// The values that the alarms on the automation itself watch. Each has a separate metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each has a separate metric")]
pub struct Signals {
    /// Resources held although an alarm is on.
    pub holds_during_alarm: u32,
    /// Writes that overwrote a change that had not been observed.
    pub overwrote: u32,
    /// Whether the kill switch was found on.
    pub kill_switch_on: bool,
    /// Whether the newest policy document is invalid and an older one is still in force.
    pub policy_rejected: bool,
    /// Whether no version of the policy could be loaded since the process started, so that the invocation failed.
    pub policy_unavailable: bool,
    /// Calls that a service refused for a missing permission. The runtime counts them.
    pub calls_denied: u32,
    /// Pages that were due and were not sent, because the state table could not record them.
    pub pages_withheld: u32,
    /// Whether nothing could be observed, so that the invocation did none of its work. The invocation fails and does
    /// not count as a run for the heartbeat.
    pub observed_nothing: bool,
}

impl Report {
    /// Creates a report with these decisions. [`crate::run()`] fills in the other members: the function's name, the
    /// triggers and the duration.
    #[must_use]
    pub fn new(decisions: Vec<Decision>) -> Self {
        Self {
            function: String::new(),
            triggers: Vec::new(),
            decisions,
            took_ms: 0,
            signals: Signals::default(),
            metrics: Vec::new(),
            answer: None,
        }
    }

    /// The number of decisions with each reason.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<&str, u32> {
        let mut reasons = BTreeMap::new();
        for decision in &self.decisions {
            *reasons.entry(decision.reason.as_str()).or_insert(0) += 1;
        }
        reasons
    }
}

impl From<&Decision> for DecisionEntry {
    fn from(decision: &Decision) -> Self {
        Self {
            decision: Some(decision.decision.clone()),
            plan: decision.plan.clone().map(PlanEntry::from),
            outcome: decision.outcome.clone().map(OutcomeEntry::from),
            ..Self::new(&decision.resource, &decision.reason, decision.facts.clone())
        }
    }
}

impl Decision {
    /// The decision on an unreadable delivery, or one for another recipient: it is reported and never retried. `None`
    /// for any other delivery.
    #[must_use]
    pub fn on_unusable(delivery: &Delivery) -> Option<Self> {
        let (reason, facts) = match &delivery.payload {
            Payload::NotOurs { what } => ("NotOurs", serde_json::json!({ "what": what })),
            Payload::Unreadable { why, at } => ("UnreadableEvent", serde_json::json!({ "why": why, "at": at })),
            Payload::Alarm(_)
            | Payload::Tick
            | Payload::Release(_)
            | Payload::Config(_)
            | Payload::MeshWrite(_)
            | Payload::Certificate(_)
            | Payload::Rollout(_)
            | Payload::Sweep { .. }
            | Payload::Drill(_) => {
                return None;
            }
        };
        let resource = delivery.message_id.as_ref().map_or_else(|| "event".to_owned(), |id| format!("message/{id}"));
        Some(Self { resource, decision: "hold".into(), reason: reason.into(), facts, plan: None, outcome: None })
    }
}
