//! What people are told of a look.

use std::fmt::Write as _;

use super::attribute::Cause;
use super::change::Members;
use super::effect::Effect;
use super::look::{Audit, Late, Look};
use super::write::Write;
use crate::edges::Verdict;
use crate::name::MeshName;
use crate::pack::{Finding, Severity};
use crate::policy::Policy;

/// The most changes, and of each the most findings, calls and writes, that one notice tells.
const MOST: usize = 10;

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// One line of at most 100 characters.
    pub subject: String,
    /// The whole text.
    pub body: String,
    /// Whether it should wake somebody: something is broken, or open to anybody, now.
    pub wakes: bool,
}

/// What people are told of a look: that something got worse, by whom, and how to mend it; and who it was, where they
/// were told without. `None` where there is nothing of the kind.
#[must_use]
pub fn notice(mesh: &MeshName, look: &Look, policy: &Policy) -> Option<Told> {
    let late: Vec<&Late> = look.late.iter().filter(|late| late.told).collect();
    let worse: Vec<&Audit> = look.audits.iter().filter(|audit| audit.effect.is_worse(policy)).collect();
    let is_worse = look.effect.is_worse(policy);
    if !is_worse && late.is_empty() {
        return None;
    }
    let mut body = String::new();
    if is_worse {
        let (changes, told) = (look.audits.len(), worse.len());
        line(&mut body, &format!("Mesh {mesh} got worse."));
        for audit in worse.iter().take(MOST) {
            change(&mut body, audit, policy);
            effect(&mut body, &audit.effect, policy);
        }
        more(&mut body, told, "changes that made something worse");
        if look.rest.is_worse(policy) {
            line(&mut body, &format!("\nThis can't be put down to one of the {changes} changes:"));
            effect(&mut body, &look.rest, policy);
            for audit in look.audits.iter().take(MOST) {
                change(&mut body, audit, policy);
            }
            more(&mut body, changes, "changes");
        } else if changes > told {
            line(&mut body, &format!("\nChanges in the same time that made nothing worse: {}.", changes - told));
        }
    }
    for late in late.iter().take(MOST) {
        let at = late.seen.strftime("%F %T UTC");
        line(&mut body, &format!("\nWhat was seen at {at}, and told without a name, was done by"));
        written(&mut body, &late.write);
    }
    Some(Told { subject: subject(mesh, look, &worse, late.first()), body, wakes: wakes(&look.effect) })
}

fn subject(mesh: &MeshName, look: &Look, worse: &[&Audit], late: Option<&&Late>) -> String {
    let text = match (worse, late) {
        ([], Some(late)) if !look.effect.worse.is_empty() || look.effect.created.is_empty() => {
            let resource = late.write.resource.as_ref().map_or_else(|| mesh.to_string(), ToString::to_string);
            format!("Who changed {resource} is known now")
        }
        ([one], _) => format!("Mesh {mesh} got worse: {} {}", one.change.resource, one.change.kind.words()),
        (many, _) => format!("Mesh {mesh} got worse by {} changes", many.len().max(look.audits.len().min(2))),
    };
    // A subject of SNS is of printable ASCII.
    text.chars().filter(|character| character.is_ascii() && !character.is_ascii_control()).take(100).collect()
}

fn wakes(effect: &Effect) -> bool {
    effect.created.iter().any(|finding| finding.severity >= Severity::Critical)
        || effect.worse.iter().any(|edge| matches!(edge.after, Verdict::Broken(_)))
}

fn change(body: &mut String, audit: &Audit, policy: &Policy) {
    let (change, kind) = (&audit.change, audit.change.kind.words());
    let versions = match (change.before, change.after) {
        (Some(before), Some(after)) => format!(" (version {} to {})", before.version, after.version),
        (None, Some(_) | None) | (Some(_), None) => String::new(),
    };
    line(body, &format!("\n{} {kind}{versions}", change.resource));
    cause(body, &audit.cause);
    let Members { members, more } = change.members(policy);
    for member in members {
        let value = |value: Option<String>| value.unwrap_or_else(|| "(absent)".to_owned());
        line(body, &format!("  {}: {} -> {}", member.path, value(member.before), value(member.after)));
    }
    if more > 0 {
        line(body, &format!("  and {more} members more"));
    }
}

fn cause(body: &mut String, cause: &Cause) {
    match cause {
        Cause::Written { write } => {
            line(body, "by");
            written(body, write);
        }
        Cause::Between { writes, untold } => {
            line(body, "These writes lie between; which of them did what can't be told:");
            for write in writes.iter().take(MOST) {
                written(body, write);
            }
            more(body, writes.len(), "writes");
            if *untold > 0 {
                line(body, &format!("  and {untold} of which no event has told"));
            }
        }
        Cause::NoEvent => line(body, "by nobody knows whom: no event has told of a write"),
    }
}

fn written(body: &mut String, write: &Write) {
    let at = write.at.map(|at| format!(" at {}", at.strftime("%F %T UTC"))).unwrap_or_default();
    line(body, &format!("  {}: {}{at}", write.caller, write.operation));
}

fn effect(body: &mut String, effect: &Effect, policy: &Policy) {
    let told: Vec<&Finding> =
        effect.created.iter().filter(|finding| finding.severity >= policy.audit.tell_from).collect();
    for finding in told.iter().take(MOST) {
        let Finding { severity, rule, resource, message, .. } = finding;
        line(body, &format!("New finding {}, {severity}: {rule} on {resource}: {message}", finding.id()));
        match (&finding.remediation, rule.rule()) {
            (Some(change), _) => line(body, &format!("  To mend it: {change}")),
            (None, Some(rule)) => line(body, &format!("  To mend it: {}", rule.mend)),
            (None, None) => {}
        }
    }
    more(body, told.len(), "new findings");
    for edge in effect.worse.iter().take(MOST) {
        line(body, &format!("Calls from {}: {} before, now {}", edge.edge, edge.before, edge.after));
    }
    more(body, effect.worse.len(), "calls that got worse");
    if !effect.worse.is_empty() {
        line(body, "  To mend it: put back what stood before, or bring the other end along");
    }
    if !effect.cleared.is_empty() {
        line(body, &format!("Cleared: {} findings", effect.cleared.len()));
    }
}

fn more(body: &mut String, all: usize, what: &str) {
    let rest = all.saturating_sub(MOST);
    if rest > 0 {
        line(body, &format!("and {rest} more {what}"));
    }
}

fn line(body: &mut String, text: &str) {
    // Writing to a text can't fail.
    let _ = writeln!(body, "{text}");
}
