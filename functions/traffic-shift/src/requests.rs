//! Stores requested rollouts: first in the index, then as a document. The same request again is the same rollout.

use jiff::Timestamp;
use mesh::name::{ResourceKind, ResourcePath, RouteId};
use mesh::resource::Resource;
use mesh::spec::VirtualServiceProvider;
use policy::RouteSelection;
use ports::{BudgetWindow, Note, PortError, PortErrorKind, StateKey, StateStore};
use records::{read_record, write_record};
use rollouts::{CommandKind, RolloutRecord, command, resolve};
use runner::Run;

use crate::Ports;
use crate::index::{self, StoredIndex};
use crate::trigger::{RequestedRollout, Trigger};

/// The requester of a rollout that the policy declares.
const POLICY: &str = "the policy";

/// Stores the requests of the trigger and of the policy. A failure repeats the delivery; the policy is read again by the
/// next run.
pub(crate) async fn store_requests(
    ports: &Ports,
    run: &Run<'_>,
    trigger: &Trigger,
    stored: &mut StoredIndex,
    window: &BudgetWindow,
) {
    let declared = run.policy().rollouts.declared.iter().map(|request| RequestedRollout {
        request: request.clone(),
        by: POLICY.to_owned(),
        at: None,
        requested_by: runner::RequestedBy::default(),
    });
    for requested in trigger.requests.iter().cloned().chain(declared) {
        let name = format!("{}/{}", requested.request.mesh, requested.request.id_or_digest());
        let target = format!("request of rollout {name}");
        match store_request(ports, run, &requested, &name, stored, window).await {
            Ok(()) => run.failures().succeeded(&target),
            Err(error) => {
                run.failures().failed(&target, &error);
                run.unread(&runner::WorkItem { subject: target, requested_by: requested.requested_by }, &error);
            }
        }
    }
}

async fn store_request(
    ports: &Ports,
    run: &Run<'_>,
    requested: &RequestedRollout,
    name: &str,
    stored: &mut StoredIndex,
    window: &BudgetWindow,
) -> Result<(), PortError> {
    if stored.index.ended.contains_key(name) {
        return Ok(());
    }
    let request = &requested.request;
    let key = StateKey::rollout(&request.mesh, &request.id_or_digest());
    if stored.index.active.contains_key(name) {
        // A run that was killed may have added it to the index without its document.
        let view = ports.state.load(std::slice::from_ref(&key), window).await?;
        if view.documents.contains_key(&key) {
            return Ok(());
        }
    }
    let now = ports.clock.now();
    let routes = match &request.routes {
        RouteSelection::Routes(_) => Vec::new(),
        RouteSelection::Service(service) => {
            let service = ResourcePath::VirtualService(request.mesh.clone(), service.clone());
            routes_of_service(ports, &service).await?
        }
    };
    let rollout = resolve(request, &routes, &run.policy().rollouts);
    let record = RolloutRecord::new(rollout, &requested.by, requested.at.unwrap_or(now).min(now));
    index::change(ports.state.as_ref(), window, stored, now, |index| index.add(name, now)).await?;
    let note = Note { key, revision: 0, now, document: write_record(&record), journal: None };
    // If another run was first, it stored the same rollout.
    ports.state.note(&note).await.map(drop)
}

/// The routes of the router that provides a virtual service; none if it has no router.
async fn routes_of_service(ports: &Ports, service: &ResourcePath) -> Result<Vec<RouteId>, PortError> {
    let Resource::VirtualService(data) = ports.meshes.describe(service).await? else {
        return Err(PortError::new(format!("describe {service}"), PortErrorKind::Other, "the answer has another kind"));
    };
    let Some(VirtualServiceProvider::VirtualRouter(provider)) = &data.spec.provider else { return Ok(Vec::new()) };
    let router = ResourcePath::VirtualRouter(service.mesh().clone(), provider.virtual_router_name.clone());
    let listed = ports.meshes.list(&router, ResourceKind::Route).await?.into_iter();
    Ok(listed
        .filter_map(|found| match found.path {
            ResourcePath::Route(id) => Some(id),
            _ => None,
        })
        .collect())
}

/// Reads the record of a rollout; `None` without one.
pub(crate) fn stored_record(
    key: &StateKey,
    view: &ports::StateView,
) -> Result<Option<RolloutRecord>, records::DocumentError> {
    view.documents.get(key).map(|stored| read_record(key, &stored.document)).transpose()
}

/// Stores the command to abort a rollout, unless it has ended. If another run is first, the next run repeats it.
pub(crate) async fn abort(
    state: &dyn StateStore,
    key: &StateKey,
    by: &str,
    now: Timestamp,
    window: &BudgetWindow,
) -> Result<(), PortError> {
    let view = state.load(std::slice::from_ref(key), window).await?;
    let unreadable = |error: records::DocumentError| {
        PortError::new(format!("read {}", key.as_str()), PortErrorKind::Other, error.to_string())
    };
    let Some(record) = stored_record(key, &view).map_err(unreadable)? else { return Ok(()) };
    let Ok(record) = command(&record, CommandKind::Abort, by, now) else { return Ok(()) };
    let revision = view.documents.get(key).map_or(0, |stored| stored.revision);
    let note = Note { key: key.clone(), revision, now, document: write_record(&record), journal: None };
    state.note(&note).await.map(drop)
}
