//! The subject areas of rules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The subject area of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Group {
    /// Tags and their inheritance.
    Tags,
    /// Traffic that leaves the mesh.
    Egress,
    /// Encryption of each call.
    Tls,
    /// Certificates and their validity.
    Certificates,
    /// Routes and their targets.
    Routing,
    /// Time limits and retries.
    Retries,
    /// Behaviour during a failure.
    Resilience,
    /// Access logs.
    Observability,
    /// Service discovery.
    Discovery,
    /// Quotas of the App Mesh server.
    Quotas,
    /// Unused resources, which cost money.
    Cost,
    /// Names and environments.
    Naming,
    /// Members of a file that its target refuses or drops.
    Files,
    /// The policy itself.
    Policy,
}

impl Group {
    /// The heading in reports.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Tags => "Tags",
            Self::Egress => "Egress",
            Self::Tls => "TLS",
            Self::Certificates => "Certificates",
            Self::Routing => "Routing",
            Self::Retries => "Retries and time limits",
            Self::Resilience => "Resilience",
            Self::Observability => "Observability",
            Self::Discovery => "Service discovery",
            Self::Quotas => "Quotas",
            Self::Cost => "Cost",
            Self::Naming => "Naming and environments",
            Self::Files => "Files",
            Self::Policy => "The policy itself",
        }
    }
}
