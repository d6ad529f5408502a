//! The part of the policy for traffic-shift.

mod amounts;
mod gates;
mod request;
mod selection;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Budget, Period};

pub use amounts::{BakeTime, Milliseconds, Ratio, RolloutAmountError, Statistic};
pub use gates::{ErrorRatioGate, GateMetrics, LatencyGate, MetricGate, RolloutGates};
pub use request::{
    AtEnd, FirstRoutes, HookFunction, HookStage, Move, RolloutHook, RolloutId, RolloutRequest, RolloutRequestError,
    Strategy,
};
pub use selection::{RolloutStep, RouteSelection, RouterRoute};

/// The settings of rollouts. Each member has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RolloutsPolicy {
    /// How long each step is watched, unless the rollout has an own interval: 1m to 24h.
    pub interval: Period,
    /// How long the last step is watched before the promotion, unless the rollout has an own bake time: 0s to 24h.
    pub bake: BakeTime,
    /// How long a rollout may wait for its start before it is refused: 1m to 7 days.
    pub start_within: Period,
    /// How proxies confirm a step.
    pub acknowledge: AcknowledgePolicy,
    /// How long a gate may have no result before the rollout pauses: 2m to 24h.
    pub no_data_after: Period,
    /// How long a rollout may be paused before it rolls back.
    pub pause_limit: PauseLimits,
    /// How long traffic-shift may be absent before route-failover rolls back its rollouts: 5m to 24h.
    pub unattended: Period,
    /// How long a hook may take, unless it has an own limit: 1m to 24h.
    pub hook_timeout: Period,
    /// The number of requests that a metric gate needs in a step, unless the gate has an own number: 1 to 1000000.
    pub min_requests: u32,
    /// The number of failed evaluations of a metric gate in a step that fail the rollout: 1 to 100. An alarm fails it
    /// at once.
    pub fail_after: u32,
    /// The number of proxies of the new version that must be connected, in percent of the number that carries its share
    /// in the old version: 0 to 100. 0 turns the check off.
    pub min_proxies: u8,
    /// The maximum number of rollouts at a time in one mesh: 1 to 50.
    pub concurrent: u8,
    /// The budget of starts. Steps, rollbacks and promotions never count.
    pub budget: Budget,
    /// The metrics of metric gates.
    pub metrics: GateMetrics,
    /// The rollouts that the policy requests. A rollout with a known id is not started again.
    pub declared: Vec<RolloutRequest>,
}

/// How proxies confirm a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AcknowledgePolicy {
    /// How long the connected proxies may take: 10s to 1h.
    pub within: Period,
    /// How long a write takes to reach the proxies of a server that does not report them: 10s to 1h.
    pub propagation: Period,
}

/// How long a rollout may be paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PauseLimits {
    /// A pause that the function made: 5m to 14 days.
    pub automatic: Period,
    /// A pause that an operator made, or a step that waits for an approval: 5m to 14 days.
    pub operator: Period,
}

impl Default for AcknowledgePolicy {
    fn default() -> Self {
        // Proxies acknowledge within milliseconds. Two minutes cover a control plane that restarts.
        Self { within: Period::minutes(2), propagation: Period::minutes(1) }
    }
}

impl Default for PauseLimits {
    fn default() -> Self {
        Self { automatic: Period::minutes(60), operator: Period::minutes(24 * 60) }
    }
}

impl Default for RolloutsPolicy {
    fn default() -> Self {
        Self {
            interval: Period::minutes(10),
            bake: BakeTime::minutes(30),
            start_within: Period::minutes(60),
            acknowledge: AcknowledgePolicy::default(),
            no_data_after: Period::minutes(10),
            pause_limit: PauseLimits::default(),
            unattended: Period::minutes(15),
            hook_timeout: Period::minutes(15),
            // With fewer requests one failure is a percent or more.
            min_requests: 100,
            // The first period of a new version often has slow requests.
            fail_after: 2,
            min_proxies: 50,
            concurrent: 3,
            budget: Budget { changes: 10, window: Period::minutes(60) },
            metrics: GateMetrics::default(),
            declared: Vec::new(),
        }
    }
}

/// A key of the document, and the error with its remedy.
pub(super) type Contradiction = (String, String);

/// The error of a duration that is out of bounds.
fn period_error(key: &str, period: Period, from: SignedDuration, to: SignedDuration) -> Option<Contradiction> {
    let outside = !(from..=to).contains(&period.get());
    outside.then(|| (key.to_owned(), format!("invalid duration {period}: expected {from:#} to {to:#}")))
}

