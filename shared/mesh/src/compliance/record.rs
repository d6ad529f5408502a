//! What is remembered of a mesh from one wake to the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::decide::{Decision, Verdict};
use super::reason::HoldReason;
use crate::name::ResourcePath;
use crate::watch::Watch;

/// The most resources whose last telling is remembered: a document of the state table has at most 400 KB, and an entry
/// up to a hundred bytes. What is beyond is told each time.
const MOST_TOLD: usize = 3000;

/// The most notices that wait to be sent.
const MOST_OWED: usize = 5;

/// The most events that wait to be published.
const MOST_OWED_EVENTS: usize = 20;

/// The most characters of an event's facts that are kept while it waits.
const LONGEST_OWED_EVENT: usize = 4_000;

/// The most characters that are kept of a notice that waits: a document of the state table has at most 400 KB.
const LONGEST_OWED: usize = 8_000;

/// What is remembered of a mesh.
///
/// Members that are unknown here are kept, since a newer version may have written them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The plans that were begun and whose end is not known, by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub intents: BTreeMap<ResourcePath, String>,
    /// What was last said of each resource that is not as it must be.
    pub told: BTreeMap<ResourcePath, String>,
    /// Notices that could not be sent, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<OwedNotice>,
    /// Events that could not be published, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed_events: Vec<OwedEvent>,
    /// Repairs that do not get done, by resource: one that stays so for long is a standstill.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub watches: BTreeMap<ResourcePath, Watch>,
    /// What a newer version has written.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// A notice that could not be sent yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedNotice {
    /// Whether it should wake somebody.
    pub page: bool,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
}

/// An event that could not be published yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedEvent {
    /// Its kind, as in `Meshwarden Decision`.
    pub detail_type: String,
    /// What it says.
    pub detail: Value,
    /// The ARNs of what it is about.
    #[serde(default)]
    pub resources: Vec<String>,
}

impl Record {
    /// The newest format of the stored document that is known here.
    pub const FORMAT: u64 = 0;

    /// Remembers a notice that could not be sent. Of too many the oldest are given up: the journal has what they said.
    pub fn owe(&mut self, mut notice: OwedNotice) {
        let cut = notice.body.char_indices().nth(LONGEST_OWED).map(|(at, _)| at);
        if let Some(cut) = cut {
            notice.body.truncate(cut);
        }
        self.owed.push(notice);
        let superfluous = self.owed.len().saturating_sub(MOST_OWED);
        self.owed.drain(..superfluous);
    }

    /// Remembers an event that could not be published. Of too many the oldest are given up, and of a long one the facts:
    /// the journal has both.
    pub fn owe_event(&mut self, mut event: OwedEvent) {
        if event.detail.to_string().chars().count() > LONGEST_OWED_EVENT
            && let Some(decision) = event.detail.get_mut("decision").and_then(Value::as_object_mut)
        {
            decision.insert("facts".to_owned(), Value::Null);
            decision.insert("plan".to_owned(), Value::Null);
        }
        self.owed_events.push(event);
        let superfluous = self.owed_events.len().saturating_sub(MOST_OWED_EVENTS);
        self.owed_events.drain(..superfluous);
    }
}

/// What tells a decision from what may be said of the same resource another time; `None` for what is not worth saying.
#[must_use]
pub fn digest(decision: &Decision) -> Option<String> {
    let (code, said) = match &decision.verdict {
        Verdict::Keep(_) => return None,
        Verdict::Hold(reason) => reason.parts(),
        // A repair that is made is said; the next one of the same resource is another.
        Verdict::Act(plan) => ("Act".to_owned(), serde_json::json!([plan.apply, plan.would])),
    };
    let messages: Vec<&str> = decision.judged.findings.iter().map(|finding| finding.message.as_str()).collect();
    let text = format!("{code}\0{said}\0{}", messages.join("\0"));
    let first = Sha256::digest(text).iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Some(format!("{first:016x}"))
}

/// Whether a decision says something that was not said before: something new that is wrong, or that it no longer is. A
/// repair that was begun, is in place, and was not reported is news, too.
#[must_use]
pub fn is_news(decision: &Decision, record: &Record) -> bool {
    if is_late(decision, record) {
        return true;
    }
    let known = record.told.get(&decision.resource);
    match lasts(decision) {
        Lasts::Yes => digest(decision).as_ref() != known,
        Lasts::Findings => known.is_none(),
        Lasts::No => false,
    }
}

/// Whether a repair that an earlier run began is in place, and was not reported: that run was cut short, or could neither
/// notify nor store.
#[must_use]
pub fn is_late(decision: &Decision, record: &Record) -> bool {
    matches!(decision.verdict, Verdict::Keep(_)) && record.intents.contains_key(&decision.resource)
}

/// How much of a decision outlasts a call that failed. Failing calls are reported by themselves, if they last.
enum Lasts {
    /// All of it.
    Yes,
    /// What is wrong with the resource; only why it is not repaired now comes from a call that failed.
    Findings,
    /// Nothing: nobody knows how the resource stands.
    No,
}

fn lasts(decision: &Decision) -> Lasts {
    match &decision.verdict {
        Verdict::Hold(HoldReason::TagsUnknown | HoldReason::ResourceUnread) => Lasts::No,
        Verdict::Hold(
            HoldReason::SourceTagsUnknown { .. }
            | HoldReason::PartlyRead { .. }
            | HoldReason::StateUnreachable
            | HoldReason::RecordUnreadable { .. }
            | HoldReason::NewerFormat { .. },
        ) => Lasts::Findings,
        Verdict::Hold(
            HoldReason::TagConflict { .. }
            | HoldReason::InsideGrace { .. }
            | HoldReason::AgeUnknown
            | HoldReason::WouldCut { .. }
            | HoldReason::WouldHarm { .. }
            | HoldReason::FilterOpen { .. }
            | HoldReason::FilterUnknown { .. }
            | HoldReason::RemovalNotAllowed { .. }
            | HoldReason::NoSafeRepair { .. }
            | HoldReason::KillSwitchOn { .. }
            | HoldReason::BudgetSpent { .. },
        )
        | Verdict::Keep(_)
        | Verdict::Act(_) => Lasts::Yes,
    }
}

impl Record {
    /// Remembers that a decision was told.
    pub fn tell(&mut self, decision: &Decision) {
        if !is_news(decision, self) {
            return;
        }
        match digest(decision) {
            Some(digest) if self.told.len() < MOST_TOLD || self.told.contains_key(&decision.resource) => {
                self.told.insert(decision.resource.clone(), digest);
            }
            Some(_) => {}
            None => {
                self.told.remove(&decision.resource);
            }
        }
    }

    /// Forgets resources that are gone.
    pub fn keep(&mut self, exists: impl Fn(&ResourcePath) -> bool) {
        self.told.retain(|path, _| exists(path));
        self.intents.retain(|path, _| exists(path));
        self.watches.retain(|path, _| exists(path));
    }
}
