//! `replay`: repeats recorded decisions from their observations.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mesh::name::ResourcePath;
use ports::{JournalEntry, PortError, PortErrorKind, StateKey};
use records::{JournalBody, ObservedRef, RawObservation, Replay, replay as replay_entry};
use serde::Deserialize as _;
use serde_json::Value;

use super::args::{Journalled, ReplayArgs};
use super::desk::Desk;
use super::error::{Refusal, Trouble};
use super::route_state::short;

/// The functions with one journal for a whole mesh.
const COMPLIANCE: [&str; 2] = ["tag-compliance", "egress-compliance"];

pub(super) async fn replay(desk: &Desk<'_>, args: &ReplayArgs) -> Result<String, Trouble> {
    let (what, entries) = match (&args.file, &args.resource) {
        (Some(file), _) => (file.display().to_string(), read(file)?),
        (None, Some(resource)) => (resource.to_string(), journalled(desk, resource, args.limit).await?),
        // The command line parser requires one of the two arguments.
        (None, None) => (String::new(), Vec::new()),
    };
    let mut text = String::new();
    let (mut different, mut unknown, mut all) = (0, 0, 0);
    for (id, body) in &entries {
        let no_record = |why: String| Trouble::NoRecord { what: what.clone(), why };
        let body = match JournalBody::read(id, body) {
            Ok(body) => body,
            Err(error) if args.file.is_some() => return Err(no_record(error.to_string())),
            Err(error) => {
                unknown += 1;
                let _ = writeln!(text, "entry {id}: unknown, because it cannot be read: {error}");
                continue;
            }
        };
        let Some(observed) = body.observed() else { continue };
        let replays = match replays(desk, &body, observed).await {
            Ok(replays) => replays,
            Err(NotReplayed::Command(trouble)) => return Err(trouble),
            Err(NotReplayed::Object(error)) if args.file.is_some() => return Err(error.into()),
            Err(NotReplayed::Malformed(why)) if args.file.is_some() => return Err(no_record(why)),
            Err(not_replayed) => {
                for decision in body.decisions().iter().filter(|decision| is_wanted(&decision.resource, args)) {
                    unknown += 1;
                    let (resource, reason) = (&decision.resource, &decision.reason);
                    let _ = writeln!(text, "{resource}: {reason}; unknown, because {not_replayed}");
                }
                continue;
            }
        };
        for replay in replays.iter().filter(|replay| is_wanted(&replay.resource, args)) {
            all += 1;
            different += usize::from(!replay.is_same());
            let _ = writeln!(text, "{}", sentence(replay));
        }
    }
    if all + unknown == 0 {
        return Err(Trouble::NoJournal { what });
    }
    if different + unknown > 0 {
        return Err(Refusal::Different { different: different + unknown, all: all + unknown, text }.into());
    }
    Ok(text)
}

/// The ids and bodies of the entries in a file: bodies, or whole entries as the journal stores them.
fn read(file: &Path) -> Result<Vec<(String, Value)>, Trouble> {
    let failed = |source| Trouble::File { call: "read", path: file.to_owned(), source };
    let text = fs::read_to_string(file).map_err(failed)?;
    let no_record =
        |why: serde_json::Error| Trouble::NoRecord { what: file.display().to_string(), why: why.to_string() };
    let entries = match serde_json::from_str(&text).map_err(no_record)? {
        Value::Array(entries) => entries,
        entry => vec![entry],
    };
    let with_id = |body: Value| match JournalEntry::deserialize(&body) {
        Ok(entry) => (entry.id, entry.body),
        Err(_) => (String::new(), body),
    };
    Ok(entries.into_iter().map(with_id).collect())
}

async fn journalled(desk: &Desk<'_>, resource: &Journalled, limit: u32) -> Result<Vec<(String, Value)>, Trouble> {
    let of_mesh = |path: &ResourcePath| COMPLIANCE.map(|function| StateKey::mesh(function, path.mesh()));
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
        let journal = desk.ports.state.journal(key, limit).await?;
        entries.extend(journal.into_iter().map(|entry| (entry.id, entry.body)));
    }
    Ok(entries)
}

/// Whether a decision is about the resource of the command. An entry of tag- or egress-compliance has the decisions of a
/// whole mesh.
fn is_wanted(resource: &str, args: &ReplayArgs) -> bool {
    match &args.resource {
        // The journal of a certificate has no other subject.
        Some(Journalled::Resource(ResourcePath::Mesh(_)) | Journalled::Certificate(_)) | None => true,
        Some(Journalled::Resource(path)) => path.to_string() == resource,
    }
}

/// Why the decisions of an entry cannot be replayed.
#[derive(Debug, thiserror::Error)]
enum NotReplayed {
    /// The command cannot read any observation outside the journal.
    #[error(transparent)]
    Command(#[from] Trouble),
    /// The function could not store the observation.
    #[error("its observation was not stored: {0}")]
    Lost(String),
    /// The reports store does not have the observation any more.
    #[error("its observation was deleted: {0}")]
    Object(PortError),
    /// The observation is not one that this version reads.
    #[error("its observation cannot be read: {0}")]
    Malformed(String),
}

/// Replays the decisions of an entry from the observation in the entry, or from the object that the entry names.
async fn replays(desk: &Desk<'_>, body: &JournalBody, observed: &ObservedRef) -> Result<Vec<Replay>, NotReplayed> {
    let observation = match observed {
        ObservedRef::Here(observation) => observation.clone(),
        ObservedRef::Lost { error } => return Err(NotReplayed::Lost(error.clone())),
        ObservedRef::At { place, .. } => {
            let name = observed.object_name().ok_or_else(|| {
                NotReplayed::Malformed(format!(
                    "invalid location of an observation `{place}`: expected `observations/` in it"
                ))
            })?;
            let reports = desk.ports.reports.as_ref().ok_or_else(|| {
                let why = format!("its observation is at {place}; set MESHWARDEN_REPORTS to read it there");
                Trouble::NoRecord { what: name.to_owned(), why }
            })?;
            let is_deleted = |error: &PortError| error.kind == PortErrorKind::NotFound;
            let object = reports.get(name).await.map_err(|error| {
                if is_deleted(&error) { NotReplayed::Object(error) } else { NotReplayed::Command(error.into()) }
            })?;
            let value: Value =
                serde_json::from_slice(&object).map_err(|error| NotReplayed::Malformed(format!("{name}: {error}")))?;
            RawObservation::from(value)
        }
    };
    replay_entry(body, &observation).map_err(|error| NotReplayed::Malformed(error.to_string()))
}

fn sentence(replay: &Replay) -> String {
    let Replay { resource, at, recorded, decided, unrecorded } = replay;
    let head = format!("{} {resource}: {recorded}", short(*at));
    match decided {
        _ if replay.is_same() => format!("{head}; the same"),
        _ if !unrecorded.is_empty() => {
            format!(
                "{head}; unknown, because the replay needs harm checks that were not recorded: {}",
                unrecorded.join(", ")
            )
        }
        Some(decided) => format!("{head}; now {decided}"),
        None => format!("{head}; now without a decision"),
    }
}
