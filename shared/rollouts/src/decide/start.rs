//! The states before the first write.

use policy::{HookStage, Mode};

use super::{Decider, Next};
use crate::evidence::{Evidence, connected, evidence};
use crate::gates::Gates;
use crate::layers::RouteChange;
use crate::reason::Reason;
use crate::record::{RolloutState, RouteStart};

impl Decider<'_> {
    /// Waits until the rollout may start.
    pub(super) fn waiting(&mut self) -> Next {
        if let Some(problem) = self.request_problem() {
            return self.refuse(&Reason::RequestInvalid { problem });
        }
        let reason = match self.step_blocker() {
            Some((reason, true)) if !self.record.rollout.replace => return self.refuse(&reason),
            Some((reason, _)) => reason,
            None => {
                let Some(reason) = self.admission_limit() else {
                    self.record.enter(RolloutState::Before, self.now);
                    return Next::Again;
                };
                reason
            }
        };
        self.wait_for_start(reason)
    }

    /// The checks and hooks before the first write.
    pub(super) fn before(&mut self) -> Next {
        if let Some((reason, is_final)) = self.step_blocker() {
            return if is_final { self.refuse(&reason) } else { self.wait_for_start(reason) };
        }
        if let Some(reason) = self.admission_limit() {
            return self.wait_for_start(reason);
        }
        match self.evaluate_alarms() {
            Gates::Fail(gates) => return self.refuse(&Reason::GateFailingBeforeStart { gates }),
            Gates::Unknown(gates) => return self.wait_for_start(Reason::GateNoData { gates }),
            Gates::Pass => {}
        }
        // A proxy that does not follow its configuration now would not follow the rollout either.
        let why = match evidence(self.facts) {
            Evidence::Acknowledged(_) | Evidence::Unsupported => None,
            Evidence::Outstanding(proxies) => Some(proxies.join(", ")),
            Evidence::Rejected { proxy, message } => Some(format!("{proxy} rejected its configuration: {message}")),
            Evidence::NoCaller => Some("no proxy that calls the routes is connected".to_owned()),
            Evidence::Unread(why) => Some(why),
        };
        if let Some(why) = why {
            return self.wait_for_start(Reason::NotAcknowledged { why });
        }
        let mut steps = vec![0, self.record.rollout.last_step()];
        steps.dedup();
        for route in self.record.rollout.routes.clone() {
            for percent in steps.iter().map(|step| self.record.rollout.percent(&route, *step)) {
                if percent == 0 {
                    continue;
                }
                match self.plan(&route, RouteChange::Percent(percent)) {
                    Err(reason) => return self.wait_for_start(reason),
                    Ok(plan) => {
                        if let Some(reason) = self.harms(&plan) {
                            return self.refuse(&reason);
                        }
                    }
                }
            }
        }
        match self.run_hooks(HookStage::Before) {
            Some((reason, true)) => return self.refuse(&reason),
            Some((reason, false)) => return Next::Stay(reason),
            None => {}
        }
        let from = self.record.rollout.moves.iter().map(|pair| &pair.from);
        self.record.old_proxies = connected(self.facts, from).unwrap_or_default();
        let start = |route: &mesh::name::RouteId| {
            let (facts, record) = (self.facts.routes.get(route)?.as_ref()?, self.routes.get(route)?);
            let start = RouteStart { uid: facts.uid.clone(), declared: record.declared().clone() };
            Some((route.clone(), start))
        };
        self.record.routes = self.record.rollout.routes.iter().filter_map(start).collect();
        self.record.enter_step(0, self.now);
        Next::Again
    }

    /// Stays until the start is possible; refused when that takes too long.
    fn wait_for_start(&mut self, reason: Reason) -> Next {
        let limit = self.policy.rollouts.start_within.get();
        if self.now.duration_since(self.record.requested) < limit {
            return Next::Stay(reason);
        }
        self.refuse(&reason)
    }

    /// The limit of the policy that does not permit the start now.
    fn admission_limit(&self) -> Option<Reason> {
        let policy = &self.policy.rollouts;
        if self.facts.mode == Mode::Observe {
            return Some(Reason::ModeObserve);
        }
        if self.facts.active.len() >= usize::from(policy.concurrent) {
            return Some(Reason::TooManyRollouts { active: self.facts.active.len(), limit: policy.concurrent });
        }
        let cap = policy.budget.changes;
        (self.facts.budget_used >= cap).then_some(Reason::BudgetSpent { used: self.facts.budget_used, cap })
    }

    /// Why the request does not fit the routes.
    fn request_problem(&self) -> Option<String> {
        let rollout = &self.record.rollout;
        if rollout.routes.is_empty() {
            return Some("the virtual service has no routes: name the routes, or give the service a router".to_owned());
        }
        if rollout.routes.len() > 10 {
            return Some(format!("the virtual service has {} routes, limit 10: name the routes", rollout.routes.len()));
        }
        rollout.routes.iter().find_map(|id| {
            let Some(Some(route)) = self.facts.routes.get(id) else {
                return Some(format!("route {id} does not exist: correct `routes`"));
            };
            let nodes = rollout.moves.iter().flat_map(|pair| [&pair.from, &pair.to]);
            let missing = nodes.into_iter().find(|node| !route.split.carries(node));
            missing.map(|node| {
                format!("{node} is not a target of route {id}: add it as a target with weight 0, or correct `moves`")
            })
        })
    }
}
