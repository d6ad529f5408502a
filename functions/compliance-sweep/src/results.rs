//! The results of a sweep so far.

use std::collections::BTreeSet;

use mesh::failures::FailureClass;
use mesh::name::{MeshName, ResourcePath};
use ports::{DocumentError, PortError};
use runner::{Decision, Metric, Run};
use serde_json::{Value, json};

/// The results of the sweep of one mesh, or of reading the list of meshes.
#[derive(Debug, Default)]
pub(crate) struct SweepResults {
    pub(crate) decisions: Vec<Decision>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) retry: Option<String>,
    /// The failures, paged if they last: the target, the class, the stable code, and the text.
    failures: Vec<(String, FailureClass, String, String)>,
    /// Documents that cannot be read.
    unreadable: Vec<DocumentError>,
}

/// The progress of an invocation.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The meshes that need no retry.
    pub(crate) finished: BTreeSet<MeshName>,
    /// The first reason of a retry.
    pub(crate) retry: Option<String>,
}

/// The reason codes for which a mesh is not or not fully swept. Each failure is remembered until its reason
/// is resolved.
pub(crate) const FAILURES: [&str; 8] = [
    "StateUnreachable",
    "Unreadable",
    "PartlyRead",
    "ReportNotKept",
    "NotImported",
    "NotTold",
    "NotAskedFor",
    "Overtaken",
];

/// The work of a request for all meshes.
pub(crate) const ALL_MESHES: &str = "all meshes";

/// The failure target of a resource and a reason.
pub(crate) fn target(resource: &str, reason: &str) -> String {
    format!("{resource} ({reason})")
}

impl SweepResults {
    pub(crate) fn fail(&mut self, resource: String, reason: &str, error: &PortError) {
        if error.kind.may_heal() {
            self.retry.get_or_insert_with(|| error.to_string());
        }
        self.remember_failure(&resource, reason, error.kind.class(), error.to_string());
        let facts =
            json!({ "error": error.to_string(), "kind": error.kind, "call": error.call, "message": error.message });
        self.decisions.push(line(resource, "hold", reason, facts));
    }

    /// Records that the stored findings cannot be read, so that new findings are not known. A retry does not help.
    pub(crate) fn unreadable(&mut self, resource: String, error: DocumentError) {
        let facts = json!({ "document": error.key(), "error": error.to_string(), "remedy": error.remedy() });
        self.decisions.push(line(resource, "hold", error.reason(), facts));
        self.unreadable.push(error);
    }

    /// Records a failure of a sweep, paged if it lasts.
    pub(crate) fn remember_failure(&mut self, resource: &str, reason: &str, class: FailureClass, text: String) {
        self.failures.push((target(resource, reason), class, reason.to_owned(), text));
    }

    /// Adds the results to the report of the invocation. Returns the reason of a retry.
    pub(crate) fn report(self, run: &Run<'_>, resource: &str) -> Option<String> {
        for line in self.decisions {
            run.report(line);
        }
        for metric in self.metrics {
            run.metric(metric);
        }
        for (target, class, kind, text) in self.failures {
            run.failures().fail(&target, class, &kind, text);
        }
        for error in &self.unreadable {
            run.failures().unreadable(error);
        }
        // A recorded failure of this run takes precedence over the success.
        for reason in &FAILURES {
            run.failures().succeeded(&target(resource, reason));
        }
        self.retry
    }
}

impl Progress {
    /// Adds the results of a mesh.
    pub(crate) fn join(&mut self, run: &Run<'_>, mesh: &MeshName, of_mesh: SweepResults) {
        if let Some(why) = of_mesh.report(run, &path(mesh)) {
            self.retry.get_or_insert(why);
        } else {
            self.finished.insert(mesh.clone());
            run.done(&path(mesh));
        }
    }
}

pub(crate) fn line(resource: String, decision: &str, reason: &str, facts: Value) -> Decision {
    Decision::new(resource, decision, reason, facts)
}

pub(crate) fn path(mesh: &MeshName) -> String {
    ResourcePath::Mesh(mesh.clone()).to_string()
}
