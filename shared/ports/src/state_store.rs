use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::PortError;

/// The state table: what Meshwarden remembers between invocations, the journal, leases, budgets and the kill switch.
///
/// Every write is conditional: on the document's revision, on the lease, or on the epoch that the lease was granted
/// with. A writer that was overtaken is told so and changes nothing.
#[async_trait]
pub trait StateStore: Send + Sync + std::fmt::Debug {
    /// Reads the kill switch, this window's budget and these documents in one round trip.
    async fn load(&self, keys: &[StateKey], budget: &BudgetWindow) -> Result<StateView, PortError>;

    /// Before a change to the mesh: takes the lease, checks the kill switch, spends the budget, stores the document
    /// and appends to the journal, all or nothing.
    async fn begin(&self, begin: &Begin) -> Result<Begun, PortError>;

    /// After a change: stores the document, appends to the journal and gives the lease back, if the epoch still holds.
    async fn finish(&self, finish: &Finish) -> Result<StoreOutcome, PortError>;

    /// Stores a document without a change to the mesh (a hold, somebody's edit that was seen), if the revision still
    /// holds and nobody has the lease.
    async fn note(&self, note: &Note) -> Result<StoreOutcome, PortError>;

    /// The newest journal entries of one document, newest first.
    async fn journal(&self, key: &StateKey, limit: u32) -> Result<Vec<JournalEntry>, PortError>;

    /// Switches every function off, or on again.
    async fn set_kill_switch(&self, switch: Option<&KillSwitch>) -> Result<(), PortError>;
}

pub use keys::{BudgetWindow, StateKey};

mod keys {
    use super::{Deserialize, Serialize, SignedDuration, Timestamp};

    /// Which document, as in `route/shop/recs/main`.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub struct StateKey(String);

    impl StateKey {
        /// The document of a route.
        #[must_use]
        pub fn route(route: &mesh::name::RouteId) -> Self {
            Self(format!("route/{route}"))
        }

        /// The document of a virtual node that no route carries.
        #[must_use]
        pub fn node(mesh: &mesh::name::MeshName, node: &mesh::name::VirtualNodeName) -> Self {
            Self(format!("node/{mesh}/{node}"))
        }

        /// The document that a function keeps of a mesh.
        #[must_use]
        pub fn mesh(function: &str, mesh: &mesh::name::MeshName) -> Self {
            Self(format!("{function}/{mesh}"))
        }

        /// The document that a function keeps of all meshes together.
        #[must_use]
        pub fn meshes(function: &str) -> Self {
            Self(function.to_owned())
        }

        /// Which calls of a function fail, and since when.
        #[must_use]
        pub fn failures(function: &str) -> Self {
            Self(format!("failures/{function}"))
        }

        /// Which decisions of a function are not final, and since when.
        #[must_use]
        pub fn standstills(function: &str) -> Self {
            Self(format!("standstills/{function}"))
        }

        /// A part of what a function keeps of a mesh, where that is too large for one document.
        #[must_use]
        pub fn part_of_mesh(function: &str, mesh: &mesh::name::MeshName, part: usize, parts: usize) -> Self {
            Self(format!("{function}/{mesh}/{part}-of-{parts}"))
        }

        /// The document of a certificate or of trust, as in `certificate/acm:arn…`. No mesh is in it: some are shared.
        #[must_use]
        pub fn certificate(subject: &str) -> Self {
            Self(format!("certificate/{subject}"))
        }

        /// The document, and by it the journal, of who turned the kill switch; the switch itself is no document.
        #[must_use]
        pub fn kill_switch() -> Self {
            Self("kill-switch-log".to_owned())
        }

        /// The document, and by it the journal, of what operators did with dead letters.
        #[must_use]
        pub fn dead_letters() -> Self {
            Self("dead-letters-log".to_owned())
        }

        /// The key as the table has it.
        #[must_use]
        pub fn as_str(&self) -> &str {
            &self.0
        }
    }

