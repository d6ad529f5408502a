//! The function: its events, and its passes over the meshes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};

use decisions::failover::AlarmTags;
use jiff::SignedDuration;
use mesh::name::{MeshName, ResourcePath};
use policy::Policy;
use ports::{BudgetWindow, StateView};
use runner::events::{self, Delivery};
use runner::{LambdaFunction, RequestedBy, Run, WorkItem};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::mesh_drills::{MeshTarget, States};
use crate::observe::{Context, documents, has_begun, observe, view_of};
use crate::trigger::{ArcAction, MeshCommand, Trigger};
use crate::{NAME, Ports, answers, metrics};

/// The work of reading the list of meshes and their documents.
const EVERYTHING: &str = "meshes";

/// The function failover-drill.
#[derive(Debug)]
pub struct FailoverDrill {
    ports: Ports,
    arc: Option<ArcAction>,
    /// The tags of alarms, which hardly ever change; read again after every cold start.
    tags: Mutex<AlarmTags>,
    /// The meshes with an active drill, as far as this process knows them. Losing it costs calls and has no other effect.
    active: StdMutex<BTreeSet<MeshName>>,
}

impl FailoverDrill {
    pub(crate) fn new(ports: Ports, arc: Option<ArcAction>) -> Self {
        Self { ports, arc, tags: Mutex::default(), active: StdMutex::default() }
    }

    /// The meshes with documents that are read first, without a list of all meshes: meshes of plans and commands, and meshes
    /// with an active drill in an earlier invocation of this process.
    fn known_meshes(&self, policy: &Policy, invocation: &Invoked<'_>) -> BTreeSet<MeshName> {
        let mut meshes: BTreeSet<MeshName> = invocation.commands.keys().cloned().collect();
        if invocation.trigger.ticks.is_some() {
            meshes.extend(policy.drills.plans.iter().map(|plan| plan.mesh.clone()));
            meshes.extend(self.active().iter().cloned());
        }
        meshes
    }

    fn active(&self) -> MutexGuard<'_, BTreeSet<MeshName>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the documents of meshes.
    async fn documents(
        &self,
        run: &Run<'_>,
        invocation: &Invoked<'_>,
        meshes: &BTreeSet<MeshName>,
    ) -> Option<StateView> {
        let mut requested_by = RequestedBy::default();
        for mesh in meshes {
            requested_by.extend(&invocation.requested_by(mesh));
        }
        let item = WorkItem { subject: format!("state of {NAME}"), requested_by };
        let Ok(view) = run.read(&item, documents(&self.ports, meshes, &invocation.window).await) else {
            return None;
        };
        if view.kill_switch.is_some() {
            run.kill_switch_on();
        }
        run.expect(meshes.iter().map(|mesh| invocation.item(mesh)));
        Some(view)
    }

    /// Decides about the drills of one mesh.
    async fn mesh(&self, run: &Run<'_>, invocation: &Invoked<'_>, mesh: &MeshName, view: &StateView) -> Option<States> {
        let commands = invocation.commands.get(mesh).map_or(&[][..], Vec::as_slice);
        let (policy, window) = (run.policy(), &invocation.window);
        let context =
            Context { ports: &self.ports, mesh, commands, policy, window, tags: &self.tags, failures: run.failures() };
        let work = invocation.item(mesh);
        let target = MeshTarget {
            ports: &self.ports,
            context,
            requested_by: work.requested_by.clone(),
            states: StdMutex::new(States::default()),
        };
        let first = observe(context, Some(view_of(view, mesh))).await;
        let mut states = None;
        if let Ok(first) = run.read(&work, first) {
            Box::pin(run.reconcile(&work, &target, Some(first))).await;
            let seen = target.states().clone();
            for command in commands {
                answers::answer(run, command, &drills::answer(mesh, &command.command.drill, &seen.now));
            }
            if seen.now.active.is_some() {
                self.active().insert(mesh.clone());
            } else {
                self.active().remove(mesh);
            }
            states = Some(seen);
        }
        run.done(&work.subject);
        states
    }

