//! Stores a command in the document of a rollout.

use ports::{JournalEntry, Note, StateKey, StoreOutcome};
use records::{Layout, write_record};
use rollouts::{CommandKind, command};
use serde_json::json;

use super::super::args::ChangeArgs;
use super::super::desk::{Desk, Said};
use super::super::error::Trouble;
use super::RolloutError;
use super::find::one;

/// Stores the command, which the next run of traffic-shift executes.
pub(super) async fn change(desk: &Desk<'_>, args: &ChangeArgs, kind: CommandKind) -> Result<String, Trouble> {
    let found = one(desk, &args.id, args.mesh.as_ref()).await?;
    let id = found.id.clone();
    let now = desk.now();
    let record =
        command(&found.record, kind, &desk.by, now).map_err(|source| RolloutError::State { id: id.clone(), source })?;
    desk.confirm(&format!("{kind} rollout {id}, which is {}?", found.record.state.name()))?;
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
        StoreOutcome::Stored => {
            Ok(format!("{kind} of rollout {id} is requested; traffic-shift executes it within a minute\n"))
        }
        StoreOutcome::Overtaken => Err(RolloutError::Overtaken { id }.into()),
    }
}
