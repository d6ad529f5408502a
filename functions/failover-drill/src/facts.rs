//! The facts of a drill, from the data that was read.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{HoldReason, LayerRefusal, Memory, NotDrained, Rehearsal, RehearsedRoute, stuck_in_alarm};
use decisions::weights::{Blocker, LayerEnd, LayerKind, StoredLayers};
use drills::{
    AlarmReading, DrainedSplit, Drill, DrillFacts, DrillPlan, DrillTraffic, DrillVerdict, Load, Occupied, Proxies,
    RouteLayer, RouteObservation,
};
use mesh::alarm::AlarmName;
use mesh::name::{MeshName, VirtualNodeName};
use mesh::split::WeightSplit;
use ports::certificates::{ProxyReport, ProxyStream};
use ports::{PortError, PortErrorKind};

use crate::alarms::Alarms;

/// The facts of a drill.
pub(crate) fn facts(
    plan: &DrillPlan,
    drill: Option<&Drill>,
    rehearsal: &Rehearsal,
    node_exists: bool,
    alarms: &Alarms,
    proxies: Proxies,
    (load, traffic): (Load, Option<DrillTraffic>),
) -> DrillFacts {
    let states: BTreeMap<AlarmName, AlarmReading> = alarms.of_plan(plan);
    DrillFacts {
        plan: plan.clone(),
        node_exists,
        alarms: states,
        failing: failing(plan, drill, rehearsal, alarms),
        routes: rehearsal.routes.iter().map(|route| observation(route, drill)).collect(),
        proxies,
        load,
        traffic,
    }
}

/// The failing nodes. Alarms that are in `ALARM` only because the drained node has no requests do not count.
fn failing(
    plan: &DrillPlan,
    drill: Option<&Drill>,
    rehearsal: &Rehearsal,
    alarms: &Alarms,
) -> BTreeMap<VirtualNodeName, Vec<AlarmName>> {
    let is_drained = drill.is_some_and(Drill::has_begun);
    let mut failing = rehearsal.failing.clone();
    if let Some(on) = failing.get_mut(&plan.node).filter(|_| is_drained) {
        on.retain(|name| alarms.get(name).is_none_or(|alarm| stuck_in_alarm(alarm).is_none()));
        if on.is_empty() {
            failing.remove(&plan.node);
        }
    }
    failing
}

fn observation(route: &RehearsedRoute, drill: Option<&Drill>) -> RouteObservation {
    let id = drill.map(|drill| drill.id.as_str()).unwrap_or_default();
    let record = route.record.as_ref().ok();
    let own = record.and_then(|record| record.layers.drill.as_ref()).filter(|layer| layer.id == id);
    let unsettled = unsettled(route, drill);
    let layer = own.map(|layer| RouteLayer {
        node: layer.node.clone(),
        restore_by: layer.restore_by,
        in_place: unsettled.is_none()
            && record.is_some_and(|record| record.layers.pending.is_none() && record.split == route.route.split),
    });
    let layer = layer.or(unsettled);
    let ended = record.and_then(|record| record.layers.end_of(LayerKind::Drill, id));
    let verdict = ended.or_else(|| begun_layers(route)?.end_of(LayerKind::Drill, id)).and_then(own_verdict);
    let ended = ended.map(|end| Occupied { code: end.reason.code().to_owned(), why: end.reason.to_string() });
    let (occupied, drained) = match &route.drained {
        _ if layer.is_some() => (None, DrainedSplit::Drained),
        Ok(split) => (ended, DrainedSplit::To(split.clone())),
        Err(NotDrained::Harmful(harms)) => (ended, DrainedSplit::Harmful(harms.clone())),
        Err(NotDrained::Hold(hold)) => (ended, not_ready(hold)),
        Err(NotDrained::Refused(refusal)) => refused(route, refusal, ended),
    };
    RouteObservation {
        route: route.route.id.clone(),
        version: route.route.version,
        split: route.route.split.clone(),
        layer,
        occupied,
        verdict,
        drained,
    }
}

