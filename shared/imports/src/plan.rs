//! The plan of an import: the writes that turn the held resources into the desired ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mesh::change::diff;
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use mesh::resource::Tags;
use mesh::spec::Spec;
use serde::Serialize;
use serde_json::json;

use crate::desired::{Desired, DesiredResource};
use crate::held::{Held, HeldResource, comparable};
use crate::order::order;
use crate::step::{Step, rank};

/// The prefixes of tags that no file owns: AWS and the functions set them.
const RESERVED_TAGS: [&str; 2] = ["aws:", "meshwarden:"];

/// The options of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Whether resources and tags are deleted that the meshes have and the files do not.
    pub prune: bool,
    /// Whether meshes that exist neither in the files nor in the API are created with an empty spec.
    pub create_meshes: bool,
}

/// The writes of an import.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The writes, in an order in which every intermediate state is valid.
    pub steps: Vec<Step>,
    /// The resources that are already as the files declare them.
    pub unchanged: Vec<ResourcePath>,
    /// The resources of the same meshes that are not in the files, and stay.
    pub kept: Vec<ResourcePath>,
}

impl Plan {
    /// Whether nothing has to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The resources that the plan deletes, in the order of the deletions.
    pub fn deleted(&self) -> impl Iterator<Item = &ResourcePath> {
        self.steps.iter().filter(|step| matches!(step, Step::Delete { .. })).map(Step::path)
    }
}

/// A resource for which the plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlanRefusal {
    /// The location of its declaration; empty for a resource that is not in the files.
    pub place: String,
    /// The resource.
    pub resource: ResourcePath,
    /// The reasons, each with its remedy.
    pub problems: Vec<String>,
}

impl fmt::Display for PlanRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}: {}", self.resource, self.problems.join("; "))
    }
}

/// Plans the writes. The error lists every resource that the API would refuse, or that has no valid position.
pub fn plan(desired: &Desired, held: &Held, options: PlanOptions) -> Result<Plan, Vec<PlanRefusal>> {
    let mut plan = Plan::default();
    let mut creations = Vec::new();
    let mut updates = Vec::new();
    let meshes: BTreeSet<&MeshName> = desired.resources.keys().map(ResourcePath::mesh).collect();
    let mut refused = Vec::new();
    for mesh in &meshes {
        let root = ResourcePath::Mesh((*mesh).clone());
        if desired.resources.contains_key(&root) || held.contains_key(&root) {
            continue;
        }
        match Spec::read(ResourceKind::Mesh, &json!({})) {
            Ok(spec) if options.create_meshes => {
                creations.push(Step::Create { path: root, spec, tags: BTreeMap::new() });
            }
            Ok(_) | Err(_) => {
                let problem = "does not exist and is not in the files; add its file, or pass --create-meshes to create \
                               it with an empty spec, which blocks egress to hosts outside the mesh";
                refused.push(PlanRefusal { place: String::new(), resource: root, problems: vec![problem.to_owned()] });
            }
        }
    }
    // The missing mesh would be the problem of each of its resources, too.
    if !refused.is_empty() {
        return Err(refused);
    }
    for (path, resource) in &desired.resources {
        let before = creations.len() + updates.len();
        match held.get(path) {
            None => creations.push(Step::Create {
                path: path.clone(),
                spec: resource.spec.clone(),
                tags: resource.tags.as_ref().map(pairs).unwrap_or_default(),
            }),
            Some(known) => updates.extend(changes(path, resource, known, options)),
        }
        if creations.len() + updates.len() == before {
            plan.unchanged.push(path.clone());
        }
    }
    let unlisted = held.keys().filter(|path| meshes.contains(path.mesh()) && !desired.resources.contains_key(path));
    let (kept, pruned): (Vec<&ResourcePath>, Vec<&ResourcePath>) =
        unlisted.partition(|path| !options.prune || path.kind() == ResourceKind::Mesh);
    plan.kept = kept.into_iter().cloned().collect();
    let mut deletions: Vec<Step> = pruned
        .into_iter()
        .filter_map(|path| Some(Step::Delete { path: path.clone(), if_version: held.get(path)?.version }))
        .collect();
    creations.sort_by_key(|step| rank(step.path().kind()));
    updates.sort_by_key(|step| rank(step.path().kind()));
    deletions.sort_by_key(|step| std::cmp::Reverse(rank(step.path().kind())));
    // New resources come first, so that no update leads traffic to a missing route; deletions are last.
    let steps: Vec<Step> = creations.into_iter().chain(updates).chain(deletions).collect();
    plan.steps = order(held, steps).map_err(|unordered| {
        let place = |path: &ResourcePath| {
            let declared = desired.resources.get(path);
            declared.map(|one| format!("{}:{}: {}", one.source.file, one.line, one.source.id)).unwrap_or_default()
        };
        let refusal = |one: crate::order::Unordered| {
            let resource = one.step.path().clone();
            PlanRefusal { place: place(&resource), resource, problems: one.problems }
        };
        unordered.into_iter().map(refusal).collect::<Vec<_>>()
    })?;
    Ok(plan)
}

/// The writes that change an existing resource.
fn changes(path: &ResourcePath, desired: &DesiredResource, held: &HeldResource, options: PlanOptions) -> Vec<Step> {
    let mut steps = Vec::new();
    let (before, after) = (comparable(&held.spec), comparable(&desired.spec));
    if before != after {
        let changes = diff(&before.to_json(), &after.to_json());
        let spec = desired.spec.clone();
        steps.push(Step::Update { path: path.clone(), spec, if_version: held.version, changes });
    }
    if let Some(tags) = &desired.tags {
        let set: BTreeMap<String, String> = tags
            .iter()
            .filter(|(key, value)| held.tags.value(key) != Some(*value))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let is_reserved = |key: &str| RESERVED_TAGS.iter().any(|prefix| key.starts_with(prefix));
        let extra = held.tags.iter().map(|(key, _)| key);
        let remove: Vec<String> = extra
            .filter(|key| options.prune && tags.value(key).is_none() && !is_reserved(key))
            .map(str::to_owned)
            .collect();
        if !set.is_empty() || !remove.is_empty() {
            steps.push(Step::Tag { path: path.clone(), arn: held.arn.clone(), set, remove });
        }
    }
    steps
}

fn pairs(tags: &Tags) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests;
