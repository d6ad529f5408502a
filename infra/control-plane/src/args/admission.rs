//! How writes are judged, on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use control_plane::{AdmissionMode, AdmissionSettings};
use mesh::pack::Severity;

/// What is done about writes that make something worse.
#[derive(Debug, Args)]
pub(crate) struct AdmissionArgs {
    /// Judges writes by the policy pack: `warn` does them and tells what they create in `x-meshwarden-findings`, `deny`
    /// refuses those that create something severe on the resource that they write.
    #[arg(long, value_name = "HOW", default_value = "off")]
    admission: Mode,
    /// With `deny`: the least severity that refuses a write.
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    admission_severity: Least,
    /// With `--admission`: the policy that writes are judged by, instead of the built-in one. Read again when it changes;
    /// while it can't be used, its last good version holds.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Off,
    Warn,
    Deny,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Least {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl AdmissionArgs {
    /// The settings, unless they name a policy that nothing would be judged by.
    pub(crate) fn settings(self) -> Result<AdmissionSettings, &'static str> {
        if self.policy.is_some() && self.admission == Mode::Off {
            return Err("--policy judges nothing without --admission warn or deny");
        }
        let mode = match self.admission {
            Mode::Off => AdmissionMode::Off,
            Mode::Warn => AdmissionMode::Warn,
            Mode::Deny => AdmissionMode::Deny,
        };
        let severity = match self.admission_severity {
            Least::Info => Severity::Info,
            Least::Low => Severity::Low,
            Least::Medium => Severity::Medium,
            Least::High => Severity::High,
            Least::Critical => Severity::Critical,
        };
        Ok(AdmissionSettings { mode, severity, policy: self.policy })
    }
}
