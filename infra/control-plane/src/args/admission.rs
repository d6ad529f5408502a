//! The command-line options of admission.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use control_plane::{AdmissionMode, AdmissionSettings};
use rules::pack::Severity;

/// The command-line options of admission.
#[derive(Debug, Args)]
pub(crate) struct AdmissionArgs {
    /// Judges writes against the policy pack: `warn` stores them and returns their findings in
    /// `x-meshwarden-findings`, `deny` refuses a write that creates a severe finding on the resource that it writes.
    #[arg(long, value_name = "HOW", default_value = "off")]
    admission: AdmissionModeArg,
    /// With `deny`: the lowest severity that refuses a write.
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    admission_severity: SeverityArg,
    /// With `--admission`: the policy that writes are judged against, instead of the built-in one. Reloaded when the
    /// file changes; while the file is invalid, its last valid version is used.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AdmissionModeArg {
    Off,
    Warn,
    Deny,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SeverityArg {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl AdmissionArgs {
    /// The settings. Fails on a policy file without admission.
    pub(crate) fn settings(self) -> Result<AdmissionSettings, &'static str> {
        if self.policy.is_some() && self.admission == AdmissionModeArg::Off {
            return Err("--policy has no effect without --admission warn or deny");
        }
        let mode = match self.admission {
            AdmissionModeArg::Off => AdmissionMode::Off,
            AdmissionModeArg::Warn => AdmissionMode::Warn,
            AdmissionModeArg::Deny => AdmissionMode::Deny,
        };
        let severity = match self.admission_severity {
            SeverityArg::Info => Severity::Info,
            SeverityArg::Low => Severity::Low,
            SeverityArg::Medium => Severity::Medium,
            SeverityArg::High => Severity::High,
            SeverityArg::Critical => Severity::Critical,
        };
        Ok(AdmissionSettings { mode, severity, policy: self.policy })
    }
}
