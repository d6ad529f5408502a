//! What a write makes worse.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::pack::{Finding, FindingId, Group, Severity, judge};
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
pub(super) struct Verdict {
    created: Vec<Finding>,
    refusing: Vec<Finding>,
}

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
        let mut mesh = Mesh::new(self.path.mesh().clone());
        for resource in &self.before {
            put(&mut mesh, resource);
        }
        let was = judge(&mesh, &Readings::default(), policy, now);
        let known: BTreeSet<FindingId> = was.findings.iter().chain(&was.waived).map(Finding::id).collect();
        match &self.after {
            Some(resource) => put(&mut mesh, resource),
            None => mesh.remove(&self.path),
        }
        let mut created = judge(&mesh, &Readings::default(), policy, now).findings;
        created.retain(|finding| !known.contains(&finding.id()));
        let refusing = refuses.map_or_else(Vec::new, |least| {
            created.iter().filter(|finding| refuse(finding, &self.path, least)).cloned().collect()
        });
        Verdict { created, refusing }
    }
}

impl Verdict {
    /// What is only told, unless the write is refused.
    pub(super) fn admit(self, path: &ResourcePath) -> Result<Vec<Finding>, ApiError> {
        if self.refusing.is_empty() {
            return Ok(self.created);
        }
        Err(ApiError::NotAdmitted { path: path.clone(), findings: self.refusing })
    }
}

fn put(mesh: &mut Mesh, resource: &Resource) {
    if let Err(error) = mesh.insert(resource.path.clone(), resource.spec.spec().clone()) {
        tracing::error!(%error, "a stored resource is not what its path says");
    }
    mesh.set_tags(resource.path.clone(), resource.tags.clone());
}

/// Whether a finding may refuse the write of a resource.
fn refuse(finding: &Finding, written: &ResourcePath, least: Severity) -> bool {
    let group = finding.rule.rule().map(|rule| rule.group);
    finding.resource == *written && finding.severity >= least && group.is_some_and(can_refuse)
}

/// Whether a group's findings say something of the resource as it is written, and not that others are yet to come.
const fn can_refuse(group: Group) -> bool {
    match group {
        Group::Tags
        | Group::Egress
        | Group::Tls
        | Group::Certificates
        | Group::Retries
        | Group::Observability
        | Group::Discovery
        | Group::Naming
        | Group::Files => true,
        Group::Routing | Group::Resilience | Group::Quotas | Group::Cost | Group::Policy => false,
    }
}
