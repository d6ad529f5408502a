//! Reads the input of a decision about the drills of a mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use decisions::failover::{
    AlarmTags, Facts, HarmFact, KillSwitchFact, Memory, RESTORE_TAG, Rehearsal, RehearsedRoute, RouteFacts, rehearse,
};
use decisions::weights::DrillLayer;
use drills::{
    Decision, Drill, DrillPhase, DrillPlan, Load, MeshDrills, Proxies, Reason, RouteStep, Step, candidate, decide,
};
use futures::future::{join3, try_join, try_join_all, try_join3};
use jiff::{SignedDuration, Timestamp};
use mesh::change::Change;
use mesh::graph::Mesh;
use mesh::harm;
use mesh::name::{MeshName, ResourcePath, RouteId, VirtualNodeName};
use mesh::resource::{Resource, RouteData};
use mesh::split::WeightSplit;
use policy::Policy;
use ports::{
    BudgetWindow, DocumentError, MeshReader, Pace, PortError, PortErrorKind, StateKey, StateView, Stored, survey,
};
use records::{DrillObservation, DrillsRecord, Observation, read_record, route_memory};
use runner::{FailureRun, ObservationData, RequestedBy};
use tokio::sync::Mutex;

use crate::trigger::MeshCommand;
use crate::{NAME, Ports, alarms, facts, rates};

/// Concurrent calls at the begin of a survey, and at most.
const PACE: (usize, usize) = (8, 32);

/// How often, and in which interval, the run that restored the weights reads the proxies again.
const RESTORE_ATTEMPTS: usize = 5;
const RESTORE_INTERVAL: Duration = Duration::from_secs(1);

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
    /// The failed calls of the invocation. A call without which the drill still has a decision is recorded here.
    pub(crate) failures: &'a FailureRun,
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
    let active = observation.seen.record.active.clone();
    if let Some(drill) = active.as_ref().filter(|drill| drill.has_begun()) {
        return Box::pin(add_begun(context, plan, drill, observation, now)).await;
    }
    let (alarms, model) = try_join(read_alarms(context, plan, now), whole_mesh(context)).await?;
    let node_exists = rehearse_mesh(context, plan, active.as_ref(), observation, &alarms, model, now).await?;
    measure(context, plan, None, observation, &alarms, node_exists, now).await;
    Ok(())
}

/// Reads the facts about a drill that has begun: its alarms and its routes at the same time. A restore waits for nothing
/// else. The rest is read only if the weights are not restored now.
async fn add_begun(
    context: Context<'_>,
    plan: &DrillPlan,
    drill: &Drill,
    observation: &mut MeshObservation,
    now: Timestamp,
) -> Result<(), PortError> {
    let Context { ports, mesh, policy, window, .. } = context;
    let keys: Vec<StateKey> = drill.routes.iter().map(|drilled| StateKey::route(&drilled.route)).collect();
    let (alarms, routes, view) = try_join3(
        read_alarms(context, plan, now),
        drilled_routes(ports.meshes.as_ref(), drill),
        ports.state.load(&keys, window),
    )
    .await?;
    observation.routes = routes;
    observation.documents = view.documents;
    let routes = route_facts(ports, observation, plan).await?;
    let layer = layer(plan, Some(drill), now);
    let mut facts = Facts {
        mesh: mesh.clone(),
        alarms: alarms.read.clone(),
        alarm_tags: alarms.tags.clone(),
        routes,
        nodes: nodes(mesh, &observation.routes, &alarms),
        calls: BTreeMap::new(),
        provides: BTreeMap::new(),
        kill_switch: None,
        budget_used: 0,
    };
    // The splits of the drill were checked for harm before its start.
    let no_harm = |_: &RouteId, _: &WeightSplit| Vec::new();
    observation.rehearsal = rehearse(&facts, &no_harm, policy, &layer, now);
    let deleted = deleted_nodes(context, observation).await?;
    if !deleted.is_empty() {
        facts.nodes.retain(|node| !deleted.contains(node));
        observation.rehearsal = rehearse(&facts, &no_harm, policy, &layer, now);
    }
    let unread = Proxies::Outstanding { why: "they were not read".to_owned() };
    let load = Load::Unknown { why: "not read before a restore".to_owned() };
    observation.seen.facts =
        Some(facts::facts(plan, Some(drill), &observation.rehearsal, true, &alarms, unread, (load, None)));
    let dry = decide(&observation.seen, policy, now);
    if is_plain_restore(&dry, observation) {
        return Ok(());
    }
    // Shares depend on the capacity that other routes use.
    let mut node_exists = true;
    if matches!(dry.step, Step::Routes(_)) {
        let model = whole_mesh(context).await?;
        node_exists = rehearse_mesh(context, plan, Some(drill), observation, &alarms, model, now).await?;
    }
    measure(context, plan, Some(drill), observation, &alarms, node_exists, now).await;
    Ok(())
}

