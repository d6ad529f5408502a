//! Writes an operator's action on dead letters to the journal before its execution, so that a dropped event stays
//! known.

use std::fmt::Write as _;

use ports::{BudgetWindow, JournalEntry, Note, PortError, StateKey, StateStore, StoreOutcome};
use serde_json::{Value, json};

use super::desk::Desk;
use super::error::Trouble;
use super::letter::Letter;
use super::wording::{count, short};

/// Attempts to append the journal entry while other writers win the race.
const ATTEMPTS: usize = 3;

/// The most dead letters in one journal entry. The state table accepts items of at most 400 KB.
const IN_AN_ENTRY: usize = 50;

/// The most characters of a dropped event that the journal stores.
const LONGEST_EVENT: usize = 4000;

/// Journals dead letters, each with its destination queue; `None` for a deleted letter.
pub(super) async fn write(
    desk: &Desk<'_>,
    code: &'static str,
    queue: &str,
    letters: &[(&Letter, Option<String>)],
) -> Result<(), Trouble> {
    for (part, letters) in letters.chunks(IN_AN_ENTRY).enumerate() {
        let by = &desk.by;
        let verb = if letters.iter().all(|(_, to)| to.is_some()) { "sends again" } else { "deletes" };
        let text = format!("{by} {verb} {} of {queue}", count(letters.len()));
        let facts = json!({ "by": by, "queue": queue, "letters": letters.iter().map(facts).collect::<Vec<_>>() });
        let key = StateKey::dead_letters();
        let body = json!({
            "function": "meshwarden", "resource": key.as_str(), "reason": code, "facts": facts, "text": text,
            "plan": Value::Null,
        });
        append(desk, &format!("{code}-{part}"), body).await?;
    }
    Ok(())
}

fn facts((letter, to): &(&Letter, Option<String>)) -> Value {
    let mut facts = json!({
        "id": letter.id, "function": letter.function, "source": letter.source, "reason": short(&letter.reason),
        "events": short(&letter.events.join(", ")),
    });
    if let Some(members) = facts.as_object_mut() {
        if let Some(to) = to {
            members.insert("to".to_owned(), json!(to));
        } else {
            let event: String = letter.event.chars().take(LONGEST_EVENT).collect();
            members.insert("event".to_owned(), json!(event));
        }
    }
    facts
}

async fn append(desk: &Desk<'_>, id: &str, body: Value) -> Result<(), Trouble> {
    let key = StateKey::dead_letters();
    let now = desk.now;
    // This load spends no budget, but the store requires a window for every load.
    let window = BudgetWindow { class: "meshwarden".to_owned(), start: now, end: now };
    let failed = |error: PortError| Trouble::Journal(Box::new(error));
    for _ in 0..ATTEMPTS {
        let view = desk.state.load(std::slice::from_ref(&key), &window).await.map_err(failed)?;
        let revision = view.documents.get(&key).map_or(0, |stored| stored.revision);
        let journal = Some(JournalEntry { at: now, id: format!("{revision}-{id}"), body: body.clone() });
        let note = Note { key: key.clone(), revision, now, document: json!({ "changed": now }), journal };
        if desk.state.note(&note).await.map_err(failed)? == StoreOutcome::Stored {
            return Ok(());
        }
    }
    Err(Trouble::Busy)
}

/// The operators' actions on dead letters as text: one line for each journal entry, and one for each letter.
pub(super) async fn history(state: &dyn StateStore, limit: u32) -> Result<String, PortError> {
    let entries = state.journal(&StateKey::dead_letters(), limit).await?;
    let mut text = String::new();
    for JournalEntry { at, body, .. } in &entries {
        let said = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).unwrap_or("-").to_owned();
        let _ = writeln!(text, "{at:.0} [{}] {}", said(body, "reason"), said(body, "text"));
        for letter in body.pointer("/facts/letters").and_then(Value::as_array).into_iter().flatten() {
            let to = letter.get("to").and_then(Value::as_str).map_or_else(String::new, |to| format!(" to {to}"));
            let _ = writeln!(text, "  {} {}{to}", said(letter, "id"), said(letter, "events"));
        }
    }
    if entries.is_empty() {
        text.push_str("no operator has changed anything\n");
    }
    Ok(text)
}
