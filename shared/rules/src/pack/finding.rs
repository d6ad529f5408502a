//! Findings: the violation of one rule by one resource, with its severity and identity.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use mesh::change::Change;
use mesh::name::ResourcePath;
use policy::rule_terms::{RuleName, Severity};

/// The facts of a finding, by name.
pub type FindingFacts = BTreeMap<Cow<'static, str>, Value>;

/// One violation of one rule by one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule.
    pub rule: RuleName,
    /// The severity of the finding.
    pub severity: Severity,
    /// The resource, by kind and path.
    pub resource: ResourcePath,
    /// The part of the resource, for a rule that can find several, such as `listener 8080`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub part: String,
    /// The facts on which the finding rests.
    pub facts: FindingFacts,
    /// The facts as a sentence, for operators.
    pub message: String,
    /// The change that resolves it, where that is safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<Change>,
}

impl Finding {
    /// The id of the finding, which stays the same for as long as rule, resource and part do.
    #[must_use]
    pub fn id(&self) -> FindingId {
        let mut hash = Sha256::new();
        for text in [self.rule.as_str(), &self.resource.to_string(), &self.part] {
            hash.update(text);
            // Names can't contain control characters, so this separates them without ambiguity.
            hash.update([0]);
        }
        let first = hash.finalize().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        FindingId(format!("{first:016x}"))
    }

    /// The order of findings: by resource, then rule, then part.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        (&self.resource, self.rule, &self.part, &self.message).cmp(&(
            &other.resource,
            other.rule,
            &other.part,
            &other.message,
        ))
    }
}

/// The id of a finding: 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FindingId(String);

impl FindingId {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Collects the findings of one rule.
pub(super) struct RuleFindings<'a> {
    rule: RuleName,
    /// The severity of the rule's findings, unless the policy sets another.
    severity: Severity,
    /// The severity that the policy sets for the rule, if it sets one.
    set: Option<Severity>,
    all: &'a mut Vec<Finding>,
}

impl<'a> RuleFindings<'a> {
    pub(super) const fn new(
        rule: RuleName,
        severity: Severity,
        set: Option<Severity>,
        all: &'a mut Vec<Finding>,
    ) -> Self {
        Self { rule, severity, set, all }
    }

    /// Adds a finding on a resource as a whole.
    pub(super) fn on(
        &mut self,
        resource: ResourcePath,
        message: impl Into<String>,
        facts: FindingFacts,
    ) -> &mut Finding {
        self.on_part(resource, String::new(), message, facts)
    }

    /// Adds a finding on a resource as a whole, with the severity of its effect unless the policy sets one.
    pub(super) fn by_effect(
        &mut self,
        severity: Severity,
        resource: ResourcePath,
        message: impl Into<String>,
        facts: FindingFacts,
    ) -> &mut Finding {
        let severity = self.set.unwrap_or(severity);
        let finding = self.on(resource, message, facts);
        finding.severity = severity;
        finding
    }

    /// Adds a finding on a part of a resource.
    pub(super) fn on_part(
        &mut self,
        resource: ResourcePath,
        part: String,
        message: impl Into<String>,
        facts: FindingFacts,
    ) -> &mut Finding {
        let (rule, severity) = (self.rule, self.set.unwrap_or(self.severity));
        self.all.push(Finding { rule, severity, resource, part, facts, message: message.into(), remediation: None });
        let last = self.all.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was pushed a line ago")]
        &mut self.all[last]
    }
}

/// Items as a comma-separated text: `80, 443`.
pub(super) fn listed<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// The facts of a finding, by name.
macro_rules! facts {
    ($($name:literal: $value:expr),* $(,)?) => {
        $crate::pack::FindingFacts::from([$((std::borrow::Cow::Borrowed($name), serde_json::json!($value))),*])
    };
}

pub(super) use facts;
