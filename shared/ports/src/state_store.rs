use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use records::{JournalBody, Layout, ReadError};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::PortError;

/// The state table: the records between invocations, the journal, leases, budgets and the kill switch.
///
/// Every write is conditional: on the document's revision, on the lease, or on the epoch of the lease. A writer that
/// was overtaken gets that as a result, and changes nothing.
#[async_trait]
pub trait StateStore: Send + Sync + std::fmt::Debug {
    /// Reads the kill switch, this window's budget and these documents in one round trip.
    async fn load(&self, keys: &[StateKey], budget: &BudgetWindow) -> Result<StateView, PortError>;

    /// Before a change to the mesh: acquires the lease, checks the kill switch, counts against the budget, stores the
    /// document and appends to the journal, all or nothing.
    async fn begin(&self, begin: &Begin) -> Result<Begun, PortError>;

    /// After a change: stores the document, appends to the journal and releases the lease, if the epoch is unchanged.
    async fn finish(&self, finish: &Finish) -> Result<StoreOutcome, PortError>;

    /// Stores a document without a change to the mesh (a hold, or an observed edit), if the revision is unchanged and
    /// no lease is held.
    async fn note(&self, note: &Note) -> Result<StoreOutcome, PortError>;

    /// The newest journal entries of one document, newest first.
    async fn journal(&self, key: &StateKey, limit: u32) -> Result<Vec<JournalEntry>, PortError>;

    /// Sets or clears the kill switch of all functions.
    async fn set_kill_switch(&self, switch: Option<&KillSwitch>) -> Result<(), PortError>;
}

pub use records::StateKey;

/// One window of one class's budget. Windows follow each other without overlap (they do not slide), so up to twice
/// the cap may fall into one window's length across a border.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetWindow {
    /// The class of the function, for example `failover`.
    pub class: String,
    /// When the window began.
    pub start: Timestamp,
    /// When it ends; the item may be deleted after that.
    pub end: Timestamp,
}

impl BudgetWindow {
    /// The window at `now`: windows are counted from the Unix epoch, so that all invocations agree.
    #[must_use]
    pub fn at(class: &str, length: SignedDuration, now: Timestamp) -> Self {
        let seconds = length.as_secs().max(1);
        let start = now.as_second() - now.as_second().rem_euclid(seconds);
        let start = Timestamp::from_second(start).unwrap_or(now);
        Self { class: class.to_owned(), start, end: start + length }
    }
}

/// The result of one load.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateView {
    /// The kill switch, if it is on.
    pub kill_switch: Option<KillSwitch>,
    /// The number of changes in the window.
    pub budget: BudgetView,
    /// The existing documents.
    pub documents: BTreeMap<StateKey, Stored>,
}

/// The use of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetView {
    /// The number of changes in this window.
    pub used: u32,
}

/// A stored document.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Increases by one with every write.
    pub revision: u64,
    /// Increases with every granted lease: the fencing token.
    pub epoch: u64,
    /// The present or last lease; it may have expired.
    pub lease: Option<Lease>,
    /// The content, the caller's own.
    pub document: serde_json::Value,
}

/// The right to change one resource for a limited time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The holder.
    pub holder: String,
    /// The end.
    pub until: Timestamp,
}

/// The kill switch, which stops all changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitch {
    /// The operator who set it.
    pub by: String,
    /// The operator's reason.
    pub reason: String,
    /// When it was set.
    pub at: Timestamp,
}

/// The input of [`StateStore::begin`].
#[derive(Clone, Debug, PartialEq)]
pub struct Begin {
    /// The key of the document.
    pub key: StateKey,
    /// The revision that the plan is based on; 0 for a document that does not exist yet.
    pub revision: u64,
    /// The holder of the lease; the same holder gets its own lease again.
    pub holder: String,
    /// The present time.
    pub now: Timestamp,
    /// The duration of the lease. A holder that dies blocks others for at most this long.
    pub lease: SignedDuration,
    /// The document, including the intent.
    pub document: serde_json::Value,
    /// The budget to use; `None` for changes without a cost (restore, roll-back, a resumed intent).
    pub spend: Option<Spend>,
    /// The journal entry.
    pub journal: JournalEntry,
}

/// One change counted against a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// The window.
    pub window: BudgetWindow,
    /// The number of changes that the window permits.
    pub cap: u32,
}

/// The result of a [`Begin`].
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// The change may be made.
    Granted {
        /// The fencing epoch of this lease.
        epoch: u64,
        /// The document's new revision.
        revision: u64,
    },
    /// The change may not be made, and nothing was stored.
    Refused(Refusal),
}

/// The reason why a change may not begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, IntoStaticStr)]
#[serde(tag = "refusal", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[strum(serialize_all = "kebab-case")]
pub enum Refusal {
    /// The kill switch is set.
    KillSwitchOn,
    /// Another invocation holds the lease.
    LeaseHeld,
    /// The document was changed since it was read.
    RevisionMoved,
    /// The budget of the window is spent.
    BudgetSpent,
}

impl Refusal {
    /// The stable code, as in `budget-spent`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

/// The input of [`StateStore::finish`].
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// The key of the document.
    pub key: StateKey,
    /// The epoch of the lease.
    pub epoch: u64,
    /// The document after the change.
    pub document: serde_json::Value,
    /// The journal entry.
    pub journal: JournalEntry,
}

/// The input of [`StateStore::note`].
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The key of the document.
    pub key: StateKey,
    /// The revision read; 0 for a document that does not exist yet.
    pub revision: u64,
    /// The present time, to recognise an expired lease.
    pub now: Timestamp,
    /// The document.
    pub document: serde_json::Value,
    /// The journal entry, if any.
    pub journal: Option<JournalEntry>,
}

/// The result of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// The document was stored.
    Stored,
    /// Another writer was first; nothing was stored.
    Overtaken,
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The time of the entry.
    pub at: Timestamp,
    /// Distinguishes entries of the same time; writing the same id twice creates one entry.
    pub id: String,
    /// The decision, its facts, versions and outcome.
    pub body: serde_json::Value,
}

impl JournalEntry {
    /// An entry with a body that is stored in format 0.
    #[must_use]
    pub fn new(at: Timestamp, id: impl Into<String>, body: &JournalBody, layout: Layout) -> Self {
        Self { at, id: id.into(), body: body.to_format_0(layout) }
    }

    /// Reads the body.
    pub fn read(&self) -> Result<JournalBody, ReadError> {
        JournalBody::read(&self.id, &self.body)
    }
}
