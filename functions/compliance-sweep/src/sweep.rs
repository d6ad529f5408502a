//! The sweep of one mesh: loads the stored findings, reads and judges the mesh, and sends notifications.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh::edges::edges_by_policy;
use mesh::failures::FailureClass;
use mesh::name::MeshName;
use mesh::pack::{Evaluation, judge};
use mesh::policy::Policy;
use ports::{PortError, PortErrorKind};
use reports::{MeshReport, SEVERITIES};
use runner::{Metric, Run};
use serde_json::json;

use crate::asked::Asking;
use crate::done::{Done, Progress, line, path};
use crate::handler::NAMED;
use crate::history::{Head, LoadError, Remembered};
use crate::observe::{Observation, observe};
use crate::tell::{Told, send};
use crate::{ComplianceSweep, NAME, outputs};

/// The most attempts to sweep a mesh that another invocation sweeps at the same time. The other sweep may have read an
/// older state than this one needs.
const ATTEMPTS: usize = 3;

impl ComplianceSweep {
    /// Sweeps one mesh. A failure is reported, and does not stop the sweep of other meshes.
    pub(crate) async fn sweep_one(&self, run: &Run<'_>, mesh: &MeshName, asking: &Asking, progress: &mut Progress) {
        let mut of_mesh = Done::default();
        for _ in 0..ATTEMPTS {
            of_mesh = Done::default();
            if self.sweep_mesh(mesh, asking, run.policy(), run.now(), &mut of_mesh).await == Swept::Settled {
                return progress.join(run, mesh, of_mesh);
            }
        }
        let why = format!("mesh {mesh} is swept by other invocations all the time");
        of_mesh.remember_failure(&path(mesh), "Overtaken", FailureClass::Transient, why.clone());
        of_mesh.retry = Some(why);
        progress.join(run, mesh, of_mesh);
    }

    async fn sweep_mesh(
        &self,
        name: &MeshName,
        asking: &Asking,
        policy: &Policy,
        now: Timestamp,
        done: &mut Done,
    ) -> Swept {
        let path = path(name);
        let state = self.ports.state.as_ref();
        let head = match Head::load(state, name, now).await {
            Ok(head) => head,
            Err(error) => return Swept::not_loaded(done, path, error),
        };
        if asking.is_repeated(head.served()) && !head.is_owing() {
            let facts = json!({ "at": head.swept_at(), "wakes": asking.wakes() });
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
                    return self.leave(name, &mut remembered, asking, now, done).await;
                }
                Observation::gone(name, remembered.arn())
            }
            Err(error) => return Swept::failed(done, path, "Unreadable", &error),
        };
        self.report(name, &observation, &mut remembered, asking, policy, now, done).await
    }

    /// Judges the observation, reports the findings and stores them.
    #[expect(clippy::too_many_arguments, reason = "all that a sweep has gathered of one mesh")]
    async fn report(
        &self,
        name: &MeshName,
        observation: &Observation,
        remembered: &mut Remembered,
        asking: &Asking,
        policy: &Policy,
        now: Timestamp,
        done: &mut Done,
    ) -> Swept {
        let path = path(name);
        if !observation.is_gone && remembered.is_first() {
            // Added before any other record is stored: otherwise, a deletion of the mesh without an event would go
            // unnoticed.
            if let Err(error) = self.roster().add(&[name.clone()].into(), now).await {
                return Swept::failed(done, path, "StateUnreachable", &error);
            }
        }
        let evaluation = if observation.is_gone {
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
        let served = if comes_again.is_none() { asking.wakes() } else { &BTreeSet::new() };
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
        let kept = outputs::keep(&self.ports, &report, &closing, &observation.arn).await;
        let told = Told { mesh: name, is_gone: observation.is_gone, report: &report, changes: &changes, kept: &kept };
        let facts = told.facts(observation);
        for (error, reason) in [(&kept.failed, "ReportNotKept"), (&kept.not_imported, "NotImported")] {
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
        let of_now = told.messages();
        let mut messages = remembered.take_owed();
        messages.extend(of_now);
        remembered.owe(messages);
        let reason = match (observation.is_gone, changes.is_empty()) {
            (true, _) => "Gone",
            (false, true) => "Unchanged",
            (false, false) => "Changed",
        };
        let decision = line(path.clone(), "sweep", reason, facts);
        let is_settled = kept.not_imported.is_none();
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
        if observation.is_gone
            && is_settled
            && let Err(error) = self.roster().remove(name, now).await
        {
            done.fail(path, "StateUnreachable", &error);
        }
        Swept::Settled
    }

    /// Sends the messages of a stored sweep, and stores the unsent ones.
    async fn send_owed(&self, path: &str, remembered: &mut Remembered, now: Timestamp, done: &mut Done) {
        let messages = remembered.take_owed();
        if messages.is_empty() {
            return;
        }
        let (owed, not_told) = send(&self.ports, messages).await;
        if let Some(error) = &not_told {
            done.fail(path.to_owned(), "NotTold", error);
        }
        match remembered.store_owed(owed, self.ports.state.as_ref(), now).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!(path, "another sweep stores the mesh; it may send the same"),
            // If this fails, the next run sends them again: twice is better than never.
            Err(error) => done.remember_failure(path, "StateUnreachable", error.kind.class(), error.to_string()),
        }
    }

    /// Forgets a deleted mesh without open findings. The state is stored before the mesh leaves the roster: the write
    /// fails if the loaded state is out of date.
    async fn leave(
        &self,
        name: &MeshName,
        remembered: &mut Remembered,
        asking: &Asking,
        now: Timestamp,
        done: &mut Done,
    ) -> Swept {
        let gone = line(path(name), "hold", "Gone", json!({}));
        let arn = remembered.arn().to_owned();
        remembered.serve(asking.wakes(), &arn);
        let left = async {
            if !self.roster().add(&BTreeSet::new(), now).await?.contains(name) {
                return Ok(true);
            }
            let is_stored = remembered.store(self.ports.state.as_ref(), &gone, now).await?;
            if is_stored {
                self.roster().remove(name, now).await?;
            }
            Ok(is_stored)
        };
        match left.await {
            Ok(true) => done.decisions.push(gone),
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
    fn not_loaded(done: &mut Done, resource: String, error: LoadError) -> Self {
        match error {
            LoadError::Port(error) => done.fail(resource, "StateUnreachable", &error),
            LoadError::Document(error) => done.unreadable(resource, error),
        }
        Self::Settled
    }

    /// Records a failed call.
    fn failed(done: &mut Done, resource: String, reason: &str, error: &PortError) -> Self {
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
