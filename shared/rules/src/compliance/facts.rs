//! The input of a decision: one observation of a mesh.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::ComplianceRecord;
use mesh::failures::FailureClass;
use mesh::graph::{InsertError, Mesh};
use mesh::name::{Arn, MeshName, ResourcePath};
use mesh::resource::{Resource, Tags};
use mesh::spec::{Extra, Spec, VirtualServiceSpec};

/// One observation of a mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceFacts {
    /// The mesh, with the tags that could be read.
    pub mesh: Mesh,
    /// The metadata of each resource.
    pub about: BTreeMap<ResourcePath, ResourceDetails>,
    /// The resources that could not be read completely.
    pub unread: BTreeMap<ResourcePath, UnreadResource>,
    /// The operator who set the kill switch, and the reason.
    pub kill_switch: Option<(String, String)>,
    /// The number of changes made in the current budget window.
    pub budget_used: u32,
    /// The stored record of the mesh; empty unless `state` is [`StateAccess::Known`].
    pub record: ComplianceRecord,
    /// Whether the state table could be read.
    pub state: StateAccess,
}

/// The metadata of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceDetails {
    /// Its ARN.
    pub arn: Arn,
    /// The version read.
    pub version: u64,
    /// When it was created.
    pub created: Timestamp,
}

/// The unread part of an existing resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnreadResource {
    /// The unread part.
    pub part: UnreadPart,
    /// The call and its error.
    pub error: String,
    /// Whether another attempt may succeed.
    pub transient: bool,
}

impl UnreadResource {
    /// The class of the failure, by whether another attempt may succeed.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        if self.transient { FailureClass::Transient } else { FailureClass::Permanent }
    }
}

/// A part of a resource that is read by a separate call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnreadPart {
    /// The resource itself; only its name is known.
    Resource,
    /// Its tags; everything else is known.
    Tags,
}

/// Whether the stored record of a mesh could be read. Without the record, nothing is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "access", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum StateAccess {
    /// The record was read, or none exists.
    #[default]
    Known,
    /// The call to the state table failed.
    Unreachable {
        /// The call and its error.
        error: String,
    },
    /// The table has a document that this version cannot read.
    Unreadable {
        /// The document's key.
        document: String,
        /// The format of the document, if a newer version wrote it; absent if the document is malformed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newer_format: Option<u64>,
        /// The error.
        error: String,
    },
}

impl ResourceFacts {
    /// The facts from resources as the API returned them; tags that are `None` are unknown.
    pub fn from_resources(
        name: &MeshName,
        resources: impl IntoIterator<Item = (Resource, Option<Tags>)>,
    ) -> Result<Self, InsertError> {
        let mut mesh = Mesh::new(name.clone());
        let mut about = BTreeMap::new();
        for (resource, tags) in resources {
            let (path, metadata) = (resource.path(), resource.metadata());
            let said = ResourceDetails {
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
        Ok(Self {
            mesh,
            about,
            unread: BTreeMap::new(),
            kill_switch: None,
            budget_used: 0,
            record: ComplianceRecord::default(),
            state: StateAccess::Known,
        })
    }

    /// Adds the resources that could not be read completely.
    pub fn with_unread(mut self, unread: BTreeMap<ResourcePath, UnreadResource>) -> Result<Self, InsertError> {
        for (path, _) in unread.iter().filter(|(_, unread)| unread.part == UnreadPart::Resource) {
            if let ResourcePath::VirtualService(..) = path {
                // Its name is known, which is enough for its callers: a backend with that name is not dangling.
                let spec = Spec::VirtualService(VirtualServiceSpec { provider: None, extra: Extra::default() });
                self.mesh.insert(path.clone(), spec)?;
            }
        }
        self.unread = unread;
        Ok(self)
    }

    /// The resources that could not be described, so their references are unknown.
    pub fn undescribed(&self) -> impl Iterator<Item = &ResourcePath> {
        self.unread.iter().filter(|(_, unread)| unread.part == UnreadPart::Resource).map(|(path, _)| path)
    }
}
