//! The rules of the pack.

use std::fmt;

use super::context::RuleContext;
use super::controls::Control;
use super::finding::RuleFindings;
use mesh::name::ResourceKind;
use policy::Policy;

pub(super) use policy::rule_terms::{Group, Profile, RuleName, Severity};

/// A rule of the pack.
#[derive(Clone, Copy)]
pub struct Rule {
    /// The id. It never changes and never gets another meaning.
    pub id: &'static str,
    /// The smallest profile that evaluates it.
    pub profile: Profile,
    /// The subject area.
    pub group: Group,
    /// The severity of its findings, unless the policy sets another.
    pub severity: Severity,
    /// The kinds of resource that its findings concern.
    pub on: &'static [ResourceKind],
    /// The violation, in a few words.
    pub title: &'static str,
    /// The condition that it evaluates and the effect of a violation, for operators.
    pub why: &'static str,
    /// The change that resolves a finding, for operators.
    pub remedy: &'static str,
    /// The managed rules of AWS Config with the same condition.
    pub managed: &'static [&'static str],
    /// The controls that it serves.
    pub controls: &'static [Control],
    /// Whether it needs the certificates themselves. Without them, the absence of a finding proves nothing.
    pub rests_on_certificates: bool,
    /// Evaluates a mesh.
    pub(super) check: fn(&RuleContext<'_>, &mut RuleFindings<'_>),
}

impl Rule {
    /// The id as a name that the policy uses.
    #[must_use]
    pub const fn name(&self) -> RuleName {
        RuleName::new(self.id)
    }
}

/// Whether a rule is evaluated: as `rules` of the policy sets it; else in every profile if the document names the rule in
/// `rules` or `modes`; else by the profile.
#[must_use]
pub fn is_evaluated(rule: &Rule, policy: &Policy) -> bool {
    let setting = policy.rules.get(&rule.name());
    match setting.and_then(|setting| setting.enabled) {
        Some(enabled) => enabled,
        None => rule.profile <= policy.profile || policy.names(rule.name()),
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).field("group", &self.group).finish_non_exhaustive()
    }
}
