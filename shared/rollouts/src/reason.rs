//! The reasons of decisions about rollouts. `rules::reason_catalogue` documents their codes.

use std::fmt;

use decisions::failover::HarmFact;
use decisions::weights::{Blocker, EndReason};
use jiff::Timestamp;
use mesh::name::RouteId;
use policy::HookStage;
use serde::Serialize;

/// The reason of a decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum Reason {
    /// The request cannot be executed on the mesh as it is.
    RequestInvalid {
        /// The error and its remedy.
        problem: String,
    },
    /// The mode is observe.
    ModeObserve,
    /// Another writer, a hold or the kill switch is first.
    Blocked {
        /// The route.
        #[serde(skip_serializing_if = "Option::is_none")]
        route: Option<RouteId>,
        /// The reason of the arbiter.
        blocker: Blocker,
    },
    /// The mesh has the maximum number of rollouts.
    TooManyRollouts {
        /// The active rollouts.
        active: usize,
        /// The limit.
        limit: u8,
    },
    /// The budget of starts is spent.
    BudgetSpent {
        /// The starts in the window.
        used: u32,
        /// The limit.
        cap: u32,
    },
    /// The record of a route is unclear.
    RouteUnclear {
        /// The route.
        route: RouteId,
        /// The reason.
        why: String,
    },
    /// A gate has no result.
    GateNoData {
        /// The gates.
        gates: String,
    },
    /// A gate failed before the first write.
    GateFailingBeforeStart {
        /// The gates.
        gates: String,
    },
    /// A gate failed.
    GateFailed {
        /// The gates.
        gates: String,
    },
    /// The change would create a harm.
    Harmful {
        /// The route.
        route: RouteId,
        /// The harms.
        harms: Vec<HarmFact>,
    },
    /// A hook is in progress.
    HookWaits {
        /// The stage.
        stage: HookStage,
        /// The function.
        function: String,
        /// Its last reason or error.
        why: Option<String>,
    },
    /// A hook failed.
    HookFailed {
        /// The stage.
        stage: HookStage,
        /// The function.
        function: String,
        /// Its reason.
        why: String,
    },
    /// A hook did not succeed in time.
    HookTimedOut {
        /// The stage.
        stage: HookStage,
        /// The function.
        function: String,
        /// Its last reason or error.
        why: Option<String>,
    },
    /// The weights of a step are written.
    Shifting {
        /// The step, counted from 1.
        step: usize,
        /// The number of steps.
        steps: usize,
        /// The percent.
        percent: u8,
    },
    /// The proxies have not acknowledged the present weights.
    NotAcknowledged {
        /// The proxies, or why their state is not known.
        why: String,
    },
    /// The proxies have not acknowledged a step in time.
    Unacknowledged {
        /// The proxies, or why their state is not known.
        why: String,
    },
    /// A proxy rejected its configuration.
    ProxyRefused {
        /// The proxy.
        proxy: String,
        /// Its message.
        message: String,
    },
    /// The gates of a step are watched.
    Watching {
        /// The step, counted from 1.
        step: usize,
        /// The number of steps.
        steps: usize,
        /// The percent.
        percent: u8,
        /// The seconds that are left.
        left: i64,
    },
    /// The step waits for an approval.
    AwaitingApproval {
        /// The step, counted from 1.
        step: usize,
        /// The percent.
        percent: u8,
    },
    /// Too few proxies of the new version are connected.
    TooFewProxies {
        /// The numbers.
        why: String,
    },
    /// The old version has too few proxies to take its traffic back.
    FromScaledDown {
        /// The numbers.
        why: String,
    },
    /// An operator paused the rollout.
    PersonPaused {
        /// The operator.
        by: String,
    },
    /// A pause or a step lasted too long.
    RolloutStalled {
        /// The reason of the pause.
        why: String,
    },
    /// A route was deleted, recreated, or has other targets.
    RouteChanged {
        /// The route.
        route: RouteId,
        /// The change.
        why: String,
    },
    /// Another writer ended the rollout on a route.
    EndedByOther {
        /// The route.
        route: RouteId,
        /// The reason.
        end: EndReason,
    },
    /// An operator aborted the rollout.
    Aborted {
        /// The operator.
        by: String,
    },
    /// The split before the rollout is written, for this reason.
    RollingBack {
        /// The code of the failure.
        failure: String,
        /// The failure.
        why: String,
    },
    /// The rollback is not completed.
    RollbackFailed {
        /// The obstacle.
        why: String,
        /// When the rollback was decided.
        since: Timestamp,
    },
    /// The split of the rollout becomes the declared one.
    Promoting,
    /// The rollout has ended: the new version is declared.
    Promoted,
    /// The rollout has ended without a promotion.
    Ended {
        /// The code of the failure.
        failure: String,
        /// The failure.
        why: String,
    },
}

