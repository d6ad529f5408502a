//! The documentation of the rules, written from the rules themselves.

use std::fmt::Write as _;

use super::rule::Rule;
use super::rules;

const OPENING: &str = "\
# The rules of the policy pack

Written from the code; `UPDATE_GOLDENS=1` writes it again. Each rule has an id that never changes, a severity (the policy may set
another), a reason and a remedy. `rules` in the policy switches a rule off or sets its severity; its remediation is made where
`modes` is `enforce`. A waiver allows a finding for a time.

`profile` selects the rules: `core` (broken, in plain text, expiring, dangling or open to any client), `recommended` (the
default: `core` and good practice), `strict` (every rule). The table names the smallest profile that evaluates a rule. A
rule that a policy names under `rules` or `modes` is evaluated in every profile.
";

/// Every rule with its reason and its remedy, as Markdown.
#[must_use]
pub fn documentation() -> String {
    let mut text = OPENING.to_owned();
    let mut group = None;
    text.push_str("\n| rule | severity | profile | violation |\n|---|---|---|---|\n");
    for rule in rules() {
        // Writing to a string never fails, here and below.
        let _ = writeln!(text, "| [{0}](#{0}) | {1} | {2} | {3} |", rule.id, rule.severity, rule.profile, rule.title);
    }
    for rule in rules() {
        if group != Some(rule.group) {
            group = Some(rule.group);
            let _ = write!(text, "\n## {}\n", rule.group.heading());
        }
        page(rule, &mut text);
    }
    text.push_str("\n## AWS Config managed rules\n\n| managed rule | rule here |\n|---|---|\n");
    for (managed, own) in managed_rules() {
        let _ = writeln!(text, "| {managed} | [{own}](#{own}) |");
    }
    text
}

fn page(rule: &Rule, text: &mut String) {
    let kinds: Vec<&str> = rule.on.iter().map(|kind| kind.words()).collect();
    let _ = write!(text, "\n### {}\n\n{}.\n\n{}\n\n", rule.id, rule.title, rule.why);
    let _ = write!(text, "**Remedy:** {}\n\n", rule.remedy);
    let _ = write!(text, "Severity: {}. Profile: {}. On: {}.", rule.severity, rule.profile, kinds.join(", "));
    let managed = rule.managed.iter().map(|id| format!("AWS Config {id}"));
    let controls = rule.controls.iter().map(|control| format!("{} {}", control.framework, control.id));
    let controls: Vec<String> = managed.chain(controls).collect();
    if !controls.is_empty() {
        let _ = write!(text, " Controls: {}.", controls.join("; "));
    }
    text.push('\n');
}

/// The managed rules of AWS Config, each with the rule of the pack that finds the same.
fn managed_rules() -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<_> = rules().flat_map(|rule| rule.managed.iter().map(|id| (*id, rule.id))).collect();
    all.sort_unstable();
    all
}
