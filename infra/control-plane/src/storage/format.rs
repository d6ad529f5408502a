//! The items of a shared log.

use std::time::Duration;

use aws::{TableItem, TableValue};
use jiff::Timestamp;
use uuid::Uuid;

use super::cursors::EventCursor;
use super::digest::Digest;
use super::log::{Entry, EntryOrigin, Sequence};
use super::packed::FORMAT;
use super::registry::{EvidenceChunk, ReplicaRecord, ReplicaState};

/// An entry without its records.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryHead {
    pub(super) sequence: Sequence,
    pub(super) origin: EntryOrigin,
    pub(super) time: Timestamp,
    pub(super) digest: Digest,
    /// The number of parts that have its records; 0 if the item itself has them.
    pub(super) parts: u64,
    /// The number of parts that have its events; 0 if the item itself has them, or if it has none.
    pub(super) event_parts: u64,
}

pub(super) fn keyed(pk: &str, sk: &str) -> TableItem {
    TableItem::from([("pk", pk), ("sk", sk)].map(|(name, key)| (name.to_owned(), TableValue::Text(key.to_owned()))))
}

/// Keys of one length sort like their numbers.
pub(super) fn sequence_key(sequence: Sequence) -> String {
    format!("{sequence:020}")
}

/// The key of a piece of a snapshot, or the text that the keys of all its pieces begin with. Replicas of two releases may
/// store different snapshots of one sequence.
pub(super) fn snapshot_key(sequence: Sequence, sha: &str, piece: Option<u64>) -> String {
    let piece = piece.map(|piece| format!("{piece:06}")).unwrap_or_default();
    format!("{sequence:020}#{sha}#{piece}")
}

pub(super) fn part_key(origin: EntryOrigin) -> String {
    format!("part#{}#{}", origin.writer, origin.number)
}

pub(super) fn event_part_key(origin: EntryOrigin) -> String {
    format!("events#{}#{}", origin.writer, origin.number)
}

pub(super) fn put_text(item: &mut TableItem, name: &str, value: &(impl ToString + ?Sized)) {
    item.insert(name.to_owned(), TableValue::Text(value.to_string()));
}

pub(super) fn put_number(item: &mut TableItem, name: &str, value: u64) {
    item.insert(name.to_owned(), TableValue::Number(value));
}

pub(super) fn put_bytes(item: &mut TableItem, name: &str, value: Vec<u8>) {
    item.insert(name.to_owned(), TableValue::Bytes(value));
}

pub(super) fn text<'i>(item: &'i TableItem, name: &str) -> Result<&'i str, String> {
    match item.get(name) {
        Some(TableValue::Text(text)) => Ok(text),
        Some(TableValue::Number(_) | TableValue::Bytes(_)) | None => Err(format!("an item has no text `{name}`")),
    }
}

pub(super) fn number(item: &TableItem, name: &str) -> Result<u64, String> {
    match item.get(name) {
        Some(TableValue::Number(number)) => Ok(*number),
        Some(TableValue::Text(_) | TableValue::Bytes(_)) | None => Err(format!("an item has no number `{name}`")),
    }
}

pub(super) fn bytes<'i>(item: &'i TableItem, name: &str) -> Option<&'i [u8]> {
    match item.get(name) {
        Some(TableValue::Bytes(bytes)) => Some(bytes),
        Some(TableValue::Text(_) | TableValue::Number(_)) | None => None,
    }
}

pub(super) fn digest_text(digest: &Digest) -> String {
    format!("{}:{}", digest.records(), digest.hexadecimal())
}

pub(super) fn time_and_digest(item: &TableItem) -> Result<(Timestamp, Digest), String> {
    let time = text(item, "t")?.parse().map_err(|_| "an item has no valid time".to_owned())?;
    let parts = text(item, "d")?.split_once(':');
    let digest = parts.and_then(|(records, sum)| Digest::parse(records.parse().ok()?, sum));
    Ok((time, digest.ok_or_else(|| "an item has no valid digest".to_owned())?))
}

/// The item of an entry in a format, without its records.
pub(super) fn entry_item(pk: &str, entry: &Entry, parts: u64, written: u64) -> TableItem {
    let mut item = keyed(pk, &sequence_key(entry.sequence));
    put_number(&mut item, "f", written);
    put_text(&mut item, "w", &entry.origin.writer);
    put_number(&mut item, "n", entry.origin.number);
    put_text(&mut item, "t", &entry.time);
    put_text(&mut item, "d", &digest_text(&entry.digest));
    put_number(&mut item, "p", parts);
    item
}

