//! A shared log in a store of items.
//!
//! | `pk` / `sk` | attributes | condition of the put |
//! |-|-|-|
//! | `log` / sequence, 20 digits | `f` format, `w` writer, `n` writer's number, `t` time, `d` digest afterwards, `p` parts, `r` records, `e` change events, `ep` parts of the events | absent |
//! | `part#<w>#<n>` / part | `r`: a piece of an entry that is too large for an item, stored before it | |
//! | `events#<w>#<n>` / part | `r`: a piece of the change events that do not fit into the item, stored before it | |
//! | `snapshot` / sequence, checksum and piece | `r`: a piece of a snapshot | |
//! | `meta` / `snapshot` | `sequence`, `pieces`, `t`, `d`, `sha`, after all pieces | higher sequence |
//! | `meta` / `trimmed` | `sequence`: entries up to it have no records any more | higher sequence |
//! | `meta` / `store` | `log` id, `account`, `region`, `arn` of the table, `format` | absent |
//! | `replica` / id | the report of a replica | higher `beat` |
//! | `cursor` / receiver of change events | the events that it has, and its sender | higher `renewals` |
//! | `evidence#<id>` / chunk | `r`: a part of what a replica reports about its proxies | higher `generation` |
//!
//! An emptied entry loses `r` and keeps its keys: it must never be deleted. A replica that was paused before it appended
//! would otherwise store, and acknowledge, an entry at a sequence that the others have left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use aws::{ItemTable, TableItem};
use mesh::name::AccountId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::cursors::{EventCursor, EventCursors};
use super::dynamo::DynamoItems;
use super::etcd::{EtcdItems, EtcdTls};
use super::format::{self, bytes, keyed, number, text};
use super::items::{ItemPut, Items, retried};
use super::log::{Appended, Entry, Log, LogError, LogItem, LogPage, Sequence, Snapshot};
use super::open_error::SharedOpenError;
use super::packed::{self, FORMAT};
use super::registry::{EvidenceChunk, Registry, ReplicaRecord};
use crate::state::{Realm, Region};

/// The most bytes of records in one item. The table refuses items of 400 KB.
const PIECE: usize = 350 * 1024;

const LOG: &str = "log";
const META: &str = "meta";
const SNAPSHOT: &str = "snapshot";
const REPLICA: &str = "replica";
const CURSOR: &str = "cursor";

/// A log in a store of items.
#[derive(Debug)]
pub struct ItemLog {
    pub(super) items: Arc<dyn Items>,
    /// The id of the log, drawn when it was created.
    pub(super) id: Uuid,
    /// The format of the store, in which entries are written.
    pub(super) written: AtomicU64,
}

impl ItemLog {
    /// Opens the log of a table, or begins it, and loads its snapshot.
    pub async fn open_table(table: ItemTable, realm: &Realm) -> Result<(Self, Snapshot), SharedOpenError> {
        Self::open(Arc::new(DynamoItems(table)), realm).await
    }

    /// Opens the log of an etcd cluster without TLS: see [`ItemLog::open_etcd_with`].
    pub async fn open_etcd(
        endpoints: &[String],
        accepts_old: bool,
        realm: &Realm,
    ) -> Result<(Self, Snapshot), SharedOpenError> {
        Self::open_etcd_with(endpoints, None, accepts_old, realm).await
    }

    /// Opens the log of an etcd cluster, or begins it, and loads its snapshot. `endpoints` are `HOST:PORT`;
    /// `accepts_old` accepts releases of etcd that may lose acknowledged writes.
    pub async fn open_etcd_with(
        endpoints: &[String],
        tls: Option<&EtcdTls>,
        accepts_old: bool,
        realm: &Realm,
    ) -> Result<(Self, Snapshot), SharedOpenError> {
        Self::open(Arc::new(EtcdItems::new(endpoints, tls, accepts_old)?), realm).await
    }

