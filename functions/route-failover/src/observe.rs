//! Reads the input of a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex as StdMutex, PoisonError};

use decisions::failover::{Facts, HarmFact, KillSwitchFact, LastNotification, NodeRecord, Subject};
use futures::future::{try_join, try_join_all};
use mesh::change::Change;
use mesh::graph::Mesh;
use mesh::harm;
use mesh::name::{MeshName, ResourcePath, RouteId, VirtualNodeName};
use mesh::resource::{Resource, RouteData};
use mesh::split::WeightSplit;
use ports::{BudgetWindow, DocumentError, PortError, PortErrorKind, StateKey, StateView};
use records::{WhatIf, read_record};
use tokio::sync::Mutex;

use crate::alarms::{Alarms, KnownAlarms};
use crate::mesh_cache::{self, MeshCache};
use crate::read_context::ReadContext;
use crate::trigger::Trigger;
use crate::{Ports, route_facts};

/// The data that a warm function remembers between invocations. Losing it costs calls and has no other effect.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    /// The known alarms.
    pub(crate) alarms: KnownAlarms,
    /// The resources of each mesh.
    caches: BTreeMap<MeshName, MeshCache>,
    /// Whether the function has searched every mesh for routes that the state table knows.
    surveyed: bool,
}

/// One mesh as it was read: the input of decisions, and the data that is needed to act.
#[derive(Debug)]
pub(crate) struct Observation {
    /// The input of decisions.
    pub(crate) facts: Facts,
    /// The routes as read, with every field that has to survive a write.
    pub(crate) routes: BTreeMap<RouteId, RouteData>,
    /// The state table as read.
    pub(crate) state: StateView,
    /// The nodes that the alarms of the event report.
    pub(crate) triggered: BTreeSet<VirtualNodeName>,
    /// The nodes that any alarm reports.
    reported: BTreeSet<VirtualNodeName>,
    /// The routes and the alarm data that could not be read, by resource.
    pub(crate) unread: Vec<(String, PortError)>,
    /// The mesh model for what-if checks.
    model: Mesh,
    /// The what-if checks that were made, for the journal.
    checked: StdMutex<Vec<WhatIf>>,
}

impl Observation {
    /// The revision of a route's record as read; 0 when there is none.
    pub(crate) fn revision(&self, route: &RouteId) -> u64 {
        self.state.documents.get(&StateKey::route(route)).map_or(0, |stored| stored.revision)
    }

    /// The document of a subject in the state table.
    pub(crate) fn stored(&self, subject: &Subject) -> Option<&ports::Stored> {
        self.state.documents.get(&self.key(subject))
    }

    /// The key of a subject in the state table.
    pub(crate) fn key(&self, subject: &Subject) -> StateKey {
        match subject {
            Subject::Route(route) => StateKey::route(route),
            Subject::Node(node) => StateKey::node(&self.facts.mesh, node),
        }
    }

    /// The nodes with a stored notification.
    pub(crate) fn notified_nodes(&self) -> Vec<VirtualNodeName> {
        let reported = self.facts.nodes.iter().chain(&self.reported);
        let notified: BTreeSet<&VirtualNodeName> =
            reported.filter(|node| self.last_notification(node).is_some()).collect();
        notified.into_iter().cloned().collect()
    }

    /// The last notification about a node, from the node's own record.
    pub(crate) fn last_notification(&self, node: &VirtualNodeName) -> Option<LastNotification> {
        self.node_record(node).ok()?.last_notification
    }

    /// Whether this version must not replace the document of a node.
    pub(crate) fn is_foreign_node(&self, node: &VirtualNodeName) -> bool {
        matches!(self.node_record(node), Err(DocumentError::NewerFormat { .. }))
    }

    /// The document of a node. A malformed one is replaced: at worst, the same notification is sent once more.
    fn node_record(&self, node: &VirtualNodeName) -> Result<NodeRecord, DocumentError> {
        let key = StateKey::node(&self.facts.mesh, node);
        let stored = self.state.documents.get(&key);
        stored.map_or(Ok(NodeRecord { last_notification: None, watch: None }), |stored| {
            read_record(&key, &stored.document)
        })
    }

    /// The harms that a split would cause.
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
        let what_if = WhatIf { route: route.clone(), split: split.clone(), harms: harms.clone() };
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).push(what_if);
        harms
    }

    /// The what-if checks that were made so far.
    pub(crate) fn what_ifs(&self) -> Vec<WhatIf> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads one mesh: the routes that matter now, and their documents in the state table.
