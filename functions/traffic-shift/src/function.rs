//! The function: its events, and the rollouts of an invocation.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use mesh::name::MeshName;
use policy::{PagingPolicy, Policy, RolloutId};
use ports::{PortError, StateKey};
use runner::events::Delivery;
use runner::{LambdaFunction, RequestedBy, Run, WorkItem};
use tokio::sync::Mutex;

use crate::index::{self, StoredIndex};
use crate::observe::WarmRollout;
use crate::requests::{abort, store_requests, stored_record};
use crate::shifts::{Found, Shift};
use crate::trigger::Trigger;
use crate::{NAME, Ports, metrics};

/// How long an entry of the index may have no document. Its request stores the document in the same run or in a
/// repeated delivery.
const WITHOUT_DOCUMENT: SignedDuration = SignedDuration::from_hours(24);

/// The function traffic-shift.
#[derive(Debug)]
pub struct TrafficShift {
    ports: Ports,
    warm: Mutex<BTreeMap<String, WarmRollout>>,
}

impl TrafficShift {
    pub(crate) fn new(ports: Ports) -> Self {
        Self { ports, warm: Mutex::default() }
    }
}

impl LambdaFunction for TrafficShift {
    type Trigger = Trigger;
    const INTERVAL: SignedDuration = SignedDuration::from_mins(1);

    fn name(&self) -> &'static str {
        NAME
    }

    fn paging(&self, policy: &Policy) -> PagingPolicy {
        policy.failover.paging.clone()
    }

    // 1. Event
    fn trigger(&self, deliveries: Vec<Delivery>) -> Trigger {
        Trigger::new(deliveries)
    }

    async fn run(&self, run: &Run<'_>, trigger: &Trigger) {
        let window = run.window(&run.policy().rollouts.budget);
        let all = WorkItem { subject: "rollouts".to_owned(), requested_by: trigger.requested_by() };
        let loaded = index::load(self.ports.state.as_ref(), &window).await;
        let Ok(mut stored) = run.read(&all, loaded) else { return run.observed_nothing() };
        store_requests(&self.ports, run, trigger, &mut stored, &window).await;
        let active: Vec<(MeshName, RolloutId)> = stored.index.active.keys().filter_map(|name| parse(name)).collect();
        run.expect(active.iter().map(|rollout| item(trigger, rollout)));
        if run.read(&all, self.recall(run, &active, &window).await).is_err() {
            return run.observed_nothing();
        }
        self.replace(run, &window).await;
        let mut states = BTreeMap::new();
        let mut ended = Vec::new();
        for rollout in &active {
            let (mesh, id) = rollout;
            let name = format!("{mesh}/{id}");
            let others = self.others(rollout).await;
            let item = item(trigger, rollout);
            let warm = self.warm.lock().await.remove(&name);
            let shift = Shift::new(&self.ports, id, item.clone(), window.clone(), warm, (mesh, others));
            Box::pin(run.reconcile(&item, &shift, None)).await;
            run.done(&item.subject);
            let Found { warm, states: found, is_ended, is_missing } =
                shift.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            let is_stale = stored.index.active.get(&name).is_some_and(|added| run.now() >= *added + WITHOUT_DOCUMENT);
            if is_ended || is_missing && is_stale {
                ended.push(name);
                continue;
            }
            if let Some(warm) = warm {
                self.warm.lock().await.insert(name.clone(), warm);
            }
            if let Some(found) = found {
                states.insert(name, found);
            }
        }
        self.end(run, &mut stored, &window, &ended).await;
        for metric in metrics::rollouts(&states) {
            run.metric(metric);
        }
    }
}

impl TrafficShift {
    /// Reads the documents of the rollouts that this process does not know, in one call.
    async fn recall(
        &self,
        run: &Run<'_>,
        active: &[(MeshName, RolloutId)],
        window: &ports::BudgetWindow,
    ) -> Result<(), PortError> {
        let mut warm = self.warm.lock().await;
        let name = |(mesh, id): &(MeshName, RolloutId)| format!("{mesh}/{id}");
        let unknown: Vec<_> = active.iter().filter(|rollout| !warm.contains_key(&name(rollout))).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let keys: Vec<StateKey> = unknown.iter().map(|(mesh, id)| StateKey::rollout(mesh, id)).collect();
        let view = self.ports.state.load(&keys, window).await?;
        for (rollout, key) in unknown.into_iter().zip(&keys) {
            match stored_record(key, &view) {
                Ok(Some(record)) => drop(warm.insert(name(rollout), WarmRollout::new(record))),
                Ok(None) => {}
                Err(error) => run.unreadable(&name(rollout), &error),
            }
        }
        Ok(())
    }

    /// Aborts rollouts on the routes of a waiting rollout that replaces them.
    async fn replace(&self, run: &Run<'_>, window: &ports::BudgetWindow) {
        let replaced: Vec<(StateKey, String)> = {
            let warm = self.warm.lock().await;
            let waiting: Vec<&WarmRollout> = warm.values().filter(|rollout| rollout.replaces()).collect();
            let by = |other: &WarmRollout| waiting.iter().find(|rollout| rollout.is_replaced(other));
            warm.values().filter_map(|other| Some((other.key(), by(other)?.requester()))).collect()
        };
        for (key, by) in replaced {
            let result = abort(self.ports.state.as_ref(), &key, &by, self.ports.clock.now(), window).await;
            let target = format!("replaced rollout {}", key.as_str());
            match result {
                Ok(()) => run.failures().succeeded(&target),
                Err(error) => run.failures().failed(&target, &error),
            }
        }
    }

    /// The other rollouts of a mesh that may have weights.
    async fn others(&self, (mesh, id): &(MeshName, RolloutId)) -> BTreeSet<String> {
        let warm = self.warm.lock().await;
        let of_mesh = warm.iter().filter(|(_, rollout)| rollout.has_weight());
        let others = of_mesh.filter_map(|(name, _)| parse(name));
        others.filter(|(of, other)| of == mesh && other != id).map(|(_, other)| other.to_string()).collect()
    }

    /// Moves ended rollouts in the index. If that fails, the next run does it.
    async fn end(&self, run: &Run<'_>, stored: &mut StoredIndex, window: &ports::BudgetWindow, ended: &[String]) {
        const TARGET: &str = "index of rollouts";
        if ended.is_empty() {
            return;
        }
        let now = self.ports.clock.now();
        let change = |index: &mut records::RolloutIndex| {
            for name in ended {
                index.end(name, now);
            }
        };
        match index::change(self.ports.state.as_ref(), window, stored, now, change).await {
            Ok(()) => run.failures().succeeded(TARGET),
            Err(error) => run.failures().failed(TARGET, &error),
        }
    }
}

/// The mesh and the id of an entry of the index.
fn parse(name: &str) -> Option<(MeshName, RolloutId)> {
    let (mesh, id) = name.split_once('/')?;
    Some((MeshName::parse(mesh).ok()?, RolloutId::parse(id).ok()?))
}

/// The work on a rollout, with the deliveries that request it.
fn item(trigger: &Trigger, (mesh, id): &(MeshName, RolloutId)) -> WorkItem {
    let mut requested_by: RequestedBy = trigger.everything.iter().cloned().collect();
    for requested in &trigger.requests {
        if requested.request.mesh == *mesh && requested.request.id_or_digest() == *id {
            requested_by.extend(&requested.requested_by);
        }
    }
    WorkItem { subject: format!("rollout/{mesh}/{id}"), requested_by }
}
