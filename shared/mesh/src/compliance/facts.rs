//! What a decision is made from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::failures::FailureClass;
use crate::graph::{InsertError, Mesh};
use crate::name::{Arn, MeshName, ResourcePath};
use crate::resource::{Resource, Tags};
use crate::spec::{Extra, Spec, VirtualServiceSpec};

/// What a decision is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The mesh, with the tags of its resources that could be listed.
    pub mesh: Mesh,
    /// What the service says of each resource.
    pub about: BTreeMap<ResourcePath, About>,
    /// Resources of which something could not be read.
    pub unread: BTreeMap<ResourcePath, Unread>,
    /// Who switched everything off and why, if somebody did.
    pub kill_switch: Option<(String, String)>,
    /// Changes that were made in this window.
    pub budget_used: u32,
    /// What is remembered of the mesh; empty unless `state` is [`StateAccess::Known`].
    pub record: Record,
    /// Whether the state table could be read.
    pub state: StateAccess,
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

/// What could not be read of a resource that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unread {
    /// Which part of it.
    pub part: UnreadPart,
    /// The call and its error.
    pub error: String,
    /// Whether another attempt may succeed.
    pub transient: bool,
}

impl Unread {
    /// Whether the failure passes by itself.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        if self.transient { FailureClass::Transient } else { FailureClass::Permanent }
    }
}

/// A part of a resource that is read by a call of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnreadPart {
    /// The resource itself: only its name is known.
    Resource,
    /// Its tags; everything else of it is known.
    Tags,
}

/// Whether what is remembered of a mesh could be read. Without that nothing is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "access", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum StateAccess {
    /// It could.
    #[default]
    Known,
    /// The state table did not answer.
    Unreachable {
        /// The call and its error.
        error: String,
    },
    /// The table has a document that this version cannot read.
    Unreadable {
        /// The document's key.
        document: String,
        /// The format that a newer version wrote; unset where the document is malformed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newer_format: Option<u64>,
        /// What is wrong with it.
        error: String,
    },
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
        Ok(Self {
            mesh,
            about,
            unread: BTreeMap::new(),
            kill_switch: None,
            budget_used: 0,
            record: Record::default(),
            state: StateAccess::Known,
        })
    }

    /// The same with what could not be read.
    pub fn with_unread(mut self, unread: BTreeMap<ResourcePath, Unread>) -> Result<Self, InsertError> {
        for (path, _) in unread.iter().filter(|(_, unread)| unread.part == UnreadPart::Resource) {
            if let ResourcePath::VirtualService(..) = path {
                // It exists, and its name is all that its callers are judged by: a backend that names it is not dangling.
                let spec = Spec::VirtualService(VirtualServiceSpec { provider: None, extra: Extra::default() });
                self.mesh.insert(path.clone(), spec)?;
            }
        }
        self.unread = unread;
        Ok(self)
    }

    /// Resources that could not be described, so that nobody knows what they call or lead to.
    pub fn undescribed(&self) -> impl Iterator<Item = &ResourcePath> {
        self.unread.iter().filter(|(_, unread)| unread.part == UnreadPart::Resource).map(|(path, _)| path)
    }
}
