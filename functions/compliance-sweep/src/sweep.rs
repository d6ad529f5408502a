//! The sweep of one mesh: loads the stored findings, reads and judges the mesh, and sends notifications.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh::failures::FailureClass;
use mesh::name::MeshName;
use policy::Policy;
use policy::edges::edges_by_policy;
use ports::{PortError, PortErrorKind};
use reports::{MeshReport, SEVERITIES};
use rules::pack::{Evaluation, judge};
use runner::{Metric, Run};
use serde_json::json;

use crate::handler::NAMED;
use crate::history::{Head, LoadError, Remembered};
use crate::notifications::{SweepNotifications, send};
use crate::observe::{Observation, observe};
use crate::results::{Progress, SweepResults, line, path};
use crate::trigger::SweepRequest;
use crate::{ComplianceSweep, NAME, outputs};

/// The most attempts to sweep a mesh that another invocation sweeps at the same time. The other sweep may have read an
/// older state than this one needs.
const ATTEMPTS: usize = 3;

impl ComplianceSweep {
    /// Sweeps one mesh. A failure is reported, and does not stop the sweep of other meshes.
    pub(crate) async fn sweep_one(
        &self,
        run: &Run<'_>,
        mesh: &MeshName,
        request: &SweepRequest,
        progress: &mut Progress,
    ) {
        let mut of_mesh = SweepResults::default();
        for _ in 0..ATTEMPTS {
            of_mesh = SweepResults::default();
            if self.sweep_mesh(mesh, request, run.policy(), run.now(), &mut of_mesh).await == Swept::Settled {
                return progress.join(run, mesh, of_mesh);
            }
        }
        let why = format!("another invocation stored the sweep of mesh {mesh} in every attempt");
        of_mesh.remember_failure(&path(mesh), "Overtaken", FailureClass::Transient, why.clone());
        of_mesh.retry = Some(why);
        progress.join(run, mesh, of_mesh);
    }

    async fn sweep_mesh(
        &self,
        name: &MeshName,
        request: &SweepRequest,
        policy: &Policy,
        now: Timestamp,
        done: &mut SweepResults,
    ) -> Swept {
        let path = path(name);
        let state = self.ports.state.as_ref();
        let head = match Head::load(state, name, now).await {
            Ok(head) => head,
            Err(error) => return Swept::not_loaded(done, path, error),
        };
        if request.is_repeated(head.served()) && !head.is_owing() {
            let facts = json!({ "at": head.swept_at(), "wakes": request.event_ids() });
            done.decisions.push(line(path, "keep", "Swept", facts));
            return Swept::Settled;
        }
        let mut remembered = match head.remembered(state, now).await {
            Ok(remembered) => remembered,
            Err(error) => return Swept::not_loaded(done, path, error),
        };
        let read = observe(&self.ports, name, policy, now, &mut *self.pace.lock().await).await;
        let observation = match read {
            Ok(observation) => observation,
            Err(error) if error.kind == PortErrorKind::NotFound => {
                if remembered.is_settled() {
                    return self.leave(name, &mut remembered, request, now, done).await;
                }
                Observation::deleted(name, remembered.arn())
            }
            Err(error) => return Swept::failed(done, path, "Unreadable", &error),
        };
        self.report(name, &observation, &mut remembered, request, policy, now, done).await
    }

