//! The deletions of resources that no object declares any more.

use std::collections::{BTreeMap, BTreeSet};

use imports::{Held, Step};
use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::Spec;
use mesh::validate;

use crate::cluster::ClusterObjects;
use crate::object::ObjectKey;
use crate::owner::{ClusterName, Owner};
use crate::problem::{Problem, ProblemCode};
use crate::reconciliation::{OwnedStep, Reconciliation};

/// The deletions, and the resources that stay.
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    /// The deletions, users first.
    pub(crate) steps: Vec<OwnedStep>,
    /// The objects with a resource that other resources use.
    pub(crate) blocked: Vec<(ObjectKey, Problem)>,
    /// The resources that an object created which no longer exists.
    pub(crate) orphans: Vec<ResourcePath>,
    /// The objects that own a resource in App Mesh.
    pub(crate) owned: BTreeSet<ObjectKey>,
}

/// Plans the deletions after the creations and changes.
pub(crate) fn deletions(
    cluster: &ClusterObjects,
    reconciliation: &Reconciliation,
    steps: &[Step],
    held: &Held,
    name: &ClusterName,
) -> Deletions {
    let mut found = Deletions::default();
    let mut pending: Vec<(ObjectKey, ResourcePath, u64)> = Vec::new();
    for (path, resource) in held {
        let key = match name.owner(&resource.tags, cluster.objects.keys()) {
            Owner::Object(key) => key,
            Owner::Absent(_) => {
                found.orphans.push(path.clone());
                continue;
            }
            Owner::None | Owner::OtherCluster(_) => continue,
        };
        found.owned.insert(key.clone());
        let Some(object) = cluster.objects.get(&key) else { continue };
        let is_declared = reconciliation.owners.get(path) == Some(&key);
        let is_removed = !is_declared && !reconciliation.problems.contains_key(&key);
        if object.is_deleted || is_removed {
            pending.push((key, path.clone(), resource.version));
        }
    }
    pending.sort_by_key(|(_, path, _)| deletion_rank(path.kind()));
    let mut remaining: BTreeMap<ResourcePath, Spec> =
        held.iter().map(|(path, resource)| (path.clone(), resource.spec.clone())).collect();
    for step in steps {
        match step {
            Step::Create { path, spec, .. } | Step::Update { path, spec, .. } => {
                remaining.insert(path.clone(), spec.clone());
            }
            Step::Tag { .. } => {}
            Step::Delete { path, .. } => {
                remaining.remove(path);
            }
        }
    }
    loop {
        let before = pending.len();
        pending.retain(|(key, path, if_version)| {
            if !users(path, &remaining).is_empty() {
                return true;
            }
            remaining.remove(path);
            let step = Step::Delete { path: path.clone(), if_version: *if_version };
            found.steps.push(OwnedStep { owner: key.clone(), step });
            false
        });
        if pending.len() == before {
            break;
        }
    }
    for (key, path, _) in pending {
        let users: Vec<String> = users(&path, &remaining).into_iter().map(ToString::to_string).collect();
        let message = format!("{path} stays while other resources use it: {}; delete them first", users.join(", "));
        found.blocked.push((key, Problem::new(ProblemCode::InUse, "", message)));
    }
    found
}

/// The resources that refer to a resource or are below it.
fn users<'r>(path: &ResourcePath, remaining: &'r BTreeMap<ResourcePath, Spec>) -> Vec<&'r ResourcePath> {
    let uses = |other: &ResourcePath, spec: &Spec| {
        other != path
            && other.mesh() == path.mesh()
            && (is_below(other, path) || validate::references(other.mesh(), spec).contains(path))
    };
    remaining.iter().filter(|(other, spec)| uses(other, spec)).map(|(other, _)| other).collect()
}

/// Whether a resource is part of another one.
fn is_below(path: &ResourcePath, above: &ResourcePath) -> bool {
    match (path, above) {
        (_, ResourcePath::Mesh(_)) => true,
        (ResourcePath::Route(id), ResourcePath::VirtualRouter(_, router)) => id.router == *router,
        (ResourcePath::GatewayRoute(_, of, _), ResourcePath::VirtualGateway(_, gateway)) => of == gateway,
        _ => false,
    }
}

/// The position of a kind among deletions.
const fn deletion_rank(kind: ResourceKind) -> u8 {
    match kind {
        ResourceKind::GatewayRoute => 0,
        ResourceKind::VirtualGateway => 1,
        ResourceKind::Route => 2,
        ResourceKind::VirtualService => 3,
        ResourceKind::VirtualRouter => 4,
        ResourceKind::VirtualNode => 5,
        ResourceKind::Mesh => 6,
    }
}
