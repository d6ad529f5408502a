//! Reads the input of a decision about one rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use decisions::failover::{HarmFact, KillSwitchFact, Memory, RESTORE_TAG, RouteFacts};
use futures::future::{join, join4, try_join_all};
use jiff::Timestamp;
use mesh::name::{ResourcePath, RouteId};
use mesh::resource::{Resource, RouteData};
use mesh::spec::RouteRule;
use mesh::split::WeightSplit;
use policy::{Policy, RuleId};
use ports::{BudgetWindow, FunctionAnswer, PortError, PortErrorKind, StateKey, StateView};
use records::{RolloutObservation, WhatIf, read_record, route_memory};
use rollouts::{Decision, Facts, HookAnswer, HookCall, HookReading, RolloutRecord, RolloutState, RouteChange, decide};
use runner::{ObservationData, Run};

use crate::Ports;
use crate::mesh_reading::{MeshReading, unread};
use crate::readings;

/// The data that a warm function remembers of a rollout. Losing it costs calls and has no other effect.
#[derive(Clone, Debug)]
pub(crate) struct WarmRollout {
    record: RolloutRecord,
    mesh: Option<MeshReading>,
}

impl WarmRollout {
    /// The memory of a rollout of which only the record is known.
    pub(crate) const fn new(record: RolloutRecord) -> Self {
        Self { record, mesh: None }
    }

    /// Whether the rollout waits for its start and replaces others.
    pub(crate) fn replaces(&self) -> bool {
        self.record.rollout.replace && self.record.state == RolloutState::Waiting
    }

    /// Whether another rollout is on a route of this one, and is not ending.
    pub(crate) fn is_replaced(&self, other: &Self) -> bool {
        let (own, others) = (&self.record.rollout, &other.record.rollout);
        let is_other = own.mesh == others.mesh && own.id != others.id;
        let is_active = other.record.state.has_weight() && other.record.failure.is_none();
        is_other && is_active && !own.routes.is_disjoint(&others.routes)
    }

    /// The key of the document.
    pub(crate) fn key(&self) -> StateKey {
        StateKey::rollout(&self.record.rollout.mesh, &self.record.rollout.id)
    }

    /// The name of this rollout as the operator of a command.
    pub(crate) fn requester(&self) -> String {
        format!("rollout {}", self.record.rollout.id)
    }

    /// Whether a route may have weights of the rollout.
    pub(crate) const fn has_weight(&self) -> bool {
        self.record.state.has_weight()
    }
}

/// The input of a decision, and the data that is needed to act.
#[derive(Debug)]
pub(crate) struct Observation {
    /// The input of the decision.
    pub(crate) facts: Facts,
    /// The routes as read, with every field that has to survive a write.
    pub(crate) routes: BTreeMap<RouteId, RouteData>,
    /// The state table as read.
    pub(crate) state: StateView,
    mesh: Option<MeshReading>,
    /// The what-if checks that were made, with their answers.
    checked: Mutex<Vec<WhatIf>>,
}

impl Observation {
    /// The decision. Its what-if checks are recorded.
    pub(crate) fn decide(&self, policy: &Policy, now: Timestamp) -> Decision {
        let harms = |route: &RouteId, split: &WeightSplit| self.harms(route, split);
        decide(&self.facts, &harms, policy, now)
    }

    fn harms(&self, route: &RouteId, split: &WeightSplit) -> Vec<HarmFact> {
        let harms = self.mesh.as_ref().map_or_else(unread, |mesh| mesh.harms(route, split));
        let query = WhatIf { route: route.clone(), split: split.clone(), harms: harms.clone() };
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).push(query);
        harms
    }

    /// The memory of this observation for the next run.
    pub(crate) fn warm(&self, record: RolloutRecord) -> WarmRollout {
        WarmRollout { record, mesh: self.mesh.clone() }
    }
}

impl ObservationData for Observation {
    fn recorded(&self, policy: &Policy, now: Timestamp) -> records::Observation {
        let harms = self.checked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let observation = RolloutObservation { now, facts: self.facts.clone(), harms, policy: policy.clone() };
        records::Observation::Rollout(Box::new(observation))
    }

    fn object(&self, now: Timestamp, _: &str) -> String {
        let rollout = &self.facts.record.rollout;
        format!("observations/{}-{}-{}.json", now.as_millisecond(), rollout.mesh, rollout.id)
    }
}

