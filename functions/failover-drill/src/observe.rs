//! Reads the input of a decision about the drills of a mesh.

use std::collections::{BTreeMap, BTreeSet};

use decisions::failover::{
    AlarmTags, Facts, HarmFact, KillSwitchFact, Memory, RESTORE_TAG, Rehearsal, RouteFacts, rehearse,
};
use decisions::weights::DrillLayer;
use drills::{Drill, DrillPhase, DrillPlan, MeshDrills, Proxies, candidate};
use futures::future::{join3, try_join};
use jiff::{SignedDuration, Timestamp};
use mesh::change::Change;
use mesh::graph::Mesh;
use mesh::harm;
use mesh::name::{MeshName, RouteId};
use mesh::resource::{Resource, RouteData};
use mesh::split::WeightSplit;
use policy::Policy;
use ports::{BudgetWindow, DocumentError, Pace, PortError, StateKey, StateView, Stored, survey};
use records::{DrillObservation, DrillsRecord, Observation, read_record, route_memory};
use runner::{ObservationData, RequestedBy};
use tokio::sync::Mutex;

use crate::trigger::MeshCommand;
use crate::{NAME, Ports, alarms, facts, rates};

/// Concurrent calls at the begin of a survey, and at most.
const PACE: (usize, usize) = (8, 32);

/// The key of the document of a mesh's drills.
pub(crate) fn key(mesh: &MeshName) -> StateKey {
    StateKey::mesh(NAME, mesh)
}

/// The drills of one mesh as they were read.
#[derive(Debug)]
pub(crate) struct MeshObservation {
    /// The input of the decision.
    pub(crate) seen: drills::Observation,
    /// The document as it is stored; an error if it cannot be read.
    pub(crate) stored: Result<DrillsRecord, DocumentError>,
    /// The revision of the document.
    pub(crate) revision: u64,
    /// The deliveries with requests that are not stored yet.
    pub(crate) unstored: RequestedBy,
    /// The routes.
    pub(crate) routes: BTreeMap<RouteId, RouteData>,
    /// The rehearsal of the failover, with the routes' records.
    pub(crate) rehearsal: Rehearsal,
    /// The documents of the routes.
    pub(crate) documents: BTreeMap<StateKey, Stored>,
}

impl ObservationData for MeshObservation {
    fn recorded(&self, policy: &Policy, now: Timestamp) -> Observation {
        Observation::Drill(Box::new(DrillObservation { now, facts: self.seen.clone(), policy: policy.clone() }))
    }

    fn object(&self, now: Timestamp, _: &str) -> String {
        format!("observations/{NAME}/{}/{}.json", self.seen.mesh, now.as_millisecond())
    }
}

/// The context of an observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) ports: &'a Ports,
    pub(crate) mesh: &'a MeshName,
    pub(crate) commands: &'a [MeshCommand],
    pub(crate) policy: &'a Policy,
    pub(crate) window: &'a BudgetWindow,
    /// The tags of alarms that earlier invocations have read.
    pub(crate) tags: &'a Mutex<AlarmTags>,
}

