//! `replay`: repeats recorded decisions.

use std::fmt::{Display, Write as _};
use std::fs;
use std::path::Path;

use mesh::compliance::Topic;
use mesh::failover::{Replay, ReplayError};
use mesh::name::ResourcePath;
use ports::StateKey;
use serde_json::Value;

use super::args::{Journalled, ReplayArgs};
use super::desk::Desk;
use super::error::{Refusal, Trouble};
use super::standing::short;

/// The functions with one journal for a whole mesh, each with the topic of its decisions.
const COMPLIANCE: [(&str, Topic); 2] = [("tag-compliance", Topic::Tags), ("egress-compliance", Topic::Egress)];

/// The name prefix of observations that are stored outside the journal.
const KEPT: &str = "observations/";

pub(super) async fn replay(desk: &Desk<'_>, args: &ReplayArgs) -> Result<String, Trouble> {
    let (what, entries) = match (&args.file, &args.resource) {
        (Some(file), _) => (file.display().to_string(), read(file)?),
        (None, Some(resource)) => (resource.to_string(), journalled(desk, resource, args.limit).await?),
        // The command line parser requires one of the two arguments.
        (None, None) => (String::new(), Vec::new()),
    };
    let recorded: Vec<&Value> = entries.iter().filter(|entry| entry.get("observed").is_some()).collect();
    if recorded.is_empty() {
        return Err(Trouble::NoJournal { what });
    }
    let mut text = String::new();
    let (mut different, mut all) = (0, 0);
    for entry in &recorded {
        let observed = observed(desk, entry, &what).await?;
        let replayed = again(entry, &observed, args.resource.as_ref())
            .map_err(|error| Trouble::NoRecord { what: what.clone(), why: error.to_string() })?;
        for (is_same, sentence) in replayed {
            all += 1;
            different += usize::from(!is_same);
            let _ = writeln!(text, "{sentence}");
        }
    }
    if all == 0 {
        return Err(Trouble::NoJournal { what });
    }
    if different > 0 {
        return Err(Refusal::Different { different, all, text }.into());
    }
    Ok(text)
}

fn read(file: &Path) -> Result<Vec<Value>, Trouble> {
    let failed = |source| Trouble::File { call: "read", path: file.to_owned(), source };
    let text = fs::read_to_string(file).map_err(failed)?;
    let no_record =
        |why: serde_json::Error| Trouble::NoRecord { what: file.display().to_string(), why: why.to_string() };
    Ok(match serde_json::from_str(&text).map_err(no_record)? {
        Value::Array(entries) => entries,
        entry => vec![entry],
    })
}

async fn journalled(desk: &Desk<'_>, resource: &Journalled, limit: u32) -> Result<Vec<Value>, Trouble> {
    let of_mesh = |path: &ResourcePath| COMPLIANCE.map(|(function, _)| StateKey::mesh(function, path.mesh()));
    let keys = match resource {
        Journalled::Certificate(subject) => vec![StateKey::certificate(subject)],
        Journalled::Resource(path) => {
            let own = match path {
                ResourcePath::Route(route) => Some(StateKey::route(route)),
                ResourcePath::VirtualNode(mesh, node) => Some(StateKey::node(mesh, node)),
                // For a mesh, certificate-rotation records decisions on whether its certificates could be read.
                ResourcePath::Mesh(_) => Some(StateKey::certificate(&path.to_string())),
                ResourcePath::VirtualGateway(..)
                | ResourcePath::VirtualRouter(..)
                | ResourcePath::VirtualService(..)
                | ResourcePath::GatewayRoute(..) => None,
            };
            own.into_iter().chain(of_mesh(path)).collect()
        }
    };
    let mut entries = Vec::new();
    for key in &keys {
        entries.extend(desk.ports.state.journal(key, limit).await?.into_iter().map(|entry| entry.body));
    }
    Ok(entries)
}

/// Repeats the decisions of an entry with the function that made them. Each result has a flag for equality, and a
/// sentence. An entry of tag- or egress-compliance covers a whole mesh; `wanted` selects the decisions of one resource.
fn again(entry: &Value, observed: &Value, wanted: Option<&Journalled>) -> Result<Vec<(bool, String)>, ReplayError> {
    let function = entry.get("function").and_then(Value::as_str);
    if let Some((_, topic)) = COMPLIANCE.into_iter().find(|(name, _)| function == Some(*name)) {
        let is_wanted = |resource: &str| match wanted {
            Some(Journalled::Resource(ResourcePath::Mesh(_))) | None => true,
            Some(wanted) => wanted.to_string() == resource,
        };
        let replayed = mesh::compliance::replay(topic, entry, observed)?;
        let of_it = replayed.into_iter().filter(|replayed| is_wanted(&replayed.resource));
        return Ok(of_it.map(|replayed| (replayed.is_same(), sentence(&replayed))).collect());
    }
    if function == Some("certificate-rotation") {
        let replayed = mesh::rotation::replay(entry, observed)?;
        return Ok(vec![(replayed.is_same(), sentence(&replayed))]);
    }
    let replayed = mesh::failover::replay(entry, observed)?;
    Ok(vec![(replayed.is_same(), sentence(&replayed))])
}

/// The observation of a decision: from the entry, or from the location that the entry names.
async fn observed(desk: &Desk<'_>, entry: &Value, what: &str) -> Result<Value, Trouble> {
    let observed = entry.get("observed").cloned().unwrap_or_default();
    let no_record = |why: String| Trouble::NoRecord { what: what.to_owned(), why };
    let Some(place) = observed.get("at").and_then(Value::as_str) else { return Ok(observed) };
    let name = place.find(KEPT).and_then(|at| place.get(at..));
    let Some(name) = name else { return Err(no_record(format!("{place} is no place of an observation"))) };
    let Some(reports) = &desk.ports.reports else {
        return Err(no_record(format!("what was observed is at {place}; set MESHWARDEN_REPORTS to read it there")));
    };
    serde_json::from_slice(&reports.get(name).await?).map_err(|error| no_record(error.to_string()))
}

fn sentence<C: Display + PartialEq>(replay: &Replay<C>) -> String {
    let Replay { resource, at, recorded, decided, unrecorded } = replay;
    let head = format!("{} {resource}: {recorded}", short(*at));
    match decided {
        _ if replay.is_same() => format!("{head}; the same"),
        _ if !unrecorded.is_empty() => {
            format!(
                "{head}; unknown, since the replay needs harm checks that were not recorded: {}",
                unrecorded.join(", ")
            )
        }
        Some(decided) => format!("{head}; now {decided}"),
        None => format!("{head}; now nothing is decided of it"),
    }
}
