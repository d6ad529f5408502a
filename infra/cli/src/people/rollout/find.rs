//! Finds the documents of rollouts.

use mesh::name::MeshName;
use policy::RolloutId;
use ports::{StateKey, StateView};
use records::{RolloutIndex, read_record};
use rollouts::RolloutRecord;

use super::super::desk::Desk;
use super::super::error::Trouble;
use super::RolloutError;

/// The function with the index of rollouts.
pub(super) const FUNCTION: &str = "traffic-shift";

/// A rollout with its document.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) mesh: MeshName,
    pub(crate) id: RolloutId,
    pub(crate) record: RolloutRecord,
    /// The revision of the document.
    pub(super) revision: u64,
}

impl Found {
    /// Whether the rollout has ended.
    pub(super) fn is_ended(&self) -> bool {
        self.record.state.is_final()
    }
}

/// The index of rollouts, with its revision; 0 if it does not exist.
pub(super) async fn index(desk: &Desk<'_>) -> Result<(RolloutIndex, u64), Trouble> {
    let key = StateKey::meshes(FUNCTION);
    let mut view = desk.load(std::slice::from_ref(&key)).await?;
    let Some(stored) = view.documents.remove(&key) else { return Ok((RolloutIndex::default(), 0)) };
    let unreadable =
        |error| ports::PortError::new("read the index of rollouts", ports::PortErrorKind::Other, format!("{error}"));
    let index = read_record(&key, &stored.document).map_err(unreadable)?;
    Ok((index, stored.revision))
}

/// The rollouts that have not ended, in the order of their names.
pub(super) async fn active(desk: &Desk<'_>, mesh: Option<&MeshName>) -> Result<Vec<Found>, Trouble> {
    let (index, _) = index(desk).await?;
    let wanted: Vec<(MeshName, RolloutId)> = index
        .active
        .keys()
        .filter_map(|name| parse(name))
        .filter(|(of, _)| mesh.is_none_or(|mesh| mesh == of))
        .collect();
    let keys: Vec<StateKey> = wanted.iter().map(|(mesh, id)| StateKey::rollout(mesh, id)).collect();
    let view = desk.load(&keys).await?;
    let mut found = Vec::new();
    for (mesh, id) in wanted {
        found.extend(read(&view, mesh, id)?);
    }
    Ok(found)
}

/// The rollout with this id, active or ended.
pub(super) async fn one(desk: &Desk<'_>, id: &RolloutId, mesh: Option<&MeshName>) -> Result<Found, Trouble> {
    let meshes = if let Some(mesh) = mesh {
        vec![mesh.clone()]
    } else {
        let (index, _) = index(desk).await?;
        let names = index.active.keys().chain(index.ended.keys());
        names.filter_map(|name| parse(name)).filter(|(_, other)| other == id).map(|(mesh, _)| mesh).collect()
    };
    if meshes.len() > 1 {
        let meshes = meshes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(RolloutError::Ambiguous { id: id.clone(), meshes }.into());
    }
    let missing = || RolloutError::Missing { id: id.clone() };
    let mesh = meshes.into_iter().next().ok_or_else(missing)?;
    let view = desk.load(&[StateKey::rollout(&mesh, id)]).await?;
    Ok(read(&view, mesh, id.clone())?.ok_or_else(missing)?)
}

/// The document of a rollout; `None` without one.
pub(super) fn read(view: &StateView, mesh: MeshName, id: RolloutId) -> Result<Option<Found>, RolloutError> {
    let key = StateKey::rollout(&mesh, &id);
    let Some(stored) = view.documents.get(&key) else { return Ok(None) };
    let unreadable =
        |error: records::DocumentError| RolloutError::Unreadable { id: id.clone(), why: error.to_string() };
    let record = read_record(&key, &stored.document).map_err(unreadable)?;
    Ok(Some(Found { mesh, id, record, revision: stored.revision }))
}

fn parse(name: &str) -> Option<(MeshName, RolloutId)> {
    let (mesh, id) = name.split_once('/')?;
    Some((MeshName::parse(mesh).ok()?, RolloutId::parse(id).ok()?))
}
