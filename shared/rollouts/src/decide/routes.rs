//! The routes of a rollout: their records, the writes that a step needs, and the ends by other writers.

use std::collections::BTreeMap;

use decisions::failover::{Memory, RouteRecord, current_record};
use decisions::weights::{Admission, EndReason, LayerKind, LayerLimits, StoredLayers, Writer, admit};
use mesh::name::RouteId;

use super::Decider;
use crate::layers::{RouteChange, RoutePlan, plan};
use crate::reason::Reason;
use crate::record::RolloutState;

impl Decider<'_> {
    /// Updates the records of the routes with the observed routes.
    pub(super) fn read_routes(&mut self) -> Result<(), Reason> {
        let observed = self.facts.routes.iter().filter_map(|(id, route)| Some((id, route.as_ref()?)));
        for (id, route) in observed {
            let record = current_record(route, self.policy, self.now);
            let record = record.map_err(|hold| Reason::RouteUnclear { route: id.clone(), why: hold.to_string() })?;
            self.routes.insert(id.clone(), record);
        }
        Ok(())
    }

    /// Detects routes that were deleted, recreated or given other targets, and rollouts that another writer has ended.
    pub(super) fn check_routes(&mut self) {
        let state = self.record.state;
        if !state.has_weight() || state == RolloutState::RollingBack {
            return;
        }
        let found = self.record.rollout.routes.clone().into_iter().find_map(|route| self.change_of(&route));
        if let Some((reason, then)) = found {
            drop(self.roll_back(&reason, then));
        }
    }

    fn change_of(&self, id: &RouteId) -> Option<(Reason, RolloutState)> {
        let changed = |why: &str| {
            let reason = Reason::RouteChanged { route: id.clone(), why: why.to_owned() };
            Some((reason, RolloutState::Interrupted))
        };
        let (Some(Some(route)), Some(record)) = (self.facts.routes.get(id), self.routes.get(id)) else {
            return changed("was deleted");
        };
        let start = self.record.routes.get(id)?;
        if start.uid != route.uid {
            return changed("was deleted and recreated");
        }
        if !start.declared.same_targets(&route.split) {
            return changed("has other targets than at the start");
        }
        let rollout = &self.record.rollout;
        let end = record.layers.end_of(LayerKind::Rollout, rollout.id.as_str());
        if let Some(end) = end {
            let then = match end.reason {
                EndReason::Promoted if self.record.state == RolloutState::Promoting => return None,
                EndReason::Promoted
                | EndReason::Interrupted
                | EndReason::DeclaredChanged
                | EndReason::StateLost
                | EndReason::DrillEnded
                | EndReason::DrillFailed
                | EndReason::RestoreOverdue => RolloutState::Interrupted,
                EndReason::RolledBack
                | EndReason::TargetFailed
                | EndReason::Aborted
                | EndReason::Unattended
                | EndReason::WritersFighting => RolloutState::RolledBack,
            };
            return Some((Reason::EndedByOther { route: id.clone(), end: end.reason }, then));
        }
        // The step was in place, and its layer is missing without an end.
        let was_written = self.record.written.is_some() && rollout.percent(id, self.record.step) > 0;
        let is_missing = record.layers.rollout.as_ref().is_none_or(|layer| layer.id != rollout.id.as_str());
        if was_written && is_missing {
            let end = EndReason::StateLost;
            return Some((Reason::EndedByOther { route: id.clone(), end }, RolloutState::Interrupted));
        }
        None
    }

    /// Whether the arbiter permits a step on all routes; the reason if not, and whether it is final.
    pub(super) fn step_blocker(&self) -> Option<(Reason, bool)> {
        let rollout = &self.record.rollout;
        self.routes.iter().find_map(|(id, record)| {
            let writer = Writer::RolloutStep { id: rollout.id.as_str() };
            let (blocker, is_final) = match admit(&writer, &record.all_layers(), None, self.now) {
                Admission::Go { .. } => return None,
                Admission::Wait { reason, .. } => (reason, false),
                Admission::Refuse { reason } => (reason, true),
            };
            Some((Reason::Blocked { route: Some(id.clone()), blocker }, is_final))
        })
    }

    /// The reason why the arbiter does not permit a writer on a route.
    pub(super) fn blocker(&self, id: &RouteId, writer: &Writer<'_>) -> Option<Reason> {
        let record = self.routes.get(id)?;
        let admission = admit(writer, &record.all_layers(), None, self.now);
        let blocker = admission.blocker()?.clone();
        Some(Reason::Blocked { route: Some(id.clone()), blocker })
    }

    /// Whether the layer of this rollout is on a route.
    pub(super) fn has_layer(&self, id: &RouteId) -> bool {
        let layer = self.routes.get(id).and_then(|record| record.layers.rollout.as_ref());
        layer.is_some_and(|layer| layer.id == self.record.rollout.id.as_str())
    }

    /// Whether a write of this rollout was begun on a route, so that its budget is spent.
    pub(super) fn has_begun(&self, id: &RouteId) -> bool {
        let Some(Some(route)) = self.facts.routes.get(id) else { return false };
        let Memory::Record(stored) = &route.memory else { return false };
        let layers = stored.intent.as_ref().and_then(|intent| intent.layers.as_deref());
        let layer = layers.and_then(|layers| layers.rollout.as_ref());
        layer.is_some_and(|layer| layer.id == self.record.rollout.id.as_str())
    }

    /// Whether the stored record of a route still has the layer of this rollout, although the observed route shows that it
    /// has ended: the run that wrote the weights was killed before it stored that.
    pub(super) fn is_unsettled(&self, id: &RouteId) -> bool {
        let Some(Some(route)) = self.facts.routes.get(id) else { return false };
        let Memory::Record(stored) = &route.memory else { return false };
        let is_own = |layers: &StoredLayers| {
            layers.rollout.as_ref().is_some_and(|layer| layer.id == self.record.rollout.id.as_str())
        };
        is_own(&stored.layers) && !self.has_layer(id)
    }

    /// Whether a route has the percent of the current step, in its layer and on the route itself.
    pub(super) fn is_in_place(&self, id: &RouteId) -> bool {
        let percent = self.record.rollout.percent(id, self.record.step);
        let Some(record) = self.routes.get(id) else { return false };
        if percent == 0 {
            return true;
        }
        let layer = record.layers.rollout.as_ref().filter(|_| self.has_layer(id));
        layer.is_some_and(|layer| layer.percent.get() == percent) && record.layers.pending.is_none()
    }

    /// Plans a change of a route.
    pub(super) fn plan(&self, id: &RouteId, change: RouteChange) -> Result<RoutePlan, Reason> {
        let (Some(Some(route)), Some(record)) = (self.facts.routes.get(id), self.routes.get(id)) else {
            return Err(Reason::RouteChanged { route: id.clone(), why: "was deleted".to_owned() });
        };
        let planned = plan(route, record, change, &self.record.rollout, self.policy, self.now);
        planned.map_err(|error| Reason::RouteUnclear { route: id.clone(), why: error.to_string() })
    }

    /// The harms of a plan that no waiver permits.
    pub(super) fn harms(&self, plan: &RoutePlan) -> Option<Reason> {
        if plan.from == plan.to {
            return None;
        }
        let resource = plan.route.to_string();
        let mut harms = (self.harms)(&plan.route, &plan.to);
        let permits = |id: &str| self.policy.waivers.iter().any(|waiver| waiver.permits(id, &resource, self.now));
        harms.retain(|harm| !permits(&harm.id));
        (!harms.is_empty()).then(|| Reason::Harmful { route: plan.route.clone(), harms })
    }

    /// The records of the routes with a layer of this rollout, renewed so that it does not count as unattended.
    pub(super) fn attended(&self) -> BTreeMap<RouteId, RouteRecord> {
        if self.facts.kill_switch.is_some() {
            return BTreeMap::new();
        }
        let is_planned = |id: &RouteId| self.plans.iter().any(|plan| plan.route == *id);
        let renewed = |(id, record): (&RouteId, &RouteRecord)| {
            let mut record = record.clone();
            if !self.has_layer(id) {
                return Some((id.clone(), record));
            }
            let layer = record.layers.rollout.as_mut()?;
            layer.attend_by = layer.attend_by.max(self.now + LayerLimits::ATTEND);
            if self.record.state != RolloutState::RollingBack {
                layer.acknowledged = self.record.started;
            }
            Some((id.clone(), record))
        };
        let is_own = |id: &RouteId| self.has_layer(id) || self.is_unsettled(id);
        let owned = self.routes.iter().filter(|(id, _)| is_own(id) && !is_planned(id));
        owned.filter_map(renewed).collect()
    }
}
