//! The function: every mesh is observed, judged and reported, one after the other and each on its own; or each by an
//! invocation of its own, where the schedule's wake only asks for them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use lambda_kit::wake::Delivery;
use lambda_kit::{Current, Decision, Handler, Metric, PolicyKeeper, Report, Retry};
use mesh::edges::edges;
use mesh::name::{MeshName, ResourcePath};
use mesh::pack::judge;
use mesh::policy::{Policy, PolicyError};
use ports::{BusEvent, Deadline, Pace, PortError};
use reports::{MeshReport, SEVERITIES};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::asked::Asked;
use crate::history::Head;
use crate::observe::{Observation, Unread, observe};
use crate::tell::Told;
use crate::{FanOut, NAME, Ports, outputs};

/// Calls at a time, to begin with and at the most. App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: (usize, usize) = (16, 40);

/// The findings that are named in a report of the invocation; the reports have them all.
const NAMED: usize = 20;

/// The event that asks for a sweep of one mesh.
const REQUEST: &str = "Meshwarden Sweep Requested";

/// The function compliance-sweep.
#[derive(Debug)]
pub struct ComplianceSweep {
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    fan_out: FanOut,
    pace: Mutex<Pace>,
}

impl ComplianceSweep {
    /// Puts the function together.
    #[must_use]
    pub fn new(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>, fan_out: FanOut) -> Self {
        let (start, most) = AT_A_TIME;
        Self { ports, policy, fan_out, pace: Mutex::new(Pace::new(start, most)) }
    }
}

#[async_trait]
impl Handler for ComplianceSweep {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let now = self.ports.clock.now();
        let Current { policy, rejected } = self.policy.current(now).await;
        let asked = Asked::of(&deliveries);
        let mut done = Done::default();
        let swept = tokio::time::timeout(deadline.left(), self.sweep(&asked, &policy, now, &mut done)).await;
        if swept.is_err() {
            done.retry = Some("its time ran out; the meshes that were swept are not swept again".to_owned());
        }
        let mut report = Report::of(done.decisions);
        report.metrics = done.metrics;
        report.signals.policy_rejected = rejected.is_some();
        match done.retry {
            Some(why) => {
                let messages = asked.left(&done.finished, done.all_finished);
                Err(Retry { report: Some(report), messages, ..Retry::all(why) })
            }
            None => Ok(report),
        }
    }
}

/// What is done so far. What was swept before the time ran out stays done.
#[derive(Debug, Default)]
struct Done {
    decisions: Vec<Decision>,
    metrics: Vec<Metric>,
    retry: Option<String>,
    /// The meshes that a repetition would do nothing for.
    finished: BTreeSet<MeshName>,
    /// Whether everything that was asked for at once is finished.
    all_finished: bool,
}

impl Done {
    fn fail(&mut self, resource: String, reason: &str, error: &PortError) {
        if error.kind.may_heal() {
            self.retry.get_or_insert_with(|| error.to_string());
        }
        let facts = json!({ "error": error.to_string(), "kind": error.kind });
        self.decisions.push(line(resource, "hold", reason, facts));
    }

    fn join(&mut self, mesh: &MeshName, of_mesh: Self) {
        self.decisions.extend(of_mesh.decisions);
        self.metrics.extend(of_mesh.metrics);
        match of_mesh.retry {
            Some(why) => {
                self.retry.get_or_insert(why);
            }
            None => {
                self.finished.insert(mesh.clone());
            }
        }
    }
}

impl ComplianceSweep {
    async fn sweep(&self, asked: &Asked, policy: &Policy, now: Timestamp, done: &mut Done) {
        // Also before single ones: whose a mesh is that another account shares is known from the list alone.
        let meshes = match self.ports.meshes.meshes().await {
            Ok(meshes) => meshes,
            Err(error) => return done.fail("meshes".to_owned(), "Unreadable", &error),
        };
        let meshes: BTreeSet<MeshName> = meshes.into_iter().map(|found| found.path.mesh().clone()).collect();
        for mesh in asked.meshes.keys() {
            if meshes.contains(mesh) {
                self.sweep_one(mesh, policy, now, done).await;
            } else {
                done.finished.insert(mesh.clone());
                done.decisions.push(line(path(mesh), "hold", "Gone", json!({})));
            }
        }
        if asked.everything.is_none() {
            done.all_finished = true;
            return;
        }
        match self.fan_out {
            FanOut::Direct => {
                for mesh in meshes.iter().filter(|mesh| !asked.meshes.contains_key(*mesh)) {
                    self.sweep_one(mesh, policy, now, done).await;
                }
                done.all_finished = meshes.is_subset(&done.finished);
            }
            FanOut::ByQueue => self.ask_for_each(&meshes, done).await,
        }
    }

