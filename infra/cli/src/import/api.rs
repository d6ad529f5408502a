//! The API that an import reads and writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use imports::{Held, HeldResource};
use mesh::name::MeshName;
use ports::{MeshReader, Pace, ResourceWriter, survey};

use super::error::ImportError;

/// The concurrent calls at the start of a survey, and the most.
const CONCURRENT: (usize, usize) = (4, 16);

/// Reads meshes and writes resources of every kind.
pub(crate) trait MeshApi: MeshReader + ResourceWriter {}

impl<T: MeshReader + ResourceWriter> MeshApi for T {}

/// Connects to the endpoint of the command line, or of the SDK's variables.
pub(crate) async fn connect(endpoint: Option<&str>) -> Result<Arc<dyn MeshApi>, ImportError> {
    let config = runner::Config::from_env(|variable| std::env::var(variable).ok())?;
    let aws = aws::Aws::open().await;
    let aws = match endpoint {
        Some(given) if given.starts_with("http://") || given.starts_with("https://") => aws.calling_app_mesh_at(given),
        Some(given) => return Err(ImportError::Endpoint { given: given.to_owned() }),
        None => aws,
    };
    if !aws.has_region() {
        return Err(ImportError::NoRegion);
    }
    Ok(Arc::new(aws.mesh_known_to(config.audience.as_deref())))
}

/// The resources of those of the meshes that exist.
pub(crate) async fn held(api: &dyn MeshApi, meshes: &BTreeSet<MeshName>) -> Result<Held, ImportError> {
    let existing: BTreeSet<MeshName> = api.meshes().await?.into_iter().map(|found| found.path.mesh().clone()).collect();
    let mut held = Held::new();
    for mesh in meshes.intersection(&existing) {
        held.extend(mesh_held(api, mesh).await?);
    }
    Ok(held)
}

/// The resources of an existing mesh.
async fn mesh_held(api: &dyn MeshApi, mesh: &MeshName) -> Result<Held, ImportError> {
    let survey = survey(api, mesh, &mut Pace::new(CONCURRENT.0, CONCURRENT.1)).await?;
    if let Some((path, error)) = survey.unread.into_iter().chain(survey.unread_tags).next() {
        return Err(ImportError::Unread { path: Box::new(path), error });
    }
    let resources = survey.resources.into_iter();
    Ok(resources
        .map(|(path, found)| (path, HeldResource::new(found.resource, found.tags.unwrap_or_default())))
        .collect())
}
