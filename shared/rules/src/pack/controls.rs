//! The controls that rules serve.

use std::fmt;

use serde::Serialize;

/// A requirement of a framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// The framework that has the requirement.
    pub framework: Framework,
    /// Its number or name in the framework.
    pub id: &'static str,
}

/// A framework of requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Framework {
    /// CIS Critical Security Controls, version 8.
    Cis,
    /// PCI DSS, version 4.
    PciDss,
    /// The HIPAA Security Rule, 45 CFR part 164.
    Hipaa,
}

impl fmt::Display for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cis => "CIS",
            Self::PciDss => "PCI DSS",
            Self::Hipaa => "HIPAA",
        })
    }
}

/// A control of a framework, by its id.
const fn control(framework: Framework, id: &'static str) -> Control {
    Control { framework, id }
}

const CIS_INVENTORY: Control = control(Framework::Cis, "1.1");
const CIS_FLOWS: Control = control(Framework::Cis, "3.8");
const CIS_ENCRYPTION: Control = control(Framework::Cis, "3.10");
const CIS_CONFIGURATION: Control = control(Framework::Cis, "4.1");
const CIS_LOGS: Control = control(Framework::Cis, "8.2");
const CIS_ARCHITECTURE: Control = control(Framework::Cis, "12.2");
const CIS_FILTERING: Control = control(Framework::Cis, "13.4");
const CIS_SEPARATION: Control = control(Framework::Cis, "16.8");
const PCI_PURPOSE: Control = control(Framework::PciDss, "1.2.5");
const PCI_OUTBOUND: Control = control(Framework::PciDss, "1.3.2");
const PCI_SECRETS: Control = control(Framework::PciDss, "3.3.1");
const PCI_ENCRYPTION: Control = control(Framework::PciDss, "4.2.1");
const PCI_CERTIFICATES: Control = control(Framework::PciDss, "4.2.1.1");
const PCI_SEPARATION: Control = control(Framework::PciDss, "6.5.3");
const PCI_AUTHENTICATION: Control = control(Framework::PciDss, "8.6.1");
const PCI_LOGS: Control = control(Framework::PciDss, "10.2.1");
const PCI_INVENTORY: Control = control(Framework::PciDss, "12.5.1");
const HIPAA_CONTINGENCY: Control = control(Framework::Hipaa, "164.308(a)(7)");
const HIPAA_ACCOUNTABILITY: Control = control(Framework::Hipaa, "164.310(d)(2)(iii)");
const HIPAA_ACCESS: Control = control(Framework::Hipaa, "164.312(a)(1)");
const HIPAA_AUDIT: Control = control(Framework::Hipaa, "164.312(b)");
const HIPAA_AUTHENTICATION: Control = control(Framework::Hipaa, "164.312(d)");
const HIPAA_TRANSMISSION: Control = control(Framework::Hipaa, "164.312(e)(1)");
const HIPAA_ENCRYPTION: Control = control(Framework::Hipaa, "164.312(e)(2)(ii)");

/// Inventory: resources and their owners.
pub(super) const INVENTORY: &[Control] = &[CIS_INVENTORY, PCI_INVENTORY, HIPAA_ACCOUNTABILITY];
/// Outbound traffic is restricted.
pub(super) const OUTBOUND: &[Control] = &[CIS_FILTERING, PCI_OUTBOUND, HIPAA_TRANSMISSION];
/// Data in transit is encrypted.
pub(super) const ENCRYPTION: &[Control] = &[CIS_ENCRYPTION, PCI_ENCRYPTION, HIPAA_ENCRYPTION];
/// Both ends are authenticated.
pub(super) const AUTHENTICATION: &[Control] = &[CIS_FILTERING, PCI_AUTHENTICATION, HIPAA_AUTHENTICATION];
/// Certificates are inventoried and valid.
pub(super) const CERTIFICATES: &[Control] = &[CIS_ENCRYPTION, PCI_CERTIFICATES, HIPAA_TRANSMISSION];
/// The configuration is the intended one.
pub(super) const CONFIGURATION: &[Control] = &[CIS_CONFIGURATION, PCI_PURPOSE];
/// The documented data flows are the actual ones.
pub(super) const FLOWS: &[Control] = &[CIS_FLOWS, PCI_PURPOSE];
/// The service survives a failure.
pub(super) const AVAILABILITY: &[Control] = &[CIS_ARCHITECTURE, HIPAA_CONTINGENCY];
/// Events are logged for later analysis.
pub(super) const LOGS: &[Control] = &[CIS_LOGS, PCI_LOGS, HIPAA_AUDIT];
/// No log contains a secret.
pub(super) const SECRETS: &[Control] = &[CIS_LOGS, PCI_SECRETS, HIPAA_ACCESS];
/// Test and production are separate.
pub(super) const SEPARATION: &[Control] = &[CIS_SEPARATION, PCI_SEPARATION];
