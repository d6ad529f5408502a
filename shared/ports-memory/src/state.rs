use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Cell, Faults};
use ports::{
    Admission, Begin, Begun, BudgetView, BudgetWindow, Finish, JournalEntry, KillSwitch, Lease, Note, PortError,
    Refusal, Spend, StateKey, StateStore, StateView, StoreOutcome, Stored,
};

/// The state table in memory, with the same conditions as the real one.
#[derive(Clone, Debug)]
pub struct MemoryState(Cell<Table>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Table {
    kill_switch: Option<KillSwitch>,
    documents: BTreeMap<StateKey, Stored>,
    budgets: Vec<(BudgetWindow, u32)>,
    journals: BTreeMap<StateKey, Vec<JournalRow>>,
}

/// An immutable entry, shared because the whole table is copied before each write.
#[derive(Clone, Debug)]
struct JournalRow(Arc<JournalEntry>);

impl PartialEq for JournalRow {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl JournalRow {
    fn entry(&self) -> JournalEntry {
        JournalEntry::clone(&self.0)
    }
}

impl MemoryState {
    /// Creates an empty table.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(Table::default(), faults))
    }

    /// A stored document.
    #[must_use]
    pub fn stored(&self, key: &StateKey) -> Option<Stored> {
        self.0.peek(|table| table.documents.get(key).cloned())
    }

    /// Replaces a document without counting as a call, like another program.
    pub fn put(&self, key: &StateKey, stored: Stored) {
        self.0.poke(|table| table.documents.insert(key.clone(), stored));
    }

    /// A document's whole journal, oldest first.
    #[must_use]
    pub fn journal_of(&self, key: &StateKey) -> Vec<JournalEntry> {
        let entries = |table: &Table| table.journals.get(key).into_iter().flatten().map(JournalRow::entry).collect();
        self.0.peek(entries)
    }

    /// The use of a budget.
    #[must_use]
    pub fn spent(&self, window: &BudgetWindow) -> u32 {
        self.0.peek(|table| table.used(window))
    }

    /// Sets or clears the kill switch without counting as a call.
    pub fn turn_kill_switch(&self, switch: Option<KillSwitch>) {
        self.0.poke(|table| table.kill_switch = switch);
    }
}

#[async_trait]
impl StateStore for MemoryState {
    async fn load(&self, keys: &[StateKey], budget: &BudgetWindow) -> Result<StateView, PortError> {
        let view = |table: &Table| {
            let documents = keys.iter().filter_map(|key| Some((key.clone(), table.documents.get(key)?.clone())));
            Ok(StateView {
                kill_switch: table.kill_switch.clone(),
                budget: BudgetView { used: table.used(budget) },
                documents: documents.collect(),
            })
        };
        self.0.read("load state", keys.iter().map(StateKey::as_str).collect::<Vec<_>>().join(","), view).await
    }

    async fn begin(&self, begin: &Begin) -> Result<Begun, PortError> {
        self.0.write("begin", begin.key.as_str(), |table| Ok(table.begin(begin))).await
    }

    async fn finish(&self, finish: &Finish) -> Result<StoreOutcome, PortError> {
        self.0.write("finish", finish.key.as_str(), |table| Ok(table.finish(finish))).await
    }

    async fn note(&self, note: &Note) -> Result<StoreOutcome, PortError> {
        self.0.write("note", note.key.as_str(), |table| Ok(table.note(note))).await
    }

    async fn journal(&self, key: &StateKey, limit: u32) -> Result<Vec<JournalEntry>, PortError> {
        let newest = |table: &Table| {
            let entries = table.journals.get(key).into_iter().flatten().rev();
            Ok(entries.take(usize::try_from(limit).unwrap_or(usize::MAX)).map(JournalRow::entry).collect())
        };
        self.0.read("read journal", key.as_str(), newest).await
    }

    async fn set_kill_switch(&self, switch: Option<&KillSwitch>) -> Result<(), PortError> {
        let subject = if switch.is_some() { "on" } else { "off" };
        self.0
            .write("turn kill switch", subject, |table| {
                table.kill_switch = switch.cloned();
                Ok(())
            })
            .await
    }
}

impl Table {
    fn used(&self, window: &BudgetWindow) -> u32 {
        let same = |known: &BudgetWindow| known.class == window.class && known.start == window.start;
        self.budgets.iter().find(|(known, _)| same(known)).map_or(0, |(_, used)| *used)
    }

    fn begin(&mut self, begin: &Begin) -> Begun {
        if self.kill_switch.is_some() {
            return Begun::Refused(Refusal::KillSwitchOn);
        }
        let revision = match begin.admission(self.documents.get(&begin.key)) {
            Admission::Write { revision } => revision,
            Admission::AlreadyDone { revision } => return Begun::Granted { epoch: revision, revision },
            Admission::Refused(refusal) => return Begun::Refused(refusal),
        };
        if let Some(spend) = &begin.spend
            && !self.spend(spend)
        {
            return Begun::Refused(Refusal::BudgetSpent);
        }
        let until = begin.now.saturating_add(begin.lease).unwrap_or(jiff::Timestamp::MAX);
        let lease = Some(Lease { holder: begin.holder.clone(), until });
        let document = begin.document.clone();
        self.documents.insert(begin.key.clone(), Stored { revision, epoch: revision, lease, document });
        self.append(&begin.key, &begin.journal);
        Begun::Granted { epoch: revision, revision }
    }

    fn finish(&mut self, finish: &Finish) -> StoreOutcome {
        let revision = match finish.admission(self.documents.get(&finish.key)) {
            Admission::Write { revision } => revision,
            Admission::AlreadyDone { .. } => return StoreOutcome::Stored,
            Admission::Refused(()) => return StoreOutcome::Overtaken,
        };
        let document = finish.document.clone();
        self.documents.insert(finish.key.clone(), Stored { revision, epoch: finish.epoch, lease: None, document });
        self.append(&finish.key, &finish.journal);
        StoreOutcome::Stored
    }

    fn note(&mut self, note: &Note) -> StoreOutcome {
        let stored = self.documents.get(&note.key);
        let revision = match note.admission(stored) {
            Admission::Write { revision } => revision,
            Admission::AlreadyDone { .. } => return StoreOutcome::Stored,
            Admission::Refused(()) => return StoreOutcome::Overtaken,
        };
        let epoch = stored.map_or(0, |stored| stored.epoch);
        let document = note.document.clone();
        self.documents.insert(note.key.clone(), Stored { revision, epoch, lease: None, document });
        if let Some(entry) = &note.journal {
            self.append(&note.key, entry);
        }
        StoreOutcome::Stored
    }

    fn spend(&mut self, spend: &Spend) -> bool {
        let used = self.used(&spend.window);
        if used >= spend.cap {
            return false;
        }
        let same = |known: &BudgetWindow| known.class == spend.window.class && known.start == spend.window.start;
        match self.budgets.iter_mut().find(|(known, _)| same(known)) {
            Some((_, used)) => *used += 1,
            None => self.budgets.push((spend.window.clone(), 1)),
        }
        true
    }

    fn append(&mut self, key: &StateKey, entry: &JournalEntry) {
        let journal = self.journals.entry(key.clone()).or_default();
        journal.retain(|known| (known.0.at, &known.0.id) != (entry.at, &entry.id));
        journal.push(JournalRow(Arc::new(entry.clone())));
        journal.sort_by(|a, b| (a.0.at, &a.0.id).cmp(&(b.0.at, &b.0.id)));
    }
}
