//! Reads what a decision is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex as StdMutex, PoisonError};

use futures::future::{try_join, try_join_all};
use jiff::Timestamp;
use mesh::alarm::{Alarm, AlarmName, AlarmState};
use mesh::change::Change;
use mesh::failover::{
    Facts, HarmFact, KillSwitchFact, Memory, RESTORE_TAG, RouteFacts, RouteRecord, Voices, awaiting_proof, missing_children,
    untold, voices,
};
use mesh::graph::Mesh;
use mesh::harm;
use mesh::name::{MeshName, ResourcePath, RouteId, VirtualNodeName};
use mesh::policy::{AlarmRole, FailoverPolicy};
use mesh::resource::{Resource, RouteData};
use mesh::weights::WeightSplit;
use ports::{BudgetWindow, PortError, PortErrorKind, StateKey, StateView};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::Ports;
use crate::atlas::{self, Atlas};
use crate::wake::Wake;

/// How deep children of composite alarms are fetched; what lies deeper stays unread and silent.
const MAX_ROUNDS: usize = 5;

/// What a warm function remembers from one invocation to the next. Losing it costs calls and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    /// Alarms that were found to speak of a node.
    known: BTreeSet<AlarmName>,
    /// Tags of alarms, which hardly ever change; read anew with every cold start.
    tags: BTreeMap<AlarmName, BTreeMap<String, String>>,
    /// The meshes.
    atlases: BTreeMap<MeshName, Atlas>,
}

/// All that was read of alarms.
#[derive(Debug)]
pub(crate) struct Alarms {
    /// The alarms.
    pub(crate) alarms: Vec<Alarm>,
    /// The tags of those that needed them.
    pub(crate) tags: BTreeMap<AlarmName, BTreeMap<String, String>>,
    /// What they say.
    pub(crate) voices: Voices,
}

/// One mesh as it was read: what is decided from, and what is needed to act.
#[derive(Debug)]
pub(crate) struct Observation {
    /// What is decided from.
    pub(crate) facts: Facts,
    /// The routes as read, with everything that has to survive a write.
    pub(crate) routes: BTreeMap<RouteId, RouteData>,
    /// The state table as read.
    pub(crate) state: StateView,
    /// The nodes that the alarms of the event speak of.
    pub(crate) woken: BTreeSet<VirtualNodeName>,
    /// The mesh, for what-if.
    model: Mesh,
    /// What-if as it was asked, for the journal.
    asked: StdMutex<Vec<Asked>>,
}

/// One question of what-if and its answer.
#[derive(Clone, Debug, Serialize)]
struct Asked {
    route: RouteId,
    split: WeightSplit,
    harms: Vec<HarmFact>,
}

impl Observation {
    /// The revision of a route's record as read; 0 when there is none.
    pub(crate) fn revision(&self, route: &RouteId) -> u64 {
        self.state.documents.get(&StateKey::route(route)).map_or(0, |stored| stored.revision)
    }

    /// What a split would break.
    pub(crate) fn harms(&self, route: &RouteId, split: &WeightSplit) -> Vec<HarmFact> {
        let change = Change::SetRouteWeights { route: route.clone(), split: split.clone() };
        let mut after = self.model.clone();
        let harms = match change.apply(&mut after) {
            Ok(()) => harm::harms(&self.model, &after, [route])
                .into_iter()
                .map(|harm| HarmFact { id: harm.id().to_owned(), text: harm.to_string() })
                .collect(),
            Err(error) => vec![HarmFact { id: "what-if-failed".to_owned(), text: error.to_string() }],
        };
        let asked = Asked { route: route.clone(), split: split.clone(), harms: harms.clone() };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        harms
    }

    /// What-if as it was asked so far.
    pub(crate) fn harms_asked(&self) -> Value {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_value(&*asked).unwrap_or_default()
    }
}