    async fn open(items: Arc<dyn Items>, realm: &Realm) -> Result<(Self, Snapshot), SharedOpenError> {
        let name = items.name();
        let failed = |source| SharedOpenError::new(name.clone(), source);
        let foreign = |what: String| SharedOpenError::Foreign { store: name.clone(), what };
        let identity = items.identify().await?;
        let mut new = keyed(META, "store");
        format::put_text(&mut new, "log", &Uuid::new_v4());
        format::put_text(&mut new, "account", realm.account());
        format::put_text(&mut new, "region", realm.region().as_str());
        format::put_text(&mut new, "arn", &identity);
        format::put_number(&mut new, "format", FORMAT);
        // The identical item again: an attempt with a lost answer is recognised by it.
        let stored = match retried(|| items.put_new(&new)).await.map_err(failed)? {
            ItemPut::Stored => new,
            ItemPut::Refused(stored) => stored,
        };
        let member = |member| text(&stored, member).map_err(foreign);
        let stored_format = number(&stored, "format").map_err(foreign)?;
        if !is_readable(stored_format) {
            return Err(SharedOpenError::OtherFormat { store: name.clone(), format: stored_format });
        }
        let account = AccountId::parse(member("account")?).map_err(|error| foreign(error.to_string()))?;
        let region = Region::parse(member("region")?).map_err(|error| foreign(error.to_string()))?;
        if Realm::new(account.clone(), region.clone()) != *realm {
            let region = region.as_str().to_owned();
            return Err(SharedOpenError::OtherRealm { store: name.clone(), account, region });
        }
        if member("arn")? != identity {
            let written = member("arn")?.to_owned();
            return Err(SharedOpenError::OtherTable { store: name.clone(), written, found: identity });
        }
        let id = member("log")?.parse().map_err(|_| foreign("its id is invalid".to_owned()))?;
        let log = Self { items, id, written: AtomicU64::new(stored_format) };
        let snapshot = retried(|| log.load_snapshot()).await.map_err(failed)?;
        Ok((log, snapshot))
    }

    /// The entry of an item.
    async fn item(&self, item: &TableItem) -> Result<LogItem, LogError> {
        let invalid = |what: String| LogError::invalid(format!("an entry of {}: {what}", self.items.name()));
        let head = format::entry_head(item).map_err(invalid)?;
        let mut packed = match (bytes(item, "r"), head.parts) {
            (Some(packed), _) => packed.to_vec(),
            (None, 0) => return Ok(LogItem::Emptied(head.origin)),
            (None, _) => Vec::new(),
        };
        if head.parts > 0 {
            let part = format::part_key(head.origin);
            let parts = self.all(&part, "").await?;
            if u64::try_from(parts.len()).ok() != Some(head.parts) {
                return Ok(LogItem::Emptied(head.origin));
            }
            packed = parts.iter().filter_map(|part| bytes(part, "r")).flatten().copied().collect();
        }
        let records = packed::unpack(&packed).map_err(invalid)?.into();
        let events = match (bytes(item, "e"), head.event_parts) {
            (Some(packed), _) => packed::unpack_events(packed).map_err(invalid)?,
            (None, 0) => Vec::new(),
            (None, event_parts) => {
                let parts = self.all(&format::event_part_key(head.origin), "").await?;
                if u64::try_from(parts.len()).ok() != Some(event_parts) {
                    return Ok(LogItem::Emptied(head.origin));
                }
                let packed: Vec<u8> = parts.iter().filter_map(|part| bytes(part, "r")).flatten().copied().collect();
                packed::unpack_events(&packed).map_err(invalid)?
            }
        };
        let format::EntryHead { sequence, origin, time, digest, .. } = head;
        Ok(LogItem::Entry(Entry { sequence, origin, time, digest, records, events: events.into() }))
    }

    /// Stores bytes as items, and returns their number.
    async fn put_parts(&self, key: &str, packed: &[u8]) -> Result<u64, LogError> {
        let mut parts = 0;
        for piece in packed.chunks(PIECE) {
            let mut item = keyed(key, &format!("{parts:06}"));
            format::put_bytes(&mut item, "r", piece.to_vec());
            self.items.put(&item).await?;
            parts += 1;
        }
        Ok(parts)
    }

    /// Every item with this partition key after a sort key.
    async fn all(&self, pk: &str, after: &str) -> Result<Vec<TableItem>, LogError> {
        let (mut found, mut after) = (Vec::new(), after.to_owned());
        loop {
            let page = self.items.query(pk, &after).await?;
            if let Some(last) = page.items.last() {
                text(last, "sk").unwrap_or_default().clone_into(&mut after);
            }
            found.extend(page.items);
            if !page.more {
                return Ok(found);
            }
        }
    }
}

#[async_trait]
impl Log for ItemLog {
    fn is_shared(&self) -> bool {
        true
    }

