//! The findings in the order of the page: by rule, then by root cause.

use rules::pack::{Finding, RuleName, Severity, rule_named};
use serde_json::Value;

use crate::causes::{Cause, RuleGroup, group};
use crate::visible::visible;

/// The texts about a finding that are not part of it; each is empty if nothing is known.
pub(super) struct FindingContext<'a> {
    pub(super) since: &'a dyn Fn(&Finding) -> String,
    pub(super) place: &'a dyn Fn(&Finding) -> String,
}

/// The findings of one rule.
pub(super) struct RuleView {
    pub(super) rule: RuleName,
    pub(super) worst: Severity,
    pub(super) title: &'static str,
    pub(super) why: &'static str,
    pub(super) fix: &'static str,
    pub(super) counts: String,
    pub(super) causes: Vec<CauseView>,
}

/// The findings of one root cause, and their consequences.
pub(super) struct CauseView {
    /// The root cause; empty if it is the resource of the only finding.
    pub(super) root: String,
    pub(super) counts: String,
    pub(super) findings: Vec<FindingView>,
}

/// A finding as the page shows it.
pub(super) struct FindingView {
    pub(super) id: String,
    pub(super) rule: RuleName,
    pub(super) severity: Severity,
    pub(super) resource: String,
    pub(super) part: String,
    pub(super) message: String,
    pub(super) facts: Vec<(String, String)>,
    pub(super) place: String,
    pub(super) since: String,
    pub(super) remediation: String,
    /// Whether it is resolved together with the finding above it.
    pub(super) follows: bool,
}

/// Groups the findings by rule, the worst first.
pub(super) fn groups(findings: &[Finding], context: &FindingContext<'_>) -> Vec<RuleView> {
    group(findings).iter().map(|group_of_rule| rule_view(group_of_rule, context)).collect()
}

fn rule_view(group_of_rule: &RuleGroup<'_>, context: &FindingContext<'_>) -> RuleView {
    let rule = rule_named(group_of_rule.rule);
    let (findings, causes) = (group_of_rule.count(), group_of_rule.causes.len());
    let mut counts = count(findings, "finding");
    if causes < findings {
        counts = format!("{counts}, {}", count(causes, "root cause"));
    }
    match group_of_rule.consequences() {
        0 => {}
        1 => counts.push_str(", 1 more follows"),
        more => counts = format!("{counts}, {more} more follow"),
    }
    RuleView {
        rule: group_of_rule.rule,
        worst: group_of_rule.worst,
        title: rule.map_or(group_of_rule.rule.as_str(), |rule| rule.title),
        why: rule.map_or("", |rule| rule.why),
        fix: rule.map_or("", |rule| rule.remedy),
        counts,
        causes: group_of_rule.causes.iter().map(|cause| cause_view(cause, context)).collect(),
    }
}

fn cause_view(cause: &Cause<'_>, context: &FindingContext<'_>) -> CauseView {
    let own = cause.findings.iter().map(|finding| finding_view(finding, context, false));
    let consequences = cause.consequences.iter().map(|finding| finding_view(finding, context, true));
    let total = cause.findings.len() + cause.consequences.len();
    let root = if total > 1 { visible(&cause.root.to_string()).into_owned() } else { String::new() };
    CauseView { root, counts: count(total, "finding"), findings: own.chain(consequences).collect() }
}

fn finding_view(finding: &Finding, context: &FindingContext<'_>, follows: bool) -> FindingView {
    let text = |text: &str| visible(text).into_owned();
    FindingView {
        id: finding.id().as_str().to_owned(),
        rule: finding.rule,
        severity: finding.severity,
        resource: text(&finding.resource.to_string()),
        part: text(&finding.part),
        message: text(&finding.message),
        facts: finding.facts.iter().map(|(name, fact)| (text(name), text(&fact_text(fact)))).collect(),
        place: (context.place)(finding),
        since: (context.since)(finding),
        remediation: finding.remediation.as_ref().map_or_else(String::new, |change| text(&change.to_string())),
        follows,
    }
}

fn fact_text(fact: &Value) -> String {
    match fact {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