/// Reads the alarms: those that are bound or known, those that the event names, and on a tick all that can be found.
pub(crate) async fn alarms(
    ports: &Ports,
    warm: &Mutex<Warm>,
    wake: &Wake,
    policy: &FailoverPolicy,
) -> Result<Alarms, PortError> {
    let mut memory = warm.lock().await;
    let mut names: BTreeSet<AlarmName> = policy.bindings.iter().map(|binding| binding.alarm.clone()).collect();
    names.extend(wake.alarms.iter().chain(&memory.known).cloned());
    let names: Vec<AlarmName> = names.into_iter().collect();
    let looks_around = policy.discovery.enabled && (wake.tick || memory.atlases.is_empty());
    let (named, found) = try_join(
        async { if names.is_empty() { Ok(Vec::new()) } else { ports.alarms.by_name(&names).await } },
        async { if looks_around { ports.alarms.all(&policy.discovery.prefix).await } else { Ok(Vec::new()) } },
    )
    .await?;
    let mut alarms: BTreeMap<AlarmName, Alarm> =
        found.into_iter().chain(named).map(|alarm| (alarm.name.clone(), alarm)).collect();
    for _ in 0..MAX_ROUNDS {
        let missing = missing_children(&alarms.values().cloned().collect::<Vec<_>>(), policy);
        if missing.is_empty() {
            break;
        }
        let children = ports.alarms.by_name(&missing).await?;
        if children.is_empty() {
            break;
        }
        alarms.extend(children.into_iter().map(|alarm| (alarm.name.clone(), alarm)));
    }
    let alarms: Vec<Alarm> = alarms.into_values().collect();

    // Tags cost a call each, so they are read only where nothing else tells, for alarms that matter now or did before.
    let wanted: Vec<&Alarm> = untold(&alarms, policy)
        .into_iter()
        .filter(|alarm| !memory.tags.contains_key(&alarm.name))
        .filter(|alarm| alarm.state == AlarmState::Alarm || wake.alarms.contains(&alarm.name))
        .collect();
    let read = try_join_all(wanted.iter().map(|alarm| ports.alarms.tags(&alarm.arn))).await?;
    memory.tags.extend(wanted.iter().map(|alarm| alarm.name.clone()).zip(read));
    let tags = memory.tags.clone();

    let voices = voices(&alarms, &tags, policy);
    memory.known = alarms.iter().filter(|alarm| !voices.places(&alarm.name).is_empty()).map(|alarm| alarm.name.clone()).collect();
    Ok(Alarms { alarms, tags, voices })
}

/// The meshes that have to be looked at.
pub(crate) fn meshes(alarms: &Alarms, wake: &Wake, policy: &FailoverPolicy) -> BTreeSet<MeshName> {
    let bound = policy.bindings.iter().map(|binding| &binding.mesh);
    let released = wake.released.iter().map(|route| &route.mesh);
    bound.chain(released).chain(alarms.voices.meshes()).cloned().collect()
}

/// Reads one mesh: the routes that matter now, and what the state table has of them.
pub(crate) async fn mesh(
    ports: &Ports,
    warm: &Mutex<Warm>,
    mesh: &MeshName,
    alarms: &Alarms,
    wake: &Wake,
    policy: &FailoverPolicy,
    window: &BudgetWindow,
    now: Timestamp,
) -> Result<Observation, PortError> {
    let mut atlas = warm.lock().await.atlases.get(mesh).cloned().unwrap_or_default();
    let looks_around = wake.tick || atlas.is_empty();
    if looks_around {
        atlas.refresh(ports.meshes.as_ref(), mesh).await?;
    }
    let spoken: BTreeSet<VirtualNodeName> = alarms.voices.nodes(mesh).cloned().collect();
    let mut ids = atlas.routes_around(&spoken);
    ids.extend(wake.released.iter().filter(|route| route.mesh == *mesh).cloned());

    // On a tick every route's record is read, so that nothing that was shifted is ever forgotten.
    let keys: Vec<StateKey> =
        if looks_around { atlas.routes().map(|route| StateKey::route(&atlas::id(route))).collect() } else { ids.iter().map(StateKey::route).collect() };
    let (mut routes, state) = if looks_around {
        let state = ports.state.load(&keys, window).await?;
        ids.extend(atlas.routes().map(atlas::id).filter(|id| state.documents.contains_key(&StateKey::route(id))));
        let routes = atlas.routes().map(|route| (atlas::id(route), route.clone()));
        (routes.filter(|(id, _)| ids.contains(id)).collect(), state)
    } else {
        let (read, state) = try_join(routes(ports, &ids), ports.state.load(&keys, window)).await?;
        atlas.renew(&read);
        (read.into_iter().filter_map(|(id, route)| Some((id, route?))).collect::<BTreeMap<_, _>>(), state)
    };
    routes.retain(|_, route| route.spec.split().is_some());
    let model = model(mesh, &atlas);
    warm.lock().await.atlases.insert(mesh.clone(), atlas);

    let mut facts = Vec::with_capacity(routes.len());
    for (id, route) in &routes {
        facts.push(route_facts(ports, id, route, &state, alarms, wake, policy, now).await?);
    }
    let kill_switch = state.kill_switch.as_ref();
    let facts = Facts {
        alarms: alarms.alarms.iter().filter(|alarm| speaks_of(alarms, alarm, mesh)).cloned().collect(),
        alarm_tags: alarms.tags.clone(),
        routes: facts,
        kill_switch: kill_switch.map(|switch| KillSwitchFact { by: switch.by.clone(), reason: switch.reason.clone() }),
        budget_used: state.budget.used,
        ..Facts::of_mesh(&model)
    };
    let places = wake.alarms.iter().flat_map(|alarm| alarms.voices.places(alarm));
    let woken = places.filter(|(of, _)| *of == mesh).map(|(_, node)| node.clone()).collect();
    Ok(Observation { facts, routes, state, woken, model, asked: StdMutex::default() })
}

