//! The state machine: from one observation to the next record, the changes of routes, and the hook to invoke.
//!
//! Each state has one function, which either enters another state or stays, with a reason. Several states may be passed
//! in one decision; a state that needs a new observation, such as a write or an acknowledgement, stays.

mod finish;
mod pause;
mod routes;
mod start;
mod steps;

use std::collections::BTreeMap;

use decisions::failover::RouteRecord;
use decisions::weights::Blocker;
use jiff::{SignedDuration, Timestamp};
use mesh::name::RouteId;
use policy::{HookStage, Policy};

use crate::command::CommandKind;
use crate::facts::{Facts, HarmCheck};
use crate::gates::{Gates, evaluate, evaluate_alarms};
use crate::hooks::{HookCall, StageHooks, stage_hooks};
use crate::layers::RoutePlan;
use crate::reason::Reason;
use crate::record::{Pause, RolloutRecord, RolloutState};

/// The most states that one decision passes. A rollout has fewer between two observations.
const MOST_STATES: usize = 24;

/// The decision about a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The record to store.
    pub record: RolloutRecord,
    /// The reason.
    pub reason: Reason,
    /// The changes of routes, which are executed in this order.
    pub plans: Vec<RoutePlan>,
    /// The records of routes without a plan that are to be stored, because the rollout attends to them.
    pub attended: BTreeMap<RouteId, RouteRecord>,
    /// The hook that has to be invoked before the decision is complete.
    pub hook: Option<HookCall>,
    /// Whether the changes of routes come before the record: a rollback must not wait for it.
    pub routes_first: bool,
    /// Whether the kill switch holds the rollout.
    pub is_killed: bool,
}

/// Decides about a rollout.
#[must_use]
pub fn decide(facts: &Facts, harms: &HarmCheck<'_>, policy: &Policy, now: Timestamp) -> Decision {
    let mut decider = Decider {
        facts,
        harms,
        policy,
        now,
        record: facts.record.clone(),
        routes: BTreeMap::new(),
        plans: Vec::new(),
        hook: None,
    };
    let reason = decider.run();
    decider.finish(reason)
}

/// What a state does.
enum Next {
    /// Another state was entered.
    Again,
    /// The state stays, for this reason.
    Stay(Reason),
}

struct Decider<'a> {
    facts: &'a Facts,
    harms: &'a HarmCheck<'a>,
    policy: &'a Policy,
    now: Timestamp,
    record: RolloutRecord,
    /// The records of the routes, updated with the observed routes.
    routes: BTreeMap<RouteId, RouteRecord>,
    plans: Vec<RoutePlan>,
    hook: Option<HookCall>,
}

