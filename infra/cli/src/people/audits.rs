//! The changes of a resource, from the journal of change-audit.

use jiff::Timestamp;
use mesh::name::ResourcePath;
use ports::StateKey;
use serde_json::Value;

use super::desk::Desk;
use super::error::Trouble;
use super::standing::short;

/// The function that records changes.
pub(super) const AUDIT: &str = "change-audit";

/// The most entries that are read from the journal of a whole mesh.
pub(super) const ENTRIES: u32 = 100;

/// The most members and findings in one sentence.
const MOST: usize = 3;

/// The changes of a resource, or of a whole mesh, each with its time and a sentence.
pub(super) async fn of(desk: &Desk<'_>, path: &ResourcePath) -> Result<Vec<(Timestamp, String)>, Trouble> {
    let entries = desk.ports.state.journal(&StateKey::mesh(AUDIT, path.mesh()), ENTRIES).await?;
    let (wanted, whole) = (path.to_string(), matches!(path, ResourcePath::Mesh(_)));
    let mut said = Vec::new();
    for entry in &entries {
        let decisions = entry.body.get("decisions").and_then(Value::as_array);
        for decision in decisions.into_iter().flatten() {
            let resource = text(decision, "/resource");
            if whole || resource == wanted {
                let of = if whole && resource != wanted { format!(" {resource}") } else { String::new() };
                said.push((entry.at, format!("{} {AUDIT}{of} {}", short(entry.at), sentence(decision))));
            }
        }
    }
    Ok(said)
}

fn sentence(decision: &Value) -> String {
    let reason = text(decision, "/reason");
    let told = match reason {
        "Written" | "WritesBetween" | "NoEvent" => changed(decision),
        "Attributed" | "Refused" => {
            let error = decision.pointer("/facts/error").and_then(Value::as_str);
            let error = error.map_or_else(String::new, |error| format!(", refused with {error}"));
            format!("{} by {}{error}", text(decision, "/facts/write/operation"), text(decision, "/facts/write/by"))
        }
        "FirstSight" => "seen for the first time".to_owned(),
        _ => decision.get("facts").map_or_else(String::new, ToString::to_string),
    };
    format!("[{reason}] {told}.")
}

fn changed(decision: &Value) -> String {
    let by = decision.pointer("/facts/by").and_then(Value::as_array);
    let by: Vec<&str> = by.into_iter().flatten().filter_map(Value::as_str).collect();
    let by = if by.is_empty() { "nobody knows whom".to_owned() } else { by.join(" and ") };
    let mut told = format!("{} by {by}", text(decision, "/facts/change"));
    let members = decision.pointer("/facts/members").and_then(Value::as_array);
    let members: Vec<String> = members.into_iter().flatten().map(member).collect();
    told.push_str(&listed(": ", &members));
    for (heading, pointer) in [("; created ", "/facts/created/first"), ("; cleared ", "/facts/cleared/first")] {
        let findings = decision.pointer(pointer).and_then(Value::as_array);
        let rules: Vec<String> = findings.into_iter().flatten().map(|one| text(one, "/rule").to_owned()).collect();
        told.push_str(&listed(heading, &rules));
    }
    told
}

fn member(member: &Value) -> String {
    let value = |pointer: &str| member.pointer(pointer).and_then(Value::as_str).unwrap_or("(absent)").to_owned();
    format!("{} {} -> {}", text(member, "/path"), value("/before"), value("/after"))
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

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
