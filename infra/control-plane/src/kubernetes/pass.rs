//! One pass: the objects and App Mesh are read, and each difference is written.
//!
//! ```text
//!   objects ─┬─▶ reconcile ──▶ finalizers ──▶ steps, one after another ──▶ App Mesh again ──▶ statuses ──▶ released finalizers
//!   held ────┘                                 a failed step is the reason of a condition
//! ```
//!
//! Each write is conditional, on the version of the resource or of the object. A process that ends between any two writes is
//! continued by the next pass, which reads everything again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kubernetes::{
    ClusterName, ClusterObjects, Declarations, Object, ObjectKey, OwnedStep, Problem, RESOURCES_FINALIZER, meshes,
    reconcile, statuses,
};
use serde_json::{Map, Value, json};

use super::client::{KubeClient, KubeError, chain};
use super::lease::Leadership;
use super::mesh_api::{MeshApi, execute, held};
use super::metrics::KubernetesMetrics;

/// What a pass needs.
#[derive(Debug, Clone)]
pub(super) struct PassContext {
    pub(super) api: Arc<dyn MeshApi>,
    pub(super) kube: Arc<KubeClient>,
    pub(super) name: ClusterName,
    pub(super) leadership: Leadership,
    pub(super) metrics: KubernetesMetrics,
}

/// The result of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassOutcome {
    /// App Mesh is as the objects declare it, or the conditions have the reasons.
    Complete,
    /// A request failed, and the pass is repeated soon.
    Failed,
}

/// Runs one pass over these objects.
pub(super) async fn pass(context: &PassContext, mut cluster: ClusterObjects) -> PassOutcome {
    let declarations = Declarations::new(&cluster);
    let meshes = meshes(&cluster, &declarations);
    let wanted = (!cluster.needs_all_meshes()).then_some(&meshes);
    let mut resources = match held(&*context.api, wanted).await {
        Ok(resources) => resources,
        Err(error) => {
            tracing::warn!(reason = chain(&error), "failed to read meshes for Kubernetes objects");
            return PassOutcome::Failed;
        }
    };
    let plan = reconcile(&cluster, &declarations, &resources, &context.name);
    let mut is_complete = true;
    let mut skipped = BTreeSet::new();
    for key in &plan.finalizers {
        if !context.leadership.is_held() {
            return PassOutcome::Failed;
        }
        if let Err(error) = add_finalizer(context, &mut cluster, key).await {
            tracing::debug!(object = %key, reason = chain(&error), "failed to add finalizer");
            is_complete = false;
            skipped.insert(key.clone());
        }
    }
    let steps: Vec<&OwnedStep> = plan.steps.iter().filter(|step| !skipped.contains(&step.owner)).collect();
    let (failures, is_written) = write(context, &steps).await;
    is_complete &= failures.is_empty();
    if is_written {
        resources = match held(&*context.api, wanted).await {
            Ok(resources) => resources,
            Err(error) => {
                tracing::warn!(reason = chain(&error), "failed to read meshes after writes for Kubernetes objects");
                return PassOutcome::Failed;
            }
        };
    }
    let after = reconcile(&cluster, &declarations, &resources, &context.name);
    let changed = statuses(&cluster, &after, &resources, &failures, Timestamp::now());
    count(context, &cluster, &changed, after.orphans.len());
    for (key, status) in changed {
        let Some(object) = cluster.objects.get(&key).filter(|_| context.leadership.is_held()) else { continue };
        if let Err(error) = write_status(&context.kube, object, &status).await {
            // With a conflict the object changed, and its event starts the next pass.
            is_complete &= error.is(404) || error.is(409);
            tracing::debug!(object = %key, reason = chain(&error), "failed to write status");
        }
    }
    for key in &after.released {
        let Some(object) = cluster.objects.get(key).filter(|_| context.leadership.is_held()) else { continue };
        if let Err(error) = release(&context.kube, object).await {
            is_complete &= error.is(404) || error.is(409);
            tracing::debug!(object = %key, reason = chain(&error), "failed to remove finalizer");
        }
    }
    if is_complete { PassOutcome::Complete } else { PassOutcome::Failed }
}

