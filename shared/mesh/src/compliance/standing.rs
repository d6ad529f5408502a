//! How each resource stands.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::Topic;
use crate::certificates::Readings;
use crate::graph::Mesh;
use crate::name::ResourcePath;
use crate::pack::{self, Finding, Severity};
use crate::policy::Policy;

/// How a resource stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Standing {
    /// As it must be.
    Compliant,
    /// Not as it must be.
    NonCompliant,
    /// Nothing that the topic is about.
    NotApplicable,
    /// Nobody could read what it depends on.
    InsufficientData,
}

/// How a resource stands, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// How it stands.
    pub standing: Standing,
    /// What is wrong with it, the worst first.
    pub findings: Vec<Finding>,
    /// What would be, had nobody allowed it for now.
    pub waived: Vec<Finding>,
}

impl Judged {
    /// One line for people: what is wrong, the worst first, or what is allowed for now.
    #[must_use]
    pub fn text(&self) -> String {
        let told = |findings: &[Finding]| {
            findings.iter().map(|found| format!("{}: {}", found.rule, found.message)).collect::<Vec<_>>().join("; ")
        };
        match self.standing {
            Standing::InsufficientData => "unknown: its tags could not be read".to_owned(),
            Standing::NotApplicable => "the rule says nothing of resources of this kind".to_owned(),
            Standing::Compliant | Standing::NonCompliant if !self.findings.is_empty() => told(&self.findings),
            Standing::Compliant | Standing::NonCompliant if !self.waived.is_empty() => {
                format!("allowed for now: {}", told(&self.waived))
            }
            Standing::Compliant | Standing::NonCompliant => String::new(),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compliant => "COMPLIANT",
            Self::NonCompliant => "NON_COMPLIANT",
            Self::NotApplicable => "NOT_APPLICABLE",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        })
    }
}

/// How every resource of a mesh stands.
#[must_use]
pub fn judge(topic: Topic, mesh: &Mesh, policy: &Policy, now: Timestamp) -> BTreeMap<ResourcePath, Judged> {
    // Neither tags nor egress follow from a certificate.
    let pack::Evaluation { findings, waived } = pack::judge(mesh, &Readings::default(), policy, now);
    let mut judged: BTreeMap<ResourcePath, Judged> = mesh
        .paths()
        .into_iter()
        .map(|path| {
            let standing = match topic {
                _ if !topic.judges(path.kind()) => Standing::NotApplicable,
                Topic::Tags if !mesh.tags.contains_key(&path) => Standing::InsufficientData,
                Topic::Tags | Topic::Egress => Standing::Compliant,
            };
            (path, Judged { standing, findings: Vec::new(), waived: Vec::new() })
        })
        .collect();
    for finding in waived.into_iter().filter(|finding| topic.concerns(finding)) {
        if let Some(judged) = judged.get_mut(&finding.resource) {
            judged.waived.push(finding);
        }
    }
    for finding in findings.into_iter().filter(|finding| topic.concerns(finding)) {
        let Some(judged) = judged.get_mut(&finding.resource) else { continue };
        // What is merely worth knowing makes nothing non-compliant.
        if judged.standing == Standing::Compliant && finding.severity > Severity::Info {
            judged.standing = Standing::NonCompliant;
        }
        judged.findings.push(finding);
    }
    for judged in judged.values_mut() {
        judged.findings.sort_by(|a, b| (b.severity, a.rule, &a.part).cmp(&(a.severity, b.rule, &b.part)));
    }
    judged
}