    /// Asks for a sweep of each mesh. One that is asked for twice is swept once.
    async fn ask_for_each(&self, meshes: &BTreeSet<MeshName>, done: &mut Done) {
        let events: Vec<BusEvent> = meshes
            .iter()
            .map(|mesh| BusEvent {
                detail_type: REQUEST.to_owned(),
                detail: json!({ "mesh": mesh }),
                resources: Vec::new(),
            })
            .collect();
        if let Err(error) = self.ports.bus.put(&events).await {
            return done.fail("meshes".to_owned(), "NotAskedFor", &error);
        }
        done.all_finished = true;
        let asked = meshes.iter().map(|mesh| line(path(mesh), "send", "AskedFor", json!({})));
        done.decisions.extend(asked);
    }

    async fn sweep_one(&self, mesh: &MeshName, policy: &Policy, now: Timestamp, done: &mut Done) {
        let mut of_mesh = Done::default();
        self.sweep_mesh(mesh, policy, now, &mut of_mesh).await;
        done.join(mesh, of_mesh);
    }

    /// Sweeps one mesh. Whatever goes wrong with it is said, and keeps no other mesh from being swept.
    async fn sweep_mesh(&self, name: &MeshName, policy: &Policy, now: Timestamp, done: &mut Done) {
        let path = path(name);
        let head = match Head::load(&self.ports, name, now).await {
            Ok(head) => head,
            Err(error) => return done.fail(path, "StateUnreachable", &error),
        };
        if head.is_fresh(now) {
            // Swept by this very wake, before it was repeated.
            return done.decisions.push(line(path, "keep", "Swept", json!({ "at": head.swept_at() })));
        }
        let mut remembered = match head.remembered(&self.ports, now).await {
            Ok(remembered) => remembered,
            Err(error) => return done.fail(path, "StateUnreachable", &error),
        };
        let observation = match observe(&self.ports, name, &policy.certificates, &mut *self.pace.lock().await).await {
            Ok(observation) => observation,
            Err(Unread::Error(error)) => return done.fail(path, "Unreadable", &error),
            Err(Unread::Partly { first, paths }) => {
                done.fail(path.clone(), "PartlyRead", &first);
                let facts = json!({ "unread": paths.iter().take(NAMED).collect::<Vec<_>>(), "count": paths.len() });
                return done.decisions.push(line(path, "hold", "NotJudged", facts));
            }
        };
        let evaluation = judge(&observation.mesh, &observation.readings, policy, now);
        let edges = edges(&observation.mesh, &observation.readings, now);
        let blind_spots = observation.blind_spots();
        let changes = remembered.update(&evaluation.findings, now, |dated| !blind_spots.hide(dated));
        let report = MeshReport {
            mesh: &observation.mesh,
            edges: &edges,
            evaluation: &evaluation,
            history: remembered.history(),
            at: now,
        };
        let kept = outputs::keep(&self.ports, &report, &changes, &observation.arn).await;
        let told = Told { mesh: name, report: &report, changes: &changes, kept: &kept };
        let facts = told.facts(&observation);
        for (error, reason) in [(&kept.failed, "ReportNotKept"), (&kept.not_imported, "NotImported")] {
            if let Some(error) = error {
                done.fail(path.clone(), reason, error);
            }
        }
        if done.retry.is_some() {
            // Not swept: what is remembered as swept would not be written again by the retry.
            return;
        }
        done.metrics.extend(metrics(name, &report, &observation));
        // People first: a crash here tells them twice, the other order would tell them never.
        if let Err(error) = told.tell(&self.ports).await {
            return done.fail(path, "NotTold", &error);
        }
        let decision = line(path.clone(), "sweep", if changes.is_empty() { "Unchanged" } else { "Changed" }, facts);
        match remembered.store(&self.ports, &decision, now).await {
            Ok(true) => done.decisions.push(decision),
            Ok(false) => done.decisions.push(line(path, "keep", "Overtaken", decision.facts)),
            Err(error) => done.fail(path, "StateUnreachable", &error),
        }
    }
}

fn metrics(name: &MeshName, report: &MeshReport<'_>, observation: &Observation) -> Vec<Metric> {
    let dimensions = || vec![("Function", NAME.to_owned()), ("Mesh", name.to_string())];
    let count = |severity| report.evaluation.findings.iter().filter(|finding| finding.severity == severity).count();
    let of_severity = SEVERITIES.map(|severity| {
        let mut dimensions = dimensions();
        dimensions.push(("Severity", severity.to_string()));
        Metric::count("Findings", count(severity), dimensions)
    });
    let resources = Metric::count("Resources", observation.mesh.paths().len(), dimensions());
    of_severity.into_iter().chain([resources]).collect()
}

fn line(resource: String, decision: &str, reason: &str, facts: Value) -> Decision {
    Decision { resource, decision: decision.to_owned(), reason: reason.to_owned(), facts, plan: None, outcome: None }
}

fn path(mesh: &MeshName) -> String {
    ResourcePath::Mesh(mesh.clone()).to_string()
}

/// The first few of something that may be many.
pub(crate) fn named<T>(all: &[T], name: impl Fn(&T) -> String) -> Vec<String> {
    all.iter().take(NAMED).map(name).collect()
}

/// Where a mesh's reports lie.
pub(crate) fn folder(mesh: &MeshName) -> String {
    format!("compliance/{}", path(mesh))
}
