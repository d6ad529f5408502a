//! The function: its events, and its passes over the meshes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex as StdMutex;

use decisions::failover::AlarmTags;
use jiff::SignedDuration;
use mesh::name::{MeshName, ResourcePath};
use runner::events::{self, Delivery};
use runner::{LambdaFunction, RequestedBy, Run, WorkItem};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::mesh_drills::{MeshTarget, States};
use crate::observe::{Context, documents, observe, view_of};
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
}

impl FailoverDrill {
    pub(crate) fn new(ports: Ports, arc: Option<ArcAction>) -> Self {
        Self { ports, arc, tags: Mutex::default() }
    }

    /// The meshes of an invocation: all of them, and the meshes of commands.
    async fn meshes(
        &self,
        run: &Run<'_>,
        trigger: &Trigger,
        commands: &BTreeMap<MeshName, Vec<MeshCommand>>,
    ) -> Option<BTreeSet<MeshName>> {
        let mut meshes: BTreeSet<MeshName> = commands.keys().cloned().collect();
        if let Some(requested_by) = &trigger.ticks {
            let item = WorkItem { subject: EVERYTHING.to_owned(), requested_by: requested_by.clone() };
            let Ok(listed) = run.read(&item, self.ports.meshes.meshes().await) else {
                run.observed_nothing();
                return None;
            };
            meshes.extend(listed.into_iter().map(|found| found.path.mesh().clone()));
        }
        Some(meshes)
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
        let Some(meshes) = self.meshes(run, trigger, &commands).await else { return };
        let window = run.window(&policy.drills.budget);
        let requested_by = |mesh: &MeshName| {
            let mut all = trigger.ticks.clone().unwrap_or_default();
            for command in commands.get(mesh).into_iter().flatten() {
                all.extend(&command.requested_by);
            }
            all
        };
        let mut everything = RequestedBy::default();
        for mesh in &meshes {
            everything.extend(&requested_by(mesh));
        }
        let item = WorkItem { subject: format!("state of {NAME}"), requested_by: everything };
        let Ok(view) = run.read(&item, documents(&self.ports, &meshes, &window).await) else {
            return run.observed_nothing();
        };
        if view.kill_switch.is_some() {
            run.kill_switch_on();
        }
        let item = |mesh: &MeshName| WorkItem {
            subject: ResourcePath::Mesh(mesh.clone()).to_string(),
            requested_by: requested_by(mesh),
        };
        run.expect(meshes.iter().map(item));
        let mut states = Vec::new();
        for mesh in &meshes {
            let of_mesh = commands.get(mesh).map_or(&[][..], Vec::as_slice);
            let context =
                Context { ports: &self.ports, mesh, commands: of_mesh, policy, window: &window, tags: &self.tags };
            let work = item(mesh);
            let target = MeshTarget {
                ports: &self.ports,
                context,
                requested_by: work.requested_by.clone(),
                states: StdMutex::new(States::default()),
            };
            let first = observe(context, Some(view_of(&view, mesh))).await;
            if let Ok(first) = run.read(&work, first) {
                Box::pin(run.reconcile(&work, &target, Some(first))).await;
                let seen = target.states().clone();
                for command in of_mesh {
                    answers::answer(run, command, &drills::answer(mesh, &command.command.drill, &seen.now));
                }
                states.push(seen);
            }
            run.done(&work.subject);
        }
        let now = self.ports.clock.now();
        let changes = states.iter().filter_map(|states| Some((states.before.as_ref()?, &states.now)));
        let overdue = metrics::restores_overdue(states.iter().map(|states| &states.now), now);
        for metric in [overdue, metrics::drills_failed(changes)].into_iter().flatten() {
            run.metric(metric);
        }
    }
}
