//! The compliance of each resource.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::facts::UnreadPart;
use super::{ResourceFacts, Topic};
use crate::egress::Outlet;
use crate::pack::{self, Finding, Severity};
use mesh::certificates::Readings;
use mesh::name::{ResourceKind, ResourcePath};
use policy::Policy;

/// The compliance of a resource, in the terms of AWS Config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ComplianceStatus {
    /// The resource violates no rule of the topic.
    Compliant,
    /// The resource violates a rule of the topic.
    NonCompliant,
    /// The topic has no rule for this kind of resource.
    NotApplicable,
    /// The data that the rules need could not be read.
    InsufficientData,
}

/// The compliance of a resource, with its findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceCompliance {
    /// The compliance.
    #[serde(rename = "standing")]
    pub status: ComplianceStatus,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
    /// The findings that are waived for now.
    pub waived: Vec<Finding>,
    /// The reason why the compliance is unknown, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl ResourceCompliance {
    /// One line of text: the findings, the worst first, or the waived findings.
    #[must_use]
    pub fn text(&self) -> String {
        let listed = |findings: &[Finding]| {
            findings.iter().map(|found| format!("{}: {}", found.rule, found.message)).collect::<Vec<_>>().join("; ")
        };
        match self.status {
            ComplianceStatus::InsufficientData => {
                format!("unknown: {}", self.unknown.as_deref().unwrap_or("its tags could not be read"))
            }
            ComplianceStatus::NotApplicable => "the rule does not apply to this kind of resource".to_owned(),
            ComplianceStatus::Compliant | ComplianceStatus::NonCompliant if !self.findings.is_empty() => {
                listed(&self.findings)
            }
            ComplianceStatus::Compliant | ComplianceStatus::NonCompliant if !self.waived.is_empty() => {
                format!("waived for now: {}", listed(&self.waived))
            }
            ComplianceStatus::Compliant | ComplianceStatus::NonCompliant => String::new(),
        }
    }
}

impl fmt::Display for ComplianceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compliant => "COMPLIANT",
            Self::NonCompliant => "NON_COMPLIANT",
            Self::NotApplicable => "NOT_APPLICABLE",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        })
    }
}

/// The compliance of every resource of a mesh. An unread resource is unknown, and does not affect other resources.
#[must_use]
pub fn judge(
    topic: Topic,
    facts: &ResourceFacts,
    policy: &Policy,
    now: Timestamp,
) -> BTreeMap<ResourcePath, ResourceCompliance> {
    let mesh = &facts.mesh;
    // Neither tags nor egress depend on certificates.
    let pack::Evaluation { findings, waived } = pack::judge(mesh, &Readings::default(), policy, now);
    let outlet = Outlet::new(mesh);
    let undescribed = facts.undescribed().cloned();
    let mut judged: BTreeMap<ResourcePath, ResourceCompliance> = mesh
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
            let status = match is_unknown {
                _ if !topic.judges(path.kind()) => ComplianceStatus::NotApplicable,
                true => ComplianceStatus::InsufficientData,
                false => ComplianceStatus::Compliant,
            };
            let unknown = (status == ComplianceStatus::InsufficientData).then(|| match unread {
                Some(unread) => Some(unread.error.clone()),
                None => (topic == Topic::Egress).then(|| "the type of its egress filter is unknown".to_owned()),
            });
            let unknown = unknown.flatten();
            (path, ResourceCompliance { status, findings: Vec::new(), waived: Vec::new(), unknown })
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
        // Informational findings do not make a resource non-compliant.
        if judged.status == ComplianceStatus::Compliant && finding.severity > Severity::Info {
            judged.status = ComplianceStatus::NonCompliant;
        }
        judged.findings.push(finding);
    }
    for judged in judged.values_mut() {
        judged.findings.sort_by(|a, b| (b.severity, a.rule, &a.part).cmp(&(a.severity, b.rule, &b.part)));
    }
    judged
}

/// Whether a finding claims that no resource of the mesh has a property, so it needs all resources.
fn rests_on_all(finding: &Finding) -> bool {
    finding.rule.as_str() == "egress-allowed-in-vain"
}
