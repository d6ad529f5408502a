//! Validation of objects: what the API would refuse, and changes that would cut calls, before the object is stored.

use std::collections::BTreeMap;

use imports::Held;
use jiff::Timestamp;
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourcePath};
use mesh::spec::Spec;
use policy::Policy;
use rules::admission::judge_write;
use rules::pack::{Finding, Severity};
use serde_json::Value;

use super::mutate::{FIXED, read};
use super::review::{AdmissionVerdict, Operation, Review};
use crate::cluster::ClusterObjects;
use crate::declared::Declarations;
use crate::object::{Object, ObjectKind};
use crate::owner::ClusterName;
use crate::problem::{Problem, ProblemCode};
use crate::reconcile::reconcile;

/// What App Mesh has, to judge the effects of a change.
#[derive(Debug, Clone, Copy)]
pub struct HarmCheck<'a> {
    /// The resources of the meshes; `None` if App Mesh could not be read.
    pub held: Option<&'a Held>,
    /// The name of the cluster in tags.
    pub cluster_name: &'a ClusterName,
    /// The policy.
    pub policy: &'a Policy,
    /// The lowest severity of a finding that refuses a change; `None` for warnings only.
    pub refuses: Option<Severity>,
    /// The time, for waivers.
    pub now: Timestamp,
}

/// Validates an object.
#[must_use]
pub fn validate(review: &Review, cluster: &ClusterObjects, check: &HarmCheck<'_>) -> AdmissionVerdict {
    let Some(kind) = ObjectKind::from_name(&review.kind).filter(|_| review.subresource.is_empty()) else {
        return AdmissionVerdict::allowed();
    };
    match review.operation {
        Operation::Create | Operation::Update => {}
        Operation::Delete | Operation::Connect => return AdmissionVerdict::allowed(),
    }
    let object = match read(kind, review) {
        Ok(object) => object,
        Err(error) => return AdmissionVerdict::refused(error.to_string()),
    };
    let before = &review.old_object;
    // Finalizers, labels and annotations change without the spec, also on objects that are invalid by now.
    if review.operation == Operation::Update && (object.is_deleted || before.get("spec") == review.object.get("spec")) {
        return AdmissionVerdict::allowed();
    }
    let mut problems =
        if review.operation == Operation::Update { changed_members(&object, before) } else { Vec::new() };
    let mut around = cluster.clone();
    around.insert(object.clone());
    let declarations = Declarations::new(&around);
    let found = declarations.problems.get(&object.key).map(Vec::as_slice).unwrap_or_default();
    let (pending, wrong): (Vec<&Problem>, Vec<&Problem>) =
        found.iter().partition(|problem| problem.code.may_resolve_later());
    problems.extend(wrong.into_iter().map(ToString::to_string));
    let mut warnings: Vec<String> = pending.into_iter().map(ToString::to_string).collect();
    if problems.is_empty() {
        let (refusing, others) = effects(&object, &around, &declarations, check);
        problems.extend(refusing);
        warnings.extend(others);
    }
    if problems.is_empty() {
        AdmissionVerdict::Allowed { patch: Vec::new(), warnings }
    } else {
        problems.dedup();
        AdmissionVerdict::Refused { problems }
    }
}

/// The changed members among the fixed ones.
fn changed_members(object: &Object, before: &Value) -> Vec<String> {
    let changed = FIXED.iter().filter_map(|name| {
        let was = before.get("spec")?.get(name).filter(|value| !value.is_null() && *value != "")?;
        let is = object.spec.get(name).unwrap_or(&Value::Null);
        (was != is).then(|| {
            format!("spec.{name}: must not change from {was} to {is}; delete the object and create another one")
        })
    });
    changed.collect()
}

