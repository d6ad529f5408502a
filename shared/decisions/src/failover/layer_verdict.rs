//! The part of a route's verdict that concerns rollouts and drills: their end by a failing node or a missed deadline, and
//! layers that are to be written again.

use super::candidate::{BudgetCost, CandidatePlan, ReceiverRule};
use super::decision::Verdict;
use super::facts::RouteFacts;
use super::input::{Allocations, DecisionInput};
use super::phases::Transitions;
use super::reason::{ActReason, HoldReason};
use super::record::RouteRecord;
use super::route_state::RouteState;
use crate::weights::{Blocker, EndReason, Ending, LayerKind, Layers, Overdue, PendingWrite, Writer, admit, overdue};
use mesh::alarm::AlarmName;
use mesh::name::VirtualNodeName;
use mesh::split::WeightSplit;

/// One route, with the input of its verdict.
#[derive(Clone, Copy)]
pub(super) struct LayerView<'a> {
    pub(super) route: &'a RouteFacts,
    pub(super) state: &'a RouteState,
    pub(super) next: &'a Transitions,
    pub(super) input: &'a DecisionInput<'a>,
    pub(super) allocations: &'a Allocations,
}

/// The end of a rollout or drill that is due.
struct DueEnd {
    layer: LayerKind,
    reason: EndReason,
    /// The failing nodes to drain with the same write.
    failing: Vec<VirtualNodeName>,
}

