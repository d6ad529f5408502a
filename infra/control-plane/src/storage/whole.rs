//! A shared log as a whole: read up to its head, or begun with the records of a snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws::{ItemTable, TableItem};
use jiff::Timestamp;
use mesh::name::AccountId;
use uuid::Uuid;

use super::digest::Digest;
use super::dynamo::DynamoItems;
use super::etcd::{EtcdItems, EtcdTls};
use super::format::{self, number, text};
use super::item_log::{ItemLog, is_readable};
use super::items::Items;
use super::log::{Appended, Entry, EntryOrigin, Log as _, LogError, LogItem, Snapshot};
use super::open_error::SharedOpenError;
use crate::quotas::Quotas;
use crate::state::{Realm, Record, Region, State};

/// How often a read begins again because entries were emptied, or a snapshot was replaced, in its middle.
const ATTEMPTS: usize = 5;

/// A shared store, with or without a log.
#[derive(Debug)]
pub(crate) struct StoredLog {
    items: Arc<dyn Items>,
    log: Option<(ItemLog, Realm)>,
}

/// The end of a restoration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestoreOutcome {
    /// The log begins with the records.
    Restored,
    /// The log has entries, and was left unchanged.
    NotEmpty,
}

impl StoredLog {
    /// Looks for the log of a table, without beginning one.
    pub(crate) async fn find_table(table: ItemTable) -> Result<Self, SharedOpenError> {
        Self::find(Arc::new(DynamoItems(table))).await
    }

    /// Looks for the log of an etcd cluster, without beginning one.
    pub(crate) async fn find_etcd(
        endpoints: &[String],
        tls: Option<&EtcdTls>,
        accepts_old: bool,
    ) -> Result<Self, SharedOpenError> {
        Self::find(Arc::new(EtcdItems::new(endpoints, tls, accepts_old)?)).await
    }

    /// A copy of a table is read as well: a snapshot of it is how a restored backup is used.
    async fn find(items: Arc<dyn Items>) -> Result<Self, SharedOpenError> {
        let store = items.name();
        items.identify().await?;
        let stored = items.get("meta", "store").await;
        let Some(stored) = stored.map_err(|source| SharedOpenError::new(store.clone(), source))? else {
            return Ok(Self { items, log: None });
        };
        let foreign = |what: String| SharedOpenError::Foreign { store: store.clone(), what };
        let found = number(&stored, "format").map_err(foreign)?;
        if !is_readable(found) {
            return Err(SharedOpenError::OtherFormat { store, format: found });
        }
        let member = |member| text(&stored, member).map_err(foreign);
        let account = AccountId::parse(member("account")?).map_err(|error| foreign(error.to_string()))?;
        let region = Region::parse(member("region")?).map_err(|error| foreign(error.to_string()))?;
        let id = member("log")?.parse().map_err(|_| foreign("its id is invalid".to_owned()))?;
        let log = ItemLog { items: Arc::clone(&items), id, written: AtomicU64::new(found) };
        Ok(Self { items, log: Some((log, Realm::new(account, region))) })
    }

    /// The store as `--store` names it.
    pub(crate) fn name(&self) -> String {
        self.items.name()
    }

    /// The log, if the store has one.
    pub(crate) fn into_log(self) -> Option<(ItemLog, Realm)> {
        self.log
    }
}

impl ItemLog {
    /// The id of the log.
    pub(crate) const fn id(&self) -> Uuid {
        self.id
    }

    /// The state at the head of the log. Every entry must lead to its digest.
    pub(crate) async fn read_state(&self) -> Result<Snapshot, LogError> {
        let mut outcome = Err(LogError::unknown("read the log", "no attempt was made"));
        for _ in 0..ATTEMPTS {
            outcome = self.try_read_state().await;
            match &outcome {
                Err(LogError::Unknown { .. }) => {}
                Ok(_) | Err(LogError::Refused { .. } | LogError::Invalid { .. }) => return outcome,
            }
        }
        outcome
    }

    async fn try_read_state(&self) -> Result<Snapshot, LogError> {
        let start = self.load_snapshot().await?;
        let (mut sequence, mut time, mut digest) = (start.sequence, start.time, start.digest);
        let mut state = State::new(Quotas::default());
        for record in &start.records {
            state.apply(record);
        }
        loop {
            let page = self.read(sequence).await?;
            for item in page.items {
                let entry = match item {
                    LogItem::Entry(entry) => entry,
                    LogItem::Emptied(_) => {
                        return Err(LogError::unknown("read the log", "an entry was emptied by a later snapshot"));
                    }
                };
                digest = digest
                    .after(&state, &entry.records)
                    .map_err(|error| LogError::invalid(format!("entry {}: {error}", entry.sequence)))?;
                if digest != entry.digest {
                    return Err(LogError::invalid(format!("entry {} leads to another digest", entry.sequence)));
                }
                for record in entry.records.iter() {
                    state.apply(record);
                }
                (sequence, time) = (entry.sequence, entry.time);
            }
            if !page.more {
                return Ok(Snapshot { sequence, time, digest, records: state.records() });
            }
        }
    }

    /// Makes these records the first entry of an empty log, under a new id. One put decides: a replica that writes at the
    /// same time either prevents the restoration, or writes after it.
    pub(crate) async fn restore(
        &self,
        records: &[Record],
        digest: Digest,
        time: Timestamp,
    ) -> Result<RestoreOutcome, LogError> {
        let has_snapshot = self.items.get("meta", "snapshot").await?.is_some();
        if has_snapshot || !self.read(0).await?.items.is_empty() {
            return Ok(RestoreOutcome::NotEmpty);
        }
        let origin = EntryOrigin { writer: Uuid::new_v4(), number: 1 };
        let entry = Entry { sequence: 1, origin, time, digest, records: records.into(), events: Arc::default() };
        let mut outcome = self.append(&entry).await;
        for _ in 1..ATTEMPTS {
            // The identical entry is sent again until its outcome is known.
            if matches!(outcome, Err(LogError::Unknown { .. })) {
                outcome = self.append(&entry).await;
            }
        }
        match outcome? {
            Appended::Done => Ok(RestoreOutcome::Restored),
            Appended::Taken(item) if item.origin() == origin => Ok(RestoreOutcome::Restored),
            Appended::Taken(_) => Ok(RestoreOutcome::NotEmpty),
        }
    }

    /// The item that describes the store.
    pub(super) async fn store_item(&self) -> Result<TableItem, LogError> {
        let stored = self.items.get("meta", "store").await?;
        stored.ok_or_else(|| LogError::invalid("the store has no log any more"))
    }

    /// Gives the log a new id: replicas that opened it before stop.
    pub(crate) async fn renew_id(&self) -> Result<Self, LogError> {
        let mut stored = self.store_item().await?;
        let id = Uuid::new_v4();
        format::put_text(&mut stored, "log", &id);
        self.items.put(&stored).await?;
        let written = AtomicU64::new(self.written.load(Ordering::Relaxed));
        Ok(Self { items: Arc::clone(&self.items), id, written })
    }
}