/// The findings that the writes for an object would create: the refusing ones, and the others.
fn effects(
    object: &Object,
    cluster: &ClusterObjects,
    declarations: &Declarations,
    check: &HarmCheck<'_>,
) -> (Vec<String>, Vec<String>) {
    let Some(held) = check.held else {
        let warning = "App Mesh cannot be read now, so the effects of the change on traffic are unknown".to_owned();
        return (Vec::new(), vec![warning]);
    };
    let plan = reconcile(cluster, declarations, held, check.cluster_name);
    let mut meshes = graphs(held);
    let (mut refusing, mut others) = (Vec::new(), Vec::new());
    for problem in plan.problems.get(&object.key).into_iter().flatten() {
        match problem.code {
            ProblemCode::NotWritable => {
                let broken = broken(object, declarations, &meshes);
                if broken.is_empty() {
                    others.push(problem.to_string());
                }
                refusing.extend(broken);
            }
            ProblemCode::NotOwned => others.push(problem.to_string()),
            ProblemCode::InvalidSpec
            | ProblemCode::MeshNotSelected
            | ProblemCode::MeshAmbiguous
            | ProblemCode::MeshNotFound
            | ProblemCode::MeshReplaced
            | ProblemCode::GatewayNotSelected
            | ProblemCode::GatewayAmbiguous
            | ProblemCode::ReferenceNotFound
            | ProblemCode::NameConflict
            | ProblemCode::WriteRefused
            | ProblemCode::AccessDenied
            | ProblemCode::ApiUnavailable
            | ProblemCode::Superseded
            | ProblemCode::Pending
            | ProblemCode::InUse => {}
        }
    }
    for step in plan.steps.iter().filter(|step| step.owner == object.key).map(|step| &step.step) {
        let path = step.path();
        let before = meshes.entry(path.mesh().clone()).or_insert_with(|| Mesh::new(path.mesh().clone()));
        let mut after = before.clone();
        match step {
            imports::Step::Create { spec, .. } | imports::Step::Update { spec, .. } => insert(&mut after, path, spec),
            imports::Step::Delete { .. } => after.remove(path),
            imports::Step::Tag { .. } => continue,
        }
        let verdict = judge_write(before, &after, path, check.policy, check.now, check.refuses);
        others.extend(verdict.created.iter().filter(|one| !verdict.refusing.contains(one)).map(text));
        refusing.extend(
            verdict.refusing.iter().map(|finding| {
                format!("{}; change the spec, or add a waiver for the rule to the policy", text(finding))
            }),
        );
        *before = after;
    }
    (refusing, others)
}

/// The reasons why the API would refuse the specs of an object, because they break resources that use it.
fn broken(object: &Object, declarations: &Declarations, meshes: &BTreeMap<MeshName, Mesh>) -> Vec<String> {
    let own = declarations.owners.iter().filter(|(_, owner)| **owner == object.key).map(|(path, _)| path);
    let specs = own.filter_map(|path| Some((path, meshes.get(path.mesh())?, &declarations.resources.get(path)?.spec)));
    let problems = specs.flat_map(|(path, mesh, spec)| {
        let problems = mesh::validate::broken_by(mesh, path, spec);
        problems
            .into_iter()
            .map(|problem| format!("{problem}; change the resources that use it first"))
            .collect::<Vec<_>>()
    });
    problems.collect()
}

fn text(finding: &Finding) -> String {
    format!("{}: {}: {}", finding.resource, finding.rule.as_str(), finding.message)
}

fn graphs(held: &Held) -> BTreeMap<MeshName, Mesh> {
    let mut meshes: BTreeMap<MeshName, Mesh> = BTreeMap::new();
    for (path, resource) in held {
        let mesh = meshes.entry(path.mesh().clone()).or_insert_with(|| Mesh::new(path.mesh().clone()));
        insert(mesh, path, &resource.spec);
        mesh.set_tags(path.clone(), resource.tags.clone());
    }
    meshes
}

fn insert(mesh: &mut Mesh, path: &ResourcePath, spec: &Spec) {
    // The mesh is the path's mesh and the spec has the kind of the path, so the insertion cannot fail.
    drop(mesh.insert(path.clone(), spec.clone()));
}
