//! A rollout with all defaults filled in, so that a later change of the policy does not change it.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use mesh::name::{MeshName, RouteId};
use policy::Period;
use policy::{
    AtEnd, FirstRoutes, MetricGate, Move, RolloutHook, RolloutId, RolloutRequest, RolloutStep, RolloutsPolicy,
    RouteSelection, Strategy,
};
use serde::{Deserialize, Serialize};

/// A rollout as it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The id.
    pub id: RolloutId,
    /// The mesh.
    pub mesh: MeshName,
    /// The routes.
    pub routes: BTreeSet<RouteId>,
    /// The routes that go to 100 % in the first step.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub first: BTreeSet<RouteId>,
    /// The moves.
    pub moves: Vec<Move>,
    /// The strategy, for texts.
    pub strategy: Strategy,
    /// The steps; the last one has 100 % on all routes.
    pub steps: Vec<Step>,
    /// How long the last step is watched.
    pub bake: SignedDuration,
    /// The alarms that must be `OK`.
    pub alarms: Vec<mesh::alarm::AlarmName>,
    /// The metric gates, with their number of requests and failed evaluations.
    pub metrics: Vec<MetricGate>,
    /// Why the rollout has no gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ungated: Option<String>,
    /// The hooks, with their time limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<RolloutHook>,
    /// What happens after the bake time.
    pub at_end: AtEnd,
    /// Whether failover may move traffic above the step to the new version.
    #[serde(default)]
    pub to_capacity: bool,
    /// Whether a rollout on one of the routes is rolled back first.
    #[serde(default)]
    pub replace: bool,
}

/// A step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The percent of the routes that are no first routes; 0 in the step of the first routes.
    pub percent: u8,
    /// Whether the step ends only after an operator's approval.
    #[serde(default)]
    pub approve: bool,
    /// How long the step is watched.
    pub interval: SignedDuration,
}

impl Rollout {
    /// The percent of a route in a step: 0 if the route has no part of the step yet.
    #[must_use]
    pub fn percent(&self, route: &RouteId, step: usize) -> u8 {
        if self.first.contains(route) { 100 } else { self.steps.get(step).map_or(100, |step| step.percent) }
    }

    /// The percent of a step, for texts.
    #[must_use]
    pub fn percent_of_step(&self, step: usize) -> u8 {
        self.steps.get(step).map_or(100, |step| step.percent)
    }

    /// The index of the last step.
    #[must_use]
    pub const fn last_step(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }

    /// Whether a step is the last one.
    #[must_use]
    pub const fn is_last(&self, step: usize) -> bool {
        step >= self.last_step()
    }
}

/// Fills in the defaults of a request. `service_routes` are the routes of the virtual service that the request names.
#[must_use]
pub fn resolve(request: &RolloutRequest, service_routes: &[RouteId], policy: &RolloutsPolicy) -> Rollout {
    let id = |route: &policy::RouterRoute| route.id(&request.mesh);
    let routes = match &request.routes {
        RouteSelection::Routes(routes) => routes.iter().map(id).collect(),
        RouteSelection::Service(_) => service_routes.iter().cloned().collect(),
    };
    let interval = request.interval.unwrap_or(policy.interval).get();
    let hooks = request
        .hooks
        .iter()
        .map(|hook| RolloutHook { timeout: Some(hook.timeout.unwrap_or(policy.hook_timeout)), ..hook.clone() });
    let metrics = request.gates.metrics.iter().map(|gate| MetricGate {
        min_requests: Some(gate.min_requests.unwrap_or(policy.min_requests)),
        fail_after: Some(gate.fail_after.unwrap_or(policy.fail_after)),
        ..gate.clone()
    });
    Rollout {
        id: request.id_or_digest(),
        mesh: request.mesh.clone(),
        routes,
        first: request.first.iter().flat_map(|first| &first.routes).map(id).collect(),
        moves: request.moves.clone(),
        strategy: request.strategy,
        steps: steps(request, interval),
        bake: request.bake.unwrap_or(policy.bake).get(),
        alarms: request.gates.alarms.clone(),
        metrics: metrics.collect(),
        ungated: request.ungated.clone(),
        hooks: hooks.collect(),
        at_end: request.at_end,
        to_capacity: request.to_capacity,
        replace: request.replace,
    }
}

fn steps(request: &RolloutRequest, interval: SignedDuration) -> Vec<Step> {
    let step = |percent, approve| Step { percent, approve, interval };
    let mut steps: Vec<Step> = Vec::new();
    if let Some(FirstRoutes { interval: own, .. }) = &request.first {
        steps.push(Step { interval: own.map_or(interval, Period::get), ..step(0, false) });
    }
    match request.strategy {
        Strategy::Canary => {
            steps.extend(request.steps.iter().map(|&RolloutStep { percent, approve }| step(percent, approve)));
        }
        Strategy::Linear { every } => {
            steps.extend(
                (1_u8..100)
                    .map_while(|number| number.checked_mul(every))
                    .take_while(|percent| *percent < 100)
                    .map(|percent| step(percent, false)),
            );
        }
        Strategy::BlueGreen => {}
    }
    if steps.last().is_none_or(|last| last.percent < 100) {
        steps.push(step(100, false));
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_end_at_100_percent() {
        for (strategy, expected) in [
            (json!({ "strategy": "canary", "steps": [5, 50] }), vec![5, 50, 100]),
            (json!({ "strategy": "canary", "steps": [5, 100] }), vec![5, 100]),
            (json!({ "strategy": { "linear": { "every": 25 } } }), vec![25, 50, 75, 100]),
            (json!({ "strategy": { "linear": { "every": 30 } } }), vec![30, 60, 90, 100]),
            (json!({ "strategy": "blue-green" }), vec![100]),
            (json!({ "strategy": "blue-green", "first": { "routes": ["recs/beta"] } }), vec![0, 100]),
        ] {
            let mut request = json!({ "mesh": "shop", "routes": ["recs/all", "recs/beta"],
                "moves": [{ "from": "v1", "to": "v2" }], "ungated": "a test" });
            for (name, value) in strategy.as_object().unwrap() {
                request.as_object_mut().unwrap().insert(name.clone(), value.clone());
            }
            let request: RolloutRequest = serde_json::from_value(request).unwrap();
            let rollout = resolve(&request, &[], &RolloutsPolicy::default());
            let percents: Vec<u8> = rollout.steps.iter().map(|step| step.percent).collect();
            assert_eq!(percents, expected, "{strategy}");
        }
    }

    #[test]
    fn first_routes_have_100_percent_in_every_step() {
        let request: RolloutRequest = serde_json::from_value(json!({
            "mesh": "shop", "routes": ["recs/all", "recs/beta"], "moves": [{ "from": "v1", "to": "v2" }],
            "first": { "routes": ["recs/beta"], "interval": "30m" }, "strategy": "canary", "steps": [5],
            "ungated": "a test",
        }))
        .unwrap();
        let rollout = resolve(&request, &[], &RolloutsPolicy::default());
        let percents = |route: &str| {
            let route = RouteId::parse(route).unwrap();
            (0..3).map(|step| rollout.percent(&route, step)).collect::<Vec<_>>()
        };
        assert_eq!((percents("shop/recs/beta"), percents("shop/recs/all")), (vec![100, 100, 100], vec![0, 5, 100]));
        assert_eq!(rollout.steps.first().unwrap().interval, SignedDuration::from_mins(30));
    }
}
