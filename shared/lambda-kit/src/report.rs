//! What a function did with a wake, as it is returned, logged and counted.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::wake::{Delivery, Payload};

/// The answer of one invocation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The function's name, as in `route-failover`.
    pub function: String,
    /// What woke it.
    pub wake: Vec<Payload>,
    /// What it decided, one entry a resource.
    pub decisions: Vec<Decision>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What is to be counted beyond the decisions themselves.
    #[serde(skip)]
    pub signals: Signals,
    /// Metrics of this function alone.
    #[serde(skip)]
    pub metrics: Vec<Metric>,
}

/// A number for CloudWatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// What is measured, as in `Findings`.
    pub name: &'static str,
    /// In what, in CloudWatch's words, as in `Count`.
    pub unit: &'static str,
    /// How much.
    pub value: f64,
    /// Of what: names and values, the most general first.
    pub dimensions: Vec<(&'static str, String)>,
}

impl Metric {
    /// A number of things.
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
    /// What was decided, as in `shift` or `hold`.
    pub decision: String,
    /// The stable reason code.
    pub reason: String,
    /// The facts that the reason rests on.
    pub facts: Value,
    /// What was to be changed, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Value>,
    /// What became of it, if it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Value>,
}

/// What the alarms on the automation itself watch. Each is a metric of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Resources held although an alarm is on.
    pub holds_during_alarm: u32,
    /// Writes that went over a change that had not been seen.
    pub overwrote: u32,
    /// Whether the kill switch was found on.
    pub kill_switch_on: bool,
    /// Whether the newest policy document is broken and an older one still rules.
    pub policy_rejected: bool,
    /// Calls that a service refused for a missing permission. The runtime counts them.
    pub calls_denied: u32,
    /// Pages that were due and were not sent, because the state table could not remember them.
    pub pages_withheld: u32,
    /// Whether nothing could be observed, so that the invocation did none of its work: it fails, and does not count as
    /// a run for the heartbeat.
    pub observed_nothing: bool,
}

impl Report {
    /// An empty report. The function's name, the wake and the time taken are filled in by [`crate::run`].
    #[must_use]
    pub fn of(decisions: Vec<Decision>) -> Self {
        Self {
            function: String::new(),
            wake: Vec::new(),
            decisions,
            took_ms: 0,
            signals: Signals::default(),
            metrics: Vec::new(),
        }
    }

    /// How many decisions had each reason.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<&str, u32> {
        let mut reasons = BTreeMap::new();
        for decision in &self.decisions {
            *reasons.entry(decision.reason.as_str()).or_insert(0) += 1;
        }
        reasons
    }
}

impl Decision {
    /// The decision on a delivery that nothing can be done with: it is reported, and never tried again.
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
            | Payload::Sweep { .. } => {
                return None;
            }
        };
        let resource = delivery.message_id.as_ref().map_or_else(|| "event".to_owned(), |id| format!("message/{id}"));
        Some(Self { resource, decision: "hold".into(), reason: reason.into(), facts, plan: None, outcome: None })
    }
}
