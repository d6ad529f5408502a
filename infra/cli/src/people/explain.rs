//! `explain`: the state, the decisions and the next step of a resource.

use std::fmt::Write as _;

use decisions::failover::Memory;
use jiff::Timestamp;
use mesh::name::{ResourcePath, RouteId};
use ports::StateKey;

use super::args::{ExplainArgs, Explained};
use super::audits;
use super::desk::Desk;
use super::error::Trouble;
use super::explain_alarm;
use super::route_state::{State, next};
use super::sentences;
use super::status::MESH_FUNCTIONS;

pub(super) async fn explain(desk: &Desk<'_>, args: &ExplainArgs) -> Result<String, Trouble> {
    let path = match &args.subject {
        Explained::Resource(path) => path,
        Explained::Alarm(alarm) => return explain_alarm::explain(desk, alarm).await,
    };
    let keys = match path {
        ResourcePath::Route(route) => vec![StateKey::route(route)],
        ResourcePath::VirtualNode(mesh, node) => vec![StateKey::node(mesh, node)],
        ResourcePath::Mesh(mesh) => MESH_FUNCTIONS.map(|function| StateKey::mesh(function, mesh)).to_vec(),
        // No function keeps a journal for one of these resources; the journals of the mesh contain their decisions.
        ResourcePath::VirtualGateway(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualService(..)
        | ResourcePath::GatewayRoute(..) => Vec::new(),
    };
    let mut text = format!("{path}\n");
    if let ResourcePath::Route(route) = path {
        text.push_str(&route_state(desk, route).await?);
    }
    let mut sentences = audits::changes(desk, path).await?;
    for key in &keys {
        let entries = desk.ports.state.journal(key, args.limit).await?;
        sentences.extend(entries.iter().map(|entry| (entry.at, sentences::entry(entry))));
    }
    if !matches!(path, ResourcePath::Mesh(_)) {
        sentences.extend(decisions_in_mesh_journals(desk, path).await?);
    }
    sentences.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    sentences.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    text.push_str(if sentences.is_empty() { "\nThe journal has no entry.\n" } else { "\nJournal, newest first:\n" });
    for (_, sentence) in &sentences {
        let _ = writeln!(text, "  {sentence}");
    }
    Ok(text)
}

/// The decisions on a resource in the journals that functions keep for a whole mesh.
async fn decisions_in_mesh_journals(desk: &Desk<'_>, path: &ResourcePath) -> Result<Vec<(Timestamp, String)>, Trouble> {
    let wanted = path.to_string();
    let mut decisions = Vec::new();
    for function in MESH_FUNCTIONS {
        let entries = desk.ports.state.journal(&StateKey::mesh(function, path.mesh()), audits::ENTRIES).await?;
        decisions.extend(entries.iter().flat_map(|entry| sentences::about_resource(entry, &wanted)));
    }
    Ok(decisions)
}

/// The state of the route, and its next step.
async fn route_state(desk: &Desk<'_>, route: &RouteId) -> Result<String, Trouble> {
    let now = desk.now();
    let seen = desk.see(route).await?;
    let split = &seen.facts.split;
    Ok(match &seen.facts.memory {
        Memory::None => {
            format!("{split}\nThe route has no record: no alarm has reported one of its targets yet.\n")
        }
        Memory::Unreadable(why) => {
            format!("{split}\nThe record of the route is unreadable, so no function changes its weights: {why}\n")
        }
        Memory::Record(record) => {
            let (words, since) = State::from_record(record, split, now).words();
            let since = since.map_or_else(String::new, |since| format!(" since {}", super::route_state::short(since)));
            let original = record.shift.restore.as_ref();
            let original = original.map_or_else(String::new, |point| format!(", originally {}", point.split));
            let next = next(record, split, &desk.policy.failover, now).join("\n");
            format!("{split}{original}: {words}{since}\n{next}\n")
        }
    })
}
