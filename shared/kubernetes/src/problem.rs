//! The reasons why the resource of an object is not as the object declares it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The reason of a condition. The codes are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProblemCode {
    /// A member of the spec is unknown or invalid.
    InvalidSpec,
    /// No mesh selects the namespace of the object.
    MeshNotSelected,
    /// Several meshes select the namespace of the object.
    MeshAmbiguous,
    /// The mesh of `spec.meshRef` does not exist, or was deleted.
    MeshNotFound,
    /// The mesh of `spec.meshRef` was replaced by another object with the same name.
    MeshReplaced,
    /// No virtual gateway selects the gateway route.
    GatewayNotSelected,
    /// Several virtual gateways select the gateway route.
    GatewayAmbiguous,
    /// A referenced object does not exist, or was deleted.
    ReferenceNotFound,
    /// An older object declares the same resource.
    NameConflict,
    /// App Mesh has a different resource with this name, which this object did not create.
    NotOwned,
    /// App Mesh would refuse the resource in the present state of the mesh.
    NotWritable,
    /// App Mesh refused the write.
    WriteRefused,
    /// The role or key may not write the resource.
    AccessDenied,
    /// App Mesh did not answer, or throttled the request. The result of the write is unknown.
    ApiUnavailable,
    /// Another client changed the resource at the same time. The write is repeated.
    Superseded,
    /// The resource was not written yet.
    Pending,
    /// Other resources use the resource of a deleted object.
    InUse,
}

impl ProblemCode {
    /// The stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::MeshNotSelected => "MeshNotSelected",
            Self::MeshAmbiguous => "MeshAmbiguous",
            Self::MeshNotFound => "MeshNotFound",
            Self::MeshReplaced => "MeshReplaced",
            Self::GatewayNotSelected => "GatewayNotSelected",
            Self::GatewayAmbiguous => "GatewayAmbiguous",
            Self::ReferenceNotFound => "ReferenceNotFound",
            Self::NameConflict => "NameConflict",
            Self::NotOwned => "NotOwned",
            Self::NotWritable => "NotWritable",
            Self::WriteRefused => "WriteRefused",
            Self::AccessDenied => "AccessDenied",
            Self::ApiUnavailable => "ApiUnavailable",
            Self::Superseded => "Superseded",
            Self::Pending => "Pending",
            Self::InUse => "InUse",
        }
    }

    /// Whether the state of the resource is unknown, so that its condition is neither true nor false.
    #[must_use]
    pub const fn is_unknown(self) -> bool {
        match self {
            Self::ApiUnavailable | Self::Superseded => true,
            Self::InvalidSpec
            | Self::MeshNotSelected
            | Self::MeshAmbiguous
            | Self::MeshNotFound
            | Self::MeshReplaced
            | Self::GatewayNotSelected
            | Self::GatewayAmbiguous
            | Self::ReferenceNotFound
            | Self::NameConflict
            | Self::NotOwned
            | Self::NotWritable
            | Self::WriteRefused
            | Self::AccessDenied
            | Self::Pending
            | Self::InUse => false,
        }
    }

    /// Whether an object that is only being created may have the problem: the objects of one `kubectl apply` arrive in any
    /// order, so a missing target is no reason to refuse an object.
    #[must_use]
    pub const fn may_resolve_later(self) -> bool {
        match self {
            Self::ReferenceNotFound
            | Self::GatewayNotSelected
            | Self::NotOwned
            | Self::NotWritable
            | Self::WriteRefused
            | Self::AccessDenied
            | Self::ApiUnavailable
            | Self::Superseded
            | Self::Pending
            | Self::InUse => true,
            Self::InvalidSpec
            | Self::MeshNotSelected
            | Self::MeshAmbiguous
            | Self::MeshNotFound
            | Self::MeshReplaced
            | Self::GatewayAmbiguous
            | Self::NameConflict => false,
        }
    }
}

/// One problem of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The reason.
    pub code: ProblemCode,
    /// The member, such as `spec.listeners[0].portMapping.port`; empty for the object as a whole.
    pub member: String,
    /// The problem with its remedy.
    pub message: String,
}

impl Problem {
    /// Creates a problem of a member.
    #[must_use]
    pub fn new(code: ProblemCode, member: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, member: member.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member.as_str() {
            "" => f.write_str(&self.message),
            member => write!(f, "{member}: {}", self.message),
        }
    }
}