pub(super) fn entry_head(item: &TableItem) -> Result<EntryHead, String> {
    let format = number(item, "f")?;
    if format > FORMAT {
        return Err(format!("it has format {format}, and this release reads {FORMAT}; start a newer release"));
    }
    let writer: Uuid = text(item, "w")?.parse().map_err(|_| "an item has no valid writer".to_owned())?;
    let sequence = text(item, "sk")?.parse().map_err(|_| "an item has no valid sequence".to_owned())?;
    let (time, digest) = time_and_digest(item)?;
    let origin = EntryOrigin { writer, number: number(item, "n")? };
    let event_parts = number(item, "ep").unwrap_or_default();
    Ok(EntryHead { sequence, origin, time, digest, parts: number(item, "p")?, event_parts })
}

/// The sequence and the number of pieces of the last snapshot.
pub(super) fn snapshot_head(item: &TableItem) -> Result<(Sequence, u64), String> {
    Ok((number(item, "sequence")?, number(item, "pieces")?))
}

pub(super) fn replica_item(pk: &str, record: &ReplicaRecord) -> TableItem {
    let mut item = keyed(pk, &record.id.to_string());
    let state = match record.state {
        ReplicaState::Live => "live",
        ReplicaState::Stopped => "stopped",
    };
    put_text(&mut item, "state", state);
    put_number(&mut item, "beat", record.beat);
    put_number(&mut item, "sequence", record.sequence);
    put_text(&mut item, "release", &record.release);
    if let Some(mean) = record.mean_append {
        put_number(&mut item, "append", u64::try_from(mean.as_micros()).unwrap_or(u64::MAX));
    }
    // Rounded up: a replica never serves longer than it reports.
    let serve_stale = record.serve_stale.as_millis().div_ceil(1000);
    put_number(&mut item, "serveStale", u64::try_from(serve_stale).unwrap_or(u64::MAX));
    put_number(&mut item, "reads", record.reads);
    if let Some(chunks) = &record.chunks {
        let generations: Vec<String> = chunks.iter().map(u64::to_string).collect();
        put_text(&mut item, "chunks", &format!("c{}", generations.join(",")));
    }
    item
}

/// The generations of chunks: `c` and the numbers, since a store may refuse an empty text.
fn generations(text: &str) -> Result<Vec<u64>, String> {
    let numbers = text.strip_prefix('c').ok_or("a replica has no valid chunks")?;
    let number = |number: &str| number.parse().map_err(|_| "a replica has no valid chunks".to_owned());
    if numbers.is_empty() { Ok(Vec::new()) } else { numbers.split(',').map(number).collect() }
}

/// The partition of the chunks of a replica.
pub(super) fn chunks_key(id: Uuid) -> String {
    format!("evidence#{id}")
}

pub(super) fn chunk_item(id: Uuid, chunk: &EvidenceChunk) -> TableItem {
    let mut item = keyed(&chunks_key(id), &format!("{:06}", chunk.number));
    put_number(&mut item, "generation", chunk.generation);
    put_bytes(&mut item, "r", chunk.body.clone());
    item
}

pub(super) fn chunk(item: &TableItem) -> Result<EvidenceChunk, String> {
    Ok(EvidenceChunk {
        number: text(item, "sk")?.parse().map_err(|_| "a chunk has no valid number".to_owned())?,
        generation: number(item, "generation")?,
        body: bytes(item, "r").ok_or("a chunk has no content")?.to_vec(),
    })
}

pub(super) fn replica(item: &TableItem) -> Result<ReplicaRecord, String> {
    Ok(ReplicaRecord {
        id: text(item, "sk")?.parse().map_err(|_| "a replica has no valid id".to_owned())?,
        // A state of a newer release is that of a replica that may be running.
        state: if text(item, "state")? == "stopped" { ReplicaState::Stopped } else { ReplicaState::Live },
        beat: number(item, "beat")?,
        sequence: number(item, "sequence")?,
        mean_append: number(item, "append").ok().map(Duration::from_micros),
        release: text(item, "release").unwrap_or("unknown").to_owned(),
        serve_stale: Duration::from_secs(number(item, "serveStale").unwrap_or_default()),
        chunks: text(item, "chunks").ok().map(generations).transpose()?,
        // Releases with the first format did not report it.
        reads: number(item, "reads").unwrap_or(1),
    })
}

pub(super) fn cursor_item(pk: &str, receiver: &str, cursor: &EventCursor) -> TableItem {
    let mut item = keyed(pk, receiver);
    // A store may refuse an empty text.
    if let Some(owner) = cursor.owner {
        put_text(&mut item, "owner", &owner);
    }
    put_number(&mut item, "renewals", cursor.renewals);
    put_number(&mut item, "sequence", cursor.sequence);
    put_number(&mut item, "events", cursor.events);
    item
}

pub(super) fn cursor(item: &TableItem) -> Result<EventCursor, String> {
    let owner = text(item, "owner").ok().map(str::parse).transpose();
    Ok(EventCursor {
        owner: owner.map_err(|_| "a cursor has no valid owner".to_owned())?,
        renewals: number(item, "renewals")?,
        sequence: number(item, "sequence")?,
        events: number(item, "events")?,
    })
}