/// The context of one observation.
pub(crate) struct Context<'a> {
    pub(crate) ports: &'a Ports,
    pub(crate) run: &'a Run<'a>,
    pub(crate) key: &'a StateKey,
    pub(crate) window: &'a BudgetWindow,
    /// The other active rollouts of the mesh.
    pub(crate) active: &'a BTreeSet<String>,
}

/// Reads a rollout. `None` if its document does not exist.
pub(crate) async fn observe(
    context: &Context<'_>,
    warm: Option<WarmRollout>,
) -> Result<Option<Observation>, PortError> {
    let Context { ports, run, key, window, active } = context;
    let policy = run.policy();
    let (known, mesh) = match warm {
        Some(warm) => (Some(warm.record), warm.mesh),
        None => (record(key, &ports.state.load(std::slice::from_ref(*key), window).await?)?, None),
    };
    // Without a document there is nothing to decide; its request is delivered again.
    let Some(known) = known else { return Ok(None) };
    let routes: Vec<RouteId> = known.rollout.routes.iter().cloned().collect();
    let keys: Vec<StateKey> = std::iter::once((*key).clone()).chain(routes.iter().map(StateKey::route)).collect();
    let now = ports.clock.now();
    // Evidence of a write must be read after the write was seen on the routes.
    let is_unconfirmed = |state: RolloutState| {
        matches!(state, RolloutState::Shifting | RolloutState::Confirming | RolloutState::RollingBack)
    };
    let mut is_late = is_unconfirmed(known.state);
    let proxies = async {
        if is_late { None } else { Some(readings::proxies(ports, run.failures(), &known.rollout.mesh).await) }
    };
    let documents = async { futures::try_join!(ports.state.load(&keys, window), describe(ports, &routes)) };
    let callers = mesh.as_ref().map(|mesh| mesh.series_callers(&known.rollout.routes)).unwrap_or_default();
    let metrics = |record: &RolloutRecord| {
        let (rollout, started) = (record.rollout.clone(), record.started);
        let callers = &callers;
        async move {
            readings::metrics(ports, run.failures(), &rollout, &policy.rollouts.metrics, callers, started, now).await
        }
    };
    let gates = join(readings::alarms(ports, run.failures(), &known.rollout, policy, now), metrics(&known));
    let (documents, (alarms, mut readings), proxies, ()) = join4(documents, gates, proxies, async {}).await;
    let (state, mut data) = documents?;
    let Some(record) = record(key, &state)? else { return Ok(None) };
    if record.started != known.started || record.rollout != known.rollout {
        readings = metrics(&record).await;
    }
    is_late |= is_unconfirmed(record.state);
    let proxies = match proxies {
        Some(proxies) if !is_late => proxies,
        Some(_) | None => readings::proxies(ports, run.failures(), &record.rollout.mesh).await,
    };
    let facts = route_facts(ports, &data, &state).await?;
    data.retain(|_, route| route.is_some());
    let kill_switch = state.kill_switch.as_ref();
    let facts = Facts {
        mode: policy.modes.mode(RuleId::TrafficShift, &record.rollout.mesh),
        kill_switch: kill_switch.map(|switch| KillSwitchFact { by: switch.by.clone(), reason: switch.reason.clone() }),
        budget_used: state.budget.used,
        active: (*active).clone(),
        routes: facts,
        tcp: data.iter().filter(|(_, route)| is_tcp(route.as_ref())).map(|(id, _)| id.clone()).collect(),
        callers: mesh.as_ref().map(|mesh| mesh.callers(&record.rollout.routes)).unwrap_or_default(),
        proxies,
        alarms,
        metrics: readings,
        hook: None,
        record,
    };
    if facts.kill_switch.is_some() {
        run.kill_switch_on();
    }
    let routes = data.into_iter().filter_map(|(id, route)| Some((id, route?))).collect();
    let mut seen = Observation { facts, routes, state, mesh, checked: Mutex::default() };
    complete(context, &mut seen, now).await?;
    Ok(Some(seen))
}