pub(crate) async fn mesh(
    ports: &Ports,
    warm: &Mutex<Warm>,
    mesh: &MeshName,
    alarms: &Alarms,
    context: ReadContext<'_>,
) -> Result<Observation, PortError> {
    let ReadContext { trigger, window, .. } = context;
    let mut cache = warm.lock().await.caches.get(mesh).cloned().unwrap_or_default();
    let reads_all = trigger.tick || cache.is_empty();
    if reads_all {
        let refreshed = cache.refresh(ports.meshes.as_ref(), mesh).await;
        if refreshed.as_ref().is_err_and(|error| error.kind == PortErrorKind::NotFound) {
            // The mesh is deleted, and so are its shifted routes.
            warm.lock().await.caches.remove(mesh);
        }
        refreshed?;
    }
    let reported: BTreeSet<VirtualNodeName> = alarms.targets.nodes(mesh).cloned().collect();
    let mut ids = cache.routes_around(&reported);
    ids.extend(trigger.released.keys().filter(|route| route.mesh == *mesh).cloned());

    // The stored notifications about nodes that no route carries.
    let carried =
        |node: &VirtualNodeName| cache.routes().any(|route| mesh_cache::targets(route).any(|target| target == *node));
    // A service may call a node directly although a route carries the node, too: then the node also has a decision of
    // its own.
    let direct = cache.called_directly();
    let routeless: Vec<StateKey> = reported
        .iter()
        .filter(|node| !carried(node) || direct.contains(*node))
        .map(|node| StateKey::node(mesh, node))
        .collect();

    let (mut routes, state) = if reads_all {
        // Every route's record is read, so that no shifted route is ever forgotten.
        let keys: Vec<StateKey> =
            cache.routes().map(|route| StateKey::route(&mesh_cache::id(route))).chain(routeless).collect();
        let state = ports.state.load(&keys, window).await?;
        let matters = |id: &RouteId| ids.contains(id) || state.documents.contains_key(&StateKey::route(id));
        let routes = cache.routes().map(|route| (mesh_cache::id(route), route.clone()));
        (routes.filter(|(id, _)| matters(id)).collect(), state)
    } else {
        let keys: Vec<StateKey> = ids.iter().map(StateKey::route).chain(routeless).collect();
        let (read, state) = try_join(routes(ports, &ids), ports.state.load(&keys, window)).await?;
        cache.update(&read);
        (read.into_iter().filter_map(|(id, route)| Some((id, route?))).collect::<BTreeMap<_, _>>(), state)
    };
    routes.retain(|_, route| route.spec.split().is_some());
    let model = model(mesh, &cache);
    warm.lock().await.caches.insert(mesh.clone(), cache);

    let (facts, unread) = route_facts::read(ports, &routes, &state, alarms, context).await;
    let kill_switch = state.kill_switch.as_ref();
    let facts = Facts {
        alarms: alarms.of_mesh(mesh),
        alarm_tags: alarms.tags.clone(),
        routes: facts,
        kill_switch: kill_switch.map(|switch| KillSwitchFact { by: switch.by.clone(), reason: switch.reason.clone() }),
        budget_used: state.budget.used,
        ..Facts::from_mesh(&model)
    };
    let places = trigger.alarms.iter().flat_map(|alarm| alarms.targets.targets_of(alarm));
    let triggered = places.filter(|(of, _)| *of == mesh).map(|(_, node)| node.clone()).collect();
    Ok(Observation { facts, routes, state, triggered, reported, unread, model, checked: StdMutex::default() })
}

/// The meshes that a run reads.
#[derive(Debug)]
pub(crate) struct MeshesToRead {
    pub(crate) meshes: BTreeSet<MeshName>,
    /// The result of the search for meshes that no alarm reports; `None` if this run made no search.
    pub(crate) survey: Option<Result<(), PortError>>,
}

/// The meshes that have to be read: the meshes that an alarm reports or the event names. A scheduled run adds meshes in
/// which a route may still be shifted although no alarm reports them any more.
pub(crate) async fn meshes(
    ports: &Ports,
    warm: &Mutex<Warm>,
    alarms: &Alarms,
    context: ReadContext<'_>,
) -> MeshesToRead {
    let bound = context.policy.bindings.iter().map(|binding| &binding.mesh);
    let released = context.trigger.released.keys().map(|route| &route.mesh);
    let mut meshes: BTreeSet<MeshName> = bound.chain(released).chain(alarms.targets.meshes()).cloned().collect();
    let mut surveyed = None;
    if context.trigger.tick {
        let mut warm = warm.lock().await;
        meshes.extend(warm.caches.keys().cloned());
        if !warm.surveyed {
            surveyed = Some(match survey(ports, &meshes, context.window).await {
                Ok(remembered) => {
                    meshes.extend(remembered);
                    warm.surveyed = true;
                    Ok(())
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to search meshes without alarms for shifted routes; the next run does");
                    Err(error)
                }
            });
        }
    }
    MeshesToRead { meshes, survey: surveyed }
}

/// Searches the other meshes for routes that the state table knows. Runs once per cold start: it costs a call for each
/// virtual router.
async fn survey(
    ports: &Ports,
    known: &BTreeSet<MeshName>,
    window: &BudgetWindow,
) -> Result<BTreeSet<MeshName>, PortError> {
    let mut remembered = BTreeSet::new();
    for found in ports.meshes.meshes().await? {
        let mesh = found.path.mesh();
        if known.contains(mesh) {
            continue;
        }
        let routes = match mesh_cache::list_routes(ports.meshes.as_ref(), mesh).await {
            Ok(routes) => routes,
            // Deleted since it was listed.
            Err(error) if error.kind == PortErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let keys: Vec<StateKey> = routes.iter().map(StateKey::route).collect();
        if !keys.is_empty() && !ports.state.load(&keys, window).await?.documents.is_empty() {
            remembered.insert(mesh.clone());
        }
    }
    Ok(remembered)
}

/// Builds the graph of the resources that were read.
fn model(name: &MeshName, cache: &MeshCache) -> Mesh {
    let mut model = Mesh::new(name.clone());
    for resource in cache.resources() {
        if let Err(error) = model.insert_resource(resource.clone()) {
            tracing::warn!(%error, "a resource is left out of what-if");
        }
    }
    model
}

/// Re-reads these routes; `None` for a deleted route.
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

/// Whether the event names an alarm that reports a target of the route, or releases the route.
pub(crate) fn concerns(subject: &Subject, observation: &Observation, trigger: &Trigger) -> bool {
    match subject {
        Subject::Node(_) => true,
        Subject::Route(id) => {
            trigger.released.contains_key(id)
                || observation
                    .routes
                    .get(id)
                    .and_then(|route| route.spec.split())
                    .is_some_and(|split| observation.triggered.iter().any(|node| split.carries(node)))
        }
    }
}