/// Reads the drills of a mesh, and the facts about the drill that is next. `view` is the state table, if it was read.
pub(crate) async fn observe(context: Context<'_>, view: Option<StateView>) -> Result<MeshObservation, PortError> {
    let Context { ports, mesh, commands, policy, window, .. } = context;
    let key = key(mesh);
    let mut view = match view {
        Some(view) => view,
        None => ports.state.load(std::slice::from_ref(&key), window).await?,
    };
    let now = ports.clock.now();
    let stored = view.documents.remove(&key);
    let revision = stored.as_ref().map_or(0, |stored| stored.revision);
    let stored = stored.map_or_else(|| Ok(DrillsRecord::default()), |stored| read_record(&key, &stored.document));
    let mut record = stored.as_ref().map(|stored| stored.state.clone()).unwrap_or_default();
    let mut unstored = RequestedBy::default();
    for command in commands {
        if let Some(request) = command.request(&record, now) {
            record.requests.push(request);
            unstored.extend(&command.requested_by);
        }
    }
    let kill_switch = view.kill_switch.as_ref();
    let seen = drills::Observation {
        mesh: mesh.clone(),
        record,
        kill_switch: kill_switch.map(|switch| KillSwitchFact { by: switch.by.clone(), reason: switch.reason.clone() }),
        budget_used: view.budget.used,
        facts: None,
    };
    let mut observation = MeshObservation {
        seen,
        stored,
        revision,
        unstored,
        routes: BTreeMap::new(),
        rehearsal: Rehearsal { failing: BTreeMap::new(), routes: Vec::new() },
        documents: BTreeMap::new(),
    };
    // Without a readable document nothing is changed.
    let next = candidate(mesh, &observation.seen.record, &policy.drills, now);
    if let Some(plan) = next.filter(|_| observation.stored.is_ok()) {
        Box::pin(add_facts(context, &plan, &mut observation, now)).await?;
    }
    Ok(observation)
}

/// Reads the facts about a drill.
async fn add_facts(
    context: Context<'_>,
    plan: &DrillPlan,
    observation: &mut MeshObservation,
    now: Timestamp,
) -> Result<(), PortError> {
    let Context { ports, mesh, policy, tags, .. } = context;
    // At the same time, so that a restore waits for fewer calls.
    let mut pace = Pace::new(PACE.0, PACE.1);
    let alarms = alarms::read(ports.alarms.as_ref(), tags, plan, &policy.failover, now);
    let (alarms, survey) = try_join(alarms, survey(ports.meshes.as_ref(), mesh, &mut pace)).await?;
    if let Some((_, error)) = survey.unread.into_iter().next() {
        // A resource that is not known could be a receiver, or a harm.
        return Err(error);
    }
    let mut model = Mesh::new(mesh.clone());
    for found in survey.resources.values() {
        if let Err(error) = model.insert_resource(found.resource.clone()) {
            tracing::warn!(%error, "a resource is left out of the drill's what-if");
        }
        if let Resource::Route(route) = &found.resource
            && route.spec.split().is_some()
        {
            let id = RouteId::new(route.mesh_name.clone(), route.virtual_router_name.clone(), route.route_name.clone());
            observation.routes.insert(id, route.clone());
        }
    }
    let keys: Vec<StateKey> = observation.routes.keys().map(StateKey::route).collect();
    observation.documents = ports.state.load(&keys, context.window).await?.documents;
    let active = observation.seen.record.active.clone();
    let routes = route_facts(ports, observation, plan).await?;
    let facts = Facts {
        alarms: alarms.read.clone(),
        alarm_tags: alarms.tags.clone(),
        routes,
        kill_switch: None,
        budget_used: 0,
        ..Facts::from_mesh(&model)
    };
    let layer = layer(plan, active.as_ref(), now);
    let harms = |route: &RouteId, split: &WeightSplit| harms(&model, route, split);
    observation.rehearsal = rehearse(&facts, &harms, policy, &layer, now);
    let begun = active.as_ref().filter(|drill| drill.has_begun());
    let receivers = facts::receivers(begun, &observation.rehearsal);
    // Before the start the highest rate counts; during the drill only the present one is measured.
    let lookback = if begun.is_some() { SignedDuration::ZERO } else { policy.drills.capacity.lookback.get() };
    let request = rates::RateRequest { mesh, node: &plan.node, receivers: &receivers, lookback, now };
    let metrics = ports.metrics.as_ref();
    let load = rates::read(metrics, &alarms, policy, request);
    let proxies = async {
        match begun.map(|drill| drill.phase) {
            Some(DrillPhase::Draining | DrillPhase::Confirming) => facts::proxies(mesh, ports.proxies.report().await),
            Some(DrillPhase::Checking | DrillPhase::Running | DrillPhase::Restoring) | None => Proxies::NotReported,
        }
    };
    let traffic = async {
        let drill = begun?;
        // The node is drained until the verdict.
        let until = drill.verdict.as_ref().map_or(now, |verdict| verdict.at);
        let window = (drill.started?, until);
        Some(rates::traffic(metrics, &alarms, policy, (mesh, &receivers), window).await)
    };
    let (load, proxies, traffic) = join3(load, proxies, traffic).await;
    let node_exists = model.nodes.contains_key(&plan.node);
    observation.seen.facts =
        Some(facts::facts(plan, begun, &observation.rehearsal, node_exists, &alarms, proxies, (load, traffic)));
    Ok(())
}