    fn waits(&self) -> bool {
        true
    }

    async fn append(&self, entry: &Entry) -> Result<Appended, LogError> {
        let packed = packed::pack(&entry.records).map_err(|error| LogError::refused("encode the entry", error))?;
        let events = if entry.events.is_empty() {
            Vec::new()
        } else {
            packed::pack_events(&entry.events).map_err(|error| LogError::refused("encode the events", error))?
        };
        let mut parts = 0;
        if packed.len() > PIECE {
            parts = self.put_parts(&format::part_key(entry.origin), &packed).await?;
        }
        let in_item = if parts == 0 { packed.len() } else { 0 };
        let mut item = format::entry_item(LOG, entry, parts, self.written.load(Ordering::Relaxed));
        if in_item.saturating_add(events.len()) > PIECE {
            let event_parts = self.put_parts(&format::event_part_key(entry.origin), &events).await?;
            format::put_number(&mut item, "ep", event_parts);
        } else if !events.is_empty() {
            format::put_bytes(&mut item, "e", events);
        }
        if parts == 0 {
            format::put_bytes(&mut item, "r", packed);
        }
        match self.items.put_new(&item).await? {
            ItemPut::Stored => Ok(Appended::Done),
            ItemPut::Refused(held) => Ok(Appended::Taken(self.item(&held).await?)),
        }
    }

    async fn read(&self, after: Sequence) -> Result<LogPage, LogError> {
        let page = self.items.query(LOG, &format::sequence_key(after)).await?;
        let mut found = LogPage { items: Vec::with_capacity(page.items.len()), more: page.more };
        let mut next = after;
        for item in &page.items {
            next = next.saturating_add(1);
            let sequence = format::entry_head(item).map_err(LogError::invalid)?.sequence;
            if sequence != next {
                // Entries are appended without gaps, so a gap is one of this read only.
                found.more = true;
                break;
            }
            found.items.push(self.item(item).await?);
        }
        Ok(found)
    }

    async fn load_snapshot(&self) -> Result<Snapshot, LogError> {
        let Some(meta) = self.items.get(META, SNAPSHOT).await? else { return Ok(Snapshot::default()) };
        let (sequence, pieces) = format::snapshot_head(&meta).map_err(LogError::invalid)?;
        let (mut packed, mut found) = (Vec::new(), 0);
        let sha = text(&meta, "sha").map_err(LogError::invalid)?;
        let prefix = format::snapshot_key(sequence, sha, None);
        for item in self.all(SNAPSHOT, &prefix).await? {
            if text(&item, "sk").unwrap_or_default().starts_with(&prefix) {
                packed.extend_from_slice(bytes(&item, "r").unwrap_or_default());
                found += 1;
            }
        }
        if found != pieces {
            return Err(LogError::unknown("read the snapshot", "a later one replaced it"));
        }
        if sha != checksum(&packed) {
            return Err(LogError::invalid("the snapshot does not match its checksum"));
        }
        let records = packed::unpack(&packed).map_err(LogError::invalid)?;
        let (time, digest) = format::time_and_digest(&meta).map_err(LogError::invalid)?;
        Ok(Snapshot { sequence, time, digest, records })
    }

    async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<(), LogError> {
        let packed =
            packed::pack(&snapshot.records).map_err(|error| LogError::refused("encode the snapshot", error))?;
        let (sha, mut pieces) = (checksum(&packed), 0);
        for piece in packed.chunks(PIECE) {
            let mut item = keyed(SNAPSHOT, &format::snapshot_key(snapshot.sequence, &sha, Some(pieces)));
            format::put_bytes(&mut item, "r", piece.to_vec());
            self.items.put(&item).await?;
            pieces += 1;
        }
        let mut meta = keyed(META, SNAPSHOT);
        format::put_number(&mut meta, "sequence", snapshot.sequence);
        format::put_number(&mut meta, "pieces", pieces);
        format::put_text(&mut meta, "t", &snapshot.time);
        format::put_text(&mut meta, "d", &format::digest_text(&snapshot.digest));
        format::put_text(&mut meta, "sha", &sha);
        self.items.put_greater(&meta, "sequence").await?;
        Ok(())
    }