impl Decider<'_> {
    fn run(&mut self) -> Reason {
        if self.record.state.is_final() {
            return self.end_reason();
        }
        if let Some(kill) = &self.facts.kill_switch {
            let blocker = Blocker::KillSwitchOn { by: kill.by.clone(), why: kill.reason.clone() };
            return Reason::Blocked { route: None, blocker };
        }
        if let Err(unclear) = self.read_routes() {
            return unclear;
        }
        self.execute_command();
        self.check_routes();
        for _ in 0..MOST_STATES {
            let next = match self.record.state {
                RolloutState::Waiting => self.waiting(),
                RolloutState::Before => self.before(),
                RolloutState::Shifting => self.shifting(),
                RolloutState::Confirming => self.confirming(),
                RolloutState::Watching | RolloutState::Bake => self.watching(),
                RolloutState::After => self.after(),
                RolloutState::Promoting => self.promoting(),
                RolloutState::Paused => self.paused(),
                RolloutState::RollingBack => self.rolling_back(),
                RolloutState::Promoted
                | RolloutState::RolledBack
                | RolloutState::Refused
                | RolloutState::Interrupted => Next::Stay(self.end_reason()),
            };
            if let Next::Stay(reason) = next {
                return reason;
            }
        }
        Reason::RolloutStalled { why: "the states of the rollout follow each other in a circle".to_owned() }
    }

    fn finish(self, reason: Reason) -> Decision {
        let attended = self.attended();
        let routes_first = self.record.state == RolloutState::RollingBack;
        let is_killed = self.facts.kill_switch.is_some() && !self.record.state.is_final();
        let Self { record, plans, hook, .. } = self;
        Decision { record, reason, plans, attended, hook, routes_first, is_killed }
    }

    /// The reason of an ended rollout.
    fn end_reason(&self) -> Reason {
        match &self.record.failure {
            Some(failure) => Reason::Ended { failure: failure.code.clone(), why: failure.text.clone() },
            None => Reason::Promoted,
        }
    }

    /// Executes the command of an operator.
    fn execute_command(&mut self) {
        let Some(command) = self.record.command.take() else { return };
        let (state, by) = (self.record.state, command.by);
        match command.kind {
            CommandKind::Pause => drop(self.pause(&Reason::PersonPaused { by })),
            CommandKind::Resume => {
                if state == RolloutState::Paused {
                    drop(self.resume());
                }
            }
            CommandKind::Approve => {
                self.record.approved = true;
            }
            CommandKind::Promote => {
                if state.has_weight() && state != RolloutState::RollingBack {
                    let last = self.record.rollout.last_step();
                    if self.record.step < last {
                        self.record.enter_step(last, self.now);
                    } else if state == RolloutState::Paused {
                        self.record.approved = true;
                        drop(self.resume());
                    } else {
                        self.record.approved = true;
                    }
                }
            }
            CommandKind::Abort => {
                let reason = Reason::Aborted { by };
                if state.has_weight() {
                    drop(self.roll_back(&reason, RolloutState::RolledBack));
                } else {
                    drop(self.refuse(&reason));
                }
            }
        }
    }

    /// Ends a rollout that has written nothing.
    fn refuse(&mut self, reason: &Reason) -> Next {
        self.record.fail(&reason.code(), reason.to_string(), RolloutState::Refused, self.now);
        self.record.enter(RolloutState::Refused, self.now);
        Next::Again
    }

    /// Begins the rollback. The first reason is kept.
    fn roll_back(&mut self, reason: &Reason, then: RolloutState) -> Next {
        self.record.fail(&reason.code(), reason.to_string(), then, self.now);
        if self.record.state != RolloutState::RollingBack {
            self.record.enter(RolloutState::RollingBack, self.now);
            self.record.written = None;
        }
        self.plans.clear();
        self.hook = None;
        Next::Again
    }

    /// Pauses the rollout in its state.
    fn pause(&mut self, reason: &Reason) -> Next {
        let from = self.record.pause.as_ref().map_or(self.record.state, |pause| pause.from);
        self.record.enter(RolloutState::Paused, self.now);
        self.record.pause = Some(Pause { code: reason.code(), text: reason.to_string(), from });
        self.plans.clear();
        Next::Again
    }

    /// Continues after a pause. A step is confirmed and watched again.
    fn resume(&mut self) -> Next {
        let from = self.record.pause.as_ref().map_or(RolloutState::Shifting, |pause| pause.from);
        let state = match from {
            RolloutState::After | RolloutState::Promoting => from,
            RolloutState::Waiting
            | RolloutState::Before
            | RolloutState::Shifting
            | RolloutState::Confirming
            | RolloutState::Watching
            | RolloutState::Bake
            | RolloutState::Paused
            | RolloutState::RollingBack
            | RolloutState::Promoted
            | RolloutState::RolledBack
            | RolloutState::Refused
            | RolloutState::Interrupted => {
                self.record.restart();
                RolloutState::Shifting
            }
        };
        self.record.enter(state, self.now);
        Next::Again
    }

    /// Whether the state has lasted this long.
    fn is_over(&self, limit: SignedDuration) -> bool {
        self.now.duration_since(self.record.since) >= limit
    }

    fn evaluate_alarms(&mut self) -> Gates {
        evaluate_alarms(&mut self.record, self.facts, self.policy, self.now)
    }

    fn evaluate_gates(&mut self) -> Gates {
        let is_last = self.record.rollout.is_last(self.record.step);
        evaluate(&mut self.record, self.facts, self.policy, is_last, self.now)
    }

    /// Runs the hooks of a stage: `None` if they are done, else the reason and whether the rollout fails.
    fn run_hooks(&mut self, stage: HookStage) -> Option<(Reason, bool)> {
        match stage_hooks(&mut self.record, stage, self.facts.hook.as_ref(), self.now) {
            StageHooks::Done => None,
            StageHooks::Due(call) => {
                let reason = Reason::HookWaits { stage, function: call.function.clone(), why: None };
                self.hook = Some(call);
                Some((reason, false))
            }
            StageHooks::InProgress { function, reason } => {
                Some((Reason::HookWaits { stage, function, why: reason }, false))
            }
            StageHooks::Failed { function, reason } => {
                Some((Reason::HookFailed { stage, function, why: reason }, true))
            }
            StageHooks::TimedOut { function, reason } => {
                Some((Reason::HookTimedOut { stage, function, why: reason }, true))
            }
        }
    }
}
