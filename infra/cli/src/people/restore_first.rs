//! `kill on --restore-first`: ends the active rollouts and drills, and restores the weights from before them.
//!
//! A failover stays in place: its split is recomputed over the split without the rollout or drill.

use std::fmt::Write as _;

use decisions::failover::{ComeBack, Health, LayerChange, LayerRefusal, OwedNote, alarm_targets, layer_write};
use decisions::weights::{EndReason, Receiver, Receivers};
use mesh::name::{MeshName, RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use ports::Deadline;
use records::{PlanEntry, WeightPlan};
use rollouts::CommandKind;
use serde_json::{Map, json};

use super::active_layers::ActiveLayers;
use super::desk::{Desk, Said, Seen};
use super::error::{Refusal, Trouble};
use super::restore::{TIME_TO_WRITE, read_alarms};
use super::weight_write::WeightWrite;
use super::{drill, rollout};

/// Attempts to write a route that a function writes at the same time.
const ATTEMPTS: usize = 3;

/// The results for the routes and documents, one line each.
#[derive(Debug, Default)]
pub(super) struct RestoreResults {
    /// The routes that are restored.
    pub(super) restored: String,
    /// The routes and documents that are not, with the reason.
    pub(super) failed: String,
}

/// A layer to end on one route.
#[derive(Clone, Copy, Debug)]
enum ActiveLayer<'a> {
    Rollout(&'a str),
    Drill { id: &'a str, come_back: ComeBack },
}

/// Ends the rollouts and drills. What fails is part of the results and stops nothing.
pub(super) async fn restore(desk: &Desk<'_>, active: &ActiveLayers) -> RestoreResults {
    let mut results = RestoreResults::default();
    for found in &active.rollouts {
        let id = found.id.as_str();
        // The command ends a rollout without weight, and names the operator in the end of every other one.
        if let Err(error) = rollout::store_command(desk, found, CommandKind::Abort).await
            && !error.is_about_an_ending_rollout()
        {
            let _ = writeln!(results.failed, "  rollout {}/{id}: {}", found.mesh, chain(&error));
        }
        for route in &found.record.rollout.routes {
            results.add(route, end_layer(desk, route, ActiveLayer::Rollout(id)).await);
        }
    }
    for (mesh, drill) in &active.drills {
        if let Err(error) = drill::request_stop(desk, mesh, &drill.plan.name).await {
            let _ = writeln!(results.failed, "  drill {mesh}/{}: {}", drill.plan.name, chain(&error));
        }
        let come_back = come_back(desk, mesh, &drill.plan.node).await;
        let layer = ActiveLayer::Drill { id: &drill.id, come_back };
        for drilled in &drill.routes {
            results.add(&drilled.route, end_layer(desk, &drilled.route, layer).await);
        }
    }
    results
}

impl RestoreResults {
    fn add(&mut self, route: &RouteId, result: Result<Option<String>, Trouble>) {
        let _ = match result {
            Ok(None) => Ok(()),
            Ok(Some(text)) => writeln!(self.restored, "  {route}: {text}"),
            Err(error) => writeln!(self.failed, "  {route}: {}", chain(&error)),
        };
    }
}

/// A node that fails by now stays drained, and failback returns it: a failover would drain it again, but not while the
/// kill switch is on. Alarms that cannot be read do not keep a node drained that was healthy at the start of the drill.
async fn come_back(desk: &Desk<'_>, mesh: &MeshName, node: &VirtualNodeName) -> ComeBack {
    let Ok((alarms, tags)) = read_alarms(desk).await else { return ComeBack::AtOnce };
    let policy = &desk.policy.failover;
    let targets = alarm_targets(&alarms, &tags, policy, desk.now());
    match Health::from_alarms(targets.alarms_of(mesh, node), true, policy.target(mesh, node)) {
        Health::Failing { .. } | Health::Muted { .. } => ComeBack::Steps,
        Health::Unknown { .. } | Health::Ready { .. } => ComeBack::AtOnce,
    }
}

/// Ends a layer on one route; `None` if it is not on the route.
async fn end_layer(desk: &Desk<'_>, route: &RouteId, layer: ActiveLayer<'_>) -> Result<Option<String>, Trouble> {
    let mut last = Refusal::Overtaken { route: route.clone() };
    for _ in 0..ATTEMPTS {
        match Deadline::after(TIME_TO_WRITE).cover(Box::pin(attempt(desk, route, layer))).await {
            Err(Trouble::Refused(refusal)) if matches!(*refusal, Refusal::Overtaken { .. }) => last = *refusal,
            // A deleted route has no weights to restore.
            Err(Trouble::Refused(refusal)) if matches!(*refusal, Refusal::NoRoute { .. }) => return Ok(None),
            other => return other,
        }
    }
    Err(last.into())
}

async fn attempt(desk: &Desk<'_>, route: &RouteId, layer: ActiveLayer<'_>) -> Result<Option<String>, Trouble> {
    let now = desk.now();
    let seen = desk.see(route).await?;
    let record = desk.record(&seen, now)?;
    let by = &desk.by;
    let (change, text) = match layer {
        ActiveLayer::Rollout(id) => (
            LayerChange::Rollback { id: id.to_owned() },
            format!("{by} rolls back rollout {id}, and stops every function"),
        ),
        ActiveLayer::Drill { id, come_back } => (
            LayerChange::DrillEnd { id: id.to_owned(), reason: EndReason::Interrupted, come_back, verdict: None },
            format!("{by} ends drill {id}, and stops every function"),
        ),
    };
    let note = OwedNote { code: "PersonRestored".to_owned(), text: text.clone() };
    let policy = &desk.policy.failover.failback;
    let receivers = receivers(&seen);
    let planned = match layer_write(&seen.facts, &record, change, &receivers, note, policy, None, now) {
        Ok(planned) => planned,
        // A function has ended it, or has not written this route yet.
        Err(LayerRefusal::NoSuchLayer) => return Ok(None),
        Err(LayerRefusal::Wait { reason, .. } | LayerRefusal::Refuse { reason }) => {
            let command = format!("meshwarden release {route}");
            return Err(Refusal::NotRestored { route: route.clone(), blocker: reason, command }.into());
        }
        Err(LayerRefusal::NoReceiver) => return Err(Refusal::NoReceiver { route: route.clone() }.into()),
    };
    let plan = WeightPlan {
        id: planned.plan.clone(),
        route: route.clone(),
        version: seen.facts.version,
        from: planned.from.clone(),
        to: planned.to.clone(),
        spends: false,
        // The change has only string keys, so this cannot fail.
        tag: serde_json::to_value(&planned.tag).unwrap_or_default(),
        reason: Map::new(),
    };
    let said = Said {
        command: "kill on",
        by,
        code: "PersonRestored",
        facts: json!({ "restoreFirst": true }),
        text: &text,
        plan: Some(PlanEntry::Weights(plan)),
    };
    let write = WeightWrite {
        plan: &planned.plan,
        from: &planned.from,
        to: &planned.to,
        tag: &planned.tag,
        begun: &planned.begun,
        done: &planned.done,
    };
    let version = write.execute(desk, &seen, &said).await?;
    Ok(Some(sentence(&planned.from, &planned.to, version)))
}

fn sentence(from: &WeightSplit, to: &WeightSplit, version: u64) -> String {
    if from == to {
        format!("stays at {to}, because the drilled node fails; failback returns it")
    } else {
        format!("from {from} to {to} (version {version})")
    }
}

/// A target that carries traffic now keeps carrying it, and no idle target is started.
fn receivers(seen: &Seen) -> Receivers {
    let present = seen.facts.split.clone();
    let shares = present.shares();
    let ready = shares.iter().filter(|share| share.weight > 0);
    let ready = ready.map(|share| Receiver { node: share.virtual_node.clone(), limit: None, first: false }).collect();
    Receivers { ready, present }
}

/// An error with its causes, in one line.
fn chain(error: &Trouble) -> String {
    let sources = std::iter::successors(std::error::Error::source(error), |&source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
