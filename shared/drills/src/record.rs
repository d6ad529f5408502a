//! The stored state of a mesh's drills.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use policy::{DrillName, DrillPlanPolicy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::drill_plan::DrillPlan;
use crate::outcome::DrillOutcome;
use crate::reason::Reason;
use crate::traffic::DrillTraffic;

/// The drills of one mesh. At most one is active.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshDrills {
    /// The active drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Drill>,
    /// The requests that are not handled yet, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Request>,
    /// The past of each plan, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<DrillName, PlanHistory>,
    /// When each lasting condition was last paged, by its code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub paged: BTreeMap<String, Timestamp>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// An active drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drill {
    /// The id: the same for the same mesh, plan and request.
    pub id: String,
    /// The plan, as it was when the drill was accepted.
    pub plan: DrillPlan,
    /// The id of the request; that of a scheduled drill names its window.
    pub request: String,
    /// The operator or the service that requested it.
    pub by: String,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When the checks must have passed.
    pub begin_by: Timestamp,
    /// The phase.
    pub phase: DrillPhase,
    /// When the phase began.
    pub since: Timestamp,
    /// When the first weight was to be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When the weights must be restored in every case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_by: Option<Timestamp>,
    /// The routes of the drill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<DrilledRoute>,
    /// When the proxies had acknowledged the drained weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
    /// Since when an outcome alarm has had no usable state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data_since: Option<Timestamp>,
    /// The check that did not pass last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Reason>,
    /// The request to stop the drill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Why the drill ends, once that is decided. It is never replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<DrillVerdict>,
    /// When every route was first observed with its restored weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Timestamp>,
    /// When the proxies had acknowledged the restored weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_acknowledged: Option<Timestamp>,
    /// The highest request rate of each receiver during the drill, in requests a second.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peaks: BTreeMap<VirtualNodeName, f64>,
    /// The traffic of the receivers, as it was last measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<DrillTraffic>,
}

/// The phase of an active drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillPhase {
    /// The conditions of a start are checked. Nothing is changed.
    Checking,
    /// The weights are being written.
    Draining,
    /// The proxies are acknowledging the weights.
    Confirming,
    /// The node is drained.
    Running,
    /// The weights are being restored.
    Restoring,
}

impl DrillPhase {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Draining => "draining",
            Self::Confirming => "confirming",
            Self::Running => "running",
            Self::Restoring => "restoring",
        }
    }
}

/// A route of a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrilledRoute {
    /// The route.
    pub route: RouteId,
    /// The split before the drill.
    pub before: WeightSplit,
    /// The split while the node is drained.
    pub drained: WeightSplit,
}

/// A request to stop a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// The operator or the service that requested it.
    pub by: String,
    /// When it was requested.
    pub at: Timestamp,
}

/// Why a drill ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillVerdict {
    /// The outcome.
    pub outcome: DrillOutcome,
    /// The reason.
    pub reason: Reason,
    /// When it was decided.
    pub at: Timestamp,
}

/// The past of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanHistory {
    /// When the plan was first known.
    pub first_seen: Timestamp,
    /// The last drill of any outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<DrillEnd>,
    /// The last drill that succeeded or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_conclusive: Option<DrillEnd>,
    /// The end of the newest window that is accounted for, so that a missed one is reported once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_closed: Option<Timestamp>,
}

/// The result of a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillEnd {
    /// The drill's id.
    pub id: String,
    /// The id of the request.
    pub request: String,
    /// The operator or the service that requested it.
    pub by: String,
    /// The virtual node.
    pub node: VirtualNodeName,
    /// The outcome.
    pub outcome: DrillOutcome,
    /// The reason.
    pub reason: Reason,
    /// When the first weight was to be written; unset if nothing was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended: the weights are as before.
    pub ended: Timestamp,
    /// The seconds from the first write to the acknowledgement by the proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_after: Option<i64>,
    /// The seconds from the decision to restore to the restored weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_after: Option<i64>,
    /// The seconds from the decision to restore to the acknowledgement of the restored weights by the proxies; unset if the
    /// drill ended without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_acknowledged_after: Option<i64>,
    /// The highest request rate of each receiver, in requests a second.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peaks: BTreeMap<VirtualNodeName, f64>,
    /// The traffic of the receivers while the node was drained; unset if nothing was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<DrillTraffic>,
    /// The routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<DrilledRoute>,
}