/// Whether a decision restores the declared weights, for a reason that does not depend on the proxies.
fn is_plain_restore(dry: &Decision, observation: &MeshObservation) -> bool {
    let verdict = dry.record.active.as_ref().and_then(|drill| drill.verdict.as_ref());
    let stored = observation.seen.record.active.as_ref().and_then(|drill| drill.verdict.as_ref());
    let by_proxies =
        stored.is_none() && verdict.is_some_and(|verdict| matches!(verdict.reason, Reason::Unacknowledged { .. }));
    let by_steps = |step: &RouteStep| match step {
        RouteStep::Drain { .. } => true,
        RouteStep::Restore { by_steps, .. } => *by_steps,
    };
    let Step::Routes(steps) = &dry.step else { return false };
    let is_shifted =
        |route: &RehearsedRoute| route.record.as_ref().is_ok_and(|record| record.all_layers().failover.is_active());
    !by_proxies && !steps.iter().any(by_steps) && !observation.rehearsal.routes.iter().any(is_shifted)
}

async fn read_alarms(context: Context<'_>, plan: &DrillPlan, now: Timestamp) -> Result<alarms::Alarms, PortError> {
    let Context { ports, policy, tags, failures, .. } = context;
    alarms::read(ports.alarms.as_ref(), failures, tags, plan, &policy.failover, now).await
}

