//! The remediation of findings, and whether it is safe.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::reason::ComplianceHoldReason;
use super::topic::DANGLING;
use super::{ResourceFacts, Topic};
use crate::egress::Repair;
use crate::pack::Finding;
use crate::tags::{Grace, grace};
use mesh::change::Change;
use mesh::name::{ResourcePath, VirtualServiceName};
use mesh::spec::EgressFilterType;
use policy::Policy;

/// The maximum number of unread resources that a reason names.
const MOST_NAMED: usize = 20;

/// The input for the remediations of one mesh.
pub(super) struct Remedies<'a> {
    pub(super) topic: Topic,
    pub(super) facts: &'a ResourceFacts,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
}

impl Remedies<'_> {
    /// The change that remediates a finding, or the reason why there is none or why it must wait.
    pub(super) fn change_for(&self, finding: &Finding) -> Result<Change, ComplianceHoldReason> {
        let change = match self.topic {
            Topic::Tags => self.tags(finding),
            Topic::Egress => self.egress(finding),
        }?;
        let mut undescribed = self.facts.undescribed().peekable();
        if undescribed.peek().is_none() {
            return Ok(change);
        }
        let count = self.facts.undescribed().count();
        Err(ComplianceHoldReason::PartlyRead { unread: undescribed.take(MOST_NAMED).cloned().collect(), count })
    }

    fn tags(&self, finding: &Finding) -> Result<Change, ComplianceHoldReason> {
        let Some(change) = finding.remediation.clone() else {
            if let Some((key, true)) = fact(finding, "key").zip(fact::<bool>(finding, "sourceUnread")) {
                return Err(ComplianceHoldReason::SourceTagsUnknown { key });
            }
            let conflict = fact(finding, "key")
                .zip(fact::<BTreeMap<String, ResourcePath>>(finding, "values"))
                .map(|(key, values)| ComplianceHoldReason::TagConflict { key, values });
            return Err(conflict.unwrap_or_else(|| no_safe_repair(finding)));
        };
        let created = self.facts.about.get(&finding.resource).map(|about| about.created);
        match grace(created, &self.policy.tags, self.now) {
            Grace::Over => Ok(change),
            Grace::Until(until) => Err(ComplianceHoldReason::InsideGrace { until }),
            Grace::Unknown => Err(ComplianceHoldReason::AgeUnknown),
        }
    }

    fn egress(&self, finding: &Finding) -> Result<Change, ComplianceHoldReason> {
        let mesh = self.facts.mesh.name.clone();
        match (finding.rule.as_str(), &finding.resource) {
            ("mesh-egress-open", _) => {
                let filter = self.filter();
                // The effect of an unknown filter type is unknown.
                if filter != Some(&EgressFilterType::AllowAll) {
                    return Err(no_safe_repair(finding));
                }
                self.if_safe(finding, Change::SetEgressFilter { mesh, filter: EgressFilterType::DropAll })
            }
            ("egress-host-not-allowed", ResourcePath::VirtualNode(_, node)) => {
                let service: Option<VirtualServiceName> = fact(finding, "virtualService");
                let remove =
                    |virtual_service| Change::RemoveBackend { mesh, virtual_node: node.clone(), virtual_service };
                service.map_or_else(|| Err(no_safe_repair(finding)), |service| self.if_safe(finding, remove(service)))
            }
            (DANGLING, ResourcePath::VirtualNode(_, node)) => {
                let Some(ResourcePath::VirtualService(_, service)) = fact(finding, "to") else {
                    return Err(no_safe_repair(finding));
                };
                if self.filter().is_some_and(|filter| *filter != EgressFilterType::DropAll) {
                    // Without the backend, the effect of closing the filter could no longer be determined.
                    return Err(ComplianceHoldReason::FilterOpen { backend: service.to_string() });
                }
                if !self.policy.egress.remove_dangling {
                    return Err(ComplianceHoldReason::RemovalNotAllowed { backend: service.to_string() });
                }
                let (virtual_node, virtual_service) = (node.clone(), service);
                self.if_safe(finding, Change::RemoveBackend { mesh, virtual_node, virtual_service })
            }
            _ => Err(no_safe_repair(finding)),
        }
    }

    fn if_safe(&self, finding: &Finding, change: Change) -> Result<Change, ComplianceHoldReason> {
        match Repair::evaluate(change, &self.facts.mesh, &self.policy.egress) {
            Some(Repair { cuts, .. }) if !cuts.is_empty() => Err(ComplianceHoldReason::WouldCut { cuts }),
            Some(Repair { harms, .. }) if !harms.is_empty() => Err(ComplianceHoldReason::WouldHarm { harms }),
            Some(Repair { change, .. }) => Ok(change),
            None => Err(no_safe_repair(finding)),
        }
    }

    fn filter(&self) -> Option<&EgressFilterType> {
        let spec = self.facts.mesh.spec.as_ref()?;
        spec.egress_filter.as_ref().map(|filter| &filter.filter)
    }
}

pub(super) fn no_safe_repair(finding: &Finding) -> ComplianceHoldReason {
    ComplianceHoldReason::NoSafeRepair { rule: finding.rule }
}

fn fact<T: DeserializeOwned>(finding: &Finding, name: &str) -> Option<T> {
    serde_json::from_value(finding.facts.get(name)?.clone()).ok()
}