/// The graph over what was read.
fn model(name: &MeshName, atlas: &Atlas) -> Mesh {
    let mut model = Mesh::new(name.clone());
    for resource in atlas.resources() {
        if let Err(error) = model.insert_resource(resource.clone()) {
            tracing::warn!(%error, "a resource is left out of what-if");
        }
    }
    model
}

/// Reads these routes again; `None` for one that is gone.
async fn routes(ports: &Ports, ids: &BTreeSet<RouteId>) -> Result<BTreeMap<RouteId, Option<RouteData>>, PortError> {
    try_join_all(ids.iter().map(|id| async move {
        match ports.meshes.describe(&ResourcePath::Route(id.clone())).await {
            Ok(Resource::Route(route)) => Ok((id.clone(), Some(route))),
            Ok(other) => Err(PortError::new(
                format!("describe route {id}"),
                PortErrorKind::Other,
                format!("the answer is a {}", other.path().kind().words()),
            )),
            Err(error) if error.kind == PortErrorKind::NotFound => Ok((id.clone(), None)),
            Err(error) => Err(error),
        }
    }))
    .await
    .map(|routes| routes.into_iter().collect())
}

#[expect(clippy::too_many_arguments, reason = "each is one source of facts")]
async fn route_facts(
    ports: &Ports,
    id: &RouteId,
    route: &RouteData,
    state: &StateView,
    alarms: &Alarms,
    wake: &Wake,
    policy: &FailoverPolicy,
    now: Timestamp,
) -> Result<RouteFacts, PortError> {
    let memory = match state.documents.get(&StateKey::route(id)) {
        None => Memory::None,
        Some(stored) => match serde_json::from_value::<RouteRecord>(stored.document.clone()) {
            Ok(record) => Memory::Record(Box::new(record)),
            Err(error) => Memory::Unreadable(error.to_string()),
        },
    };
    let restore_tag = match &memory {
        Memory::None => ports.meshes.tags(&route.metadata.arn.to_string()).await?.remove(RESTORE_TAG),
        Memory::Record(_) | Memory::Unreadable(_) => None,
    };
    let mut data_points = BTreeMap::new();
    if let Memory::Record(record) = &memory {
        for (node, since) in awaiting_proof(record, policy, now) {
            data_points.insert(node.clone(), proof(ports, id, node, since, alarms, now).await?);
        }
    }
    let split = route.spec.split().ok_or_else(|| {
        PortError::new(format!("read the targets of route {id}"), PortErrorKind::Other, "its kind is not known here")
    })?;
    let released = wake.released.contains(id);
    Ok(RouteFacts { id: id.clone(), version: atlas::version(route), split, memory, restore_tag, data_points, released })
}

/// The most data points that any one of the node's request alarms has seen since then.
async fn proof(
    ports: &Ports,
    route: &RouteId,
    node: &VirtualNodeName,
    since: Timestamp,
    alarms: &Alarms,
    now: Timestamp,
) -> Result<u32, PortError> {
    let request = |name: &&AlarmName| {
        alarms.voices.of(&route.mesh, node).iter().any(|voice| voice.alarm == **name && voice.role == AlarmRole::Request)
    };
    let speaking = alarms.alarms.iter().filter(|alarm| request(&&alarm.name));
    let counts = try_join_all(speaking.map(|alarm| ports.alarms.data_points(alarm, since, now))).await?;
    Ok(counts.into_iter().max().unwrap_or_default())
}

/// Whether an alarm speaks of a node of the mesh, or is the child of one that does.
fn speaks_of(alarms: &Alarms, alarm: &Alarm, mesh: &MeshName) -> bool {
    alarms.voices.places(&alarm.name).iter().any(|(of, _)| *of == mesh)
}
