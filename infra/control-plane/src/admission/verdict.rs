//! What a write makes worse.

use std::sync::Arc;

use jiff::Timestamp;
use mesh::admission::{WriteVerdict, judge_write};
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::pack::{Finding, Severity};
use mesh::policy::Policy;

use crate::error::ApiError;
use crate::state::{Planned, Resource, State};

/// A mesh before a write, and what the write puts into it.
#[derive(Debug)]
pub(super) struct Case {
    before: Vec<Arc<Resource>>,
    path: ResourcePath,
    /// `None` takes the resource away.
    after: Option<Resource>,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Verdict(WriteVerdict);

impl Case {
    pub(super) fn of(state: &State, planned: &Planned<'_>) -> Self {
        let path = planned.path().clone();
        let before = state.whole_mesh(path.mesh()).cloned().collect();
        let after = match planned {
            Planned::Put(resource) => Some((*resource).clone()),
            Planned::Remove(_) => None,
        };
        Self { before, path, after }
    }

    /// Whether the mesh is still the very same. A resource is never changed in place, so that pointers tell.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.before.len() == other.before.len()
            && self.before.iter().zip(&other.before).all(|(one, other)| Arc::ptr_eq(one, other))
    }

    pub(super) fn judge(&self, policy: &Policy, now: Timestamp, refuses: Option<Severity>) -> Verdict {
        let mut before = Mesh::new(self.path.mesh().clone());
        for resource in &self.before {
            put(&mut before, resource);
        }
        let mut after = before.clone();
        match &self.after {
            Some(resource) => put(&mut after, resource),
            None => after.remove(&self.path),
        }
        Verdict(judge_write(&before, &after, &self.path, policy, now, refuses))
    }
}

impl Verdict {
    /// What is only told, unless the write is refused.
    pub(super) fn admit(self, path: &ResourcePath) -> Result<Vec<Finding>, ApiError> {
        let WriteVerdict { created, refusing } = self.0;
        if refusing.is_empty() {
            return Ok(created);
        }
        Err(ApiError::NotAdmitted { path: path.clone(), findings: refusing })
    }
}

fn put(mesh: &mut Mesh, resource: &Resource) {
    if let Err(error) = mesh.insert(resource.path.clone(), resource.spec.spec().clone()) {
        tracing::error!(%error, "a stored resource is not what its path says");
    }
    mesh.set_tags(resource.path.clone(), resource.tags.clone());
}