/// The error of a number that is out of bounds.
fn number_error(key: &str, number: u32, from: u32, to: u32) -> Option<Contradiction> {
    let outside = !(from..=to).contains(&number);
    outside.then(|| (key.to_owned(), format!("invalid number {number}: expected {from} to {to}")))
}

impl RolloutsPolicy {
    /// The first contradiction in the document: its key and its remedy.
    pub(super) fn contradiction(&self) -> Option<Contradiction> {
        let (second, minute, hour) =
            (SignedDuration::from_secs(1), SignedDuration::from_mins(1), SignedDuration::from_hours(1));
        let day = hour * 24;
        let periods = [
            ("interval", self.interval, minute, day),
            ("startWithin", self.start_within, minute, day * 7),
            ("acknowledge.within", self.acknowledge.within, second * 10, hour),
            ("acknowledge.propagation", self.acknowledge.propagation, second * 10, hour),
            ("noDataAfter", self.no_data_after, minute * 2, day),
            ("pauseLimit.automatic", self.pause_limit.automatic, minute * 5, day * 14),
            ("pauseLimit.operator", self.pause_limit.operator, minute * 5, day * 14),
            ("unattended", self.unattended, minute * 5, day),
            ("hookTimeout", self.hook_timeout, minute, day),
        ];
        let periods = periods.into_iter().find_map(|(key, period, from, to)| period_error(key, period, from, to));
        let numbers = [
            ("minRequests", self.min_requests, 1, 1_000_000),
            ("failAfter", self.fail_after, 1, 100),
            ("minProxies", u32::from(self.min_proxies), 0, 100),
            ("concurrent", u32::from(self.concurrent), 1, 50),
        ];
        let numbers = || numbers.into_iter().find_map(|(key, number, from, to)| number_error(key, number, from, to));
        let found = periods.or_else(numbers).or_else(|| self.declared_contradiction());
        found.map(|(key, problem)| (format!("rollouts.{key}"), problem))
    }

    fn declared_contradiction(&self) -> Option<Contradiction> {
        let mut ids = std::collections::BTreeSet::new();
        self.declared.iter().enumerate().find_map(|(index, request)| {
            let at = |(key, problem): Contradiction| {
                let key = if key.is_empty() { key } else { format!(".{key}") };
                (format!("declared[{index}]{key}"), problem)
            };
            request.contradiction().map(at).or_else(|| {
                let id = request.id_or_digest();
                (!ids.insert((request.mesh.clone(), id.clone())))
                    .then(|| (format!("declared[{index}]"), format!("rollout {id} is declared twice; keep one")))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Policy;

    #[test]
    fn bounds_are_enforced_with_their_key() {
        for (text, key, part) in [
            ("interval: 30s", "rollouts.interval", "1m to 24h"),
            ("bake: 25h", "rollouts.bake", "0s to 24h"),
            ("startWithin: 8d", "rollouts.startWithin", "90s, 5m"),
            ("startWithin: 169h", "rollouts.startWithin", "168h"),
            ("acknowledge: {within: 5s}", "rollouts.acknowledge.within", "10s"),
            ("noDataAfter: 1m", "rollouts.noDataAfter", "2m"),
            ("pauseLimit: {operator: 1m}", "rollouts.pauseLimit.operator", "5m"),
            ("hookTimeout: 25h", "rollouts.hookTimeout", "24h"),
            ("minRequests: 0", "rollouts.minRequests", "1 to 1000000"),
            ("failAfter: 101", "rollouts.failAfter", "1 to 100"),
            ("minProxies: 101", "rollouts.minProxies", "0 to 100"),
            ("concurrent: 51", "rollouts.concurrent", "1 to 50"),
            ("unattended: 1m", "rollouts.unattended", "5m"),
        ] {
            let error = Policy::read(&format!("version: 1\nrollouts:\n  {text}\n")).unwrap_err();
            assert_eq!(error.key, key, "{error}");
            assert!(error.problem.contains(part), "{error}");
            assert_eq!(error.line, 3, "{error}");
        }
    }

    #[test]
    fn rollout_declared_twice_is_rejected() {
        let one = "{id: a, mesh: shop, routes: [recs/all], moves: [{from: v1, to: v2}], strategy: blue-green, \
                   ungated: no alarms yet}";
        let error =
            Policy::read(&format!("version: 1\nrollouts:\n  declared:\n    - {one}\n    - {one}\n")).unwrap_err();
        assert_eq!(error.key, "rollouts.declared[1]", "{error}");
    }
}
