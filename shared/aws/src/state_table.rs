//! Implements the state port with one DynamoDB table.

mod conflict;
mod items;
mod transaction;

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use ports::{
    Admission, Begin, Begun, BudgetView, BudgetWindow, Finish, JournalEntry, KillSwitch, Note, PortError,
    PortErrorKind, Refusal, StateKey, StateStore, StateView, StoreOutcome,
};

use crate::call::call;
pub(crate) use conflict::RetryConflicts;
use items::{Item, ItemError};
use transaction::{Cancelled, Part, Transaction};

/// The maximum number of keys in one `BatchGetItem`.
const BATCH: usize = 100;

/// The adapter of the state table.
#[derive(Clone, Debug)]
pub struct StateTable {
    client: Client,
    table: String,
}

impl StateTable {
    /// Creates an adapter for the table of this name.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Reads items consistently, in as few requests as possible.
    async fn read(&self, keys: &[Item]) -> Result<Vec<Item>, PortError> {
        let mut found = Vec::new();
        for chunk in keys.chunks(BATCH) {
            let mut missing = chunk.to_vec();
            while !missing.is_empty() {
                let requested = missing.len();
                missing = self.read_batch(missing, &mut found).await?;
                // The table may return a part of a batch. Requesting the rest is not a retry as long as each response
                // returns some items.
                if missing.len() == requested {
                    let message = format!("{requested} items were not returned");
                    return Err(PortError::new(self.what("read"), PortErrorKind::Throttled, message));
                }
            }
        }
        Ok(found)
    }

    async fn read_batch(&self, keys: Vec<Item>, found: &mut Vec<Item>) -> Result<Vec<Item>, PortError> {
        let unfit = |error: aws_sdk_dynamodb::error::BuildError| {
            PortError::new(self.what("read"), PortErrorKind::Other, error.to_string())
        };
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build().map_err(unfit)?;
        let request = self.client.batch_get_item().request_items(&self.table, keys);
        let answer = call(|| self.what("read"), request.send()).await?;
        found.extend(answer.responses.unwrap_or_default().into_values().flatten());
        Ok(answer.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys).collect())
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} the state table `{}`", self.table)
    }

    fn unreadable(&self, error: &ItemError) -> PortError {
        PortError::new(self.what("read"), PortErrorKind::Other, error.to_string())
    }
}

#[async_trait]
impl StateStore for StateTable {
    async fn load(&self, keys: &[StateKey], budget: &BudgetWindow) -> Result<StateView, PortError> {
        let documents: BTreeMap<&str, &StateKey> = keys.iter().map(|key| (key.as_str(), key)).collect();
        let mut wanted = vec![items::kill_switch_key(), items::budget_key(budget)];
        wanted.extend(documents.values().map(|key| items::document_key(key)));
        let budget_pk = items::budget_key(budget).remove("pk");

        let mut view = StateView::default();
        for item in self.read(&wanted).await? {
            let pk = item.get("pk");
            let key = pk.and_then(|pk| pk.as_s().ok()).and_then(|pk| documents.get(pk.as_str()));
            if let Some(key) = key {
                let stored = items::stored(&item).map_err(|error| self.unreadable(&error))?;
                view.documents.insert((*key).clone(), stored);
            } else if pk == budget_pk.as_ref() {
                view.budget = BudgetView { used: items::used(&item).map_err(|error| self.unreadable(&error))? };
            } else if pk == items::kill_switch_key().get("pk") {
                view.kill_switch = Some(items::kill_switch(&item));
            }
        }
        Ok(view)
    }