impl Reason {
    /// The stable code. For another writer it is the arbiter's, for an end it is the failure's.
    #[must_use]
    pub fn code(&self) -> String {
        let code = match self {
            Self::RequestInvalid { .. } => "RequestInvalid",
            Self::ModeObserve => "ModeObserve",
            Self::Blocked { blocker, .. } => blocker.code(),
            Self::TooManyRollouts { .. } => "TooManyRollouts",
            Self::BudgetSpent { .. } => "BudgetSpent",
            Self::RouteUnclear { .. } => "RouteUnclear",
            Self::GateNoData { .. } => "GateNoData",
            Self::GateFailingBeforeStart { .. } => "GateFailingBeforeStart",
            Self::GateFailed { .. } => "GateFailed",
            Self::Harmful { .. } => "Harmful",
            Self::HookWaits { .. } => "HookWaits",
            Self::HookFailed { .. } => "HookFailed",
            Self::HookTimedOut { .. } => "HookTimedOut",
            Self::Shifting { .. } => "Shifting",
            Self::NotAcknowledged { .. } => "NotAcknowledged",
            Self::Unacknowledged { .. } => "Unacknowledged",
            Self::ProxyRefused { .. } => "ProxyRefused",
            Self::Watching { .. } => "Watching",
            Self::AwaitingApproval { .. } => "AwaitingApproval",
            Self::TooFewProxies { .. } => "TooFewProxies",
            Self::FromScaledDown { .. } => "FromScaledDown",
            Self::PersonPaused { .. } => "PersonPaused",
            Self::RolloutStalled { .. } => "RolloutStalled",
            Self::RouteChanged { .. } => "RouteChanged",
            Self::EndedByOther { end, .. } => end.code(),
            Self::Aborted { .. } => "Aborted",
            Self::RollingBack { .. } => "RollingBack",
            Self::RollbackFailed { .. } => "RollbackFailed",
            Self::Promoting => "Promoting",
            Self::Promoted => "Promoted",
            Self::Ended { failure, .. } => return failure.clone(),
        };
        code.to_owned()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = |why: &Option<String>| why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        match self {
            Self::RequestInvalid { problem } => f.write_str(problem),
            Self::ModeObserve => {
                f.write_str("the mode is observe: set modes.rules.traffic-shift or the mode of the mesh to enforce")
            }
            Self::Blocked { route: Some(route), blocker } => write!(f, "{route}: {blocker}"),
            Self::Blocked { route: None, blocker } => write!(f, "{blocker}"),
            Self::TooManyRollouts { active, limit } => {
                write!(f, "the mesh has {active} active rollouts, limit {limit}")
            }
            Self::BudgetSpent { used, cap } => write!(f, "{used} of {cap} starts of the window are used"),
            Self::RouteUnclear { route, why } => write!(f, "the record of {route} is unclear: {why}"),
            Self::GateNoData { gates } => write!(f, "no result: {gates}"),
            Self::GateFailingBeforeStart { gates } => write!(f, "a gate fails before the start: {gates}"),
            Self::GateFailed { gates } => f.write_str(gates),
            Self::Harmful { route, harms } => {
                let texts: Vec<&str> = harms.iter().map(|harm| harm.text.as_str()).collect();
                write!(f, "{route}: {}", texts.join("; "))
            }
            Self::HookWaits { stage, function, why } => {
                write!(f, "hook {function} of stage {} is in progress{}", stage.as_str(), last(why))
            }
            Self::HookFailed { stage, function, why } => {
                write!(f, "hook {function} of stage {} failed: {why}", stage.as_str())
            }
            Self::HookTimedOut { stage, function, why } => {
                write!(f, "hook {function} of stage {} did not succeed in time{}", stage.as_str(), last(why))
            }
            Self::Shifting { step, steps, percent } => write!(f, "step {step} of {steps}: writing {percent} %"),
            Self::NotAcknowledged { why } => write!(f, "waits for proxies: {why}"),
            Self::Unacknowledged { why } => write!(f, "the proxies have not acknowledged the step in time: {why}"),
            Self::ProxyRefused { proxy, message } => write!(f, "{proxy} rejected its configuration: {message}"),
            Self::Watching { step, steps, percent, left } => {
                write!(f, "step {step} of {steps}: watching {percent} % for {left} s more")
            }
            Self::AwaitingApproval { step, percent } => {
                write!(f, "step {step} at {percent} % waits for `meshwarden rollout promote --step`")
            }
            Self::TooFewProxies { why } | Self::FromScaledDown { why } | Self::RolloutStalled { why } => {
                f.write_str(why)
            }
            Self::PersonPaused { by } => write!(f, "paused by {by}"),
            Self::RouteChanged { route, why } => write!(f, "{route} {why}"),
            Self::EndedByOther { route, end } => write!(f, "{route}: {end}"),
            Self::Aborted { by } => write!(f, "aborted by {by}"),
            Self::RollingBack { why, .. } => write!(f, "rolling back: {why}"),
            Self::RollbackFailed { why, since } => write!(f, "the rollback since {since:.0} is not completed: {why}"),
            Self::Promoting => f.write_str("promoting: the split becomes the declared one"),
            Self::Promoted => f.write_str("promoted"),
            Self::Ended { why, .. } => f.write_str(why),
        }
    }
}
