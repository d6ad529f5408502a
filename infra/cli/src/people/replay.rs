//! `replay`: recorded decisions, made again.

use std::fmt::{Display, Write as _};
use std::fs;
use std::path::Path;

use mesh::failover::{Replay, ReplayError};
use mesh::name::ResourcePath;
use ports::StateKey;
use serde_json::Value;

use super::args::{Journalled, ReplayArgs};
use super::desk::Desk;
use super::error::{Refusal, Trouble};
use super::standing::short;

/// What every observation that is kept outside the journal has in its name.
const KEPT: &str = "observations/";

pub(super) async fn replay(desk: &Desk<'_>, args: &ReplayArgs) -> Result<String, Trouble> {
    let (what, entries) = match (&args.file, &args.resource) {
        (Some(file), _) => (file.display().to_string(), read(file)?),
        (None, Some(resource)) => (resource.to_string(), journalled(desk, resource, args.limit).await?),
        // The parser lets none pass without either.
        (None, None) => (String::new(), Vec::new()),
    };
    let recorded: Vec<&Value> = entries.iter().filter(|entry| entry.get("observed").is_some()).collect();
    if recorded.is_empty() {
        return Err(Trouble::NoJournal { what });
    }
    let mut text = String::new();
    let mut different = 0;
    for entry in &recorded {
        let observed = observed(desk, entry, &what).await?;
        let (is_same, sentence) = again(entry, &observed)
            .map_err(|error| Trouble::NoRecord { what: what.clone(), why: error.to_string() })?;
        different += usize::from(!is_same);
        let _ = writeln!(text, "{sentence}");
    }
    if different > 0 {
        return Err(Refusal::Different { different, all: recorded.len(), text }.into());
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
    let key = match resource {
        Journalled::Certificate(subject) => StateKey::certificate(subject),
        Journalled::Resource(ResourcePath::Route(route)) => StateKey::route(route),
        Journalled::Resource(ResourcePath::VirtualNode(mesh, node)) => StateKey::node(mesh, node),
        // What of a mesh as a whole is decided is whether its certificates could be read.
        Journalled::Resource(path @ ResourcePath::Mesh(_)) => StateKey::certificate(&path.to_string()),
        Journalled::Resource(
            ResourcePath::VirtualGateway(..)
            | ResourcePath::VirtualRouter(..)
            | ResourcePath::VirtualService(..)
            | ResourcePath::GatewayRoute(..),
        ) => return Err(Trouble::NoJournal { what: resource.to_string() }),
    };
    Ok(desk.ports.state.journal(&key, limit).await?.into_iter().map(|entry| entry.body).collect())
}

/// Makes a decision again by the function that made it: whether it is the same, and the sentence that says so.
fn again(entry: &Value, observed: &Value) -> Result<(bool, String), ReplayError> {
    if entry.get("function").and_then(Value::as_str) == Some("certificate-rotation") {
        let replayed = mesh::rotation::replay(entry, observed)?;
        return Ok((replayed.is_same(), sentence(&replayed)));
    }
    let replayed = mesh::failover::replay(entry, observed)?;
    Ok((replayed.is_same(), sentence(&replayed)))
}

/// What the decision was made from: in the entry, or where the entry says that it is.
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
    let Replay { resource, at, recorded, decided, unasked } = replay;
    let head = format!("{} {resource}: {recorded}", short(*at));
    match decided {
        _ if replay.is_same() => format!("{head}; the same"),
        _ if !unasked.is_empty() => {
            format!("{head}; not known, since a what-if is asked that was not: {}", unasked.join(", "))
        }
        Some(decided) => format!("{head}; now {decided}"),
        None => format!("{head}; now nothing is decided of it"),
    }
}