/// The facts of all routes. The restore tag matters only for routes of the drill without a document.
async fn route_facts(
    ports: &Ports,
    observation: &MeshObservation,
    plan: &DrillPlan,
) -> Result<Vec<RouteFacts>, PortError> {
    let mut all = Vec::new();
    for (id, route) in &observation.routes {
        let Some(split) = route.spec.split() else { continue };
        let key = StateKey::route(id);
        let stored = observation.documents.get(&key);
        let memory = stored.map_or(Memory::None, |stored| route_memory(&key, &stored.document));
        let restore_tag = if memory == Memory::None && split.carries(&plan.node) {
            ports.meshes.tags(&route.metadata.arn.to_string()).await?.remove(RESTORE_TAG)
        } else {
            None
        };
        all.push(RouteFacts {
            id: id.clone(),
            uid: route.metadata.uid.clone(),
            version: route.metadata.version.get().unsigned_abs(),
            split,
            memory,
            restore_tag,
            data_points: BTreeMap::new(),
            alarm_data: BTreeMap::new(),
            released: None,
            written_by: route.metadata.written_by().map(str::to_owned),
        });
    }
    Ok(all)
}

/// The layer that the drill writes, or has written.
pub(crate) fn layer(plan: &DrillPlan, drill: Option<&Drill>, now: Timestamp) -> DrillLayer {
    let restore_by = drill.and_then(|drill| drill.restore_by);
    DrillLayer {
        id: drill.map(|drill| drill.id.clone()).unwrap_or_default(),
        node: plan.node.clone(),
        since: drill.and_then(|drill| drill.started).unwrap_or(now),
        restore_by: restore_by.unwrap_or(now + plan.duration.get()),
    }
}

/// The harms of a split on a route.
fn harms(model: &Mesh, route: &RouteId, split: &WeightSplit) -> Vec<HarmFact> {
    let change = Change::SetRouteWeights { route: route.clone(), split: split.clone() };
    let mut after = model.clone();
    match change.apply(&mut after) {
        Ok(()) => {
            let harms = harm::harms(model, &after, [route]).into_iter();
            harms.map(|harm| HarmFact { id: harm.id().to_owned(), text: harm.to_string() }).collect()
        }
        Err(error) => vec![HarmFact { id: "what-if-failed".to_owned(), text: error.to_string() }],
    }
}

/// The meshes of an invocation, with the state table's documents of their drills in one read.
pub(crate) async fn documents(
    ports: &Ports,
    meshes: &BTreeSet<MeshName>,
    window: &BudgetWindow,
) -> Result<StateView, PortError> {
    let keys: Vec<StateKey> = meshes.iter().map(key).collect();
    ports.state.load(&keys, window).await
}

/// The part of a view that belongs to one mesh.
pub(crate) fn view_of(view: &StateView, mesh: &MeshName) -> StateView {
    let key = key(mesh);
    let documents = view.documents.get(&key).map(|stored| (key.clone(), stored.clone())).into_iter().collect();
    StateView { documents, ..view.clone() }
}

/// The record without a decision, for an observation with an unreadable document.
pub(crate) fn state(observation: &MeshObservation) -> MeshDrills {
    observation.stored.as_ref().map(|stored| stored.state.clone()).unwrap_or_default()
}