/// A request of an operator or a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The id. The same request delivered again has the same id.
    pub id: String,
    /// The operator or the service.
    pub by: String,
    /// When it was made.
    pub at: Timestamp,
    /// The name of the drill.
    pub drill: DrillName,
    /// The action.
    #[serde(flatten)]
    pub action: RequestAction,
}

/// The action of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum RequestAction {
    /// Start a drill.
    Start {
        /// The plan, if it is not in the policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<Box<DrillPlanPolicy>>,
    },
    /// End the drill now, and restore the weights.
    Stop,
}

impl MeshDrills {
    /// The history of a plan; it begins now for a new plan.
    pub(crate) fn history(&mut self, name: &DrillName, now: Timestamp) -> &mut PlanHistory {
        self.plans.entry(name.clone()).or_insert_with(|| PlanHistory {
            first_seen: now,
            last: None,
            last_conclusive: None,
            window_closed: None,
        })
    }

    /// Stores a result.
    pub(crate) fn ended(&mut self, name: &DrillName, end: DrillEnd, now: Timestamp) {
        let history = self.history(name, now);
        if end.outcome.is_conclusive() {
            history.last_conclusive = Some(end.clone());
        }
        history.last = Some(end);
    }

    /// Whether a request was handled before.
    #[must_use]
    pub fn knows(&self, request: &str) -> bool {
        let is_active = self.active.as_ref().is_some_and(|drill| drill.request == request);
        is_active || self.plans.values().any(|plan| plan.last.as_ref().is_some_and(|end| end.request == request))
    }
}

impl DrillEnd {
    /// The measurements, as a sentence without its end; `None` if nothing was changed.
    #[must_use]
    pub fn measured(&self) -> Option<String> {
        self.started?;
        let seconds =
            |seconds: Option<i64>| seconds.map_or_else(|| "not".to_owned(), |seconds| format!("after {seconds} s"));
        let acknowledged = seconds(self.acknowledged_after);
        let restored = format!(
            "{}, restore acknowledged {}",
            seconds(self.restored_after),
            seconds(self.restore_acknowledged_after)
        );
        let Some(traffic) = &self.traffic else {
            return Some(format!("Requests: not known; acknowledged {acknowledged}, restored {restored}"));
        };
        let peaks: Vec<String> =
            traffic.receivers.iter().map(|(node, receiver)| format!("{node} {} a second", receiver.peak)).collect();
        Some(format!(
            "Requests: {}, failed: {}; peaks: {}; acknowledged {acknowledged}, restored {restored}",
            traffic.requests(),
            traffic.failures(),
            if peaks.is_empty() { "not known".to_owned() } else { peaks.join(", ") },
        ))
    }
}

impl Drill {
    /// Whether the drill has changed a weight, or may have.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.restore_by.is_some()
    }

    /// Moves the drill to a phase.
    pub(crate) fn enter(&mut self, phase: DrillPhase, now: Timestamp) {
        self.phase = phase;
        self.since = now;
    }

    /// The result of the drill, with this outcome.
    pub(crate) fn end(&self, outcome: DrillOutcome, reason: Reason, now: Timestamp) -> DrillEnd {
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs();
        let decided = self.verdict.as_ref().filter(|_| self.has_begun()).map(|verdict| verdict.at);
        DrillEnd {
            id: self.id.clone(),
            request: self.request.clone(),
            by: self.by.clone(),
            node: self.plan.node.clone(),
            outcome,
            reason,
            started: self.started,
            ended: now,
            acknowledged_after: self.started.zip(self.acknowledged).map(|(from, to)| seconds(from, to)),
            restored_after: decided.map(|from| seconds(from, self.restored.unwrap_or(now))),
            restore_acknowledged_after: decided.zip(self.restore_acknowledged).map(|(from, to)| seconds(from, to)),
            peaks: self.peaks.clone(),
            traffic: self.traffic.clone(),
            routes: self.routes.clone(),
        }
    }
}
