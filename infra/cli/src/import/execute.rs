//! Executes a plan, step by step.

use imports::{Plan, Step, comparable};
use mesh::resource::Tags;
use mesh::spec::Spec;
use ports::{
    CreationOutcome, DeletionOutcome, PortError, PortErrorKind, ResourceCreation, ResourceDeletion, ResourceUpdate,
    Written,
};
use serde::Serialize;

use super::api::MeshApi;

/// The outcomes of the executed steps, in the order of the plan.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Execution {
    /// The outcomes of the steps that succeeded.
    pub(crate) done: Vec<StepOutcome>,
    /// The reason why the step after them failed; `None` if all steps succeeded.
    pub(crate) failure: Option<String>,
}

/// The outcome of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StepOutcome {
    /// It was written.
    Applied,
    /// Another write had the same result before.
    AlreadyInPlace,
    /// The server does not compare versions, and the write replaced a change of another writer.
    Overwrote,
}

/// Executes the steps until one fails. `progress` receives the number of finished steps.
pub(crate) async fn execute(api: &dyn MeshApi, plan: &Plan, progress: &(dyn Fn(usize) + Sync)) -> Execution {
    let mut execution = Execution::default();
    for step in &plan.steps {
        match execute_step(api, step).await {
            Ok(outcome) => execution.done.push(outcome),
            Err(failure) => {
                execution.failure = Some(failure);
                break;
            }
        }
        progress(execution.done.len());
    }
    execution
}

async fn execute_step(api: &dyn MeshApi, step: &Step) -> Result<StepOutcome, String> {
    let failed = |error: PortError| error.to_string();
    let client_token = step.client_token();
    match step {
        Step::Create { path, spec, tags } => {
            let (path, spec, tags) = (path.clone(), spec.clone(), tags.clone());
            let write = ResourceCreation { path, spec, tags, client_token };
            match api.create_resource(&write).await.map_err(failed)? {
                CreationOutcome::Created => Ok(StepOutcome::Applied),
                CreationOutcome::AlreadyExists => {
                    let tags = Tags::read(write.tags.clone()).unwrap_or_default();
                    in_place(api, step, &write.spec, &tags).await
                }
            }
        }
        Step::Update { path, spec, if_version, .. } => {
            let write =
                ResourceUpdate { path: path.clone(), spec: spec.clone(), if_version: *if_version, client_token };
            match api.update_resource(&write).await.map_err(failed)? {
                Written::Applied { .. } => Ok(StepOutcome::Applied),
                Written::Overwrote { .. } => Ok(StepOutcome::Overwrote),
                Written::Superseded => in_place(api, step, spec, &Tags::default()).await,
            }
        }
        Step::Tag { arn, set, remove, .. } => {
            if !set.is_empty() {
                api.tag(arn, set).await.map_err(failed)?;
            }
            if !remove.is_empty() {
                api.untag(arn, remove).await.map_err(failed)?;
            }
            Ok(StepOutcome::Applied)
        }
        Step::Delete { path, if_version } => {
            let write = ResourceDeletion { path: path.clone(), if_version: *if_version };
            match api.delete_resource(&write).await.map_err(failed)? {
                DeletionOutcome::Deleted => Ok(StepOutcome::Applied),
                DeletionOutcome::AlreadyDeleted => Ok(StepOutcome::AlreadyInPlace),
                DeletionOutcome::Superseded => Err(changed(step)),
            }
        }
    }
}

/// Passes if another writer made the same change.
async fn in_place(api: &dyn MeshApi, step: &Step, spec: &Spec, tags: &Tags) -> Result<StepOutcome, String> {
    let found = match api.describe_with_tags(step.path()).await {
        Ok(found) => found,
        Err(error) if error.kind == PortErrorKind::NotFound => return Err(changed(step)),
        Err(error) => return Err(error.to_string()),
    };
    let held = found.tags.map_err(|error| error.to_string())?;
    let has_tags = tags.iter().all(|(key, value)| held.value(key) == Some(value));
    if comparable(&found.resource.into_spec()) == comparable(spec) && has_tags {
        Ok(StepOutcome::AlreadyInPlace)
    } else {
        Err(changed(step))
    }
}

fn changed(step: &Step) -> String {
    format!("failed to {} {}: another writer changed it after it was read", step.verb(), step.path())
}
