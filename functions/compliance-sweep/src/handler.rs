//! The function: every mesh is observed, judged and reported, one after the other and each on its own.

use async_trait::async_trait;
use jiff::Timestamp;
use lambda_kit::wake::Delivery;
use lambda_kit::{Current, Decision, Handler, Metric, PolicyKeeper, Report, Retry};
use mesh::edges::edges;
use mesh::name::{MeshName, ResourcePath};
use mesh::pack::judge;
use mesh::policy::{Policy, PolicyError};
use ports::{Deadline, Pace, PortError, ResourceRef};
use reports::{MeshReport, SEVERITIES};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::observe::{Observation, Unread, observe};
use crate::remember::{Remembered, Told};
use crate::{NAME, Ports, outputs};

/// Calls at a time, to begin with and at the most. App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: (usize, usize) = (16, 40);

/// The findings that are named in a report of the invocation; the reports have them all.
const NAMED: usize = 20;

/// The function compliance-sweep.
#[derive(Debug)]
pub struct ComplianceSweep {
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    pace: Mutex<Pace>,
}

impl ComplianceSweep {
    /// Puts the function together.
    #[must_use]
    pub fn new(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Self {
        let (start, most) = AT_A_TIME;
        Self { ports, policy, pace: Mutex::new(Pace::new(start, most)) }
    }
}

#[async_trait]
impl Handler for ComplianceSweep {
    async fn handle(&self, _: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let now = self.ports.clock.now();
        let Current { policy, rejected } = self.policy.current(now).await;
        let mut done = Done::default();
        let swept = tokio::time::timeout(deadline.left(), self.sweep(&policy, now, &mut done)).await;
        if swept.is_err() {
            done.retry = Some("its time ran out; the meshes that were swept are not swept again".to_owned());
        }
        let mut report = Report::of(done.decisions);
        report.metrics = done.metrics;
        report.signals.policy_rejected = rejected.is_some();
        match done.retry {
            Some(why) => Err(Retry { report: Some(report), ..Retry::all(why) }),
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
}

impl Done {
    fn fail(&mut self, resource: String, reason: &str, error: &PortError) {
        if error.kind.may_heal() {
            self.retry.get_or_insert_with(|| error.to_string());
        }
        let facts = json!({ "error": error.to_string(), "kind": error.kind });
        self.decisions.push(line(resource, "hold", reason, facts));
    }
}

impl ComplianceSweep {
    async fn sweep(&self, policy: &Policy, now: Timestamp, done: &mut Done) {
        let meshes = match self.ports.meshes.meshes().await {
            Ok(meshes) => meshes,
            Err(error) => return done.fail("meshes".to_owned(), "Unreadable", &error),
        };
        for mesh in meshes {
            self.sweep_mesh(&mesh, policy, now, done).await;
        }
    }

    /// Sweeps one mesh. Whatever goes wrong with it is said, and keeps no other mesh from being swept.
    async fn sweep_mesh(&self, found: &ResourceRef, policy: &Policy, now: Timestamp, done: &mut Done) {
        let (name, path) = (found.path.mesh(), found.path.to_string());
        let mut remembered = match Remembered::load(&self.ports, name, now).await {
            Ok(remembered) => remembered,
            Err(error) => return done.fail(path, "StateUnreachable", &error),
        };
        if remembered.is_fresh(now) {
            // Swept by this very wake, before it was repeated.
            return done.decisions.push(line(path, "keep", "Swept", json!({ "at": remembered.swept_at() })));
        }
        let observation = match observe(&self.ports, name, &mut *self.pace.lock().await).await {
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
        let changes = remembered.update(&evaluation.findings, now);
        let report = MeshReport {
            mesh: &observation.mesh,
            edges: &edges,
            evaluation: &evaluation,
            history: remembered.history(),
            at: now,
        };
        let kept = outputs::keep(&self.ports, &report, &changes, found).await;
        let told = Told { mesh: name, report: &report, changes: &changes, kept: &kept };
        let facts = told.facts(&observation);
        if let Some(error) = &kept.failed {
            done.fail(path.clone(), "ReportNotKept", error);
            if error.kind.may_heal() {
                // Not swept: what is remembered as swept would not be written again by the retry.
                return;
            }
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

/// The first few of something that may be many.
pub(crate) fn named<T>(all: &[T], name: impl Fn(&T) -> String) -> Vec<String> {
    all.iter().take(NAMED).map(name).collect()
}

/// Where a mesh's reports lie.
pub(crate) fn folder(mesh: &MeshName) -> String {
    format!("compliance/{}", ResourcePath::Mesh(mesh.clone()))
}
