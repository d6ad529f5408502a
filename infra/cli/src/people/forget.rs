//! `forget`: resets a document of the state table that a function cannot read or should rebuild.

use ports::{JournalEntry, Note, StoreOutcome};
use records::Layout;
use serde_json::{Value, json};

use super::args::ForgetArgs;
use super::desk::{Desk, Said};
use super::error::{Refusal, Trouble};

/// The largest document in bytes that the journal entry contains. An item of the table has at most 400 KB.
const LONGEST_KEPT: usize = 100_000;

pub(super) async fn forget(desk: &Desk<'_>, args: &ForgetArgs) -> Result<String, Trouble> {
    let key = &args.document;
    let name = key.as_str();
    let mut view = desk.load(std::slice::from_ref(key)).await?;
    let Some(stored) = view.documents.remove(key) else {
        return Err(Refusal::NoDocument { key: name.to_owned() }.into());
    };
    desk.confirm(&format!("Reset document `{name}`? The state that the function stored in it is lost."))?;
    let text = stored.document.to_string();
    let before = if text.len() <= LONGEST_KEPT { stored.document } else { Value::Null };
    let now = desk.now();
    let said = Said {
        command: "forget",
        by: &desk.by,
        code: "DocumentReset",
        facts: json!({ "why": args.reason, "before": before, "bytes": text.len() }),
        text: &format!("{} reset document `{name}`: {}", desk.by, args.reason),
        plan: None,
    };
    let id = format!("{}-{}", stored.revision, said.code);
    let journal = Some(JournalEntry::new(now, id, &said.body(name), Layout::Flat));
    // An empty document counts as never written, so the function starts from an empty state. The increased revision
    // rejects writes by an invocation that read the old document.
    let note = Note { key: key.clone(), revision: stored.revision, now, document: json!({}), journal };
    match desk.ports.state.note(&note).await? {
        StoreOutcome::Stored => {
            Ok(format!("document `{name}` is reset; the next run of the function starts with an empty document\n"))
        }
        StoreOutcome::Overtaken => Err(Refusal::DocumentMoved { key: name.to_owned() }.into()),
    }
}
