//! Subjects, their grants, and the one decision on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh::name::{MeshName, ResourceKind, ResourcePath};

use super::access::{Access, Level};
use crate::auth::{Caller, RolePattern};
use crate::pattern::matches;

/// The subjects of a file with their grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rights(pub(super) Arc<Vec<SubjectRights>>);

/// One entry of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubjectRights {
    pub(super) subject: Subject,
    pub(super) grants: Vec<Grant>,
}

/// The callers that an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// The key with this id.
    Key(String),
    /// The sessions of these roles.
    Role(RolePattern),
    /// The service accounts that match this pattern, as in the subject of their tokens.
    Token(String),
}

/// What an entry grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) resources: Option<ResourceGrant>,
    pub(super) certificates: bool,
    /// The patterns of proxies for which tokens may be issued.
    pub(super) tokens: Vec<String>,
}

/// A level on resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourceGrant {
    /// The patterns of meshes.
    pub(super) meshes: Vec<String>,
    /// The kinds; `None` is every kind.
    pub(super) kinds: Option<BTreeSet<ResourceKind>>,
    pub(super) level: Level,
}

impl Subject {
    fn includes(&self, caller: &Caller) -> bool {
        match (self, caller) {
            (Self::Key(id), Caller::Key { id: caller, .. }) => id == caller,
            (Self::Role(pattern), Caller::Session { role, .. }) => pattern.allows_arn(role),
            (Self::Token(pattern), Caller::ServiceAccount { subject }) => matches(pattern, subject),
            (Self::Key(_) | Self::Role(_) | Self::Token(_), _) => false,
        }
    }
}

impl Grant {
    fn allows(&self, access: &Access) -> bool {
        let token = |name: &str| self.tokens.iter().any(|pattern| matches(pattern, name));
        match access {
            Access::Resource { level, mesh, kind } => {
                self.resources.as_ref().is_some_and(|granted| granted.allows(*level, mesh, *kind))
            }
            Access::Certificates => self.certificates,
            Access::Token(id) => token(&id.path().to_string()),
            Access::AnyToken => self.tokens.iter().any(|pattern| pattern == "*"),
            // Several grants together may include every kind; see `Rights::allows`.
            Access::WholeMesh(_) | Access::Filtered | Access::Metrics => false,
        }
    }
}

impl ResourceGrant {
    fn allows(&self, level: Level, mesh: &MeshName, kind: ResourceKind) -> bool {
        self.level >= level
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
            && self.meshes.iter().any(|pattern| matches(pattern, mesh.as_str()))
    }
}

impl Rights {
    /// Whether a caller may make a request that needs this access: the only place that decides it. The grants of all entries
    /// that include the caller count.
    pub(crate) fn allows(&self, caller: &Caller, access: &Access) -> bool {
        let read = |mesh: &MeshName, kind| Access::Resource { level: Level::Read, mesh: mesh.clone(), kind };
        match access {
            Access::Filtered | Access::Metrics => self.entries(caller).next().is_some(),
            Access::WholeMesh(mesh) => ResourceKind::ALL
                .into_iter()
                .all(|kind| self.grants(caller).any(|grant| grant.allows(&read(mesh, kind)))),
            Access::Resource { .. } | Access::Certificates | Access::Token(_) | Access::AnyToken => {
                self.grants(caller).any(|grant| grant.allows(access))
            }
        }
    }

    /// Whether a caller may read a resource.
    pub(crate) fn may_read(&self, caller: &Caller, path: &ResourcePath) -> bool {
        self.allows(caller, &Access::resource(Level::Read, path))
    }

    /// Whether a caller may read every virtual node and gateway of every mesh, also of meshes that are created later.
    pub(crate) fn reads_every_proxy(&self, caller: &Caller) -> bool {
        [ResourceKind::VirtualNode, ResourceKind::VirtualGateway].into_iter().all(|kind| {
            self.grants(caller).filter_map(|grant| grant.resources.as_ref()).any(|granted| {
                granted.meshes.iter().any(|pattern| pattern == "*")
                    && granted.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
            })
        })
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn entries<'r>(&'r self, caller: &'r Caller) -> impl Iterator<Item = &'r SubjectRights> {
        self.0.iter().filter(move |entry| entry.subject.includes(caller))
    }

    fn grants<'r>(&'r self, caller: &'r Caller) -> impl Iterator<Item = &'r Grant> {
        self.entries(caller).flat_map(|entry| &entry.grants)
    }
}
