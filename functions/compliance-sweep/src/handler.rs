//! The function: observes, judges and reports every mesh, one after the other and each on its own. With
//! `FanOut::ByQueue`, a scheduled run only requests the sweeps, and each mesh is swept by a separate invocation.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use mesh::failures::FailureClass;
use mesh::name::MeshName;
use mesh::policy::{Policy, PolicyError};
use mesh::watch::Expects;
use ports::{BusEvent, Deadline, Pace, Roster};
use runner::wake::Delivery;
use runner::{
    Current, FailedMessages, FailureMemory, Handler, NoPolicy, PolicyKeeper, Report, Retry, StandstillMemory,
    WaitingDecision,
};
use serde_json::json;
use tokio::sync::Mutex;

use crate::asked::{Asked, Asking};
use crate::done::{Done, line, path};
use crate::history::swept_at;
use crate::{FanOut, NAME, Ports};

/// Calls at a time, to begin with and at the most. App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: (usize, usize) = (16, 40);

/// The most findings that a report of the invocation names; the stored reports contain all of them.
pub(crate) const NAMED: usize = 20;

/// The event that requests a sweep of one mesh.
const REQUEST: &str = "Meshwarden Sweep Requested";

/// How often the schedule invokes the function.
const INTERVAL: SignedDuration = SignedDuration::from_hours(6);

/// The time limit of a requested sweep: before the next scheduled run, which would only repeat the request.
const SWEPT_WITHIN: SignedDuration = SignedDuration::from_hours(5);

/// The function compliance-sweep.
#[derive(Debug)]
pub struct ComplianceSweep {
    failures: FailureMemory,
    standstills: StandstillMemory,
    pub(crate) ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    fan_out: FanOut,
    pub(crate) pace: Mutex<Pace>,
}

impl ComplianceSweep {
    /// Creates the function from its ports, its policy and the fan-out of its triggers.
    #[must_use]
    pub fn new(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>, fan_out: FanOut) -> Self {
        let (start, most) = AT_A_TIME;
        let (state, notifier) = (Arc::clone(&ports.state), Arc::clone(&ports.notifier));
        let failures = FailureMemory::new(NAME, INTERVAL, Arc::clone(&state), Arc::clone(&notifier));
        let standstills = StandstillMemory::new(NAME, INTERVAL, state, notifier);
        Self { failures, standstills, ports, policy, fan_out, pace: Mutex::new(Pace::new(start, most)) }
    }
}

#[async_trait]
impl Handler for ComplianceSweep {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let now = self.ports.clock.now();
        let Current { policy, rejected } = match self.policy.current(now).await {
            Ok(current) => current,
            Err(missing) => return Err(missing.end_invocation(&self.failures, deadline, now).await),
        };
        let asked = Asked::of(&deliveries);
        let mut done = Done::default();
        let time = FailureMemory::time_for_work(deadline);
        let swept = tokio::time::timeout(time, self.sweep(&asked, &policy, now, &mut done)).await;
        if swept.is_err() {
            let why = "its time ran out; the meshes that were swept are not swept again".to_owned();
            done.remember_failure("meshes", "OutOfTime", FailureClass::Transient, why.clone());
            done.retry = Some(why);
        }
        let paging = &policy.failover.paging;
        let failures = done.failure_run();
        NoPolicy::record_loaded(&failures);
        let mut withheld = self.failures.finish_by(deadline, failures, paging, now).await;
        withheld += self.standstills.finish_by(deadline, std::mem::take(&mut done.waiting), paging, now).await;
        let mut report = Report::of(done.decisions);
        report.metrics = done.metrics;
        report.signals.policy_rejected = rejected.is_some();
        report.signals.observed_nothing = done.observed_nothing;
        report.signals.pages_withheld = u32::try_from(withheld).unwrap_or(u32::MAX);
        match done.retry {
            Some(why) => {
                let messages = FailedMessages::named_or_all(asked.left(&done.finished, done.all_finished));
                Err(Retry { report: Some(report), messages, ..Retry::all(why) })
            }
            None => Ok(report),
        }
    }
}

