//! What an invocation has done so far.

use std::collections::BTreeSet;

use lambda_kit::{Decision, Metric};
use mesh::name::{MeshName, ResourcePath};
use ports::PortError;
use serde_json::{Value, json};

/// What is done so far. What was swept before the time ran out stays done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) decisions: Vec<Decision>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) retry: Option<String>,
    /// The meshes that a repetition would do nothing for.
    pub(crate) finished: BTreeSet<MeshName>,
    /// Whether everything that was asked for at once is finished.
    pub(crate) all_finished: bool,
}

impl Done {
    pub(crate) fn fail(&mut self, resource: String, reason: &str, error: &PortError) {
        if error.kind.may_heal() {
            self.retry.get_or_insert_with(|| error.to_string());
        }
        let facts = json!({ "error": error.to_string(), "kind": error.kind });
        self.decisions.push(line(resource, "hold", reason, facts));
    }

    pub(crate) fn join(&mut self, mesh: &MeshName, of_mesh: Self) {
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

pub(crate) fn line(resource: String, decision: &str, reason: &str, facts: Value) -> Decision {
    Decision { resource, decision: decision.to_owned(), reason: reason.to_owned(), facts, plan: None, outcome: None }
}

pub(crate) fn path(mesh: &MeshName) -> String {
    ResourcePath::Mesh(mesh.clone()).to_string()
}
