//! Writes an operator's action on dead letters to the journal before its execution, so that a dropped event stays
//! known.

use std::fmt::Write as _;

use jiff::Timestamp;
use ports::{BudgetWindow, JournalEntry, Note, PortError, StateKey, StateStore, StoreOutcome};
use records::{DeadLetterEntry, DeadLetterFacts, DeadLetterLog, DecisionEntry, JournalBody, Layout, write_record};
use serde_json::json;

use super::desk::QueueContext;
use super::error::DeadLetterError;
use super::letter::Letter;
use super::wording::{count, short};

/// The most attempts to append the journal entry while other operators write the journal.
const ATTEMPTS: usize = 3;

/// The most dead letters in one journal entry. The state table accepts items of at most 400 KB.
const IN_AN_ENTRY: usize = 50;

/// The most characters of a dropped event that the journal stores.
const LONGEST_EVENT: usize = 4000;

/// Journals dead letters, each with its destination queue; `None` for a deleted letter.
pub(super) async fn write(
    desk: &QueueContext<'_>,
    code: &'static str,
    queue: &str,
    letters: &[(&Letter, Option<String>)],
) -> Result<(), DeadLetterError> {
    for (part, letters) in letters.chunks(IN_AN_ENTRY).enumerate() {
        let by = &desk.by;
        let is_redriven = letters.iter().all(|(_, to)| to.is_some());
        let (verb, command) =
            if is_redriven { ("redrives", "dead-letters redrive") } else { ("deletes", "dead-letters drop") };
        let text = format!("{by} {verb} {} of {queue}", count(letters.len()));
        let facts =
            DeadLetterFacts { by: by.clone(), queue: queue.to_owned(), letters: letters.iter().map(entry).collect() };
        let resource = StateKey::dead_letters();
        let decision = DecisionEntry { text: Some(text), ..DecisionEntry::new(resource.as_str(), code, json!(facts)) };
        let body = JournalBody::Operator { command: command.to_owned(), by: by.clone(), decision };
        append(desk, &format!("{code}-{part}"), &body).await?;
    }
    Ok(())
}

fn entry((letter, to): &(&Letter, Option<String>)) -> DeadLetterEntry {
    DeadLetterEntry {
        id: letter.id.clone(),
        function: letter.function.map(str::to_owned),
        source: letter.source.clone(),
        reason: short(&letter.reason),
        events: short(&letter.events.join(", ")),
        to: to.clone(),
        event: to.is_none().then(|| letter.event.chars().take(LONGEST_EVENT).collect()),
    }
}

async fn append(desk: &QueueContext<'_>, id: &str, body: &JournalBody) -> Result<(), DeadLetterError> {
    let key = StateKey::dead_letters();
    let now = desk.now;
    // This load spends no budget, but the store requires a window for every load.
    let window = BudgetWindow { class: "meshwarden".to_owned(), start: now, end: now };
    let failed = |error: PortError| DeadLetterError::Journal(Box::new(error));
    for _ in 0..ATTEMPTS {
        let view = desk.state.load(std::slice::from_ref(&key), &window).await.map_err(failed)?;
        let revision = view.documents.get(&key).map_or(0, |stored| stored.revision);
        let journal = Some(JournalEntry::new(now, format!("{revision}-{id}"), body, Layout::Flat));
        let document = write_record(&DeadLetterLog { changed: now });
        let note = Note { key: key.clone(), revision, now, document, journal };
        if desk.state.note(&note).await.map_err(failed)? == StoreOutcome::Stored {
            return Ok(());
        }
    }
    Err(DeadLetterError::Busy)
}

/// The operators' actions on dead letters as text: one line for each journal entry, and one for each letter.
pub(super) async fn history(state: &dyn StateStore, limit: u32) -> Result<String, PortError> {
    let entries = state.journal(&StateKey::dead_letters(), limit).await?;
    let mut text = String::new();
    for entry in &entries {
        let at = entry.at;
        match entry.read() {
            Ok(body) => {
                for decision in body.decisions() {
                    line(&mut text, at, decision);
                }
            }
            Err(error) => drop(writeln!(text, "{at:.0} failed to read the entry: {error}")),
        }
    }
    if entries.is_empty() {
        text.push_str("the journal has no entry\n");
    }
    Ok(text)
}

fn line(text: &mut String, at: Timestamp, decision: &DecisionEntry) {
    let sentence = decision.text.as_deref().unwrap_or("-");
    let _ = writeln!(text, "{at:.0} [{}] {sentence}", decision.reason);
    match DeadLetterFacts::read(decision) {
        Ok(facts) => {
            for letter in &facts.letters {
                let to = letter.to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
                let _ = writeln!(text, "  {} {}{to}", letter.id, letter.events);
            }
        }
        Err(error) => drop(writeln!(text, "  failed to read the letters: {error}")),
    }
}