/// Reads what only some decisions need: the mesh, and the answer of a hook that is due. A rollback waits for neither.
async fn complete(context: &Context<'_>, seen: &mut Observation, now: Timestamp) -> Result<(), PortError> {
    let Context { ports, run, .. } = context;
    // Without the mesh, no what-if check is possible: this decision only shows what has to be read.
    let dry = decide(&seen.facts, &|_: &RouteId, _: &WeightSplit| Vec::new(), run.policy(), now);
    let is_rollback = dry.plans.iter().any(|plan| plan.change == RouteChange::RollBack);
    // A refusal may only be due to the callers, which the mesh gives.
    let is_refused = dry.record.state == RolloutState::Refused;
    if is_rollback || dry.record.state.is_final() && !is_refused || dry.is_killed {
        return Ok(());
    }
    let rises = matches!(dry.record.state, RolloutState::Waiting | RolloutState::Before | RolloutState::Shifting)
        || is_refused
        || seen.facts.record.state == RolloutState::Waiting
        || dry.plans.iter().any(|plan| matches!(plan.change, RouteChange::Percent(_)));
    if rises || seen.mesh.as_ref().is_none_or(|mesh| mesh.is_old(now)) {
        let rollout = &seen.facts.record.rollout;
        let mesh = MeshReading::read(ports.meshes.as_ref(), &rollout.mesh, now).await?;
        let known = seen.mesh.as_ref().map(|mesh| mesh.series_callers(&rollout.routes)).unwrap_or_default();
        let callers = mesh.series_callers(&rollout.routes);
        if callers != known {
            let (record, policy) = (&seen.facts.record, &run.policy().rollouts.metrics);
            let (rollout, started) = (&record.rollout, record.started);
            let metrics = readings::metrics(ports, run.failures(), rollout, policy, &callers, started, now).await;
            seen.facts.metrics = metrics;
        }
        seen.facts.callers = mesh.callers(&seen.facts.record.rollout.routes);
        seen.mesh = Some(mesh);
    }
    // A stage may have several hooks, one after the other.
    let dry = seen.decide(run.policy(), now);
    if let Some(call) = dry.hook {
        seen.facts.hook = Some(invoke(ports, run, call).await);
    }
    seen.checked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    Ok(())
}

/// Invokes a hook. A failed invocation is an answer too: the hook is invoked again until its time limit.
async fn invoke(ports: &Ports, run: &Run<'_>, call: HookCall) -> HookReading {
    let target = format!("hook {}", call.function);
    let answer = match ports.functions.invoke(&call.function, &call.event).await {
        Ok(FunctionAnswer::Returned(value)) => {
            run.failures().succeeded(&target);
            HookAnswer::parse(&value)
        }
        Ok(FunctionAnswer::Failed { message }) => HookAnswer::Error { why: message },
        Err(error) => {
            run.failures().failed(&target, &error);
            HookAnswer::Error { why: error.to_string() }
        }
    };
    HookReading { hook: call.id, answer }
}

fn record(key: &StateKey, state: &StateView) -> Result<Option<RolloutRecord>, PortError> {
    let stored = state.documents.get(key).map(|stored| read_record(key, &stored.document)).transpose();
    stored.map_err(|error| PortError::new(format!("read {}", key.as_str()), PortErrorKind::Other, error.to_string()))
}

/// Reads the routes; `None` for a deleted one.
async fn describe(ports: &Ports, routes: &[RouteId]) -> Result<BTreeMap<RouteId, Option<RouteData>>, PortError> {
    let read = routes.iter().map(|id| async move {
        match ports.meshes.describe(&ResourcePath::Route(id.clone())).await {
            Ok(Resource::Route(route)) => Ok((id.clone(), Some(route))),
            Ok(_) => {
                Err(PortError::new(format!("describe route {id}"), PortErrorKind::Other, "the answer has another kind"))
            }
            Err(error) if error.kind == PortErrorKind::NotFound => Ok((id.clone(), None)),
            Err(error) => Err(error),
        }
    });
    Ok(try_join_all(read).await?.into_iter().collect())
}

async fn route_facts(
    ports: &Ports,
    data: &BTreeMap<RouteId, Option<RouteData>>,
    state: &StateView,
) -> Result<BTreeMap<RouteId, Option<RouteFacts>>, PortError> {
    let mut facts = BTreeMap::new();
    for (id, route) in data {
        let found = match route.as_ref().and_then(|route| Some((route, route.spec.split()?))) {
            None => None,
            Some((route, split)) => {
                let key = StateKey::route(id);
                let stored = state.documents.get(&key);
                let memory = stored.map_or(Memory::None, |stored| route_memory(&key, &stored.document));
                let restore_tag = match memory {
                    Memory::None => ports.meshes.tags(&route.metadata.arn.to_string()).await?.remove(RESTORE_TAG),
                    Memory::Record(_) | Memory::Unreadable(_) => None,
                };
                Some(RouteFacts {
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
                })
            }
        };
        facts.insert(id.clone(), found);
    }
    Ok(facts)
}

fn is_tcp(route: Option<&RouteData>) -> bool {
    route.is_some_and(|route| matches!(route.spec.rule, RouteRule::Tcp(_)))
}