impl ComplianceSweep {
    async fn sweep(&self, asked: &Asked, policy: &Policy, now: Timestamp, done: &mut Done) {
        // Also before single sweeps: only the list shows the owner of a mesh that another account shares.
        let meshes = match self.ports.meshes.meshes().await {
            Ok(meshes) => meshes,
            Err(error) => {
                done.observed_nothing = true;
                return done.fail("meshes".to_owned(), "Unreadable", &error);
            }
        };
        let mut meshes: BTreeSet<MeshName> = meshes.into_iter().map(|found| found.path.mesh().clone()).collect();
        let of_all = asked.everything.as_ref().filter(|_| self.fan_out == FanOut::Direct);
        for (mesh, asking) in &asked.meshes {
            self.sweep_one(mesh, &asking.and(of_all), policy, now, done).await;
        }
        let Some(of_all) = &asked.everything else {
            done.all_finished = true;
            return;
        };
        // A deleted mesh has findings to close.
        match self.roster().add(&meshes, now).await {
            Ok(known) => meshes = known,
            Err(error) => done.fail("meshes".to_owned(), "StateUnreachable", &error),
        }
        match self.fan_out {
            FanOut::Direct => {
                for mesh in meshes.iter().filter(|mesh| !asked.meshes.contains_key(*mesh)) {
                    self.sweep_one(mesh, of_all, policy, now, done).await;
                }
                done.all_finished = meshes.is_subset(&done.finished);
            }
            FanOut::ByQueue => self.ask_for_each(&meshes, of_all, now, done).await,
        }
    }

    /// The meshes that were swept before and are not known to be deleted.
    pub(crate) fn roster(&self) -> Roster<'_> {
        Roster { state: self.ports.state.as_ref(), function: NAME }
    }

    /// Requests a sweep of each mesh, with the joint trigger id of the request for all meshes. A repeated id leads to
    /// one sweep only.
    async fn ask_for_each(&self, meshes: &BTreeSet<MeshName>, of_all: &Asking, now: Timestamp, done: &mut Done) {
        let detail = |mesh: &MeshName| match of_all.wake() {
            Some(wake) => json!({ "mesh": mesh, "wake": wake }),
            None => json!({ "mesh": mesh }),
        };
        let events: Vec<BusEvent> = meshes
            .iter()
            .map(|mesh| BusEvent { detail_type: REQUEST.to_owned(), detail: detail(mesh), resources: Vec::new() })
            .collect();
        if let Err(error) = self.ports.bus.put(&events).await {
            return done.fail("meshes".to_owned(), "NotAskedFor", &error);
        }
        done.all_finished = true;
        let asked = meshes.iter().map(|mesh| line(path(mesh), "send", "AskedFor", json!({})));
        done.decisions.extend(asked);
        self.watch_requests(meshes, now, done).await;
    }

    /// Watches whether requested sweeps are made: a queue or a rule that delivers nothing fails no call.
    async fn watch_requests(&self, meshes: &BTreeSet<MeshName>, now: Timestamp, done: &mut Done) {
        let swept = match swept_at(self.ports.state.as_ref(), meshes, now).await {
            Ok(swept) => swept,
            Err(error) => {
                let class = error.kind.class();
                return done.remember_failure("meshes", "StateUnreachable", class, error.to_string());
            }
        };
        for (mesh, at) in swept {
            let last = at.map_or_else(|| "never".to_owned(), |at| format!("last at {at}"));
            let decision = WaitingDecision {
                code: "AskedFor",
                // As a number, so that a later sweep counts as progress.
                facts: json!({ "sweptAtSecond": at.map(Timestamp::as_second) }),
                expects: Expects::Within(SWEPT_WITHIN),
                text: format!(
                    "a sweep was requested in each run and the mesh was swept {last}; check the rule and the queue \
                     between them, and the dead letters"
                ),
                command: "meshwarden dead-letters list --queue DEAD-LETTER-QUEUE".to_owned(),
            };
            done.waiting.waits(&path(&mesh), decision);
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