    async fn trim(&self, upto: Sequence) -> Result<(), LogError> {
        let trimmed = self.items.get(META, "trimmed").await?;
        let mut after = trimmed.as_ref().and_then(|meta| number(meta, "sequence").ok()).unwrap_or(0);
        while after < upto {
            let page = self.items.query(LOG, &format::sequence_key(after)).await?;
            let Some(last) = page.items.last().map(format::entry_head) else { break };
            for item in &page.items {
                let head = format::entry_head(item).map_err(LogError::invalid)?;
                if head.sequence > upto {
                    break;
                }
                let key = format::sequence_key(head.sequence);
                self.items.remove_attribute(LOG, &key, "r").await?;
                if bytes(item, "e").is_some() {
                    self.items.remove_attribute(LOG, &key, "e").await?;
                }
                for part in 0..head.event_parts {
                    self.items.delete(&format::event_part_key(head.origin), &format!("{part:06}")).await?;
                }
                for part in 0..head.parts {
                    self.items.delete(&format::part_key(head.origin), &format!("{part:06}")).await?;
                }
            }
            after = last.map_err(LogError::invalid)?.sequence.min(upto);
        }
        for item in self.all(SNAPSHOT, "").await? {
            let key = text(&item, "sk").unwrap_or_default();
            if key < format::sequence_key(upto).as_str() {
                self.items.delete(SNAPSHOT, key).await?;
            }
        }
        let mut meta = keyed(META, "trimmed");
        format::put_number(&mut meta, "sequence", upto);
        self.items.put_greater(&meta, "sequence").await?;
        Ok(())
    }
}

#[async_trait]
impl Registry for ItemLog {
    async fn report(&self, record: &ReplicaRecord, changed: &[EvidenceChunk]) -> Result<(), LogError> {
        for chunk in changed {
            self.items.put_greater(&format::chunk_item(record.id, chunk), "generation").await?;
        }
        self.items.put_greater(&format::replica_item(REPLICA, record), "beat").await?;
        Ok(())
    }

    async fn chunks(&self, id: Uuid) -> Result<Vec<EvidenceChunk>, LogError> {
        let items = self.all(&format::chunks_key(id), "").await?;
        items.iter().map(|item| format::chunk(item).map_err(LogError::invalid)).collect()
    }

    async fn list(&self) -> Result<Vec<ReplicaRecord>, LogError> {
        let items = self.all(REPLICA, "").await?;
        items.iter().map(|item| format::replica(item).map_err(LogError::invalid)).collect()
    }

    async fn remove(&self, id: Uuid) -> Result<(), LogError> {
        self.items.delete(REPLICA, &id.to_string()).await?;
        let key = format::chunks_key(id);
        for chunk in self.all(&key, "").await? {
            self.items.delete(&key, text(&chunk, "sk").unwrap_or_default()).await?;
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), LogError> {
        let name = self.items.name();
        let store = self.items.get(META, "store").await?;
        let id = store.as_ref().and_then(|store| text(store, "log").ok());
        if id != Some(self.id.to_string().as_str()) {
            return Err(LogError::invalid(format!("{name} has another log than at the start; restart to use it")));
        }
        let written = store.as_ref().and_then(|store| number(store, "format").ok()).unwrap_or_default();
        if !is_readable(written) {
            let what = format!("{name} was upgraded to format {written}, and this release reads {FORMAT}");
            return Err(LogError::invalid(format!("{what}; start a newer release")));
        }
        self.written.store(written, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl EventCursors for ItemLog {
    fn log_id(&self) -> Uuid {
        self.id
    }

    async fn cursor(&self, receiver: &str) -> Result<Option<EventCursor>, LogError> {
        let item = self.items.get(CURSOR, receiver).await?;
        item.map(|item| format::cursor(&item).map_err(LogError::invalid)).transpose()
    }

    async fn put_cursor(&self, receiver: &str, cursor: &EventCursor) -> Result<EventCursor, LogError> {
        match self.items.put_greater(&format::cursor_item(CURSOR, receiver, cursor), "renewals").await? {
            ItemPut::Stored => Ok(cursor.clone()),
            ItemPut::Refused(stored) => format::cursor(&stored).map_err(LogError::invalid),
        }
    }
}

/// Whether this release reads a format: its own, and the one before.
pub(super) const fn is_readable(format: u64) -> bool {
    format <= FORMAT && format.saturating_add(1) >= FORMAT
}

fn checksum(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let head = hash.first_chunk().map_or(0, |head| u128::from_be_bytes(*head));
    format!("{head:032x}")
}
