//! The writes that make App Mesh equal to the objects of a cluster.
//!
//! ```text
//!   objects ──▶ Declarations ──▶ owned or equal? ──▶ declared or moved weights? ──▶ plan of `import` ──▶ steps
//!   held ───────────────────────────┘                                                                    + deletions
//! ```
//!
//! An object with a problem writes nothing and deletes nothing. A resource is deleted if an object of this cluster created it,
//! and that object was deleted or no longer declares it. A resource of an object that vanished without its finalizer is an orphan,
//! which stays: an empty list of objects must never empty a mesh.

use std::collections::{BTreeMap, BTreeSet};

use imports::{Desired, DesiredResource, Held, HeldResource, PlanOptions, Step, comparable, plan};
use mesh::name::{MeshName, ResourcePath};
use mesh::resource::Tags;

use crate::cluster::ClusterObjects;
use crate::declared::Declarations;
use crate::deletions::{Deletions, deletions};
use crate::object::{Object, ObjectKey};
use crate::owner::{ADOPT_ANNOTATION, ClusterName, OWNER_TAG, Owner, has_resource};
use crate::problem::{Problem, ProblemCode};
use crate::reconciliation::{OwnedStep, Reconciliation};
use crate::weights::{WEIGHTS_TAG, digest, with_held_weights};

/// The meshes that the objects of a cluster have resources in. `held` must have the resources of all of them.
#[must_use]
pub fn meshes(cluster: &ClusterObjects, declarations: &Declarations) -> BTreeSet<MeshName> {
    let mut meshes = cluster.meshes_of_status();
    meshes.extend(declarations.read.values().map(|path| path.mesh().clone()));
    meshes
}

/// Plans the writes for the objects of a cluster.
#[must_use]
pub fn reconcile(
    cluster: &ClusterObjects,
    declarations: &Declarations,
    held: &Held,
    name: &ClusterName,
) -> Reconciliation {
    let mut result = Reconciliation { problems: declarations.problems.clone(), ..Reconciliation::default() };
    for (path, resource) in &declarations.resources {
        let Some(object) = declarations.owners.get(path).and_then(|key| cluster.objects.get(key)) else { continue };
        match wanted(path, resource, object, held.get(path), (cluster, name)) {
            Ok(wanted) => {
                result.desired.insert(path.clone(), wanted);
                result.owners.insert(path.clone(), object.key.clone());
            }
            Err(problem) => result.problems.entry(object.key.clone()).or_default().push(problem),
        }
    }
    result.drop_refused();
    let steps = result.planned(held);
    result.finalizers = finalizers(cluster, &result.owners);
    let Deletions { steps: deletions, blocked, orphans, owned } = deletions(cluster, &result, &steps, held, name);
    for (key, problem) in blocked {
        result.problems.entry(key).or_default().push(problem);
    }
    let owned_step = |step: Step| Some(OwnedStep { owner: result.owners.get(step.path())?.clone(), step });
    result.steps = steps.into_iter().filter_map(owned_step).chain(deletions).collect();
    result.orphans = orphans;
    let is_released = |object: &&Object| object.is_deleted && object.has_finalizer() && !owned.contains(&object.key);
    result.released = cluster.objects.values().filter(is_released).map(|object| object.key.clone()).collect();
    result
}

impl Reconciliation {
    /// Removes the resources of objects with a problem.
    fn drop_refused(&mut self) {
        let (problems, owners) = (&self.problems, &self.owners);
        let is_refused = |path: &ResourcePath| owners.get(path).is_some_and(|key| problems.contains_key(key));
        self.desired.retain(|path, _| !is_refused(path));
        let desired = &self.desired;
        self.owners.retain(|path, _| desired.contains_key(path));
    }

