//! Stores a command in the document of a rollout.

use ports::{JournalEntry, Note, StateKey, StoreOutcome};
use records::{Layout, write_record};
use rollouts::{CommandKind, RolloutRecord, command};
use serde_json::json;

use super::super::args::ChangeArgs;
use super::super::desk::{Desk, Said};
use super::super::error::Trouble;
use super::RolloutError;
use super::find::{Found, one};

/// Stores the command, which the next run of traffic-shift executes.
pub(super) async fn change(desk: &Desk<'_>, args: &ChangeArgs, kind: CommandKind) -> Result<String, Trouble> {
    let found = one(desk, &args.id, args.mesh.as_ref()).await?;
    // A refused command needs no confirmation.
    with_command(desk, &found, kind)?;
    desk.confirm(&format!("{kind} rollout {}, which is {}?", found.id, found.record.state.name()))?;
    store_command(desk, &found, kind).await?;
    Ok(format!("{kind} of rollout {} is requested; traffic-shift executes it within a minute\n", found.id))
}

fn with_command(desk: &Desk<'_>, found: &Found, kind: CommandKind) -> Result<RolloutRecord, RolloutError> {
    let refused = |source| RolloutError::State { id: found.id.clone(), source };
    command(&found.record, kind, &desk.by, desk.now()).map_err(refused)
}

/// Stores a command without a confirmation.
pub(crate) async fn store_command(desk: &Desk<'_>, found: &Found, kind: CommandKind) -> Result<(), Trouble> {
    let record = with_command(desk, found, kind)?;
    let (id, now) = (found.id.clone(), desk.now());
    let text = format!("{} requests: {kind}", desk.by);
    let said = Said {
        command: "rollout",
        by: &desk.by,
        code: "RolloutCommand",
        facts: json!({ "command": kind }),
        text: &text,
        plan: None,
    };
    let journal = JournalEntry::new(
        now,
        format!("{}-RolloutCommand", found.revision),
        &said.body(&record.subject()),
        Layout::Flat,
    );
    let note = Note {
        key: StateKey::rollout(&found.mesh, &id),
        revision: found.revision,
        now,
        document: write_record(&record),
        journal: Some(journal),
    };
    match desk.ports.state.note(&note).await? {
        StoreOutcome::Stored => Ok(()),
        StoreOutcome::Overtaken => Err(RolloutError::Overtaken { id }.into()),
    }
}
