//! The topics of the compliance functions.

use std::fmt;

use serde::Serialize;

use crate::pack::{Finding, Group, rule_named};
use mesh::name::ResourceKind;
use policy::{Budget, Policy};

/// The topic of a compliance function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// The tags of resources of all seven kinds.
    Tags,
    /// The traffic that leaves a mesh.
    Egress,
}

/// The pack's rule for references to missing resources.
pub(super) const DANGLING: &str = "reference-dangling";

impl Topic {
    /// Whether a finding belongs to this topic.
    #[must_use]
    pub fn concerns(self, finding: &Finding) -> bool {
        let group = rule_named(finding.rule).map(|rule| rule.group);
        match self {
            Self::Tags => group == Some(Group::Tags),
            Self::Egress => {
                // A backend without a resource in the mesh would leave the mesh.
                let backend = finding.rule.as_str() == DANGLING && finding.resource.kind() == ResourceKind::VirtualNode;
                group == Some(Group::Egress) || backend
            }
        }
    }

    /// Whether the topic has rules for a kind of resource.
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

    /// The budget of changes.
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