    /// Handles the known meshes first, then all others. `None` if something cannot be read, which is noted.
    async fn all_meshes(
        &self,
        run: &Run<'_>,
        invocation: &Invoked<'_>,
        known: &BTreeSet<MeshName>,
        states: &mut Vec<States>,
    ) -> Option<()> {
        if !known.is_empty() {
            let view = self.documents(run, invocation, known).await?;
            // A restore waits for neither the list of meshes nor the checks of another mesh.
            let (begun, others): (Vec<_>, Vec<_>) = known.iter().partition(|mesh| has_begun(&view, mesh));
            for mesh in begun.into_iter().chain(others) {
                states.extend(self.mesh(run, invocation, mesh, &view).await);
            }
        }
        let others = self.other_meshes(run, invocation.trigger, known).await?;
        if !others.is_empty() || known.is_empty() {
            let view = self.documents(run, invocation, &others).await?;
            for mesh in &others {
                states.extend(self.mesh(run, invocation, mesh, &view).await);
            }
        }
        Some(())
    }

    /// The meshes that are not known.
    async fn other_meshes(
        &self,
        run: &Run<'_>,
        trigger: &Trigger,
        known: &BTreeSet<MeshName>,
    ) -> Option<BTreeSet<MeshName>> {
        let Some(requested_by) = &trigger.ticks else { return Some(BTreeSet::new()) };
        let item = WorkItem { subject: EVERYTHING.to_owned(), requested_by: requested_by.clone() };
        let Ok(listed) = run.read(&item, self.ports.meshes.meshes().await) else {
            return None;
        };
        let listed = listed.into_iter().map(|found| found.path.mesh().clone());
        Some(listed.filter(|mesh| !known.contains(mesh)).collect())
    }
}

/// The requests of one invocation.
struct Invoked<'a> {
    trigger: &'a Trigger,
    commands: BTreeMap<MeshName, Vec<MeshCommand>>,
    window: BudgetWindow,
}

impl Invoked<'_> {
    fn requested_by(&self, mesh: &MeshName) -> RequestedBy {
        let mut all = self.trigger.ticks.clone().unwrap_or_default();
        for command in self.commands.get(mesh).into_iter().flatten() {
            all.extend(&command.requested_by);
        }
        all
    }

    fn item(&self, mesh: &MeshName) -> WorkItem {
        let subject = ResourcePath::Mesh(mesh.clone()).to_string();
        WorkItem { subject, requested_by: self.requested_by(mesh) }
    }
}

impl LambdaFunction for FailoverDrill {
    type Trigger = Trigger;
    const INTERVAL: SignedDuration = SignedDuration::from_mins(1);

    fn name(&self) -> &'static str {
        NAME
    }

    fn read(&self, event: &Value) -> Vec<Delivery> {
        match &self.arc {
            Some(arc) => arc.read(event),
            None => events::parse(event),
        }
    }

    // 1. Event
    fn trigger(&self, deliveries: Vec<Delivery>) -> Trigger {
        Trigger::new(deliveries)
    }

    async fn run(&self, run: &Run<'_>, trigger: &Trigger) {
        let policy = run.policy();
        let (commands, unknown) = trigger.by_mesh(policy);
        for unknown in &unknown {
            answers::unknown(run, unknown);
        }
        let window = run.window(&policy.drills.budget);
        let invocation = Invoked { trigger, commands, window };
        let known = self.known_meshes(policy, &invocation);
        let mut states = Vec::new();
        // The metrics count the drills of every mesh that was read, also if the list of meshes or a document fails.
        let is_complete = self.all_meshes(run, &invocation, &known, &mut states).await.is_some();
        if !is_complete && states.is_empty() {
            run.observed_nothing();
        }
        let now = self.ports.clock.now();
        let changes = states.iter().filter_map(|states| Some((states.before.as_ref()?, &states.now)));
        let overdue = metrics::restores_overdue(states.iter().map(|states| &states.now), now);
        for metric in [overdue, metrics::drills_failed(changes)].into_iter().flatten() {
            run.metric(metric);
        }
    }
}
