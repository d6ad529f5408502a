//! `hold` and `release`: an operator reserves a route for a time, or returns it to route-failover.

use decisions::failover::{with_accepted_declaration, with_hold};
use decisions::rotation::RotationMemory;
use jiff::Timestamp;
use mesh::name::RouteId;
use ports::{JournalEntry, Note, StateKey, StoreOutcome};
use records::{Layout, certificate_memory, write_record};
use serde_json::{Value, json};

use super::args::{HoldArgs, Releasable, ReleaseArgs};
use super::desk::{Desk, Said};
use super::error::{Refusal, Trouble};

/// Holds the route. route-failover respects the hold like an edit by hand, until the end that the operator chose.
pub(super) async fn hold(desk: &Desk<'_>, args: &HoldArgs) -> Result<String, Trouble> {
    let now = desk.now();
    let until = end(args, now)?;
    let seen = desk.see(&args.route).await?;
    let record = with_hold(desk.record(&seen, now)?, until, now).map_err(|blocker| Refusal::Blocked {
        route: args.route.clone(),
        command: blocker.command(&args.route),
        blocker,
    })?;
    // A longer hold stays in force.
    let until = record.edit.map_or(until, |edit| edit.until);
    let (route, split, by) = (&args.route, &seen.facts.split, &desk.by);
    let text = format!("{by} holds {split} until {until:.0}: {}", args.reason);
    desk.confirm(&format!("Hold {route} at {split} until {until:.0}, regardless of alarms?"))?;
    let facts = json!({ "why": args.reason, "until": until, "split": split });
    desk.note(&seen, &record, &said("hold", by, "PersonHeld", facts, &text)).await?;
    Ok(format!("{route} is held at {split} until {until:.0}; `meshwarden release {route}` ends the hold earlier\n"))
}

/// Releases the route, like a release event. Alarms apply again from now on, and nodes that were drained
/// earlier may return.
pub(super) async fn release(desk: &Desk<'_>, args: &ReleaseArgs) -> Result<String, Trouble> {
    match &args.what {
        Releasable::Route(route) => release_route(desk, route, args.accept_declared).await,
        Releasable::Certificate(subject) => release_certificate(desk, subject).await,
    }
}

async fn release_route(desk: &Desk<'_>, route: &RouteId, accepts_declared: bool) -> Result<String, Trouble> {
    let now = desk.now();
    let mut seen = desk.see(route).await?;
    let before = desk.record(&seen, now)?;
    let accepted = before.layers.promoted.is_some() && accepts_declared;
    if before.edit.is_none() && before.drains.is_empty() && !accepted {
        return Err(Refusal::NotHeld { route: route.clone() }.into());
    }
    seen.facts.released = Some(now);
    let record = desk.record(&seen, now)?;
    let record = if accepted { with_accepted_declaration(record.clone()).unwrap_or(record) } else { record };
    let (split, by) = (&seen.facts.split, &desk.by);
    let text = format!("{by} releases the route at {split}");
    desk.confirm(&format!("Release {route} at {split}, so that alarms move its weights again?"))?;
    let facts = json!({ "split": split, "edit": before.edit, "acceptedDeclaration": accepted });
    desk.note(&seen, &record, &said("release", by, "PersonReleased", facts, &text)).await?;
    Ok(format!(
        "{route} is released at {split}; the next run of route-failover, within a minute, applies its alarms again\n"
    ))
}

/// Releases a certificate. It is renewed although it was rolled back, and a failed attempt is retried at once with a
/// new key.
async fn release_certificate(desk: &Desk<'_>, subject: &str) -> Result<String, Trouble> {
    let now = desk.now();
    let certificate = || subject.to_owned();
    let key = StateKey::certificate(subject);
    let mut view = desk.load(std::slice::from_ref(&key)).await?;
    let stored = view.documents.remove(&key).ok_or_else(|| Refusal::NoCertificate { certificate: certificate() })?;
    let before = match certificate_memory(&key, &stored.document) {
        RotationMemory::Record(record) => record,
        RotationMemory::None => return Err(Refusal::NoCertificate { certificate: certificate() }.into()),
        RotationMemory::Unreadable(why) => {
            return Err(Refusal::RecordUnclear { certificate: certificate(), why }.into());
        }
        RotationMemory::Newer { format } => {
            let why = format!("its format {format} is newer than this command; use a newer version");
            return Err(Refusal::RecordUnclear { certificate: certificate(), why }.into());
        }
    };
    let record = before.released(now).ok_or_else(|| Refusal::NothingToRelease { certificate: certificate() })?;
    let by = &desk.by;
    let text = format!("{by} releases certificate {subject}");
    desk.confirm(&format!(
        "Release certificate {subject}, so that it is renewed although it was rolled back or failed?"
    ))?;
    let moved_back = before.leaf.as_ref().and_then(|leaf| leaf.moved_back.clone());
    let facts = json!({ "movedBack": moved_back, "failures": before.failures });
    let said = said("release", by, "CertificateReleased", facts, &text);
    let note = Note {
        key,
        revision: stored.revision,
        now,
        document: write_record(&record),
        journal: Some(JournalEntry::new(
            now,
            format!("{}-{}", stored.revision, said.code),
            &said.body(subject),
            Layout::Flat,
        )),
    };
    match desk.ports.state.note(&note).await? {
        StoreOutcome::Stored => Ok(format!(
            "certificate {subject} is released; certificate-rotation resumes with its next run, within five minutes\n"
        )),
        StoreOutcome::Overtaken => Err(Refusal::CertificateInUse { certificate: certificate() }.into()),
    }
}

fn said<'a>(command: &'static str, by: &'a str, code: &'static str, facts: Value, text: &'a str) -> Said<'a> {
    Said { command, by, code, facts, text, plan: None }
}

fn end(args: &HoldArgs, now: Timestamp) -> Result<Timestamp, Trouble> {
    let until = match (args.until, args.length) {
        (Some(until), _) => until,
        (None, Some(length)) => now.checked_add(length).map_err(|_| Trouble::TooLong)?,
        // The command line parser requires one of the two arguments.
        (None, None) => now,
    };
    if until > now { Ok(until) } else { Err(Trouble::PastEnd { until, now }) }
}
