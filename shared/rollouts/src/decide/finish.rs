//! The last writes of a rollout: the promotion, and the rollback.

use decisions::weights::Writer;
use policy::HookStage;

use super::{Decider, Next};
use crate::evidence::{Evidence, evidence};
use crate::layers::RouteChange;
use crate::reason::Reason;
use crate::record::RolloutState;

impl Decider<'_> {
    /// Makes the split of the rollout the declared one.
    pub(super) fn promoting(&mut self) -> Next {
        let open: Vec<_> = self.record.rollout.routes.iter().filter(|route| self.has_layer(route)).cloned().collect();
        if open.is_empty() {
            if self.record.rollout.routes.iter().any(|route| self.is_unsettled(route)) {
                return Next::Stay(Reason::Promoting);
            }
            self.record.enter(RolloutState::Promoted, self.now);
            return Next::Again;
        }
        for route in open {
            if let Some(reason) = self.blocker(&route, &Writer::Promotion) {
                let is_late = self.is_over(self.policy.rollouts.pause_limit.automatic.get());
                let why = format!("the promotion waits: {reason}");
                return Next::Stay(if is_late { Reason::RolloutStalled { why } } else { reason });
            }
            match self.plan(&route, RouteChange::Promote) {
                Ok(plan) => self.plans.push(plan),
                Err(reason) => return Next::Stay(reason),
            }
        }
        Next::Stay(Reason::Promoting)
    }

    /// Writes the split before the rollout. Each route is rolled back on its own: an obstacle on one does not stop
    /// the others.
    pub(super) fn rolling_back(&mut self) -> Next {
        let (failure, why) = match &self.record.failure {
            Some(failure) => (failure.code.clone(), failure.text.clone()),
            None => ("Aborted".to_owned(), "no reason is recorded".to_owned()),
        };
        let open: Vec<_> = self.record.rollout.routes.iter().filter(|route| self.has_layer(route)).cloned().collect();
        let mut obstacle = None;
        for route in &open {
            if let Some(reason) = self.blocker(route, &Writer::Rollback) {
                obstacle = Some(reason);
                continue;
            }
            match self.plan(route, RouteChange::RollBack) {
                Ok(plan) => self.plans.push(plan),
                Err(reason) => obstacle = Some(reason),
            }
        }
        if let Some(obstacle) = obstacle {
            return Next::Stay(Reason::RollbackFailed { why: obstacle.to_string(), since: self.record.since });
        }
        let is_unsettled = self.record.rollout.routes.iter().any(|route| self.is_unsettled(route));
        if !open.is_empty() || is_unsettled {
            // A rollback that is planned again and again has a call that fails.
            let is_late = self.is_over(self.policy.rollouts.acknowledge.within.get());
            return Next::Stay(if is_late {
                Reason::RollbackFailed { why, since: self.record.since }
            } else {
                Reason::RollingBack { failure, why }
            });
        }
        let written = *self.record.written.get_or_insert(self.now);
        if let Some(waits) = self.unconfirmed(written) {
            let is_late = self.now.duration_since(written) >= self.policy.rollouts.acknowledge.within.get();
            return Next::Stay(if is_late {
                let why = format!("the proxies have not acknowledged it: {waits}");
                Reason::RollbackFailed { why, since: self.record.since }
            } else {
                Reason::NotAcknowledged { why: waits }
            });
        }
        // The hooks are only informed; they cannot hold the end.
        if let Some((reason, _)) = self.run_hooks(HookStage::Rollback)
            && self.hook.is_some()
            && !self.is_over(self.policy.rollouts.hook_timeout.get())
        {
            return Next::Stay(reason);
        }
        self.hook = None;
        let then = self.record.failure.as_ref().map_or(RolloutState::RolledBack, |failure| failure.then);
        self.record.enter(then, self.now);
        Next::Again
    }

    /// Why the rollback is not confirmed yet. A proxy that is not connected has no traffic.
    fn unconfirmed(&self, written: jiff::Timestamp) -> Option<String> {
        match evidence(self.facts) {
            Evidence::Acknowledged(_) | Evidence::NoCaller => None,
            Evidence::Unsupported => {
                let reached = written + self.policy.rollouts.acknowledge.propagation.get();
                (self.now < reached).then(|| "the server does not report proxies".to_owned())
            }
            Evidence::Outstanding(proxies) => Some(proxies.join(", ")),
            Evidence::Rejected { proxy, message } => Some(format!("{proxy} rejected its configuration: {message}")),
            Evidence::Unread(why) => Some(why),
        }
    }
}