    /// The creations and changes. An object that the plan refuses gets a problem, and the rest is planned again.
    fn planned(&mut self, held: &Held) -> Vec<Step> {
        loop {
            let desired = Desired { resources: self.desired.clone(), skipped: Vec::new() };
            let refusals = match plan(&desired, held, PlanOptions::default()) {
                Ok(plan) => return plan.steps,
                Err(refusals) => refusals,
            };
            for refusal in refusals {
                let message = refusal.problems.join("; ").replace(" and is not in the files", "");
                match self.owners.get(&refusal.resource) {
                    Some(key) => {
                        let problem = Problem::new(ProblemCode::NotWritable, "", message);
                        self.problems.entry(key.clone()).or_default().push(problem);
                    }
                    None => self.refuse_mesh(refusal.resource.mesh()),
                }
            }
            self.drop_refused();
        }
    }

    /// Refuses all objects of a mesh that does not exist, because its own object has a problem or none exists.
    fn refuse_mesh(&mut self, mesh: &MeshName) {
        let message = format!("the mesh `{mesh}` does not exist in App Mesh; see the conditions of its Mesh");
        for (path, key) in &self.owners {
            if path.mesh() == mesh {
                let problem = Problem::new(ProblemCode::NotWritable, "spec.meshRef", message.clone());
                let problems = self.problems.entry(key.clone()).or_default();
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
    }
}

/// The resource as it should be: with the tags of its object, unless another client created an equal one.
fn wanted(
    path: &ResourcePath,
    resource: &DesiredResource,
    object: &Object,
    held: Option<&HeldResource>,
    (cluster, name): (&ClusterObjects, &ClusterName),
) -> Result<DesiredResource, Problem> {
    let mut wanted = resource.clone();
    let mut tags = vec![(OWNER_TAG.to_owned(), name.owner_of(&object.key))];
    tags.extend(digest(&resource.spec).map(|digest| (WEIGHTS_TAG.to_owned(), digest)));
    // Two short tags are always valid.
    wanted.tags = Tags::read(tags).ok();
    let Some(held) = held else { return Ok(wanted) };
    let owner = name.owner(&held.tags, cluster.objects.keys());
    if owner.is(&object.key) {
        if let Some(spec) = with_held_weights(path, &resource.spec, held) {
            wanted.spec = spec;
        }
        return Ok(wanted);
    }
    let adopts = object.annotations.get(ADOPT_ANNOTATION).is_some_and(|value| value == "true");
    let other = match owner {
        Owner::None | Owner::Absent(_) if adopts => return Ok(wanted),
        Owner::Object(_) | Owner::None | Owner::Absent(_) | Owner::OtherCluster(_)
            if comparable(&held.spec) == comparable(&resource.spec) =>
        {
            wanted.tags = None;
            return Ok(wanted);
        }
        Owner::None => {
            "no object created it; to take it over, set the annotation `meshwarden.io/adopt: \"true\"`".to_owned()
        }
        Owner::Absent(value) => format!(
            "`{value}` created it, which no longer exists; to take it over, set the annotation `meshwarden.io/adopt: \"true\"`"
        ),
        Owner::Object(key) => format!("{key} created it; delete that object, or set another `spec.awsName`"),
        Owner::OtherCluster(value) => {
            format!("`{value}` created it; make the objects equal, or set another `spec.awsName`")
        }
    };
    let message = format!("App Mesh has a different {path}: {other}");
    Err(Problem::new(ProblemCode::NotOwned, "spec.awsName", message))
}

/// The objects with resources that need the finalizer.
fn finalizers(cluster: &ClusterObjects, owners: &BTreeMap<ResourcePath, ObjectKey>) -> Vec<ObjectKey> {
    let keys: BTreeSet<&ObjectKey> = owners.values().collect();
    let lacks = |key: &&ObjectKey| {
        has_resource(key.kind) && cluster.objects.get(key).is_some_and(|object| !object.has_finalizer())
    };
    keys.into_iter().filter(lacks).cloned().collect()
}

#[cfg(test)]
mod tests;
