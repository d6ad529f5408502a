//! The results of an invocation so far.

use std::collections::BTreeSet;

use mesh::failures::FailureClass;
use mesh::name::{MeshName, ResourcePath};
use ports::{DocumentError, PortError};
use runner::{Decision, FailureRun, Metric, StandstillRun};
use serde_json::{Value, json};

/// The results so far. Meshes that were swept before the time ran out stay swept.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) decisions: Vec<Decision>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) retry: Option<String>,
    /// The meshes that this invocation tried to sweep, with any result.
    pub(crate) looked_at: BTreeSet<MeshName>,
    /// The meshes that need no retry.
    pub(crate) finished: BTreeSet<MeshName>,
    /// Whether the request for all meshes is finished.
    pub(crate) all_finished: bool,
    /// Whether the list of meshes could not be read, so that nothing was swept.
    pub(crate) observed_nothing: bool,
    /// The failures, paged if they last: the target, the class, the stable code, and the text.
    pub(crate) failures: Vec<(String, FailureClass, String, String)>,
    /// Decisions that are not final.
    pub(crate) waiting: StandstillRun,
    /// Documents that cannot be read.
    pub(crate) unreadable: Vec<DocumentError>,
}

/// The reason codes for which a mesh is not or not fully swept. Each failure is remembered until its reason no longer
/// holds.
pub(crate) const FAILURES: [&str; 9] = [
    "StateUnreachable",
    "Unreadable",
    "PartlyRead",
    "ReportNotKept",
    "NotImported",
    "NotTold",
    "NotAskedFor",
    "Overtaken",
    "OutOfTime",
];

/// The failure target of a resource and a reason.
pub(crate) fn target(resource: &str, reason: &str) -> String {
    format!("{resource} ({reason})")
}

impl Done {
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

    pub(crate) fn join(&mut self, mesh: &MeshName, of_mesh: Self) {
        self.decisions.extend(of_mesh.decisions);
        self.metrics.extend(of_mesh.metrics);
        self.failures.extend(of_mesh.failures);
        self.unreadable.extend(of_mesh.unreadable);
        self.looked_at.insert(mesh.clone());
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

pub(crate) fn line(resource: String, decision: &str, reason: &str, facts: Value) -> Decision {
    Decision { resource, decision: decision.to_owned(), reason: reason.to_owned(), facts, plan: None, outcome: None }
}

pub(crate) fn path(mesh: &MeshName) -> String {
    ResourcePath::Mesh(mesh.clone()).to_string()
}

impl Done {
    /// The failures and successes to remember.
    pub(crate) fn failure_run(&mut self) -> FailureRun {
        let run = FailureRun::default();
        for (target, class, kind, text) in self.failures.drain(..) {
            run.fail(&target, class, &kind, text);
        }
        for error in self.unreadable.drain(..) {
            run.unreadable(&error);
        }
        // A recorded failure of this run takes precedence over the success.
        let looked_at = self.looked_at.iter().map(path).chain(["meshes".to_owned()]);
        for resource in looked_at {
            for reason in &FAILURES {
                run.succeeded(&target(&resource, reason));
            }
        }
        run
    }
}
