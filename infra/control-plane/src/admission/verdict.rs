//! The findings that a write creates.

use std::sync::Arc;

use jiff::Timestamp;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use policy::Policy;
use rules::admission::{WriteVerdict, judge_write};
use rules::pack::{Finding, Severity};

use crate::error::ApiError;
use crate::state::{PlannedChange, Resource, State};

/// A mesh before a write, and the resource that the write stores or deletes.
#[derive(Debug)]
pub(super) struct AdmissionCase {
    before: Vec<Arc<Resource>>,
    path: ResourcePath,
    /// `None` deletes the resource.
    after: Option<Resource>,
}

/// The findings that the write creates, and the ones that refuse it.
#[derive(Debug)]
pub(super) struct AdmissionVerdict(WriteVerdict);

impl AdmissionCase {
    pub(super) fn new(state: &State, planned: &PlannedChange<'_>) -> Self {
        let path = planned.path().clone();
        let before = state.whole_mesh(path.mesh()).cloned().collect();
        let after = match planned {
            PlannedChange::Put(resource) => Some((*resource).clone()),
            PlannedChange::Remove(_) => None,
        };
        Self { before, path, after }
    }

    /// Whether the mesh has not changed. A resource is never changed in place, so equal pointers mean
    /// equal resources.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.before.len() == other.before.len()
            && self.before.iter().zip(&other.before).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    pub(super) fn judge(&self, policy: &Policy, now: Timestamp, refuses: Option<Severity>) -> AdmissionVerdict {
        let mut before = Mesh::new(self.path.mesh().clone());
        for resource in &self.before {
            put(&mut before, resource);
        }
        let mut after = before.clone();
        match &self.after {
            Some(resource) => put(&mut after, resource),
            None => after.remove(&self.path),
        }
        AdmissionVerdict(judge_write(&before, &after, &self.path, policy, now, refuses))
    }
}

impl AdmissionVerdict {
    /// The created findings of an admitted write, or the error of a refused one.
    pub(super) fn admit(self, path: &ResourcePath) -> Result<Vec<Finding>, ApiError> {
        let WriteVerdict { created, refusing } = self.0;
        if refusing.is_empty() {
            return Ok(created);
        }
        Err(ApiError::NotAdmitted { path: path.clone(), findings: refusing })
    }
}

fn put(mesh: &mut Mesh, resource: &Resource) {
    // The spec of a newer release that this one cannot read was logged when it was stored.
    let Some(spec) = resource.spec.spec() else { return };
    if let Err(error) = mesh.insert(resource.path.clone(), spec.clone()) {
        tracing::error!(%error, "stored resource does not match its path");
    }
    mesh.set_tags(resource.path.clone(), resource.tags.clone());
}
