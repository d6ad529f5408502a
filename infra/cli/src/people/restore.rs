//! `restore`: writes the original weights of a shifted route immediately.

use std::collections::BTreeMap;
use std::time::Duration;

use decisions::failover::{
    Edit, Health, OwedNote, Restoration, TagChange, alarm_targets, needing_tags, restoration, unread_alarms,
};
use mesh::alarm::{Alarm, AlarmName, AlarmState};
use mesh::change::Change;
use mesh::harm;
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::WeightSplit;
use ports::{Deadline, Pace, PortError, survey};
use records::{PlanEntry, WeightPlan};
use serde_json::{Map, json};

use super::args::RestoreArgs;
use super::desk::{Desk, Said};
use super::error::{Refusal, Trouble};
use super::weight_write::WeightWrite;

/// The time limit for lease, weights, tag and record together. The lease lasts longer.
pub(super) const TIME_TO_WRITE: Duration = Duration::from_secs(35);

/// The most levels of composite alarm children that are fetched.
const MAX_ROUNDS: usize = 5;

pub(super) async fn restore(desk: &Desk<'_>, args: &RestoreArgs) -> Result<String, Trouble> {
    let (route, by) = (&args.route, &desk.by);
    let now = desk.now();
    let seen = desk.see(route).await?;
    let record = desk.record(&seen, now)?;
    let text = format!("{by} restores the original weights");
    let note = OwedNote { code: "PersonRestored".to_owned(), text: text.clone() };
    let keep = args.force.then(|| Edit { seen: now, until: now + desk.policy.failover.edits.hold_for.get() });
    let Some(restoration) = restoration(&seen.facts, &record, note, keep, now) else {
        return Err(Refusal::NotShifted { route: route.clone(), split: seen.facts.split.to_string() }.into());
    };
    let TargetObjections { failing, unknown } = target_objections(desk, route, &restoration).await;
    let mut against = failing;
    against.extend(harmful(desk, route, &restoration.to).await);
    let is_unsafe = !against.is_empty();
    against.extend(unknown.iter().cloned());
    if is_unsafe && !args.force {
        return Err(Refusal::Unsafe { route: route.clone(), why: against }.into());
    }
    if !unknown.is_empty() && !args.force && !args.allow_unknown {
        return Err(Refusal::HealthUnknown { route: route.clone(), why: unknown }.into());
    }
    let warning = if against.is_empty() { String::new() } else { format!(" Although {}.", against.join("; ")) };
    let Restoration { from, to, .. } = &restoration;
    desk.confirm(&format!("Restore {route}: from {from} to {to}?{warning}"))?;
    let plan = WeightPlan {
        id: restoration.plan.clone(),
        route: route.clone(),
        version: seen.facts.version,
        from: from.clone(),
        to: to.clone(),
        spends: false,
        tag: json!("clear"),
        reason: Map::new(),
    };
    let said = Said {
        command: "restore",
        by,
        code: "PersonRestored",
        facts: json!({ "forced": args.force, "against": against }),
        text: &text,
        plan: Some(PlanEntry::Weights(plan)),
    };
    let write = WeightWrite {
        plan: &restoration.plan,
        from,
        to,
        tag: &TagChange::Clear,
        begun: &restoration.begun,
        done: &restoration.done,
    };
    let write = write.execute(desk, &seen, &said);
    let version = Deadline::after(TIME_TO_WRITE).cover(write).await?;
    let kept = restoration.done.edit.map_or_else(String::new, |edit| {
        format!(
            "; it is held until {}, `meshwarden release {route}` ends the hold",
            super::route_state::short(edit.until)
        )
    });
    Ok(format!("{route}: before {from}\n{route}: after  {to} (version {version}){kept}\n"))
}

/// The reasons against giving the original targets their weights.
#[derive(Debug, Default)]
struct TargetObjections {
    /// Targets that fail, muted ones included, or alarms that cannot be read.
    failing: Vec<String>,
    /// Targets that gain traffic while their alarms do not report their health.
    unknown: Vec<String>,
}