    /// One window of one class's budget. Windows stand side by side (they do not slide), so at a border up to twice
    /// the cap fits into one window's length.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct BudgetWindow {
        /// The class of function, as in `failover`.
        pub class: String,
        /// When the window began.
        pub start: Timestamp,
        /// When it ends; the item may be forgotten after that.
        pub end: Timestamp,
    }

    impl BudgetWindow {
        /// The window that `now` falls in: windows are counted from the epoch, so that every invocation agrees.
        #[must_use]
        pub fn at(class: &str, length: SignedDuration, now: Timestamp) -> Self {
            let seconds = length.as_secs().max(1);
            let start = now.as_second() - now.as_second().rem_euclid(seconds);
            let start = Timestamp::from_second(start).unwrap_or(now);
            Self { class: class.to_owned(), start, end: start + length }
        }
    }
}

/// What one load gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateView {
    /// The kill switch, if it is on.
    pub kill_switch: Option<KillSwitch>,
    /// How many changes the window has already seen.
    pub budget: BudgetView,
    /// The documents that exist.
    pub documents: BTreeMap<StateKey, Stored>,
}

/// How much of a budget is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetView {
    /// Changes in this window.
    pub used: u32,
}

/// A stored document.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Rises by one with every write.
    pub revision: u64,
    /// Rises with every lease that is granted: the fencing token.
    pub epoch: u64,
    /// Who holds the lease; may have run out.
    pub lease: Option<Lease>,
    /// The content, the caller's own.
    pub document: serde_json::Value,
}

/// The right to change one resource for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub holder: String,
    /// Until when.
    pub until: Timestamp,
}

/// The switch that stops everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitch {
    /// Who switched it on.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What [`StateStore::begin`] is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Begin {
    /// Which document.
    pub key: StateKey,
    /// The revision that the plan was made from; 0 for a document that does not exist yet.
    pub revision: u64,
    /// Who asks; the same holder asking again gets its own lease again.
    pub holder: String,
    /// Now.
    pub now: Timestamp,
    /// How long the lease is needed. A holder that dies keeps others out for no longer than this.
    pub lease: SignedDuration,
    /// The document with the intent in it.
    pub document: serde_json::Value,
    /// The budget to spend; unset where nothing is spent (restore, roll back, an intent taken up again).
    pub spend: Option<Spend>,
    /// What is journalled with it.
    pub journal: JournalEntry,
}

/// One change taken from a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// The window it falls in.
    pub window: BudgetWindow,
    /// How many changes the window allows.
    pub cap: u32,
}

/// The answer to a [`Begin`].
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// Go ahead.
    Granted {
        /// The fencing epoch of this lease.
        epoch: u64,
        /// The document's new revision.
        revision: u64,
    },
    /// Not now, and nothing was stored.
    Refused(Refusal),
}

/// Why a change may not begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "refusal", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Refusal {
    /// Everything is switched off.
    KillSwitchOn,
    /// Another invocation is at it.
    LeaseHeld,
    /// The document changed after it was read.
    RevisionMoved,
    /// The window's changes are spent.
    BudgetSpent,
}

/// What [`StateStore::finish`] is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// Which document.
    pub key: StateKey,
    /// The epoch that the lease was granted with.
    pub epoch: u64,
    /// The document as it now stands.
    pub document: serde_json::Value,
    /// What is journalled with it.
    pub journal: JournalEntry,
}

/// What [`StateStore::note`] is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Which document.
    pub key: StateKey,
    /// The revision it was read at; 0 for one that does not exist yet.
    pub revision: u64,
    /// Now, to tell a lease that has run out.
    pub now: Timestamp,
    /// The document as it now stands.
    pub document: serde_json::Value,
    /// What is journalled with it, if anything.
    pub journal: Option<JournalEntry>,
}

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// Stored.
    Stored,
    /// Somebody was there in the meantime; nothing was stored.
    Overtaken,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// When.
    pub at: Timestamp,
    /// What tells it from others of the same instant; writing the same id twice is one entry.
    pub id: String,
    /// The decision, its facts, versions and outcome.
    pub body: serde_json::Value,
}
