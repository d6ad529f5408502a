//! Why: every decision's stable code with its facts.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::egress::Cut;
use crate::harm::Harm;
use crate::name::ResourcePath;
use crate::pack::RuleName;

/// Why nothing needs doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum KeepReason {
    /// It is as it must be.
    Compliant,
    /// The topic says nothing of it.
    NotApplicable,
    /// There are findings that are merely worth knowing.
    WorthKnowing {
        /// The rules.
        rules: Vec<RuleName>,
    },
    /// What is wrong is allowed for now.
    Waived {
        /// The rules.
        rules: Vec<RuleName>,
    },
}

/// Why something that is wrong is not mended now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum HoldReason {
    /// Its tags could not be read.
    TagsUnknown,
    /// It could not be described: only its name is known.
    ResourceUnread,
    /// The tags of a resource that it would take the tag from could not be read.
    SourceTagsUnknown {
        /// The tag.
        key: String,
    },
    /// Other resources of the mesh could not be described, so that nobody knows what a change would break.
    PartlyRead {
        /// The first of them.
        unread: Vec<ResourcePath>,
        /// How many there are.
        count: usize,
    },
    /// The state table could not be reached.
    StateUnreachable,
    /// What is remembered of the mesh cannot be read.
    RecordUnreadable {
        /// The document's key.
        document: String,
    },
    /// A newer version wrote what is remembered of the mesh.
    NewerFormat {
        /// The document's key.
        document: String,
        /// Its format.
        format: u64,
    },
    /// Those that a tag could be taken from differ, so that somebody has to say whose it is.
    TagConflict {
        /// The tag.
        key: String,
        /// Each value, with one that has it.
        values: BTreeMap<String, ResourcePath>,
    },
    /// It is so young that whoever creates it may not be done.
    InsideGrace {
        /// Until when.
        until: Timestamp,
    },
    /// Nobody knows how old it is.
    AgeUnknown,
    /// The repair would cut calls that are made now.
    WouldCut {
        /// Which.
        cuts: Vec<Cut>,
    },
    /// The repair would break something else.
    WouldHarm {
        /// What.
        harms: Vec<Harm>,
    },
    /// A backend that leads nowhere in the mesh may be called past it while everything may leave.
    FilterOpen {
        /// The virtual service that is named.
        backend: String,
    },
    /// The type of the mesh's egress filter is not a known one, so nothing follows from it.
    FilterUnknown {
        /// The type.
        filter: String,
    },
    /// The policy doesn't let backends be taken off (`egress.removeDangling`).
    RemovalNotAllowed {
        /// The virtual service that is named.
        backend: String,
    },
    /// Nothing mends it that would be safe without a person.
    NoSafeRepair {
        /// The rule.
        rule: RuleName,
    },
    /// Everything is switched off.
    KillSwitchOn {
        /// By whom.
        by: String,
        /// Why.
        why: String,
    },
    /// The window's changes are spent.
    BudgetSpent {
        /// Changes made.
        used: u32,
        /// Changes allowed.
        cap: u32,
    },
}

/// The code and the facts of a reason.
fn parts(reason: &impl Serialize) -> (String, Value) {
    let mut facts = serde_json::to_value(reason).unwrap_or_default();
    let code = facts.as_object_mut().and_then(|members| members.remove("reason"));
    (code.and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default(), facts)
}

impl KeepReason {
    /// The stable code and the facts.
    #[must_use]
    pub fn parts(&self) -> (String, Value) {
        parts(self)
    }
}

impl HoldReason {
    /// The stable code and the facts.
    #[must_use]
    pub fn parts(&self) -> (String, Value) {
        parts(self)
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compliant => f.write_str("it is as it must be"),
            Self::NotApplicable => f.write_str("no rule is about it"),
            Self::WorthKnowing { rules } => write!(f, "worth knowing: {}", listed(rules)),
            Self::Waived { rules } => write!(f, "allowed for now: {}", listed(rules)),
        }
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TagsUnknown => f.write_str("its tags could not be read"),
            Self::ResourceUnread => f.write_str("it could not be read"),
            Self::SourceTagsUnknown { key } => {
                write!(f, "the tags of what stands above it could not be read, and may have another `{key}`")
            }
            Self::PartlyRead { unread, count } => {
                let paths: Vec<String> = unread.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{count} resources of the mesh could not be read, so nobody knows what a change would break: "
                )?;
                f.write_str(&paths.join(", "))
            }
            Self::StateUnreachable => f.write_str("the state table could not be read"),
            Self::RecordUnreadable { document } => write!(f, "document `{document}` of the state table cannot be read"),
            Self::NewerFormat { document, format } => {
                write!(f, "a newer version wrote document `{document}` of the state table, in format {format}")
            }
            Self::TagConflict { key, values } => {
                let values: Vec<String> = values.iter().map(|(value, from)| format!("`{value}` by {from}")).collect();
                write!(f, "`{key}` would be {}", values.join(", "))
            }
            Self::InsideGrace { until } => write!(f, "it is new, and may lack tags until {until:.0}"),
            Self::AgeUnknown => f.write_str("nobody knows when it was created"),
            Self::WouldCut { cuts } => {
                let cuts: Vec<String> = cuts.iter().map(ToString::to_string).collect();
                f.write_str(&cuts.join("; "))
            }
            Self::WouldHarm { harms } => {
                let harms: Vec<String> = harms.iter().map(ToString::to_string).collect();
                f.write_str(&harms.join("; "))
            }
            Self::FilterOpen { backend } => {
                write!(f, "{backend} may be called past the mesh while the egress filter lets everything out")
            }
            Self::FilterUnknown { filter } => {
                write!(f, "its egress filter is `{filter}`, which is not a known type: set ALLOW_ALL or DROP_ALL")
            }
            Self::RemovalNotAllowed { backend } => {
                write!(f, "{backend} may be about to come, and `egress.removeDangling` is off")
            }
            Self::NoSafeRepair { rule } => write!(f, "what mends {rule} takes a person"),
            Self::KillSwitchOn { by, why } => write!(f, "{by} switched everything off: {why}"),
            Self::BudgetSpent { used, cap } => write!(f, "{used} of {cap} changes of this window are made"),
        }
    }
}

fn listed(rules: &[RuleName]) -> String {
    rules.iter().map(|rule| rule.as_str()).collect::<Vec<_>>().join(", ")
}