    /// Judges the observation, reports the findings and stores them.
    #[expect(clippy::too_many_arguments, reason = "all that a sweep has gathered of one mesh")]
    async fn report(
        &self,
        name: &MeshName,
        observation: &Observation,
        remembered: &mut Remembered,
        request: &SweepRequest,
        policy: &Policy,
        now: Timestamp,
        done: &mut SweepResults,
    ) -> Swept {
        let path = path(name);
        if !observation.is_deleted && remembered.is_first() {
            // Added before any other record is stored: otherwise, a deletion of the mesh without an event would go
            // unnoticed.
            if let Err(error) = self.roster().add(&[name.clone()].into(), now).await {
                return Swept::failed(done, path, "StateUnreachable", &error);
            }
        }
        let evaluation = if observation.is_deleted {
            Evaluation { findings: Vec::new(), waived: Vec::new() }
        } else {
            let mut evaluation = judge(&observation.mesh, &observation.readings, policy, now);
            evaluation.findings.retain(|finding| observation.parts.allow(finding));
            evaluation.waived.retain(|finding| observation.parts.allow(finding));
            evaluation
        };
        let edges = edges_by_policy(&observation.mesh, &observation.readings, &policy.egress, now);
        let blind_spots = observation.blind_spots();
        let changes = remembered.update(&evaluation.findings, now, |dated| !blind_spots.hide(dated));
        // If a retry may read the unread parts, the mesh is swept once more for the same triggers.
        let comes_again = observation.parts.error().filter(|_| observation.parts.may_heal());
        let served = if comes_again.is_none() { request.event_ids() } else { &BTreeSet::new() };
        remembered.serve(served, &observation.arn);
        let unread: Vec<String> = observation.unread().into_iter().collect();
        let report = MeshReport {
            mesh: &observation.mesh,
            edges: &edges,
            evaluation: &evaluation,
            history: remembered.history(),
            at: now,
            unread: &unread,
        };
        let closing = remembered.to_archive(&changes, &evaluation.findings);
        let stored = outputs::store(&self.ports, &report, &closing, &observation.arn).await;
        let notifications = SweepNotifications {
            mesh: name,
            is_deleted: observation.is_deleted,
            report: &report,
            changes: &changes,
            stored: &stored,
        };
        let facts = notifications.facts(observation);
        for (error, reason) in [(&stored.failed, "ReportNotKept"), (&stored.not_imported, "NotImported")] {
            if let Some(error) = error {
                done.fail(path.clone(), reason, error);
            }
        }
        if done.retry.is_some() {
            // Not stored as swept: otherwise, the retry would not write the reports and imports again.
            return Swept::Settled;
        }
        done.metrics.extend(metrics(name, &report, observation));
        // Stored before they are sent, and removed afterwards: a crash in between sends them twice. Otherwise, each run
        // would send them again while the table accepts no write.
        let new = notifications.messages();
        let mut messages = remembered.take_owed();
        messages.extend(new);
        remembered.owe(messages);
        let reason = match (observation.is_deleted, changes.is_empty()) {
            (true, _) => "Gone",
            (false, true) => "Unchanged",
            (false, false) => "Changed",
        };
        let decision = line(path.clone(), "sweep", reason, facts);
        let is_settled = stored.not_imported.is_none();
        remembered.leave_open(if is_settled { Vec::new() } else { closing.resolved });
        match remembered.store(self.ports.state.as_ref(), &decision, now).await {
            Ok(true) => done.decisions.push(decision),
            Ok(false) => {
                done.decisions.push(line(path, "keep", "Overtaken", decision.facts));
                return Swept::Overtaken;
            }
            Err(error) => return Swept::failed(done, path, "StateUnreachable", &error),
        }
        self.send_owed(&path, remembered, now, done).await;
        if !observation.parts.is_empty() {
            done.decisions.push(line(path.clone(), "hold", "PartlyRead", observation.parts.facts(NAMED)));
        }
        if let Some(error) = observation.parts.error() {
            let text = format!("{} resources could not be read: {error}", observation.parts.len());
            done.remember_failure(&path, "PartlyRead", error.kind.class(), text);
        }
        if let Some(error) = comes_again {
            done.retry.get_or_insert_with(|| error.to_string());
        }
        if observation.is_deleted
            && is_settled
            && let Err(error) = self.roster().remove(name, now).await
        {
            done.fail(path, "StateUnreachable", &error);
        }
        Swept::Settled
    }

    /// Sends the messages of a stored sweep, and stores the unsent ones.
    async fn send_owed(&self, path: &str, remembered: &mut Remembered, now: Timestamp, done: &mut SweepResults) {
        let messages = remembered.take_owed();
        if messages.is_empty() {
            return;
        }
        let (owed, failed) = send(&self.ports, messages).await;
        if let Some(error) = &failed {
            done.fail(path.to_owned(), "NotTold", error);
        }
        match remembered.store_owed(owed, self.ports.state.as_ref(), now).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!(path, "another sweep stored the mesh; it may send the same messages"),
            // The next run sends the messages again: sending twice is better than not at all.
            Err(error) => done.remember_failure(path, "StateUnreachable", error.kind.class(), error.to_string()),
        }
    }

    /// Forgets a deleted mesh without open findings. The state is stored before the mesh leaves the roster: the write
    /// fails if the loaded state is out of date.
    async fn leave(
        &self,
        name: &MeshName,
        remembered: &mut Remembered,
        request: &SweepRequest,
        now: Timestamp,
        done: &mut SweepResults,
    ) -> Swept {
        let deleted = line(path(name), "hold", "Gone", json!({}));
        let arn = remembered.arn().to_owned();
        remembered.serve(request.event_ids(), &arn);
        let left = async {
            if !self.roster().add(&BTreeSet::new(), now).await?.contains(name) {
                return Ok(true);
            }
            let is_stored = remembered.store(self.ports.state.as_ref(), &deleted, now).await?;
            if is_stored {
                self.roster().remove(name, now).await?;
            }
            Ok(is_stored)
        };
        match left.await {
            Ok(true) => done.decisions.push(deleted),
            Ok(false) => return Swept::Overtaken,
            Err(error) => done.fail(path(name), "StateUnreachable", &error),
        }
        Swept::Settled
    }
}

/// The result of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
    /// The sweep ended, or its failure is reported.
    Settled,
    /// Another sweep stored the mesh in the meantime.
    Overtaken,
}

impl Swept {
    /// Records that the stored findings could not be loaded.
    fn not_loaded(done: &mut SweepResults, resource: String, error: LoadError) -> Self {
        match error {
            LoadError::Port(error) => done.fail(resource, "StateUnreachable", &error),
            LoadError::Document(error) => done.unreadable(resource, error),
        }
        Self::Settled
    }

    /// Records a failed call.
    fn failed(done: &mut SweepResults, resource: String, reason: &str, error: &PortError) -> Self {
        done.fail(resource, reason, error);
        Self::Settled
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
