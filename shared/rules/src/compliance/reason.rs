//! The reasons of decisions: a stable code with its facts.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use strum::IntoStaticStr;

use crate::egress::EgressCut;
use crate::pack::RuleName;
use mesh::harm::Harm;
use mesh::name::ResourcePath;

/// The reason why no change is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, IntoStaticStr)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum ComplianceKeepReason {
    /// The resource is compliant.
    Compliant,
    /// The topic has no rule for this kind of resource.
    NotApplicable,
    /// The resource has only informational findings.
    WorthKnowing {
        /// The rules.
        rules: Vec<RuleName>,
    },
    /// All findings are waived for now.
    Waived {
        /// The rules.
        rules: Vec<RuleName>,
    },
}

/// The reason why a finding is not remediated now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, IntoStaticStr)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum ComplianceHoldReason {
    /// The tags of the resource could not be read.
    TagsUnknown,
    /// The resource could not be described; only its name is known.
    ResourceUnread,
    /// The tags of a resource that it would inherit from could not be read.
    SourceTagsUnknown {
        /// The tag.
        key: String,
    },
    /// Other resources of the mesh could not be described, so the effects of a change are unknown.
    PartlyRead {
        /// The first of these resources.
        unread: Vec<ResourcePath>,
        /// Their number.
        count: usize,
    },
    /// The call to the state table failed.
    StateUnreachable,
    /// The stored record of the mesh cannot be read.
    RecordUnreadable {
        /// The document's key.
        document: String,
    },
    /// A newer version wrote the stored record of the mesh.
    NewerFormat {
        /// The document's key.
        document: String,
        /// Its format.
        format: u64,
    },
    /// The resources that it would inherit a tag from have different values, so an operator must choose one.
    TagConflict {
        /// The tag.
        key: String,
        /// The values, each with a resource that has it.
        values: BTreeMap<String, ResourcePath>,
    },
    /// The resource is so new that its creator may still be adding tags.
    InsideGrace {
        /// When the grace period ends.
        until: Timestamp,
    },
    /// The age of the resource is unknown.
    AgeUnknown,
    /// The remediation would cut calls that are made now.
    WouldCut {
        /// These calls.
        cuts: Vec<EgressCut>,
    },
    /// The remediation would cause other harm.
    WouldHarm {
        /// The harms.
        harms: Vec<Harm>,
    },
    /// While the egress filter is open, a backend without a resource in the mesh may be called outside the mesh.
    FilterOpen {
        /// The virtual service of the backend.
        backend: String,
    },
    /// The type of the mesh's egress filter is unknown, so its effect is unknown.
    FilterUnknown {
        /// The type.
        filter: String,
    },
    /// The policy does not permit removing backends (`egress.removeDangling`).
    RemovalNotAllowed {
        /// The virtual service of the backend.
        backend: String,
    },
    /// The finding has no remediation that is safe without an operator.
    NoSafeRepair {
        /// The rule.
        rule: RuleName,
    },
    /// An operator has set the kill switch.
    KillSwitchOn {
        /// The operator.
        by: String,
        /// The operator's reason.
        why: String,
    },
    /// The budget of changes in this window is spent.
    BudgetSpent {
        /// The number of changes made.
        used: u32,
        /// The number of changes allowed.
        cap: u32,
    },
}

/// The members of a reason without its tag.
fn facts(reason: &impl Serialize) -> Value {
    let mut facts = serde_json::to_value(reason).unwrap_or_default();
    facts.as_object_mut().and_then(|members| members.remove("reason"));
    facts
}

impl ComplianceKeepReason {
    /// The stable code: the name of the variant, which is also its stored tag.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }

    /// The stable code and the facts.
    #[must_use]
    pub fn parts(&self) -> (String, Value) {
        (self.code().to_owned(), facts(self))
    }
}

impl ComplianceHoldReason {
    /// The stable code: the name of the variant, which is also its stored tag.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }

    /// The stable code and the facts.
    #[must_use]
    pub fn parts(&self) -> (String, Value) {
        (self.code().to_owned(), facts(self))
    }
}

impl fmt::Display for ComplianceKeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compliant => f.write_str("it is compliant"),
            Self::NotApplicable => f.write_str("no rule applies to it"),
            Self::WorthKnowing { rules } => write!(f, "informational findings: {}", listed(rules)),
            Self::Waived { rules } => write!(f, "waived for now: {}", listed(rules)),
        }
    }
}

impl fmt::Display for ComplianceHoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TagsUnknown => f.write_str("its tags could not be read"),
            Self::ResourceUnread => f.write_str("it could not be read"),
            Self::SourceTagsUnknown { key } => {
                write!(f, "the tags of its parent resources could not be read, and may have another `{key}`")
            }
            Self::PartlyRead { unread, count } => {
                let paths: Vec<String> = unread.iter().map(ToString::to_string).collect();
                write!(f, "{count} resources of the mesh could not be read, so the harm of a change is unknown: ")?;
                f.write_str(&paths.join(", "))
            }
            Self::StateUnreachable => f.write_str("the state table could not be read"),
            Self::RecordUnreadable { document } => write!(f, "document `{document}` of the state table cannot be read"),
            Self::NewerFormat { document, format } => {
                write!(f, "a newer version wrote document `{document}` of the state table, in format {format}")
            }
            Self::TagConflict { key, values } => {
                let values: Vec<String> = values.iter().map(|(value, from)| format!("`{value}` by {from}")).collect();
                write!(f, "the value of `{key}` is ambiguous: {}", values.join(", "))
            }
            Self::InsideGrace { until } => write!(f, "it is new, and may lack tags until {until:.0}"),
            Self::AgeUnknown => f.write_str("its creation time is unknown"),
            Self::WouldCut { cuts } => {
                let cuts: Vec<String> = cuts.iter().map(ToString::to_string).collect();
                f.write_str(&cuts.join("; "))
            }
            Self::WouldHarm { harms } => {
                let harms: Vec<String> = harms.iter().map(ToString::to_string).collect();
                f.write_str(&harms.join("; "))
            }
            Self::FilterOpen { backend } => {
                write!(f, "{backend} may be called outside the mesh while the egress filter is open")
            }
            Self::FilterUnknown { filter } => {
                write!(f, "its egress filter is `{filter}`, which is not a known type: set ALLOW_ALL or DROP_ALL")
            }
            Self::RemovalNotAllowed { backend } => {
                write!(f, "{backend} may be created later, and `egress.removeDangling` is off")
            }
            Self::NoSafeRepair { rule } => write!(f, "the remediation of {rule} needs an operator"),
            Self::KillSwitchOn { by, why } => write!(f, "{by} has set the kill switch: {why}"),
            Self::BudgetSpent { used, cap } => write!(f, "{used} of {cap} changes of this window are spent"),
        }
    }
}

fn listed(rules: &[RuleName]) -> String {
    rules.iter().map(|rule| rule.as_str()).collect::<Vec<_>>().join(", ")
}
