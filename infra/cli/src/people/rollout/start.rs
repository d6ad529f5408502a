//! Stores a requested rollout: first in the index, then as a document. The same request again is the same rollout.

use std::io::Read as _;
use std::path::Path;

use mesh::name::{ResourceKind, ResourcePath, RouteId};
use mesh::resource::Resource;
use mesh::spec::VirtualServiceProvider;
use policy::{RolloutId, RolloutRequest, RouteSelection};
use ports::{JournalEntry, Note, StateKey, StoreOutcome};
use records::{Layout, write_record};
use rollouts::{RolloutRecord, resolve};
use serde_json::json;

use super::super::args::StartArgs;
use super::super::desk::{Desk, Said};
use super::super::error::Trouble;
use super::RolloutError;
use super::find::{FUNCTION, Found, index, read};

/// The attempts to add the rollout to the index.
const ATTEMPTS: usize = 4;

/// Stores the request. Returns the output and the rollout.
pub(super) async fn start(desk: &Desk<'_>, args: &StartArgs) -> Result<(String, Found), Trouble> {
    let file = args.file.display().to_string();
    let text = content(&args.file)?;
    let mut request = RolloutRequest::read(&text).map_err(|source| RolloutError::Request { file, source })?;
    let first = request.id_or_digest();
    for number in 2_u32.. {
        let id = request.id_or_digest();
        let view = desk.load(&[StateKey::rollout(&request.mesh, &id)]).await?;
        match read(&view, request.mesh.clone(), id.clone())? {
            None => break,
            Some(found) if !found.is_ended() => {
                return Ok((format!("rollout {id} is {} already\n", found.record.state.name()), found));
            }
            Some(found) if !args.retry => {
                return Err(RolloutError::Ended { id, state: found.record.state.name() }.into());
            }
            // A final rollout never restarts: the next attempt has a new id.
            Some(_) => request.id = RolloutId::parse(&format!("{first}.{number}")).ok(),
        }
    }
    let id = request.id_or_digest();
    let routes = service_routes(desk, &request).await?;
    let rollout = resolve(&request, &routes, &desk.policy.rollouts);
    let now = desk.now();
    let mut record = RolloutRecord::new(rollout, &desk.by, now);
    record.rollout.id = id.clone();
    let names: Vec<String> = record.rollout.routes.iter().map(ToString::to_string).collect();
    let moves: Vec<String> = record.rollout.moves.iter().map(|pair| format!("{} to {}", pair.from, pair.to)).collect();
    desk.confirm(&format!("Start rollout {id} from {} on {}?", moves.join(", "), names.join(", ")))?;
    add_to_index(desk, &format!("{}/{id}", request.mesh)).await?;
    let key = StateKey::rollout(&request.mesh, &id);
    let text = format!("{} requests the rollout", desk.by);
    let said = Said {
        command: "rollout start",
        by: &desk.by,
        code: "RolloutRequested",
        facts: json!({ "moves": record.rollout.moves, "routes": names }),
        text: &text,
        plan: None,
    };
    let entry = JournalEntry::new(now, "0-RolloutRequested", &said.body(&record.subject()), Layout::Flat);
    let note = Note { key, revision: 0, now, document: write_record(&record), journal: Some(entry) };
    if desk.ports.state.note(&note).await? == StoreOutcome::Overtaken {
        return Err(RolloutError::Overtaken { id }.into());
    }
    let text = format!(
        "rollout {id} is requested; traffic-shift begins with its next run, within a minute\n\
         To see it, run: meshwarden rollout status {id}\n"
    );
    Ok((text, Found { mesh: request.mesh, id, record, revision: 1 }))
}

async fn add_to_index(desk: &Desk<'_>, name: &str) -> Result<(), Trouble> {
    for _ in 0..ATTEMPTS {
        let (mut rollouts, revision) = index(desk).await?;
        let now = desk.now();
        rollouts.add(name, now);
        let note =
            Note { key: StateKey::meshes(FUNCTION), revision, now, document: write_record(&rollouts), journal: None };
        if desk.ports.state.note(&note).await? == StoreOutcome::Stored {
            return Ok(());
        }
    }
    let why = "other programs changed it in every attempt";
    Err(ports::PortError::new("add to the index of rollouts", ports::PortErrorKind::Conflict, why).into())
}

/// The routes of the virtual service that a request names; none for a request that lists routes.
async fn service_routes(desk: &Desk<'_>, request: &RolloutRequest) -> Result<Vec<RouteId>, Trouble> {
    let RouteSelection::Service(service) = &request.routes else { return Ok(Vec::new()) };
    let path = ResourcePath::VirtualService(request.mesh.clone(), service.clone());
    let Resource::VirtualService(data) = desk.ports.meshes.describe(&path).await? else { return Ok(Vec::new()) };
    let Some(VirtualServiceProvider::VirtualRouter(provider)) = &data.spec.provider else { return Ok(Vec::new()) };
    let router = ResourcePath::VirtualRouter(request.mesh.clone(), provider.virtual_router_name.clone());
    let listed = desk.ports.meshes.list(&router, ResourceKind::Route).await?.into_iter();
    Ok(listed
        .filter_map(|found| match found.path {
            ResourcePath::Route(id) => Some(id),
            _ => None,
        })
        .collect())
}

fn content(file: &Path) -> Result<String, Trouble> {
    let failed = |source| Trouble::File { call: "read", path: file.to_owned(), source };
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(failed)
}
