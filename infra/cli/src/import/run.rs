//! One import: read, plan, check, write, compare.

use std::collections::BTreeSet;

use imports::{Desired, PlanOptions, carried_over, effects, plan};
use jiff::Timestamp;
use mesh::name::{MeshName, ResourcePath};
use policy::Policy;

use super::api::{MeshApi, held};
use super::error::ImportError;
use super::execute::execute;
use super::report::ImportReport;

/// The reason why deletions are not confirmed; `None` if they are.
pub(crate) type Confirmation = Result<Option<String>, ImportError>;

/// A request to bring resources into the API.
pub(crate) struct ImportRequest<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) options: PlanOptions,
    pub(crate) policy: &'a Policy,
    pub(crate) now: Timestamp,
    /// Whether the plan is only shown.
    pub(crate) dry_run: bool,
    /// Whether calls may be cut.
    pub(crate) allow_cuts: bool,
    /// Confirms deletions.
    pub(crate) confirm: &'a dyn Fn(&[&ResourcePath]) -> Confirmation,
    /// Receives the number of finished steps and of all steps.
    pub(crate) progress: &'a (dyn Fn(usize, usize) + Sync),
    /// The command that completes a failed import.
    pub(crate) continue_with: String,
}

/// Runs an import.
pub(crate) async fn run(api: &dyn MeshApi, request: &ImportRequest<'_>) -> Result<ImportReport, ImportError> {
    let ImportRequest { desired, options, policy, now, .. } = request;
    let meshes: BTreeSet<MeshName> = desired.resources.keys().map(|path| path.mesh().clone()).collect();
    let before = held(api, &meshes).await?;
    let plan = plan(desired, &before, *options).map_err(ImportError::Plan)?;
    let effects = effects(&plan, &before, policy, *now);
    let mut report =
        ImportReport { plan, effects, execution: None, refusal: None, carried_over: Vec::new(), continue_with: None };
    if request.dry_run {
        return Ok(report);
    }
    if report.plan.is_empty() {
        report.carried_over = carried_over(desired, &before);
        return Ok(report);
    }
    if !report.effects.cuts.is_empty() && !request.allow_cuts {
        let reason = "calls that work now would fail; correct the files, or pass --allow-cuts";
        report.refusal = Some(reason.to_owned());
        return Ok(report);
    }
    let deleted: Vec<&ResourcePath> = report.plan.deleted().collect();
    if !deleted.is_empty()
        && let Some(reason) = (request.confirm)(&deleted)?
    {
        report.refusal = Some(reason);
        return Ok(report);
    }
    let all = report.plan.steps.len();
    let execution = execute(api, &report.plan, &|done| (request.progress)(done, all)).await;
    if execution.failure.is_some() {
        report.continue_with = Some(request.continue_with.clone());
        report.execution = Some(execution);
        return Ok(report);
    }
    report.execution = Some(execution);
    report.carried_over = carried_over(desired, &held(api, &meshes).await?);
    Ok(report)
}
