//! The App Mesh API, as any client uses it.

use std::collections::BTreeSet;

use imports::{Held, HeldResource, Step, comparable};
use kubernetes::{Problem, ProblemCode};
use mesh::name::MeshName;
use mesh::spec::Spec;
use ports::{
    CreationOutcome, DeletionOutcome, MeshReader, Pace, PortError, PortErrorKind, ResourceCreation, ResourceDeletion,
    ResourceUpdate, ResourceWriter, Written, survey,
};

/// The concurrent calls at the start of a survey, and the most.
const CONCURRENT: (usize, usize) = (4, 16);

/// Reads meshes and writes resources of every kind.
pub trait MeshApi: MeshReader + ResourceWriter {}

impl<T: MeshReader + ResourceWriter> MeshApi for T {}

/// The resources of those of the meshes that exist; of all meshes with `None`.
pub(super) async fn held(api: &dyn MeshApi, meshes: Option<&BTreeSet<MeshName>>) -> Result<Held, PortError> {
    let existing: BTreeSet<MeshName> = api.meshes().await?.into_iter().map(|found| found.path.mesh().clone()).collect();
    let mut held = Held::new();
    for mesh in existing.iter().filter(|mesh| meshes.is_none_or(|meshes| meshes.contains(*mesh))) {
        let survey = match survey(api, mesh, &mut Pace::new(CONCURRENT.0, CONCURRENT.1)).await {
            Ok(survey) => survey,
            // The mesh was deleted after the list.
            Err(error) if error.kind == PortErrorKind::NotFound => continue,
            // This caller could not have created resources there either.
            Err(error) if error.kind == PortErrorKind::Denied && meshes.is_none() => continue,
            Err(error) => return Err(error),
        };
        if let Some((_, error)) = survey.unread.into_iter().chain(survey.unread_tags).next() {
            return Err(error);
        }
        let resources = survey.resources.into_iter();
        held.extend(
            resources.map(|(path, found)| (path, HeldResource::new(found.resource, found.tags.unwrap_or_default()))),
        );
    }
    Ok(held)
}

/// A step that failed.
#[derive(Debug)]
pub(super) struct StepFailure {
    pub(super) problem: Problem,
    /// Whether the following steps would fail as well.
    pub(super) stops: bool,
}

/// Executes one step.
pub(super) async fn execute(api: &dyn MeshApi, step: &Step) -> Result<(), StepFailure> {
    let client_token = step.client_token();
    match step {
        Step::Create { path, spec, tags } => {
            let (path, spec, tags) = (path.clone(), spec.clone(), tags.clone());
            let write = ResourceCreation { path, spec, tags, client_token };
            match api.create_resource(&write).await.map_err(|error| failed(&error))? {
                CreationOutcome::Created => Ok(()),
                CreationOutcome::AlreadyExists => in_place(api, step, &write.spec).await,
            }
        }
        Step::Update { path, spec, if_version, .. } => {
            let write =
                ResourceUpdate { path: path.clone(), spec: spec.clone(), if_version: *if_version, client_token };
            match api.update_resource(&write).await.map_err(|error| failed(&error))? {
                Written::Applied { .. } => Ok(()),
                Written::Overwrote { .. } => {
                    tracing::error!(resource = %path, "server ignores versions; write replaced a concurrent change");
                    Ok(())
                }
                Written::Superseded => in_place(api, step, spec).await,
            }
        }
        Step::Tag { arn, set, remove, .. } => {
            if !set.is_empty() {
                api.tag(arn, set).await.map_err(|error| failed(&error))?;
            }
            if !remove.is_empty() {
                api.untag(arn, remove).await.map_err(|error| failed(&error))?;
            }
            Ok(())
        }
        Step::Delete { path, if_version } => {
            let write = ResourceDeletion { path: path.clone(), if_version: *if_version };
            match api.delete_resource(&write).await.map_err(|error| failed(&error))? {
                DeletionOutcome::Deleted | DeletionOutcome::AlreadyDeleted => Ok(()),
                DeletionOutcome::Superseded => Err(superseded(step)),
            }
        }
    }
}

/// Passes if the resource already has the spec, for example because the answer to an earlier write was lost.
async fn in_place(api: &dyn MeshApi, step: &Step, spec: &Spec) -> Result<(), StepFailure> {
    match api.describe(step.path()).await {
        Ok(found) if comparable(&found.clone().into_spec()) == comparable(spec) => Ok(()),
        Ok(_) => Err(superseded(step)),
        Err(error) if error.kind == PortErrorKind::NotFound => Err(superseded(step)),
        Err(error) => Err(failed(&error)),
    }
}

fn superseded(step: &Step) -> StepFailure {
    let message = format!("another client changed {} at the same time; the {} is repeated", step.path(), step.verb());
    StepFailure { problem: Problem::new(ProblemCode::Superseded, "", message), stops: false }
}

fn failed(error: &PortError) -> StepFailure {
    let (code, stops) = match error.kind {
        PortErrorKind::Throttled | PortErrorKind::Unavailable | PortErrorKind::TimedOut | PortErrorKind::Expired => {
            (ProblemCode::ApiUnavailable, true)
        }
        PortErrorKind::Conflict | PortErrorKind::NotFound => (ProblemCode::Superseded, false),
        PortErrorKind::Denied => (ProblemCode::AccessDenied, false),
        PortErrorKind::Other => (ProblemCode::WriteRefused, false),
    };
    StepFailure { problem: Problem::new(code, "", error.to_string()), stops }
}
