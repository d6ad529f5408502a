//! The writers of journal entries.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The writer of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Function {
    /// The function `route-failover`.
    RouteFailover,
    /// The function `certificate-rotation`.
    CertificateRotation,
    /// The function `tag-compliance`.
    TagCompliance,
    /// The function `egress-compliance`.
    EgressCompliance,
    /// The function `compliance-sweep`.
    ComplianceSweep,
    /// The function `change-audit`.
    ChangeAudit,
    /// The function `traffic-shift`.
    TrafficShift,
    /// The function `failover-drill`.
    FailoverDrill,
    /// The command `meshwarden`.
    Operator,
    /// A function that this version does not know.
    Unknown(String),
}

impl Function {
    /// The name, as in `route-failover`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::RouteFailover => "route-failover",
            Self::CertificateRotation => "certificate-rotation",
            Self::TagCompliance => "tag-compliance",
            Self::EgressCompliance => "egress-compliance",
            Self::ComplianceSweep => "compliance-sweep",
            Self::ChangeAudit => "change-audit",
            Self::TrafficShift => "traffic-shift",
            Self::FailoverDrill => "failover-drill",
            Self::Operator => "meshwarden",
            Self::Unknown(name) => name,
        }
    }
}

impl From<String> for Function {
    fn from(name: String) -> Self {
        let known = [
            Self::RouteFailover,
            Self::CertificateRotation,
            Self::TagCompliance,
            Self::EgressCompliance,
            Self::ComplianceSweep,
            Self::ChangeAudit,
            Self::TrafficShift,
            Self::FailoverDrill,
            Self::Operator,
        ];
        known.into_iter().find(|function| function.as_str() == name).unwrap_or(Self::Unknown(name))
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