    async fn begin(&self, begin: &Begin) -> Result<Begun, PortError> {
        let granted = begin.revision + 1;
        let what = || format!("begin a change of {}", begin.key.as_str());
        let Err(cancelled) = Transaction::begin(begin).run(&self.client, &self.table, what).await? else {
            return Ok(Begun::Granted { epoch: granted, revision: granted });
        };
        if cancelled.failed(Part::KillSwitch) {
            return Ok(Begun::Refused(Refusal::KillSwitchOn));
        }
        if cancelled.failed(Part::Document) {
            let stored = cancelled.document().map_err(|error| self.unreadable(&error))?;
            return match begin.admission(stored.as_ref()) {
                Admission::AlreadyDone { revision } => Ok(Begun::Granted { epoch: revision, revision }),
                Admission::Refused(refusal) => Ok(Begun::Refused(refusal)),
                // The document in the error meets the condition that failed: another writer is changing it.
                Admission::Write { .. } => Ok(Begun::Refused(Refusal::RevisionMoved)),
            };
        }
        if cancelled.failed(Part::Budget) {
            return Ok(Begun::Refused(Refusal::BudgetSpent));
        }
        Err(cancelled.unexplained(what()))
    }

    async fn finish(&self, finish: &Finish) -> Result<StoreOutcome, PortError> {
        let what = || format!("finish the change of {}", finish.key.as_str());
        match Transaction::finish(finish).run(&self.client, &self.table, what).await? {
            Ok(()) => Ok(StoreOutcome::Stored),
            Err(cancelled) => self.begin_outcome(&cancelled, what, |stored| finish.admission(stored)),
        }
    }

    async fn note(&self, note: &Note) -> Result<StoreOutcome, PortError> {
        let what = || format!("note {}", note.key.as_str());
        match Transaction::note(note).run(&self.client, &self.table, what).await? {
            Ok(()) => Ok(StoreOutcome::Stored),
            Err(cancelled) => self.begin_outcome(&cancelled, what, |stored| note.admission(stored)),
        }
    }

    async fn journal(&self, key: &StateKey, limit: u32) -> Result<Vec<JournalEntry>, PortError> {
        let values = HashMap::from([
            (":pk".to_owned(), items::text(key.as_str())),
            (":journal".to_owned(), items::text(items::JOURNAL)),
        ]);
        let pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :journal)")
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX).max(1))
            .into_paginator()
            .items()
            .send();
        let take = usize::try_from(limit).unwrap_or(usize::MAX);
        let newest = async {
            let (mut pages, mut items) = (pages, Vec::new());
            while items.len() < take {
                let Some(item) = pages.next().await else { break };
                items.push(item?);
            }
            Ok(items)
        };
        let found = call(|| format!("read the journal of {}", key.as_str()), newest).await?;
        found.iter().map(|item| items::journal_entry(item).map_err(|error| self.unreadable(&error))).collect()
    }

    async fn set_kill_switch(&self, switch: Option<&KillSwitch>) -> Result<(), PortError> {
        let what = || "turn the kill switch".to_owned();
        if let Some(switch) = switch {
            let request =
                self.client.put_item().table_name(&self.table).set_item(Some(items::kill_switch_item(switch)));
            call(what, request.send()).await.map(drop)
        } else {
            let request = self.client.delete_item().table_name(&self.table).set_key(Some(items::kill_switch_key()));
            call(what, request.send()).await.map(drop)
        }
    }
}

impl StateTable {
    /// Distinguishes a superseded write from one that was already made.
    fn begin_outcome(
        &self,
        cancelled: &Cancelled,
        what: impl Fn() -> String,
        admission: impl FnOnce(Option<&ports::Stored>) -> Admission<()>,
    ) -> Result<StoreOutcome, PortError> {
        if !cancelled.failed(Part::Document) {
            return Err(cancelled.unexplained(what()));
        }
        let stored = cancelled.document().map_err(|error| self.unreadable(&error))?;
        match admission(stored.as_ref()) {
            Admission::AlreadyDone { .. } => Ok(StoreOutcome::Stored),
            Admission::Write { .. } | Admission::Refused(()) => Ok(StoreOutcome::Overtaken),
        }
    }
}