async fn target_objections(desk: &Desk<'_>, route: &RouteId, restoration: &Restoration) -> TargetObjections {
    let (policy, mesh) = (&desk.policy.failover, &route.mesh);
    let (alarms, tags) = match read_alarms(desk).await {
        Ok(read) => read,
        Err(error) => {
            let failing = vec![format!("failed to read the alarms: {error}")];
            return TargetObjections { failing, ..TargetObjections::default() };
        }
    };
    let targets = alarm_targets(&alarms, &tags, policy, desk.now());
    let mut objections = TargetObjections::default();
    for target in restoration.to.targets().iter().filter(|target| target.weight.get() > 0) {
        let node = &target.virtual_node;
        match Health::from_alarms(targets.alarms_of(mesh, node), true, policy.target(mesh, node)) {
            Health::Failing { alarms, .. } | Health::Muted { alarms, .. } => {
                let alarms: Vec<&str> = alarms.iter().map(AlarmName::as_str).collect();
                objections.failing.push(format!("{node} is failing by {}", alarms.join(", ")));
            }
            health @ Health::Unknown { .. } => {
                // A target that keeps or loses traffic is not in a worse state afterwards.
                if gains_traffic(node, &restoration.from, &restoration.to) {
                    objections.unknown.push(format!("the health of {node} is unknown: {health}"));
                }
            }
            Health::Ready { .. } => {}
        }
    }
    objections
}

/// Whether the node's part of the traffic is greater afterwards.
fn gains_traffic(node: &VirtualNodeName, from: &WeightSplit, to: &WeightSplit) -> bool {
    let weight = |split: &WeightSplit| u32::from(split.weight_of(node).unwrap_or_default());
    // The parts are compared without division. Before, a route without any weight served nothing.
    from.is_drained() || weight(to) * u32::from(from.total()) > weight(from) * u32::from(to.total())
}

/// Alarms, and the tags that were read.
pub(super) type ReadAlarms = (Vec<Alarm>, BTreeMap<AlarmName, BTreeMap<String, String>>);

/// The alarms that may report a node, with tags for alarms in `ALARM` that map to no node without tags.
pub(super) async fn read_alarms(desk: &Desk<'_>) -> Result<ReadAlarms, PortError> {
    let (policy, port) = (&desk.policy.failover, &desk.ports.alarms);
    let bound: Vec<AlarmName> = policy.bindings.iter().map(|binding| binding.alarm.clone()).collect();
    let mut alarms = if bound.is_empty() { Vec::new() } else { port.by_name(&bound).await? };
    if policy.discovery.enabled {
        alarms.extend(port.all(&policy.discovery.prefix).await?);
    }
    for _ in 0..MAX_ROUNDS {
        let missing = unread_alarms(&alarms);
        let children = if missing.is_empty() { Vec::new() } else { port.by_name(&missing).await? };
        if children.is_empty() {
            break;
        }
        alarms.extend(children);
    }
    let by_name: BTreeMap<AlarmName, Alarm> = alarms.into_iter().map(|alarm| (alarm.name.clone(), alarm)).collect();
    let alarms: Vec<Alarm> = by_name.into_values().collect();
    let mut tags = BTreeMap::new();
    for alarm in needing_tags(&alarms, policy).into_iter().filter(|alarm| alarm.state == AlarmState::Alarm) {
        tags.insert(alarm.name.clone(), port.tags(&alarm.arn).await?);
    }
    Ok((alarms, tags))
}

/// The harm that the split would cause, or the reason why it is unknown.
async fn harmful(desk: &Desk<'_>, route: &RouteId, to: &WeightSplit) -> Vec<String> {
    let unknown = |why: String| vec![format!("failed to check the harm of the change: {why}")];
    let mut pace = Pace::new(8, 8);
    let read = match survey(desk.ports.meshes.as_ref(), &route.mesh, &mut pace).await {
        Ok(read) => read,
        Err(error) => return unknown(error.to_string()),
    };
    if let Some((_, error)) = read.unread.first() {
        return unknown(error.to_string());
    }
    let before = match read.model(&route.mesh) {
        Ok(model) => model,
        Err(error) => return unknown(error.to_string()),
    };
    let mut after = before.clone();
    let change = Change::SetRouteWeights { route: route.clone(), split: to.clone() };
    match change.apply(&mut after) {
        Ok(()) => harm::harms(&before, &after, [route]).iter().map(ToString::to_string).collect(),
        Err(error) => unknown(error.to_string()),
    }
}
