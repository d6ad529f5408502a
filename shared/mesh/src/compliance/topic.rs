//! What a function is about.

use std::fmt;

use serde::Serialize;

use crate::name::ResourceKind;
use crate::pack::{Finding, Group};
use crate::policy::{Budget, Policy};

/// What a function is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Tags of resources of all seven kinds.
    Tags,
    /// What leaves a mesh.
    Egress,
}

/// The rule of the pack that says that a reference leads nowhere.
pub(super) const DANGLING: &str = "reference-dangling";

impl Topic {
    /// Whether a finding is of this topic.
    #[must_use]
    pub fn concerns(self, finding: &Finding) -> bool {
        let group = finding.rule.rule().map(|rule| rule.group);
        match self {
            Self::Tags => group == Some(Group::Tags),
            Self::Egress => {
                // What a node names as backend and isn't there is what its egress is missing.
                let backend = finding.rule.as_str() == DANGLING && finding.resource.kind() == ResourceKind::VirtualNode;
                group == Some(Group::Egress) || backend
            }
        }
    }

    /// Whether resources of a kind are judged.
    #[must_use]
    pub const fn judges(self, kind: ResourceKind) -> bool {
        match (self, kind) {
            (Self::Tags, _)
            | (Self::Egress, ResourceKind::Mesh | ResourceKind::VirtualNode | ResourceKind::VirtualGateway) => true,
            (
                Self::Egress,
                ResourceKind::VirtualRouter
                | ResourceKind::Route
                | ResourceKind::VirtualService
                | ResourceKind::GatewayRoute,
            ) => false,
        }
    }

    /// How many changes are allowed.
    #[must_use]
    pub const fn budget(self, policy: &Policy) -> &Budget {
        match self {
            Self::Tags => &policy.tags.budget,
            Self::Egress => &policy.egress.budget,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tags => "tags",
            Self::Egress => "egress",
        })
    }
}
