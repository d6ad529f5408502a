//! `kill`: the switch that stops every function.

use std::fmt::Write as _;
use std::time::Duration;

use ports::{Deadline, JournalEntry, KillSwitch, Note, StateKey, StoreOutcome};
use records::{KillSwitchLog, Layout, write_record};
use serde_json::{Value, json};

use super::active_layers::ActiveLayers;
use super::args::{KillArgs, Turn};
use super::desk::{Desk, Said};
use super::error::{Refusal, Trouble};
use super::restore_first::{self, RestoreResults};
use super::sentences;

/// The most attempts to append the journal entry while other operators write the journal.
const ATTEMPTS: usize = 3;

/// The time limit for reading the active rollouts and drills: a stop must not wait longer.
const TIME_TO_LIST: Duration = Duration::from_secs(10);

/// The most switch changes that `kill status` shows.
const TURNS: u32 = 5;

pub(super) async fn kill(desk: &Desk<'_>, args: &KillArgs) -> Result<String, Trouble> {
    match &args.turn {
        Turn::On { reason, restore_first, .. } => on(desk, reason, *restore_first).await,
        Turn::Off { .. } => off(desk).await,
        Turn::Status { .. } => status(desk).await,
    }
}

async fn on(desk: &Desk<'_>, reason: &str, restore_first: bool) -> Result<String, Trouble> {
    if desk.load(&[]).await?.kill_switch.is_some() {
        return Err(Refusal::AlreadySo { so: "on" }.into());
    }
    let active = Deadline::after(TIME_TO_LIST).cover(ActiveLayers::read(desk)).await;
    let listed = active.lines(desk);
    let question = "Stop every function until the switch is off: no failover, no rotation, no remediation?";
    let also = match (active.is_empty(), restore_first) {
        (true, _) => String::new(),
        (false, true) => format!("\nEnded and restored first:\n{listed}"),
        (false, false) => format!(
            "\nActive, and unchanged while the switch is on (pass --restore-first to end and restore them):\n{listed}"
        ),
    };
    desk.confirm(&format!("{question}{also}"))?;
    let results = if restore_first { restore_first::restore(desk, &active).await } else { RestoreResults::default() };
    let switch = KillSwitch { by: desk.by.clone(), reason: reason.to_owned(), at: desk.now() };
    desk.ports.state.set_kill_switch(Some(&switch)).await?;
    let text = format!("{} stopped every function: {reason}", desk.by);
    journal(desk, ("kill on", "PersonSwitchedOff"), &text, json!({ "why": reason })).await?;
    let RestoreResults { restored, mut failed } = results;
    let restored = if restored.is_empty() { restored } else { format!("restored first:\n{restored}") };
    if restore_first {
        failed.extend(active.unread.iter().map(|unread| format!("  {unread}\n")));
        if !failed.is_empty() {
            return Err(Trouble::NotAllRestored { failed, restored });
        }
        return Ok(format!("the kill switch is on: no function changes anything\n{restored}"));
    }
    let stays = if listed.is_empty() { listed } else { format!("unchanged while the switch is on:\n{listed}") };
    Ok(format!("the kill switch is on: no function changes anything\n{stays}"))
}

async fn off(desk: &Desk<'_>) -> Result<String, Trouble> {
    let Some(switch) = desk.load(&[]).await?.kill_switch else {
        return Err(Refusal::AlreadySo { so: "off" }.into());
    };
    let KillSwitch { by, reason, at } = &switch;
    desk.confirm(&format!("Resume every function? {by} stopped them at {at:.0}: {reason}"))?;
    desk.ports.state.set_kill_switch(None).await?;
    let text = format!("{} resumed every function; {by} stopped them at {at:.0}: {reason}", desk.by);
    journal(desk, ("kill off", "PersonSwitchedOn"), &text, json!({ "was": switch })).await?;
    Ok("the kill switch is off: the functions resume with their next run\n".to_owned())
}

async fn status(desk: &Desk<'_>) -> Result<String, Trouble> {
    let mut text = match desk.load(&[]).await?.kill_switch {
        Some(KillSwitch { by, reason, at }) => format!("the kill switch is on since {at:.0}: {by}: {reason}\n"),
        None => "the kill switch is off\n".to_owned(),
    };
    for entry in desk.ports.state.journal(&StateKey::kill_switch(), TURNS).await? {
        let _ = writeln!(text, "  {}", sentences::entry(&entry));
    }
    Ok(text)
}

/// Journals a change after it took effect, so that no journal failure delays a stop.
async fn journal(
    desk: &Desk<'_>,
    (command, code): (&'static str, &'static str),
    text: &str,
    facts: Value,
) -> Result<(), Trouble> {
    let key = StateKey::kill_switch();
    let body = Said { command, by: &desk.by, code, facts, text, plan: None }.body(key.as_str());
    for _ in 0..ATTEMPTS {
        let revision = desk.load(std::slice::from_ref(&key)).await?.documents.get(&key).map_or(0, |it| it.revision);
        let now = desk.now();
        let note = Note {
            key: key.clone(),
            revision,
            now,
            document: write_record(&KillSwitchLog { turned: now }),
            journal: Some(JournalEntry::new(now, format!("{revision}-{code}"), &body, Layout::Flat)),
        };
        if desk.ports.state.note(&note).await? == StoreOutcome::Stored {
            return Ok(());
        }
    }
    Err(Trouble::Unjournalled)
}
