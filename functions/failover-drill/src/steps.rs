//! Executes one write of a route: its weights, and its restore tag next to them.

use std::collections::BTreeMap;
use std::time::Duration;

use decisions::failover::{LayerWrite, RESTORE_TAG, TagChange};
use futures::future::join;
use mesh::change::Change;
use mesh::name::RouteId;
use mesh::resource::RouteData;
use ports::{PortError, PortErrorKind, RouteWrite, RouteWriter, Written};
use runner::FailureRun;

/// How long the tag may delay the end of a change. It is a second copy of the restore point.
const TAG_WITHIN: Duration = Duration::from_secs(1);

/// The result of a write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteWritten {
    /// The result; `None` if the weights were in place.
    pub(crate) written: Option<Written>,
    /// Whether the restore tag is as planned.
    pub(crate) is_tagged: bool,
}

/// Writes the weights, with the version that was read, and the tag. A tag that cannot be written does not fail the step.
pub(crate) async fn write(
    routes: &dyn RouteWriter,
    failures: &FailureRun,
    id: &RouteId,
    route: &RouteData,
    version: u64,
    write: &LayerWrite,
) -> Result<RouteWritten, PortError> {
    let arn = route.metadata.arn.to_string();
    let set = async {
        match &write.tag {
            TagChange::Set(value) => {
                let tags = BTreeMap::from([(RESTORE_TAG.to_owned(), value.clone())]);
                in_time(id, failures, routes.tag(&arn, &tags)).await
            }
            TagChange::Keep | TagChange::Clear => true,
        }
    };
    let (written, is_set) = join(weights(routes, id, route, version, write), set).await;
    let written = written?;
    let is_done = match written {
        None | Some(Written::Applied { .. } | Written::Overwrote { .. }) => true,
        Some(Written::Superseded) => false,
    };
    // The tag goes after the weights: without it, a lost table could not restore them.
    let is_cleared = match &write.tag {
        TagChange::Clear if is_done => in_time(id, failures, routes.untag(&arn, &[RESTORE_TAG.to_owned()])).await,
        TagChange::Clear | TagChange::Keep | TagChange::Set(_) => true,
    };
    Ok(RouteWritten { written, is_tagged: is_set && is_cleared })
}

async fn weights(
    routes: &dyn RouteWriter,
    id: &RouteId,
    route: &RouteData,
    version: u64,
    write: &LayerWrite,
) -> Result<Option<Written>, PortError> {
    if write.from == write.to {
        return Ok(None);
    }
    let change = Change::SetRouteWeights { route: id.clone(), split: write.to.clone() };
    let mut spec = route.spec.clone();
    let invalid = |error| PortError::new(format!("change route {id}"), PortErrorKind::Other, error);
    change.apply_to_spec(&mut spec).map_err(|error| invalid(error.to_string()))?;
    let metadata = &route.metadata;
    let is_shared = metadata.mesh_owner != metadata.resource_owner;
    let write = RouteWrite {
        route: id.clone(),
        mesh_owner: is_shared.then(|| metadata.mesh_owner.clone()),
        spec,
        if_version: version,
        client_token: write.plan.clone(),
    };
    routes.update_route(&write).await.map(Some)
}

/// Whether a tag was written in time. Later runs of route-failover write it again.
async fn in_time(id: &RouteId, failures: &FailureRun, call: impl Future<Output = Result<(), PortError>>) -> bool {
    let target = format!("restore tag of {id}");
    match tokio::time::timeout(TAG_WITHIN, call).await {
        Ok(Ok(())) => {
            failures.succeeded(&target);
            true
        }
        Ok(Err(error)) => {
            failures.failed(&target, &error);
            tracing::warn!(%error, route = %id, "failed to write restore tag");
            false
        }
        Err(_) => {
            tracing::warn!(route = %id, "failed to write restore tag in time");
            false
        }
    }
}
