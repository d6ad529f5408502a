//! The function: observes, judges and reports every mesh, one after the other and each on its own. With
//! `FanOut::ByQueue`, a scheduled run only requests the sweeps, and each mesh is swept by a separate invocation.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mesh::name::MeshName;
use mesh::watch::Expects;
use ports::{BusEvent, Pace, Roster};
use runner::events::Delivery;
use runner::{LambdaFunction, Run, WaitingDecision};
use serde_json::json;
use tokio::sync::Mutex;

use crate::history::swept_at;
use crate::results::{ALL_MESHES, Progress, SweepResults, line, path};
use crate::trigger::{SweepRequest, Trigger};
use crate::{FanOut, NAME, Ports};

/// Calls at a time, to begin with and at the most. App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: (usize, usize) = (16, 40);

/// The most findings that a report of the invocation names; the stored reports contain all of them.
pub(crate) const NAMED: usize = 20;

/// The event that requests a sweep of one mesh.
const REQUEST: &str = "Meshwarden Sweep Requested";

/// The time limit of a requested sweep: before the next scheduled run, which would only repeat the request.
const SWEPT_WITHIN: SignedDuration = SignedDuration::from_hours(5);

/// The function compliance-sweep.
#[derive(Debug)]
pub struct ComplianceSweep {
    pub(crate) ports: Ports,
    fan_out: FanOut,
    pub(crate) pace: Mutex<Pace>,
}

impl ComplianceSweep {
    pub(crate) fn new(ports: Ports, fan_out: FanOut) -> Self {
        let (start, most) = AT_A_TIME;
        Self { ports, fan_out, pace: Mutex::new(Pace::new(start, most)) }
    }
}

impl LambdaFunction for ComplianceSweep {
    type Trigger = Trigger;
    const INTERVAL: SignedDuration = SignedDuration::from_hours(6);

    fn name(&self) -> &'static str {
        NAME
    }

    fn trigger(&self, deliveries: Vec<Delivery>) -> Trigger {
        Trigger::new(&deliveries)
    }

    async fn run(&self, run: &Run<'_>, requests: &Trigger) {
        run.expect(requests.work());
        let (mut progress, mut list) = (Progress::default(), SweepResults::default());
        self.sweep(run, requests, &mut progress, &mut list).await;
        let of_list = list.report(run, "meshes");
        if let Some(why) = progress.retry.clone().or(of_list) {
            run.retry_open(&why);
        }
    }
}

impl ComplianceSweep {
    async fn sweep(&self, run: &Run<'_>, requests: &Trigger, progress: &mut Progress, list: &mut SweepResults) {
        // Also before single sweeps: only the list shows the owner of a mesh that another account shares.
        let meshes = match self.ports.meshes.meshes().await {
            Ok(meshes) => meshes,
            Err(error) => {
                run.observed_nothing();
                return list.fail("meshes".to_owned(), "Unreadable", &error);
            }
        };
        let mut meshes: BTreeSet<MeshName> = meshes.into_iter().map(|found| found.path.mesh().clone()).collect();
        let of_all = requests.everything.as_ref().filter(|_| self.fan_out == FanOut::Direct);
        for (mesh, request) in &requests.meshes {
            self.sweep_one(run, mesh, &request.and(of_all), progress).await;
        }
        let Some(of_all) = &requests.everything else { return };
        // A deleted mesh has findings to close.
        match self.roster().add(&meshes, run.now()).await {
            Ok(known) => meshes = known,
            Err(error) => list.fail("meshes".to_owned(), "StateUnreachable", &error),
        }
        match self.fan_out {
            FanOut::Direct => {
                for mesh in meshes.iter().filter(|mesh| !requests.meshes.contains_key(*mesh)) {
                    self.sweep_one(run, mesh, of_all, progress).await;
                }
                if meshes.is_subset(&progress.finished) {
                    run.done(ALL_MESHES);
                }
            }
            FanOut::ByQueue => self.request_each(run, &meshes, of_all, list).await,
        }
    }

    /// The meshes that were swept before and are not known to be deleted.
    pub(crate) fn roster(&self) -> Roster<'_> {
        Roster { state: self.ports.state.as_ref(), function: NAME }
    }

    /// Requests a sweep of each mesh, with the joint event id of the request for all meshes. A repeated id leads to
    /// one sweep only.
    async fn request_each(
        &self,
        run: &Run<'_>,
        meshes: &BTreeSet<MeshName>,
        of_all: &SweepRequest,
        list: &mut SweepResults,
    ) {
        let detail = |mesh: &MeshName| match of_all.joint_event_id() {
            Some(id) => json!({ "mesh": mesh, "wake": id }),
            None => json!({ "mesh": mesh }),
        };
        let events: Vec<BusEvent> = meshes
            .iter()
            .map(|mesh| BusEvent { detail_type: REQUEST.to_owned(), detail: detail(mesh), resources: Vec::new() })
            .collect();
        if let Err(error) = self.ports.bus.put(&events).await {
            return list.fail("meshes".to_owned(), "NotAskedFor", &error);
        }
        run.done(ALL_MESHES);
        let lines = meshes.iter().map(|mesh| line(path(mesh), "send", "AskedFor", json!({})));
        list.decisions.extend(lines);
        self.watch_requests(run, meshes, list).await;
    }

    /// Watches whether requested sweeps are made: a queue or a rule that delivers nothing fails no call.
    async fn watch_requests(&self, run: &Run<'_>, meshes: &BTreeSet<MeshName>, list: &mut SweepResults) {
        let swept = match swept_at(self.ports.state.as_ref(), meshes, run.now()).await {
            Ok(swept) => swept,
            Err(error) => {
                let class = error.kind.class();
                return list.remember_failure("meshes", "StateUnreachable", class, error.to_string());
            }
        };
        for (mesh, at) in swept {
            let newest = at.map_or_else(|| "never".to_owned(), |at| format!("last at {at}"));
            let decision = WaitingDecision {
                code: "AskedFor",
                // As a number, so that a later sweep counts as progress.
                facts: json!({ "sweptAtSecond": at.map(Timestamp::as_second) }),
                expects: Expects::Within(SWEPT_WITHIN),
                text: format!(
                    "a sweep was requested in each run and the mesh was swept {newest}; check the rule and the queue \
                     between them, and the dead letters"
                ),
                command: "meshwarden dead-letters list --queue DEAD-LETTER-QUEUE".to_owned(),
            };
            run.waits(&path(&mesh), decision);
        }
    }
}

/// The names of the first items of a list, at most [`NAMED`].
pub(crate) fn named<T>(all: &[T], name: impl Fn(&T) -> String) -> Vec<String> {
    all.iter().take(NAMED).map(name).collect()
}

/// The folder of a mesh's reports.
pub(crate) fn folder(mesh: &MeshName) -> String {
    format!("compliance/{}", path(mesh))
}