/// Executes the steps. Returns the failures by object, and whether anything was sent.
async fn write(context: &PassContext, steps: &[&OwnedStep]) -> (BTreeMap<ObjectKey, Problem>, bool) {
    let mut failures: BTreeMap<ObjectKey, Problem> = BTreeMap::new();
    let mut is_written = false;
    for OwnedStep { owner, step } in steps.iter().copied() {
        // Later steps of an object depend on its earlier ones.
        if failures.contains_key(owner) {
            continue;
        }
        if !context.leadership.is_held() {
            break;
        }
        is_written = true;
        match execute(&*context.api, step).await {
            Ok(()) => {
                tracing::info!(object = %owner, resource = %step.path(), action = step.verb(), "resource written for Kubernetes object");
                context.metrics.written(step.verb(), "success");
            }
            Err(failure) => {
                context.metrics.written(step.verb(), "failure");
                let reason = failure.problem.to_string();
                tracing::warn!(object = %owner, resource = %step.path(), code = failure.problem.code.as_str(), reason, "failed to write resource for Kubernetes object");
                failures.insert(owner.clone(), failure.problem);
                if failure.stops {
                    break;
                }
            }
        }
    }
    (failures, is_written)
}

fn count(context: &PassContext, cluster: &ClusterObjects, changed: &BTreeMap<ObjectKey, Value>, orphans: usize) {
    let with_condition = cluster.objects.values().filter_map(|object| {
        let condition = object.key.kind.condition()?;
        let status = changed.get(&object.key).unwrap_or(&object.status);
        let conditions = status.get("conditions").and_then(Value::as_array)?;
        let found = conditions.iter().find(|one| one.get("type").and_then(Value::as_str) == Some(condition))?;
        Some(found.get("status").and_then(Value::as_str) == Some("True"))
    });
    let verdicts: Vec<bool> = with_condition.collect();
    let active = verdicts.iter().filter(|is_active| **is_active).count();
    context.metrics.objects(active, verdicts.len() - active, orphans);
}

fn path_of(object: &Object) -> String {
    let ObjectKey { kind, namespace, name } = &object.key;
    let namespace = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    format!("/apis/{}{namespace}/{}/{name}", kubernetes::API_VERSION, kind.plural())
}

async fn add_finalizer(context: &PassContext, cluster: &mut ClusterObjects, key: &ObjectKey) -> Result<(), KubeError> {
    let Some(object) = cluster.objects.get(key) else { return Ok(()) };
    let mut finalizers = object.finalizers.clone();
    finalizers.push(RESOURCES_FINALIZER.to_owned());
    let written = set_finalizers(&context.kube, object, &finalizers).await?;
    let changed = Object::from_json(key.kind, &written).map_err(|error| KubeError::Format(error.to_string()))?;
    if changed.generation != object.generation || changed.is_deleted {
        return Err(KubeError::Format("the object changed".to_owned()));
    }
    cluster.insert(changed);
    Ok(())
}

async fn release(kube: &KubeClient, object: &Object) -> Result<(), KubeError> {
    // The status that was written before this changed the version. A finalizer that another program adds meanwhile must not be
    // lost, so the object is read again.
    let current = kube.get(&path_of(object)).await?;
    let current = Object::from_json(object.key.kind, &current).map_err(|error| KubeError::Format(error.to_string()))?;
    if current.uid != object.uid {
        return Ok(());
    }
    set_finalizers(kube, &current, &current.other_finalizers()).await.map(drop)
}

async fn set_finalizers(kube: &KubeClient, object: &Object, finalizers: &[String]) -> Result<Value, KubeError> {
    let metadata = json!({"resourceVersion": object.resource_version, "finalizers": finalizers});
    kube.merge(&path_of(object), &json!({"metadata": metadata})).await
}

async fn write_status(kube: &KubeClient, object: &Object, status: &Value) -> Result<(), KubeError> {
    let mut members = status.as_object().cloned().unwrap_or_default();
    let before: Map<String, Value> = object.status.as_object().cloned().unwrap_or_default();
    // A merge patch removes the members that are null.
    for (member, _) in before.into_iter().filter(|(member, _)| status.get(member).is_none()) {
        members.insert(member, Value::Null);
    }
    let metadata = json!({"resourceVersion": object.resource_version});
    let (path, change) = (format!("{}/status", path_of(object)), json!({"metadata": metadata, "status": members}));
    kube.merge(&path, &change).await.map(drop)
}
