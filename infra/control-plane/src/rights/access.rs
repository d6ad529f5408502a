//! The access that a request needs.

use std::fmt;

use mesh::name::{MeshName, ResourceKind, ResourcePath};
use serde::Deserialize;
use xds::ProxyId;

/// The levels of access to resources. Each includes the previous ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Level {
    /// Descriptions, lists, and lists of tags.
    Read,
    /// Changes of tags.
    Tag,
    /// Changes of specs.
    Update,
    /// Creation and deletion.
    Write,
}

impl Level {
    /// Every level, lowest first.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [Self::Read, Self::Tag, Self::Update, Self::Write];

    /// The level as in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Tag => "tag",
            Self::Update => "update",
            Self::Write => "write",
        }
    }
}

/// The access that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// A level on resources of one kind in one mesh.
    Resource {
        /// The level.
        level: Level,
        /// The mesh.
        mesh: MeshName,
        /// The kind.
        kind: ResourceKind,
    },
    /// The level `read` on every kind in one mesh: an answer about the mesh as a whole.
    WholeMesh(MeshName),
    /// No grant: the answer has only the resources that the caller may read.
    Filtered,
    /// No grant, but an entry in the file: metrics name no resource.
    Metrics,
    /// The certificates of proxies.
    Certificates,
    /// A node token for this proxy, or the revocation of its tokens.
    Token(ProxyId),
    /// The revocation of a token by its id alone.
    AnyToken,
}

impl Access {
    /// A level on one resource.
    pub(crate) fn resource(level: Level, path: &ResourcePath) -> Self {
        Self::Resource { level, mesh: path.mesh().clone(), kind: path.kind() }
    }

    /// The name of the missing grant, as a label of a metric.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Resource { level, .. } => level.as_str(),
            Self::WholeMesh(_) | Self::Filtered | Self::Metrics => Level::Read.as_str(),
            Self::Certificates => "certificates",
            Self::Token(_) | Self::AnyToken => "tokens",
        }
    }
}

/// The missing grant in words.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource { level, mesh, kind } => {
                write!(f, "level {} on kind {} in mesh {mesh}", level.as_str(), kind.as_str())
            }
            Self::WholeMesh(mesh) => write!(f, "level read on every kind in mesh {mesh}"),
            Self::Filtered | Self::Metrics => f.write_str("an entry"),
            Self::Certificates => f.write_str("the grant certificates"),
            Self::Token(id) => write!(f, "the grant tokens for {}", id.path()),
            Self::AnyToken => f.write_str("the grant tokens for *"),
        }
    }
}
