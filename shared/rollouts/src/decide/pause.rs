//! The state paused: gates can still fail the rollout, and it ends by its cause, a command or its limit.

use policy::Mode;

use super::{Decider, Next};
use crate::evidence::{Evidence, evidence};
use crate::gates::Gates;
use crate::reason::Reason;
use crate::record::{Pause, RolloutState};

impl Decider<'_> {
    pub(super) fn paused(&mut self) -> Next {
        let Some(pause) = self.record.pause.clone() else { return self.resume() };
        let gates = if self.record.started.is_some() { self.evaluate_gates() } else { self.evaluate_alarms() };
        if let Gates::Fail(gates) = gates {
            return self.roll_back(&Reason::GateFailed { gates }, RolloutState::RolledBack);
        }
        let by_operator = matches!(pause.code.as_str(), "PersonPaused" | "AwaitingApproval");
        if pause.code == "AwaitingApproval" && self.record.approved {
            return self.approved(&pause);
        }
        if !by_operator && self.is_cause_over(&pause, &gates) {
            return self.resume();
        }
        let limits = &self.policy.rollouts.pause_limit;
        let limit = if by_operator { limits.operator } else { limits.automatic };
        if self.is_over(limit.get()) {
            let why = format!("paused for {:#} because {}: {}", limit.get(), pause.code, pause.text);
            return self.roll_back(&Reason::RolloutStalled { why }, RolloutState::RolledBack);
        }
        Next::Stay(self.pause_reason(&pause, gates))
    }

    /// Continues after an approval: with the next step, or with the promotion.
    fn approved(&mut self, pause: &Pause) -> Next {
        if pause.from == RolloutState::After {
            self.record.enter(RolloutState::Promoting, self.now);
        } else {
            self.record.enter_step(self.record.step + 1, self.now);
        }
        Next::Again
    }

    /// Whether the cause of an automatic pause is over.
    fn is_cause_over(&self, pause: &Pause, gates: &Gates) -> bool {
        match pause.code.as_str() {
            "GateNoData" => *gates == Gates::Pass,
            "ModeObserve" => self.facts.mode == Mode::Enforce,
            "Unacknowledged" => {
                matches!(evidence(self.facts), Evidence::Acknowledged(_) | Evidence::Unsupported)
            }
            "FromScaledDown" => self.has_old_proxies(),
            "TooFewProxies" => self.has_new_proxies(),
            // Another writer, or a route that could not be planned.
            _ => self.step_blocker().is_none(),
        }
    }

    /// The reason of the pause as it is now.
    fn pause_reason(&self, pause: &Pause, gates: Gates) -> Reason {
        if let Some((reason, _)) = self.step_blocker() {
            return reason;
        }
        let why = pause.text.clone();
        match (pause.code.as_str(), gates) {
            ("GateNoData", Gates::Unknown(gates)) => Reason::GateNoData { gates },
            ("ModeObserve", _) => Reason::ModeObserve,
            ("Unacknowledged", _) => Reason::Unacknowledged { why },
            ("FromScaledDown", _) => Reason::FromScaledDown { why },
            ("TooFewProxies", _) => Reason::TooFewProxies { why },
            ("AwaitingApproval", _) => {
                let (step, _) = self.numbers();
                Reason::AwaitingApproval { step, percent: self.record.rollout.percent_of_step(self.record.step) }
            }
            ("PersonPaused", _) => {
                Reason::PersonPaused { by: why.strip_prefix("paused by ").unwrap_or(&why).to_owned() }
            }
            _ => Reason::RolloutStalled { why },
        }
    }
}