impl LayerView<'_> {
    fn record(&self) -> &RouteRecord {
        &self.state.record
    }

    /// The verdict that comes before all others: a rollout or drill ends, or the state table was lost during one.
    pub(super) fn before_others(&self) -> Option<Verdict> {
        if self.record().layers.pending == Some(PendingWrite::StateLost) {
            return Some(self.state_lost());
        }
        let due = self.due_end()?;
        Some(match self.end(&due) {
            Verdict::Hold(hold @ HoldReason::KillSwitchOn { .. }) => {
                Verdict::Hold(self.waiting(&due, hold.to_string()))
            }
            verdict @ (Verdict::Act(_) | Verdict::Hold(_) | Verdict::Keep(_)) => verdict,
        })
    }

    /// The verdict instead of one that changes nothing: layers are to be written again, or a rollout is unattended.
    pub(super) fn instead_of(&self, verdict: Verdict) -> Verdict {
        let pages = match &verdict {
            Verdict::Act(_) => return verdict,
            Verdict::Hold(hold) => hold.pages(),
            Verdict::Keep(_) => false,
        };
        if let Some(why) = self.pending() {
            return self.write_again(why);
        }
        match self.overdue() {
            Some(Overdue::Unattended { rollout, attend_by, roll_back_at }) if !pages => {
                Verdict::Hold(HoldReason::Unattended { rollout, attend_by, roll_back_at, waits_for: None })
            }
            Some(Overdue::Unattended { .. } | Overdue::RestoreOverdue { .. }) | None => verdict,
        }
    }

    /// The hold of a route on hold by an operator, if a rollout is unattended or the restore of a drill is due.
    pub(super) fn while_held(&self, blocker: &Blocker) -> Option<HoldReason> {
        let (layer, reason) = match self.overdue()? {
            Overdue::Unattended { .. } => (LayerKind::Rollout, EndReason::Unattended),
            Overdue::RestoreOverdue { .. } => (LayerKind::Drill, EndReason::RestoreOverdue),
        };
        Some(self.waiting(&DueEnd { layer, reason, failing: Vec::new() }, blocker.to_string()))
    }

    fn overdue(&self) -> Option<Overdue> {
        overdue(&self.record().all_layers(), &self.input.layer_limits, self.input.now)
    }

    /// The rollout or drill that ends now. A failing node comes first: it says more than a missed deadline.
    fn due_end(&self) -> Option<DueEnd> {
        let layers = self.record().all_layers();
        let drilled = layers.drill.as_ref().map(|drill| &drill.node);
        let idle = self.next.idle.iter().filter(|node| drilled == Some(*node));
        let failing: Vec<VirtualNodeName> =
            self.next.back_downs.iter().chain(&self.next.drains).chain(idle).cloned().collect();
        if !failing.is_empty() {
            let writer = Writer::FailoverDrain { nodes: &failing };
            let admission = admit(&writer, &layers, None, self.input.now);
            let ends = admission.ends().unwrap_or_default().iter();
            if let Some(Ending { layer, reason }) = ends.max_by_key(|end| end.layer) {
                return Some(DueEnd { layer: *layer, reason: *reason, failing });
            }
        }
        let (layer, reason) = self.overdue()?.due(self.input.now)?;
        Some(DueEnd { layer, reason, failing })
    }

    /// Ends a layer, and drains the failing nodes with the same write if failover may drain them. The end alone needs no
    /// reason of failover.
    fn end(&self, due: &DueEnd) -> Verdict {
        // Without the layer, a failing node may have no share. A drain of it would have no effect, and would hold the next
        // rollout.
        let base = self.ended(due).base();
        let has_share =
            |node: &VirtualNodeName| base.shares().iter().any(|one| one.virtual_node == node && one.weight > 0);
        let failing = due.failing.iter().filter(|node| has_share(node)).cloned().collect();
        let attempts = [failing, self.next.back_downs.clone()];
        for nodes in attempts.into_iter().filter(|nodes| !nodes.is_empty()) {
            if let Some(verdict) = self.end_and_drain(due, &nodes) {
                return verdict;
            }
        }
        if let Some(drilled) = self.failing_drilled(due) {
            let mut candidate = self.ended(due);
            candidate.drain(std::slice::from_ref(&drilled), self.input);
            let (to, why) = (self.route.split.clone(), self.why(due, vec![drilled]));
            return candidate.plan_split(self.route, to, why, self.input, self.allocations);
        }
        self.write(self.ended(due), self.why(due, Vec::new()))
    }

    /// Ends a layer and drains these nodes; `None` if failover may not drain them.
    fn end_and_drain(&self, due: &DueEnd, nodes: &[VirtualNodeName]) -> Option<Verdict> {
        let mut drains = self.next.drains.iter().filter(|node| nodes.contains(node));
        if drains.any(|node| self.input.causes.objection(node).is_some()) {
            return None;
        }
        let is_back_down = nodes.iter().all(|node| self.next.back_downs.contains(node));
        let is_drilled = self.failing_drilled(due).is_some();
        let cost =
            if self.state.budget_spent || is_back_down || is_drilled { BudgetCost::Free } else { BudgetCost::OneShift };
        let mut candidate = self.ended(due);
        candidate.drain(nodes, self.input);
        let composed = candidate.spread(self.route, self.input, self.allocations, ReceiverRule::KnownReady).ok()?;
        match candidate.plan(self.route, composed, self.why(due, nodes.to_vec()), cost, self.input, self.allocations) {
            verdict @ Verdict::Act(_) => Some(verdict),
            Verdict::Hold(_) | Verdict::Keep(_) => None,
        }
    }

    /// The drilled node, if it fails itself and no other node does: it stays drained.
    fn failing_drilled(&self, due: &DueEnd) -> Option<VirtualNodeName> {
        let drill = self.record().layers.drill.as_ref()?;
        let is_alone = due.failing.as_slice() == std::slice::from_ref(&drill.node);
        (due.layer == LayerKind::Drill && is_alone).then(|| drill.node.clone())
    }

    fn ended(&self, due: &DueEnd) -> CandidatePlan {
        let mut candidate = CandidatePlan::new(self.state);
        candidate.end_layer(due.layer, due.reason, self.input.now);
        candidate
    }

    /// Writes the layers of a candidate. It never holds for want of receivers: the nodes that carry the drained nodes'
    /// share keep it.
    fn write(&self, candidate: CandidatePlan, why: ActReason) -> Verdict {
        if candidate.shift.phases.is_empty() {
            return candidate.restore(self.route, why, self.input, self.allocations);
        }
        if let Ok(composed) = candidate.spread(self.route, self.input, self.allocations, ReceiverRule::Carriers) {
            candidate.plan(self.route, composed, why, BudgetCost::Free, self.input, self.allocations)
        } else {
            let to = candidate.carried_by_present(self.route, self.input);
            candidate.plan_split(self.route, to, why, self.input, self.allocations)
        }
    }

    fn why(&self, due: &DueEnd, drained: Vec<VirtualNodeName>) -> ActReason {
        let alarms: Vec<AlarmName> = self.input.alarms_of(&due.failing);
        let cause = due.reason;
        let layers = &self.record().layers;
        match due.layer {
            LayerKind::Drill => {
                let drill = layers.drill.as_ref().map(|drill| drill.id.clone()).unwrap_or_default();
                ActReason::DrillRestored { drill, cause, alarms, drained }
            }
            LayerKind::Rollout | LayerKind::Failover => {
                let rollout = layers.rollout.as_ref().map(|rollout| rollout.id.clone()).unwrap_or_default();
                ActReason::Rollback { rollout, cause, alarms, drained }
            }
        }
    }

    /// The hold of an end that is due and waits.
    fn waiting(&self, due: &DueEnd, waits_for: String) -> HoldReason {
        let Layers { rollout, drill, .. } = self.record().all_layers();
        match (due.reason, rollout, drill) {
            (_, _, Some(drill)) => {
                HoldReason::RestoreOverdue { drill: drill.id, restore_by: drill.restore_by, waits_for }
            }
            (EndReason::Unattended, Some(rollout), None) => HoldReason::Unattended {
                rollout: rollout.id,
                attend_by: rollout.attend_by,
                roll_back_at: rollout.attend_by + self.input.layer_limits.unattended,
                waits_for: Some(waits_for),
            },
            (cause, rollout, None) => HoldReason::RollbackWaits {
                rollout: rollout.map(|rollout| rollout.id).unwrap_or_default(),
                cause,
                waits_for,
            },
        }
    }

    fn pending(&self) -> Option<ActReason> {
        let record = self.record();
        Some(match record.layers.pending? {
            PendingWrite::Reapplied => ActReason::Reapplied { declared: record.declared().clone() },
            PendingWrite::StaleDeclaration => ActReason::StaleDeclaration { promoted: record.declared().clone() },
            PendingWrite::StateLost => ActReason::StateLost { drained: Vec::new() },
        })
    }

    /// Writes the layers again over a declared split.
    fn write_again(&self, why: ActReason) -> Verdict {
        self.write(CandidatePlan::new(self.state), why)
    }

    /// Writes the declared split without failing nodes. Which nodes a lost failover had drained is not known: nodes that
    /// do not fail get their declared share.
    fn state_lost(&self) -> Verdict {
        let failing = &self.next.drains;
        let mut candidate = CandidatePlan::new(self.state);
        candidate.drain(failing, self.input);
        if !failing.is_empty()
            && let Ok(composed) = candidate.spread(self.route, self.input, self.allocations, ReceiverRule::KnownReady)
        {
            let why = ActReason::StateLost { drained: failing.clone() };
            return candidate.plan(self.route, composed, why, BudgetCost::Free, self.input, self.allocations);
        }
        self.write(CandidatePlan::new(self.state), ActReason::StateLost { drained: Vec::new() })
    }
}

impl CandidatePlan {
    /// The composed split if the nodes that carry traffic now keep the share of drained nodes; without such nodes, the
    /// split without a failover.
    fn carried_by_present(&self, route: &RouteFacts, input: &DecisionInput<'_>) -> WeightSplit {
        let layers = self.all_layers();
        let ready = super::candidate::carriers(&layers, &route.split);
        let receivers = crate::weights::Receivers { ready, present: route.split.clone() };
        crate::weights::compose(&layers, &receivers, &input.failover.failback)
            .map_or_else(|_| self.base(), |composed| composed.split)
    }
}
