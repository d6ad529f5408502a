//! The states of a step: writing, confirming, watching, and the hooks after the bake time.

use jiff::SignedDuration;
use mesh::name::RouteId;
use policy::{AtEnd, HookStage, Mode};

use super::{Decider, Next};
use crate::evidence::{Evidence, connected, evidence};
use crate::gates::Gates;
use crate::layers::RouteChange;
use crate::reason::Reason;
use crate::record::RolloutState;

/// How long the writes of a step may take. Two routes in a hundred runs are not written at once; ten minutes are ten runs.
const WRITE_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The longest time between two runs that counts as watched: three scheduled runs.
const LONGEST_GAP: SignedDuration = SignedDuration::from_mins(3);

impl Decider<'_> {
    /// Writes the weights of the step.
    pub(super) fn shifting(&mut self) -> Next {
        if let Gates::Fail(gates) = self.evaluate_alarms() {
            return self.roll_back(&Reason::GateFailed { gates }, RolloutState::RolledBack);
        }
        let open: Vec<_> =
            self.record.rollout.routes.iter().filter(|route| !self.is_in_place(route)).cloned().collect();
        if open.is_empty() {
            self.record.written = Some(self.now);
            self.record.enter(RolloutState::Confirming, self.now);
            return Next::Again;
        }
        if let Some((reason, _)) = self.step_blocker() {
            return self.pause(&reason);
        }
        if self.facts.mode == Mode::Observe {
            return self.pause(&Reason::ModeObserve);
        }
        if self.is_over(WRITE_WITHIN) {
            let why = format!("the weights of the step were not written within {WRITE_WITHIN:#}");
            return self.roll_back(&Reason::RolloutStalled { why }, RolloutState::RolledBack);
        }
        let has_begun = |route: &RouteId| self.has_layer(route) || self.has_begun(route);
        let is_start = !self.record.rollout.routes.iter().any(has_begun);
        for route in open {
            let percent = self.record.rollout.percent(&route, self.record.step);
            let mut plan = match self.plan(&route, RouteChange::Percent(percent)) {
                Ok(plan) => plan,
                Err(reason) => return self.pause(&reason),
            };
            if let Some(reason) = self.harms(&plan) {
                return self.roll_back(&reason, RolloutState::RolledBack);
            }
            // A start is one unit of the budget; the plans of the other routes and steps are free.
            plan.spends = is_start && self.plans.is_empty();
            self.plans.push(plan);
        }
        let (step, steps) = self.numbers();
        Next::Stay(Reason::Shifting { step, steps, percent: self.record.rollout.percent_of_step(self.record.step) })
    }

    /// Waits for the acknowledgement of the step.
    pub(super) fn confirming(&mut self) -> Next {
        if let Gates::Fail(gates) = self.evaluate_alarms() {
            return self.roll_back(&Reason::GateFailed { gates }, RolloutState::RolledBack);
        }
        if !self.all_in_place() {
            self.record.enter(RolloutState::Shifting, self.now);
            return Next::Again;
        }
        let policy = &self.policy.rollouts.acknowledge;
        let why = match evidence(self.facts) {
            Evidence::Acknowledged(at) => return self.start_watching(at),
            Evidence::Unsupported => {
                let reached = self.record.written.unwrap_or(self.now) + policy.propagation.get();
                if self.now >= reached {
                    return self.start_watching(reached);
                }
                format!("the server does not report proxies: {:#} after the write", policy.propagation.get())
            }
            Evidence::Rejected { proxy, message } => {
                let reason = Reason::ProxyRefused { proxy, message };
                return self.roll_back(&reason, RolloutState::RolledBack);
            }
            Evidence::Outstanding(proxies) => proxies.join(", "),
            Evidence::NoCaller => "no proxy that calls the routes is connected".to_owned(),
            Evidence::Unread(why) => why,
        };
        // Without a report of proxies, the time of propagation is the only limit.
        let is_late = self.is_over(policy.within.get()) && evidence(self.facts) != Evidence::Unsupported;
        if is_late { self.pause(&Reason::Unacknowledged { why }) } else { Next::Stay(Reason::NotAcknowledged { why }) }
    }

    fn start_watching(&mut self, at: jiff::Timestamp) -> Next {
        self.record.started = Some(at);
        self.record.evaluated = None;
        let is_last = self.record.rollout.is_last(self.record.step);
        self.record.enter(if is_last { RolloutState::Bake } else { RolloutState::Watching }, self.now);
        Next::Again
    }

    /// Watches the gates of a step. The clock stands still while a gate has no result.
    pub(super) fn watching(&mut self) -> Next {
        let is_bake = self.record.state == RolloutState::Bake;
        let gates = self.evaluate_gates();
        if let Gates::Fail(gates) = gates {
            return self.roll_back(&Reason::GateFailed { gates }, RolloutState::RolledBack);
        }
        if !self.all_in_place() {
            self.record.restart();
            self.record.enter(RolloutState::Shifting, self.now);
            return Next::Again;
        }
        if let Some((reason, _)) = self.step_blocker() {
            return self.pause(&reason);
        }
        if let Some(reason) = self.scaled_down() {
            return self.pause(&reason);
        }
        let unknown = match gates {
            Gates::Unknown(gates) => Some(Reason::GateNoData { gates }),
            Gates::Pass | Gates::Fail(_) => self.too_few_proxies(),
        };
        self.count(unknown.is_none());
        let hooks = self.run_hooks(if is_bake { HookStage::Bake } else { HookStage::Step });
        if let Some((reason, true)) = &hooks {
            return self.roll_back(reason, RolloutState::RolledBack);
        }
        if let Some(reason) = unknown {
            let since = *self.record.unknown_since.get_or_insert(self.now);
            let is_over = self.now.duration_since(since) >= self.policy.rollouts.no_data_after.get();
            return if is_over { self.pause(&reason) } else { Next::Stay(reason) };
        }
        self.record.unknown_since = None;
        let rollout = &self.record.rollout;
        let interval = if is_bake {
            rollout.bake
        } else {
            rollout.steps.get(self.record.step).map_or(rollout.bake, |step| step.interval)
        };
        let left = interval - self.record.passed;
        if left > SignedDuration::ZERO {
            let (step, steps) = self.numbers();
            let percent = self.record.rollout.percent_of_step(self.record.step);
            return Next::Stay(Reason::Watching { step, steps, percent, left: left.as_secs() });
        }
        if let Some((reason, _)) = hooks {
            return Next::Stay(reason);
        }
        if is_bake {
            self.record.enter(RolloutState::After, self.now);
            return Next::Again;
        }
        let approve = self.record.rollout.steps.get(self.record.step).is_some_and(|step| step.approve);
        if approve && !self.record.approved {
            return self.pause_for_approval();
        }
        self.record.enter_step(self.record.step + 1, self.now);
        Next::Again
    }

    /// The hooks after the bake time, and the approval of the promotion.
    pub(super) fn after(&mut self) -> Next {
        if let Gates::Fail(gates) = self.evaluate_gates() {
            return self.roll_back(&Reason::GateFailed { gates }, RolloutState::RolledBack);
        }
        match self.run_hooks(HookStage::After) {
            Some((reason, true)) => return self.roll_back(&reason, RolloutState::RolledBack),
            Some((reason, false)) => return Next::Stay(reason),
            None => {}
        }
        if self.record.rollout.at_end == AtEnd::Approve && !self.record.approved {
            return self.pause_for_approval();
        }
        self.record.enter(RolloutState::Promoting, self.now);
        Next::Again
    }

    fn pause_for_approval(&mut self) -> Next {
        let (step, _) = self.numbers();
        let percent = self.record.rollout.percent_of_step(self.record.step);
        self.pause(&Reason::AwaitingApproval { step, percent })
    }

    /// Counts the time since the last evaluation, if every gate passed.
    fn count(&mut self, has_passed: bool) {
        let since = self.record.evaluated.or(self.record.started).unwrap_or(self.now);
        if has_passed {
            let gap = self.now.duration_since(since).clamp(SignedDuration::ZERO, LONGEST_GAP);
            self.record.passed += gap;
        }
        self.record.evaluated = Some(self.now);
    }

    fn all_in_place(&self) -> bool {
        self.record.rollout.routes.iter().all(|route| self.is_in_place(route))
    }

    /// The number of the step and the number of steps, counted from 1.
    pub(super) fn numbers(&self) -> (usize, usize) {
        (self.record.step + 1, self.record.rollout.steps.len())
    }

    /// Whether fewer proxies of the new version are connected than its share needs.
    fn too_few_proxies(&self) -> Option<Reason> {
        let least = u64::from(self.policy.rollouts.min_proxies);
        let percent = u64::from(self.record.rollout.percent_of_step(self.record.step));
        if least == 0 || percent == 0 {
            return None;
        }
        let moves = &self.record.rollout.moves;
        let now = connected(self.facts, moves.iter().map(|pair| &pair.to))?;
        moves.iter().find_map(|pair| {
            let start = u64::from(*self.record.old_proxies.get(&pair.from)?);
            let present = u64::from(*now.get(&pair.to)?);
            let needed = (least * percent * start).div_ceil(100 * 100);
            (present < needed).then(|| {
                let to = &pair.to;
                Reason::TooFewProxies { why: format!("{present} proxies of {to} are connected, {needed} needed") }
            })
        })
    }

    /// Whether the old version has fewer than half of its proxies.
    fn scaled_down(&self) -> Option<Reason> {
        let moves = &self.record.rollout.moves;
        let now = connected(self.facts, moves.iter().map(|pair| &pair.from))?;
        moves.iter().find_map(|pair| {
            let start = *self.record.old_proxies.get(&pair.from)?;
            let present = *now.get(&pair.from)?;
            (present * 2 < start).then(|| {
                let from = &pair.from;
                let why = format!("{present} proxies of {from} are connected, {start} at the start");
                Reason::FromScaledDown { why }
            })
        })
    }

    /// Whether the cause of a pause for missing proxies is over.
    pub(super) fn has_old_proxies(&self) -> bool {
        self.scaled_down().is_none()
    }

    /// Whether enough proxies of the new version are connected.
    pub(super) fn has_new_proxies(&self) -> bool {
        self.too_few_proxies().is_none()
    }
}