/// Reads the routes of a drill; a deleted one is left out.
async fn drilled_routes(meshes: &dyn MeshReader, drill: &Drill) -> Result<BTreeMap<RouteId, RouteData>, PortError> {
    let read = drill.routes.iter().map(|drilled| async {
        let id = drilled.route.clone();
        match meshes.describe(&ResourcePath::Route(id.clone())).await {
            Ok(Resource::Route(route)) => Ok(route.spec.split().is_some().then_some((id, route))),
            Ok(_) => {
                let operation = format!("describe route {id}");
                Err(PortError::new(operation, PortErrorKind::Other, "the answer has another kind"))
            }
            Err(error) if error.kind == PortErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    });
    Ok(try_join_all(read).await?.into_iter().flatten().collect())
}

/// The targets of these routes, and the nodes that alarms report.
fn nodes(mesh: &MeshName, routes: &BTreeMap<RouteId, RouteData>, alarms: &alarms::Alarms) -> BTreeSet<VirtualNodeName> {
    targets(routes).into_iter().chain(alarms.targets.nodes(mesh).cloned()).collect()
}

fn targets(routes: &BTreeMap<RouteId, RouteData>) -> BTreeSet<VirtualNodeName> {
    let splits = routes.values().filter_map(|route| route.spec.split());
    splits
        .flat_map(|split| split.targets().iter().map(|target| target.virtual_node.clone()).collect::<Vec<_>>())
        .collect()
}

/// The failing nodes without a route of the drill that do not exist: an alarm can outlive its node.
async fn deleted_nodes(
    context: Context<'_>,
    observation: &MeshObservation,
) -> Result<BTreeSet<VirtualNodeName>, PortError> {
    let Context { ports, mesh, .. } = context;
    let targets = targets(&observation.routes);
    let others = observation.rehearsal.failing.keys().filter(|node| !targets.contains(*node));
    let read = others.map(|node| async move {
        match ports.meshes.describe(&ResourcePath::VirtualNode(mesh.clone(), node.clone())).await {
            Ok(_) => Ok(None),
            Err(error) if error.kind == PortErrorKind::NotFound => Ok(Some(node.clone())),
            Err(error) => Err(error),
        }
    });
    Ok(try_join_all(read).await?.into_iter().flatten().collect())
}

/// A mesh, and its routes as they were read.
type WholeMesh = (Mesh, BTreeMap<RouteId, RouteData>);

/// Reads all resources of the mesh.
async fn whole_mesh(context: Context<'_>) -> Result<WholeMesh, PortError> {
    let Context { ports, mesh, .. } = context;
    let mut pace = Pace::new(PACE.0, PACE.1);
    let survey = survey(ports.meshes.as_ref(), mesh, &mut pace).await?;
    if let Some((_, error)) = survey.unread.into_iter().next() {
        // A resource that is not known could be a receiver, or a harm.
        return Err(error);
    }
    let (mut model, mut routes) = (Mesh::new(mesh.clone()), BTreeMap::new());
    for found in survey.resources.into_values() {
        if let Resource::Route(route) = &found.resource
            && route.spec.split().is_some()
        {
            let id = RouteId::new(route.mesh_name.clone(), route.virtual_router_name.clone(), route.route_name.clone());
            routes.insert(id, route.clone());
        }
        if let Err(error) = model.insert_resource(found.resource) {
            tracing::warn!(%error, "a resource is left out of the drill's what-if");
        }
    }
    Ok((model, routes))
}

/// Rehearses the failover of the node over all routes of the mesh. Returns whether the node exists.
async fn rehearse_mesh(
    context: Context<'_>,
    plan: &DrillPlan,
    drill: Option<&Drill>,
    observation: &mut MeshObservation,
    alarms: &alarms::Alarms,
    (model, routes): WholeMesh,
    now: Timestamp,
) -> Result<bool, PortError> {
    let Context { ports, policy, window, .. } = context;
    observation.routes = routes;
    let keys: Vec<StateKey> = observation.routes.keys().map(StateKey::route).collect();
    observation.documents = ports.state.load(&keys, window).await?.documents;
    let routes = route_facts(ports, observation, plan).await?;
    let facts = Facts {
        alarms: alarms.read.clone(),
        alarm_tags: alarms.tags.clone(),
        routes,
        kill_switch: None,
        budget_used: 0,
        ..Facts::from_mesh(&model)
    };
    let layer = layer(plan, drill, now);
    let harms = |route: &RouteId, split: &WeightSplit| harms(&model, route, split);
    observation.rehearsal = rehearse(&facts, &harms, policy, &layer, now);
    Ok(model.nodes.contains_key(&plan.node))
}

/// Reads the request rates, the proxies and the traffic, and completes the facts.
async fn measure(
    context: Context<'_>,
    plan: &DrillPlan,
    begun: Option<&Drill>,
    observation: &mut MeshObservation,
    alarms: &alarms::Alarms,
    node_exists: bool,
    now: Timestamp,
) {
    let Context { ports, mesh, policy, failures, .. } = context;
    let receivers = facts::receivers(begun, &observation.rehearsal);
    // Before the start the highest rate counts; during the drill only the present one is measured.
    let lookback = if begun.is_some() { SignedDuration::ZERO } else { policy.drills.capacity.lookback.get() };
    let request = rates::RateRequest { mesh, node: &plan.node, receivers: &receivers, lookback, now };
    let metrics = &rates::Metrics { port: ports.metrics.as_ref(), failures };
    let load = rates::read(metrics, alarms, policy, request);
    let is_restored = observation.seen.facts.as_ref().is_some_and(|facts| {
        let layers = facts.routes.iter().filter(|route| route.layer.is_some());
        layers.count() == 0
    });
    let proxies = async {
        match begun.map(|drill| drill.phase) {
            Some(DrillPhase::Draining | DrillPhase::Confirming) => read_proxies(ports, failures, mesh).await,
            Some(DrillPhase::Restoring) if is_restored => {
                let is_first = begun.is_some_and(|drill| drill.restored.is_none());
                restored_proxies(ports, failures, mesh, is_first).await
            }
            Some(DrillPhase::Checking | DrillPhase::Running | DrillPhase::Restoring) | None => Proxies::NotReported,
        }
    };
    let traffic = async {
        let drill = begun?;
        // The node is drained until the verdict.
        let until = drill.verdict.as_ref().map_or(now, |verdict| verdict.at);
        let window = (drill.started?, until);
        Some(rates::traffic(metrics, alarms, policy, (mesh, &receivers), window).await)
    };
    let (load, proxies, traffic) = join3(load, proxies, traffic).await;
    observation.seen.facts =
        Some(facts::facts(plan, begun, &observation.rehearsal, node_exists, alarms, proxies, (load, traffic)));
}

/// Reads whether the proxies have the present weights.
async fn read_proxies(ports: &Ports, failures: &FailureRun, mesh: &MeshName) -> Proxies {
    const TARGET: &str = "proxies";
    let read = ports.proxies.report().await;
    match &read {
        Ok(_) => failures.succeeded(TARGET),
        // A server without this report.
        Err(error) if error.kind == PortErrorKind::NotFound => {}
        Err(error) => failures.failed(TARGET, error),
    }
    facts::proxies(mesh, read)
}

/// Reads whether the proxies have acknowledged restored weights. The run that restored them waits a few seconds for it.
async fn restored_proxies(ports: &Ports, failures: &FailureRun, mesh: &MeshName, is_first: bool) -> Proxies {
    let mut read = read_proxies(ports, failures, mesh).await;
    let attempts = if is_first { RESTORE_ATTEMPTS } else { 0 };
    for _ in 0..attempts {
        if !matches!(read, Proxies::Outstanding { .. }) {
            break;
        }
        tokio::time::sleep(RESTORE_INTERVAL).await;
        read = read_proxies(ports, failures, mesh).await;
    }
    read
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

/// Whether a mesh has a drill that has begun. Its weights may have to be restored.
pub(crate) fn has_begun(view: &StateView, mesh: &MeshName) -> bool {
    let key = key(mesh);
    let stored = view.documents.get(&key).and_then(|stored| read_record::<DrillsRecord>(&key, &stored.document).ok());
    stored.and_then(|record| record.state.active).is_some_and(|drill| drill.has_begun())
}

/// The record without a decision, for an observation with an unreadable document.
pub(crate) fn state(observation: &MeshObservation) -> MeshDrills {
    observation.stored.as_ref().map(|stored| stored.state.clone()).unwrap_or_default()
}
