//! The stored document of a rollout.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::Command;
use crate::gate::GateRecord;
use crate::hook::HookRecord;
use crate::message::RolloutMessage;
use crate::rollout::Rollout;

/// The stored document of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRecord {
    /// The rollout.
    pub rollout: Rollout,
    /// The operator or program that requested it.
    pub by: String,
    /// When it was requested.
    pub requested: Timestamp,
    /// The state.
    pub state: RolloutState,
    /// When the state began.
    pub since: Timestamp,
    /// The index of the current step.
    #[serde(default)]
    pub step: usize,
    /// When all routes had the weights of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Timestamp>,
    /// When all proxies had acknowledged the step: the begin of its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The time of the step during which every gate passed.
    #[serde(default)]
    pub passed: SignedDuration,
    /// When the gates were last evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated: Option<Timestamp>,
    /// Since when a gate has had no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Timestamp>,
    /// The last results of the gates, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: BTreeMap<String, GateRecord>,
    /// The hooks of the rollout, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, HookRecord>,
    /// Whether an operator has approved the current step.
    #[serde(default)]
    pub approved: bool,
    /// The command of an operator that is not executed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// The pause, in state paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The reason for the end of a rollout that is not promoted. It is never replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The number of connected proxies of each old version at the start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub old_proxies: BTreeMap<VirtualNodeName, u32>,
    /// The routes as they were at the start; empty before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<RouteId, RouteStart>,
    /// The code of the last reported decision, and when it was reported first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<ReportedReason>,
    /// When each condition was last paged, by code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paged: BTreeMap<String, Timestamp>,
    /// The messages that are not known to be sent, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<RolloutMessage>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The state of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// It waits for its start.
    Waiting,
    /// The checks and hooks before the first write.
    Before,
    /// The weights of the step are written.
    Shifting,
    /// The weights are written; the proxies have not acknowledged them yet.
    Confirming,
    /// The gates of the step are watched.
    Watching,
    /// The gates are watched at 100 %.
    Bake,
    /// The hooks after the bake time.
    After,
    /// The split of the rollout becomes the declared one.
    Promoting,
    /// Paused by an operator or by the function.
    Paused,
    /// The split before the rollout is written.
    RollingBack,
    /// Ended: the new version is the declared one.
    Promoted,
    /// Ended: the split before the rollout is in place.
    RolledBack,
    /// Ended before the first write.
    Refused,
    /// Ended by another writer.
    Interrupted,
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// The code of the reason.
    pub code: String,
    /// The reason.
    pub text: String,
    /// The state before the pause.
    pub from: RolloutState,
}

/// The reason for the end of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The stable code.
    pub code: String,
    /// The reason.
    pub text: String,
    /// When it was decided.
    pub at: Timestamp,
    /// The final state.
    pub then: RolloutState,
}

/// A route at the start of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteStart {
    /// The uid of the route.
    pub uid: String,
    /// The declared split.
    pub declared: WeightSplit,
}

/// A reported decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportedReason {
    /// The code of the reason, with the state and step.
    pub code: String,
    /// When it was reported first.
    pub since: Timestamp,
}

impl RolloutState {
    /// The name, as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Before => "before",
            Self::Shifting => "shifting",
            Self::Confirming => "confirming",
            Self::Watching => "watching",
            Self::Bake => "bake",
            Self::After => "after",
            Self::Promoting => "promoting",
            Self::Paused => "paused",
            Self::RollingBack => "rolling-back",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether the rollout has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Promoted | Self::RolledBack | Self::Refused | Self::Interrupted => true,
            Self::Waiting
            | Self::Before
            | Self::Shifting
            | Self::Confirming
            | Self::Watching
            | Self::Bake
            | Self::After
            | Self::Promoting
            | Self::Paused
            | Self::RollingBack => false,
        }
    }

    /// Whether a route may have weights of the rollout.
    #[must_use]
    pub const fn has_weight(self) -> bool {
        match self {
            Self::Shifting
            | Self::Confirming
            | Self::Watching
            | Self::Bake
            | Self::After
            | Self::Promoting
            | Self::Paused
            | Self::RollingBack => true,
            Self::Waiting | Self::Before | Self::Promoted | Self::RolledBack | Self::Refused | Self::Interrupted => {
                false
            }
        }
    }
}

impl RolloutRecord {
    /// The record of a new rollout.
    #[must_use]
    pub fn new(rollout: Rollout, by: &str, requested: Timestamp) -> Self {
        Self {
            rollout,
            by: by.to_owned(),
            requested,
            state: RolloutState::Waiting,
            since: requested,
            step: 0,
            written: None,
            started: None,
            passed: SignedDuration::ZERO,
            evaluated: None,
            unknown_since: None,
            gates: BTreeMap::new(),
            hooks: BTreeMap::new(),
            approved: false,
            command: None,
            pause: None,
            failure: None,
            old_proxies: BTreeMap::new(),
            routes: BTreeMap::new(),
            reported: None,
            paged: BTreeMap::new(),
            messages: Vec::new(),
            unknown: BTreeMap::new(),
        }
    }

    /// Enters a state.
    pub(crate) fn enter(&mut self, state: RolloutState, now: Timestamp) {
        self.state = state;
        self.since = now;
        if state != RolloutState::Paused {
            self.pause = None;
        }
    }

    /// Begins a step: everything that was measured in the previous step is forgotten.
    pub(crate) fn enter_step(&mut self, step: usize, now: Timestamp) {
        self.step = step;
        self.written = None;
        self.approved = false;
        self.restart();
        self.enter(RolloutState::Shifting, now);
    }

    /// Watches the step again from now on.
    pub(crate) fn restart(&mut self) {
        self.started = None;
        self.passed = SignedDuration::ZERO;
        self.evaluated = None;
        self.unknown_since = None;
        self.gates.clear();
    }

    /// Stores the reason for the end, unless an earlier one is stored.
    pub(crate) fn fail(&mut self, code: &str, text: String, then: RolloutState, at: Timestamp) {
        if self.failure.is_none() {
            self.failure = Some(Failure { code: code.to_owned(), text, at, then });
        }
    }

    /// The subject in decisions, as in `rollout/shop/recs-v2-117`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("rollout/{}/{}", self.rollout.mesh, self.rollout.id)
    }
}
