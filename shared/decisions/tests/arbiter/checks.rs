//! The invariants.

use decisions::failover::{ActReason, LayerRefusal, RouteRecord, Verdict};
use decisions::weights::{Blocker, LayerLimits, overdue, rollout_split};
use mesh::name::VirtualNodeName;
use mesh::split::WeightSplit;

use crate::actors::{FailoverRun, RunReport, decision};
use crate::execution::Written;
use crate::route::{Route, route_id};

/// A node's share in percentage points, rounded up.
fn points(split: &WeightSplit, node: &VirtualNodeName) -> u16 {
    (split.weight_of(node).unwrap_or_default() * 100).div_ceil(split.total().max(1))
}

/// The route itself: its targets, at least one weight, and at most one of rollout and drill.
pub(crate) fn route(route: &Route, targets: &WeightSplit) -> Result<(), String> {
    if !route.split.same_targets(targets) || route.split.is_drained() {
        return Err(format!("1: the split is {}", route.split));
    }
    if let Some(RouteRecord { layers, .. }) = &route.record
        && layers.rollout.is_some()
        && layers.drill.is_some()
    {
        return Err("5: a rollout and a drill are on the route".to_owned());
    }
    Ok(())
}

/// A function's write: not on a route on hold.
pub(crate) fn write(written: Option<Written>, was_held: bool) -> Result<(), String> {
    match written {
        Some(Written::Applied) if was_held => Err("4: a function wrote while the route was held".to_owned()),
        _ => Ok(()),
    }
}

/// A refusal has a documented code, and an end or a command. A restoring write waits only for a hold or the kill switch.
pub(crate) fn refusal(report: &RunReport) -> Result<(), String> {
    if let Some(LayerRefusal::Wait { reason, .. } | LayerRefusal::Refuse { reason }) = &report.refused
        && (reason.command(&route_id()).is_empty() || Blocker::ENTRIES.iter().all(|entry| entry.code != reason.code()))
    {
        return Err(format!("10: {reason} has no command or code"));
    }
    match &report.restoring_refused {
        None
        | Some(
            LayerRefusal::NoSuchLayer
            | LayerRefusal::Wait {
                reason: Blocker::PersonEdited { .. } | Blocker::KillSwitchOn { .. }, pages: true, ..
            },
        ) => Ok(()),
        Some(other) => Err(format!("7: a restoring write was refused: {other:?}")),
    }
}

/// A plan of route-failover: failing nodes and the targets of a rollout get no more than they may.
pub(crate) fn plan(run: &FailoverRun, before: &Route) -> Result<(), String> {
    let Verdict::Act(plan) = &run.verdict else { return Ok(()) };
    let may_raise = match &plan.why {
        ActReason::Rollback { .. }
        | ActReason::DrillRestored { .. }
        | ActReason::StateLost { .. }
        | ActReason::Reapplied { .. }
        | ActReason::StaleDeclaration { .. } => true,
        ActReason::Failover { .. }
        | ActReason::PartialSpill { .. }
        | ActReason::BackDown { .. }
        | ActReason::TrialEnded { .. }
        | ActReason::Failback { .. }
        | ActReason::Restore { .. } => false,
    };
    for node in before.nodes() {
        let (was, is) = (points(&plan.from, &node), points(&plan.to, &node));
        if before.is_failing(&node) && is > was + 1 && !may_raise {
            return Err(format!("3: {node} fails and rises from {was} to {is}: {}", plan.why));
        }
        if let Some(rollout) = &plan.then.layers.rollout
            && rollout.moves.brings_to(&node)
        {
            let step = points(&rollout_split(&plan.then.all_layers()), &node);
            if is > step.max(was) + 1 {
                return Err(format!("3: {node} rises to {is}, above its step {step}: {}", plan.why));
            }
        }
    }
    Ok(())
}

/// The number of undisturbed runs of route-failover since a layer is overdue.
#[derive(Clone, Debug, Default)]
pub(crate) struct OverdueRuns(u32);

impl OverdueRuns {
    /// Two runs after its deadline, a layer has ended or an operator is being paged.
    pub(crate) fn check(&mut self, run: &FailoverRun, after: &Route, is_disturbed: bool) -> Result<(), String> {
        let layers = after.current().all_layers();
        let Some(overdue) = overdue(&layers, &LayerLimits::default(), after.now) else {
            self.0 = 0;
            return Ok(());
        };
        let is_blocked = run.written.is_some_and(|written| written != Written::Applied);
        if is_disturbed || is_blocked {
            return Ok(());
        }
        self.0 += 1;
        if self.0 >= 2 && !run.pages {
            return Err(format!("8, 9: {overdue:?} has neither ended nor paged: {:?}", run.verdict));
        }
        if overdue.due(after.now).is_some() && !after.is_held() && after.kill_switch.is_none() && self.0 >= 2 {
            return Err(format!("7: {overdue:?} was due and has not ended: {:?}", run.verdict));
        }
        Ok(())
    }
}

/// A decision made again at once does not repeat the change.
pub(crate) fn repeated(route: &Route, code: &str) -> Result<(), String> {
    match decision(route).verdict {
        Verdict::Act(plan) if plan.why.code() == code => {
            Err(format!("10: decided again: {} {} -> {}", plan.why, plan.from, plan.to))
        }
        Verdict::Act(_) | Verdict::Hold(_) | Verdict::Keep(_) => Ok(()),
    }
}

/// Without a failover and a drill, the split is that of declared weights and rollout. Without any layer, it is the declared
/// one, integer by integer.
pub(crate) fn quiet(route: &Route) -> Result<(), String> {
    let record = route.current();
    if record.edit.is_some() || record.layers.pending.is_some() || !record.shift.phases.is_empty() {
        return Ok(());
    }
    let layers = record.all_layers();
    if layers.drill.is_none() && route.split != rollout_split(&layers) {
        return Err(format!("2: the split is {}, the layers give {}", route.split, rollout_split(&layers)));
    }
    if !record.layers.has_layer() && route.split != route.declared {
        return Err(format!("2: the split is {}, declared is {}", route.split, route.declared));
    }
    if layers.declared != route.declared {
        return Err(format!("2: the record declares {}, declared was {}", layers.declared, route.declared));
    }
    Ok(())
}
