//! What a decision is made from.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::record::Record;
use crate::graph::{InsertError, Mesh};
use crate::name::{Arn, MeshName, ResourcePath};
use crate::resource::{Resource, Tags};

/// What a decision is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The mesh, with the tags of its resources.
    pub mesh: Mesh,
    /// What the service says of each resource.
    pub about: BTreeMap<ResourcePath, About>,
    /// Who switched everything off and why, if somebody did.
    pub kill_switch: Option<(String, String)>,
    /// Changes that were made in this window.
    pub budget_used: u32,
    /// What is remembered of the mesh.
    pub record: Record,
}

/// What the service says of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its ARN.
    pub arn: Arn,
    /// The version that it was read at.
    pub version: u64,
    /// When it was created.
    pub created: Timestamp,
}

impl Facts {
    /// The facts of resources as the API describes them; tags that are `None` are unknown.
    pub fn of(
        name: &MeshName,
        resources: impl IntoIterator<Item = (Resource, Option<Tags>)>,
    ) -> Result<Self, InsertError> {
        let mut mesh = Mesh::new(name.clone());
        let mut about = BTreeMap::new();
        for (resource, tags) in resources {
            let (path, metadata) = (resource.path(), resource.metadata());
            let said = About {
                arn: metadata.arn.clone(),
                version: metadata.version.get().unsigned_abs(),
                created: metadata.created_at.time(),
            };
            about.insert(path.clone(), said);
            if let Some(tags) = tags {
                mesh.set_tags(path, tags);
            }
            mesh.insert_resource(resource)?;
        }
        Ok(Self { mesh, about, kill_switch: None, budget_used: 0, record: Record::default() })
    }
}
