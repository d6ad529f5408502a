//! How each resource stands.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::facts::UnreadPart;
use super::{Facts, Topic};
use crate::certificates::Readings;
use crate::egress::Outlet;
use crate::name::{ResourceKind, ResourcePath};
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
    /// Why nobody knows how it stands, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl Judged {
    /// One line for people: what is wrong, the worst first, or what is allowed for now.
    #[must_use]
    pub fn text(&self) -> String {
        let told = |findings: &[Finding]| {
            findings.iter().map(|found| format!("{}: {}", found.rule, found.message)).collect::<Vec<_>>().join("; ")
        };
        match self.standing {
            Standing::InsufficientData => {
                format!("unknown: {}", self.unknown.as_deref().unwrap_or("its tags could not be read"))
            }
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

/// How every resource of a mesh stands. One that could not be read is unknown, and says nothing of the others.
#[must_use]
pub fn judge(topic: Topic, facts: &Facts, policy: &Policy, now: Timestamp) -> BTreeMap<ResourcePath, Judged> {
    let mesh = &facts.mesh;
    // Neither tags nor egress follow from a certificate.
    let pack::Evaluation { findings, waived } = pack::judge(mesh, &Readings::default(), policy, now);
    let outlet = Outlet::new(mesh);
    let undescribed = facts.undescribed().cloned();
    let mut judged: BTreeMap<ResourcePath, Judged> = mesh
        .paths()
        .into_iter()
        .chain(undescribed)
        .map(|path| {
            let unread = facts.unread.get(&path);
            let is_unknown = match (topic, unread.map(|unread| unread.part)) {
                (_, Some(UnreadPart::Resource)) => true,
                (Topic::Tags, _) => !mesh.tags.contains_key(&path),
                (Topic::Egress, Some(UnreadPart::Tags) | None) => {
                    outlet == Outlet::Unknown && path.kind() == ResourceKind::Mesh
                }
            };
            let standing = match is_unknown {
                _ if !topic.judges(path.kind()) => Standing::NotApplicable,
                true => Standing::InsufficientData,
                false => Standing::Compliant,
            };
            let unknown = (standing == Standing::InsufficientData).then(|| match unread {
                Some(unread) => Some(unread.error.clone()),
                None => (topic == Topic::Egress).then(|| "the type of its egress filter is not a known one".to_owned()),
            });
            let unknown = unknown.flatten();
            (path, Judged { standing, findings: Vec::new(), waived: Vec::new(), unknown })
        })
        .collect();
    let holds = |finding: &Finding| {
        let is_known = facts.unread.get(&finding.resource).is_none_or(|unread| unread.part != UnreadPart::Resource);
        topic.concerns(finding) && is_known && (facts.undescribed().next().is_none() || !rests_on_all(finding))
    };
    for finding in waived.into_iter().filter(holds) {
        if let Some(judged) = judged.get_mut(&finding.resource) {
            judged.waived.push(finding);
        }
    }
    for finding in findings.into_iter().filter(holds) {
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

/// Whether a finding says that no resource of the mesh does something, so that it holds only where all are known.
fn rests_on_all(finding: &Finding) -> bool {
    finding.rule.as_str() == "egress-allowed-in-vain"
}
