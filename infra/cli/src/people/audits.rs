//! The changes of a resource, as change-audit has journalled them.

use jiff::Timestamp;
use mesh::name::ResourcePath;
use ports::StateKey;
use records::{AuditFacts, ChangeFacts, ChangedMember, DecisionEntry, FindingsSummary};

use super::desk::Desk;
use super::error::Trouble;
use super::route_state::short;

/// The function that journals changes.
pub(super) const AUDIT: &str = "change-audit";

/// The number of entries that are read of the journal of a whole mesh.
pub(super) const ENTRIES: u32 = 100;

/// The most members and findings in one sentence.
const MOST: usize = 3;

/// The changes of a resource, each with its time and a sentence. For a mesh: the changes of all its resources.
pub(super) async fn changes(desk: &Desk<'_>, path: &ResourcePath) -> Result<Vec<(Timestamp, String)>, Trouble> {
    let entries = desk.ports.state.journal(&StateKey::mesh(AUDIT, path.mesh()), ENTRIES).await?;
    let (wanted, whole) = (path.to_string(), matches!(path, ResourcePath::Mesh(_)));
    let mut sentences = Vec::new();
    for entry in &entries {
        let at = short(entry.at);
        let body = match entry.read() {
            Ok(body) => body,
            Err(error) => {
                sentences.push((entry.at, format!("{at} {AUDIT} failed to read the entry: {error}")));
                continue;
            }
        };
        for decision in body.decisions() {
            let resource = &decision.resource;
            if whole || *resource == wanted {
                let of = if whole && *resource != wanted { format!(" {resource}") } else { String::new() };
                sentences.push((entry.at, format!("{at} {AUDIT}{of} {}", sentence(decision))));
            }
        }
    }
    Ok(sentences)
}

fn sentence(decision: &DecisionEntry) -> String {
    let text = match AuditFacts::read(decision) {
        Ok(AuditFacts::Change(facts)) => changed(&facts),
        Ok(AuditFacts::Write(facts)) => {
            let error = facts.error.as_ref().map_or_else(String::new, |error| format!(", refused with {error}"));
            format!("{} by {}{error}", facts.write.operation, facts.write.by)
        }
        Ok(AuditFacts::FirstReading) => "read for the first time".to_owned(),
        Ok(AuditFacts::Other(facts)) if facts.is_null() => String::new(),
        Ok(AuditFacts::Other(facts)) => facts.to_string(),
        Err(error) => format!("failed to read the facts: {error}"),
    };
    format!("[{}] {text}.", decision.reason)
}

fn changed(facts: &ChangeFacts) -> String {
    let by = if facts.by.is_empty() { "an unknown caller".to_owned() } else { facts.by.join(" and ") };
    let mut text = format!("{} by {by}", facts.change);
    let members: Vec<String> = facts.members.iter().map(member).collect();
    text.push_str(&listed(": ", &members));
    for (heading, FindingsSummary { first, .. }) in
        [("; new findings ", &facts.created), ("; resolved findings ", &facts.cleared)]
    {
        let rules: Vec<String> = first.iter().map(|finding| finding.rule.clone()).collect();
        text.push_str(&listed(heading, &rules));
    }
    text
}

fn member(ChangedMember { path, before, after }: &ChangedMember) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_owned());
    format!("{path} {} -> {}", value(before), value(after))
}

fn listed(heading: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let first: Vec<&str> = items.iter().take(MOST).map(String::as_str).collect();
    let more = items.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{heading}{}{more}", first.join(", "))
}