/// The layers of a write without a recorded end.
fn begun_layers(route: &RehearsedRoute) -> Option<&StoredLayers> {
    let Memory::Record(stored) = &route.route.memory else { return None };
    stored.intent.as_ref()?.layers.as_deref()
}

/// The verdict that this function has stored with the end of its layer.
fn own_verdict(end: &LayerEnd) -> Option<DrillVerdict> {
    serde_json::from_value(end.verdict.clone()?).ok()
}

/// The layer of a write without a recorded end: it counts until the route's document is settled.
fn unsettled(route: &RehearsedRoute, drill: Option<&Drill>) -> Option<RouteLayer> {
    let Memory::Record(stored) = &route.route.memory else { return None };
    let begun = begun_layers(route)?;
    let id = drill.map(|drill| drill.id.as_str()).unwrap_or_default();
    let layers = [stored.layers.drill.as_ref(), begun.drill.as_ref()];
    let own = layers.into_iter().flatten().find(|layer| layer.id == id)?;
    Some(RouteLayer { node: own.node.clone(), restore_by: own.restore_by, in_place: false })
}

fn not_ready(hold: &HoldReason) -> DrainedSplit {
    DrainedSplit::NotReady { hold: hold.code().clone(), why: hold.to_string() }
}

fn refused(
    route: &RehearsedRoute,
    refusal: &LayerRefusal,
    ended: Option<Occupied>,
) -> (Option<Occupied>, DrainedSplit) {
    let blocked = |reason: &Blocker| {
        let why = format!("{reason}; run `{}`", reason.command(&route.route.id));
        let split = DrainedSplit::NotReady { hold: reason.code().to_owned(), why: why.clone() };
        (Some(Occupied { code: reason.code().to_owned(), why }), split)
    };
    match refusal {
        LayerRefusal::Wait { reason, .. } | LayerRefusal::Refuse { reason } => blocked(reason),
        LayerRefusal::NoSuchLayer | LayerRefusal::NoReceiver => {
            let why = "no target may receive the share of the node".to_owned();
            (ended, DrainedSplit::NotReady { hold: "NothingEligible".to_owned(), why })
        }
    }
}

/// The nodes that get more traffic: of the active drill, or of the rehearsal.
pub(crate) fn receivers(drill: Option<&Drill>, rehearsal: &Rehearsal) -> BTreeSet<VirtualNodeName> {
    let begun = drill.filter(|drill| drill.has_begun());
    let routes: Vec<(&WeightSplit, &WeightSplit)> = match begun {
        Some(drill) => drill.routes.iter().map(|route| (&route.before, &route.drained)).collect(),
        None => rehearsal
            .routes
            .iter()
            .filter_map(|route| Some((&route.route.split, route.drained.as_ref().ok()?)))
            .collect(),
    };
    DrillFacts::receivers(routes.into_iter())
}

/// Whether the proxies of a mesh have the present weights.
pub(crate) fn proxies(mesh: &MeshName, read: Result<ProxyReport, PortError>) -> Proxies {
    let report = match read {
        Ok(report) => report,
        // A server without this report.
        Err(error) if error.kind == PortErrorKind::NotFound => return Proxies::NotReported,
        Err(error) => return Proxies::Outstanding { why: error.to_string() },
    };
    if let Some(why) = report.unreported_in(mesh) {
        return Proxies::Outstanding { why: why.to_owned() };
    }
    let own: Vec<&ProxyStream> = report.streams.iter().filter(|stream| stream.proxy.mesh() == mesh).collect();
    if own.is_empty() {
        return Proxies::NoneConnected;
    }
    match own.iter().find(|stream| !stream.up_to_date) {
        None => Proxies::UpToDate,
        Some(stream) => Proxies::Outstanding { why: format!("{} at {} is not up to date", stream.proxy, stream.peer) },
    }
}
